"""Which bytes are a multiaddr to Go's peers, and to ours: both must take the same origins of pins.

An operation that one of them refuses makes its state differ from the others'. The rules are
go-multiaddr v0.16's (``codec.go``, ``transcoders.go``, ``protocols.go``). Beside them an address
must have a text, so that the APIs can show it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pinstate.cid import check_multihash, read_varint

__all__ = ["check_multiaddr"]

_MAX_CODE: Final = (1 << 31) - 1
_SHA2_256: Final = b"\x12\x20"
_IDENTITY: Final = b"\x00"
_UNIX: Final = 400
_GARLIC64_BYTES: Final = 386
_GARLIC32_BYTES: Final = 32
_GARLIC32_ENCRYPTED_BYTES: Final = 35

_FIXED_BYTES: Final = {
    4: 4, 6: 2, 33: 2, 41: 16, 43: 1, 132: 2, 273: 2, 444: 12, 445: 37, 777: 8,
    **dict.fromkeys((276, 280, 281, 290, 301, 302, 443, 448, 454, 460, 461, 465, 477, 478, 480), 0),
}  # fmt: skip
"""ip4 tcp dccp ip6 ipcidr sctp udp onion onion3 memory; and those that have no value."""


def check_multiaddr(data: bytes) -> None:
    """Refuse bytes that are no multiaddr; raises ValueError with the reason."""
    if not data:
        raise ValueError("it is empty")
    position = 0
    while position < len(data):
        code, position = _read_number(data, position)
        size = _FIXED_BYTES.get(code)
        check = _CHECKS.get(code)
        if size is None:
            if check is None:
                raise ValueError(f"no protocol has the code {code}")
            size, position = _read_number(data, position)
            if not size:
                raise ValueError(f"the value of protocol {code} is empty")
        value = data[position : position + size]
        position += size
        if position > len(data):
            raise ValueError(f"the value of protocol {code} is cut short")
        if check is not None:
            check(value)
        if code == _UNIX and position != len(data):
            raise ValueError("something stands behind a path")
    _check_text(data)


def _read_number(data: bytes, position: int) -> tuple[int, int]:
    number, end = read_varint(data, position)
    if number > _MAX_CODE:
        raise ValueError(f"{number} is no code and no size")
    return number, end


def _check_port(value: bytes) -> None:
    if not any(value[-2:]):
        raise ValueError("an onion address with port 0")


def _check_name(value: bytes) -> None:
    if b"/" in value:
        raise ValueError("a name that holds a slash")


def _check_path(value: bytes) -> None:
    if len(value) < len("/x") or value[:1] != b"/" or value[-1:] == b"/":
        raise ValueError("a socket's path begins with a slash and does not end in one")


def _check_peer(value: bytes) -> None:
    check_multihash(value)
    if value[:1] != _IDENTITY and value[:2] != _SHA2_256:
        raise ValueError("a peer ID is a SHA2-256 or the key itself")


def _check_garlic64(value: bytes) -> None:
    if len(value) < _GARLIC64_BYTES:
        raise ValueError(f"an i2p address of {len(value)} bytes")


def _check_garlic32(value: bytes) -> None:
    if len(value) < _GARLIC32_ENCRYPTED_BYTES and len(value) != _GARLIC32_BYTES:
        raise ValueError(f"an i2p address of {len(value)} bytes")


def _check_any(_value: bytes) -> None:
    pass


def _check_text(data: bytes) -> None:
    # Few pins have origins, and the package takes 35 ms to import.
    from multiaddr import Multiaddr
    from multiaddr.exceptions import Error

    try:
        str(Multiaddr(data))
    except Error as error:
        raise ValueError(f"it has no text: {error}") from None


_CHECKS: Final[dict[int, Callable[[bytes], None]]] = {
    **dict.fromkeys((42, 53, 54, 55, 56, 449), _check_name),  # ip6zone, dns*, sni
    _UNIX: _check_path,
    421: _check_peer,
    444: _check_port,
    445: _check_port,
    446: _check_garlic64,
    447: _check_garlic32,
    466: check_multihash,  # certhash
    481: _check_any,  # http-path
}
"""What a value must be, by code; those that are not among the fixed sizes have a length."""
