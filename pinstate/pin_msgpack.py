"""A pin in the form the log and go-libp2p-gorpc carry: a msgpack map with short field names.

Two encoders. :func:`go_form` is Go's own, which omits empty fields. :func:`explicit_form`
writes every field, nil when absent, because Go's peers decode each log entry over the one
before it: there, an omitted field keeps the value of the previous operation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from pinstate import go_msgpack
from pinstate.cid import check_cid_bytes, check_multihash
from pinstate.errors import MalformedPin
from pinstate.multiaddr_check import check_multiaddr
from pinstate.pin import Pin

__all__ = ["decode_pin", "explicit_form", "go_form", "pin_of_unpacked"]


def go_form(pin: Pin) -> bytes:
    """Return the pin as IPFS Cluster encodes it, without its empty fields.

    Metadata stands in the order of its keys, where Go has a random one.
    """
    fields = [
        key + value for key, value, is_empty in _encoded(pin) if not is_empty or key == _CID_KEY
    ]
    return go_msgpack.map_header(len(fields)) + b"".join(fields)


def explicit_form(pin: Pin) -> bytes:
    """Return the pin with every field, so that a Go peer ends up with exactly this pin.

    A list, map or reference that is present follows a nil under the same key: Go adds the
    items of a map to those of the previous operation, and reuses the memory of its lists.
    """
    count = 0
    parts = [b""]
    for key, value, is_empty in _encoded(pin):
        if key in _KEYS_RESET_FIRST and value != go_msgpack.NIL:
            parts.append(key + go_msgpack.NIL)
            count += 1
        parts.append(key + (go_msgpack.NIL if is_empty and key not in _KEYS_ALWAYS else value))
        count += 1
    parts[0] = go_msgpack.map_header(count)
    return b"".join(parts)


def decode_pin(data: bytes) -> Pin:
    """Return the pin in ``data``, with Go's zero value for every field that is not there.

    Every form Go's decoder takes is taken: strings as binary, integers as floats, structs as
    arrays, timestamps with or without their header, trailing bytes.

    Raises:
        MalformedPin: not such a map, or a field this form does not have.

    """
    try:
        return pin_of_unpacked(go_msgpack.unpack_first(data))
    except MalformedPin:
        raise
    except ValueError as error:
        raise MalformedPin(f"not a pin: {error}") from None


def pin_of_unpacked(value: object) -> Pin:
    """Return the pin in an object that :func:`~pinstate.go_msgpack.unpack_first` returned.

    Raises:
        ValueError: as :func:`decode_pin`.

    """
    found: dict[str, object] = {}
    for key, item in go_msgpack.read_struct(value, _ORDER):
        name, read = _FIELDS[key]
        found[name] = read(item)
    # The readers return what the fields of Pin hold; a table cannot say so to the type checker.
    return Pin(**found)  # type: ignore[arg-type]


def _encoded(pin: Pin) -> Iterator[tuple[bytes, bytes, bool]]:
    """Yield key, value and whether Go omits it, in the order of Go's struct."""
    yield b"\xa2rn", go_msgpack.signed(pin.replication_factor_min), not pin.replication_factor_min
    yield b"\xa2rx", go_msgpack.signed(pin.replication_factor_max), not pin.replication_factor_max
    yield b"\xa1n", go_msgpack.text(pin.name), not pin.name
    yield b"\xa1o", go_msgpack.signed(pin.mode), not pin.mode
    yield b"\xa1s", go_msgpack.unsigned(pin.shard_size), not pin.shard_size
    yield b"\xa2ua", *_strings(pin.user_allocations)
    yield b"\xa1e", *_time(pin.expire_at)
    yield b"\xa1m", *_metadata(pin.metadata)
    yield b"\xa2pu", *_cid(pin.pin_update)
    yield b"\xa1g", *_strings(pin.origins)
    yield _CID_KEY, *_cid(pin.cid)
    yield b"\xa1t", go_msgpack.unsigned(pin.type), not pin.type
    yield b"\xa1a", *_strings(pin.allocations)
    yield b"\xa1d", go_msgpack.signed(pin.max_depth), not pin.max_depth
    yield b"\xa1r", *_cid(pin.reference)
    yield b"\xa1i", *_time(pin.timestamp)


def _strings(items: Sequence[bytes] | None) -> tuple[bytes, bool]:
    if items is None:
        return go_msgpack.NIL, True
    return go_msgpack.array([go_msgpack.raw(item) for item in items]), False


def _time(nanoseconds: int | None) -> tuple[bytes, bool]:
    if nanoseconds is None:
        return go_msgpack.NIL, True
    return go_msgpack.time(nanoseconds), False


def _cid(cid: bytes | None) -> tuple[bytes, bool]:
    return (go_msgpack.raw(cid), False) if cid else (go_msgpack.NIL, True)


def _metadata(metadata: Mapping[str, str] | None) -> tuple[bytes, bool]:
    if metadata is None:
        return go_msgpack.NIL, True
    pairs = [go_msgpack.text(key) + go_msgpack.text(metadata[key]) for key in sorted(metadata)]
    return go_msgpack.map_header(len(pairs)) + b"".join(pairs), False


def _read_cid(value: object) -> bytes:
    if value is None:
        return b""
    cid = go_msgpack.read_raw(value)
    check_cid_bytes(cid)
    return cid


def _read_optional_cid(value: object) -> bytes | None:
    return None if value is None else _read_cid(value)


def _read_peers(value: object) -> tuple[bytes, ...] | None:
    peers = _read_strings(value)
    for peer in peers or ():
        check_multihash(peer)
    return peers


def _read_origins(value: object) -> tuple[bytes, ...] | None:
    origins = _read_strings(value)
    for origin in origins or ():
        _check_multiaddr(origin)
    return origins


def _read_strings(value: object) -> tuple[bytes, ...] | None:
    items = go_msgpack.read_list(value)
    return None if items is None else tuple(go_msgpack.read_raw(item) for item in items)


def _check_multiaddr(data: bytes) -> None:
    try:
        check_multiaddr(data)
    except ValueError as error:
        raise MalformedPin(f"an origin that is no multiaddr: {error}") from None


def _read_metadata(value: object) -> dict[str, str] | None:
    if value is None:
        return None
    if type(value) is not list:
        raise MalformedPin("metadata that is no map")
    return {go_msgpack.read_text(key): go_msgpack.read_text(item) for key, item in value}


_CID_KEY: Final = b"\xa1c"
_KEYS_ALWAYS: Final = frozenset({_CID_KEY, b"\xa1t", b"\xa1d"})
"""What :func:`explicit_form` writes as a value even when it is zero."""
_KEYS_RESET_FIRST: Final = frozenset({b"\xa2ua", b"\xa1m", b"\xa1g", b"\xa1a", b"\xa1r"})
_FIELDS: Final[dict[bytes, tuple[str, Callable[[object], object]]]] = {
    b"rn": ("replication_factor_min", go_msgpack.read_signed),
    b"rx": ("replication_factor_max", go_msgpack.read_signed),
    b"n": ("name", go_msgpack.read_text),
    b"o": ("mode", go_msgpack.read_signed),
    b"s": ("shard_size", go_msgpack.read_unsigned),
    b"ua": ("user_allocations", _read_peers),
    b"e": ("expire_at", go_msgpack.read_time),
    b"m": ("metadata", _read_metadata),
    b"pu": ("pin_update", _read_optional_cid),
    b"g": ("origins", _read_origins),
    b"c": ("cid", _read_cid),
    b"t": ("type", go_msgpack.read_unsigned),
    b"a": ("allocations", _read_peers),
    b"d": ("max_depth", go_msgpack.read_signed),
    b"r": ("reference", _read_optional_cid),
    b"i": ("timestamp", go_msgpack.read_time),
}
_ORDER: Final = tuple(_FIELDS)
