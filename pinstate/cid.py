"""Content identifiers: from text to bytes and back, with no package but base58.

A CID is held as its bytes everywhere in this project: 34 bytes ``12 20 <sha2-256>`` for
version 0; ``01 <codec> <multihash>``, with varints, for version 1. The empty byte string is
Go's undefined CID (``cid.Undef``).

Rules are go-cid's (``Decode``, ``Cast``) and go-multihash's; any multihash code is taken, as
there.
"""

from __future__ import annotations

import base64
import hashlib
import string
from collections.abc import Callable
from typing import Final

import base58

from pinstate.limits import MAX_CID_TEXT_CHARS, MAX_DIAGNOSTIC_CHARS

__all__ = [
    "InvalidCid",
    "check_cid_bytes",
    "check_multihash",
    "cid_of_datastore_key",
    "cid_text",
    "datastore_key",
    "identity_multiaddr_cid",
    "multiaddr_of_identity_cid",
    "parse_cid",
    "raw_sha256_cid",
    "read_varint",
]

_V0_PREFIX: Final = b"\x12\x20"
_V0_BYTES: Final = 34
_V0_TEXT_CHARS: Final = 46
_RAW_SHA256_PREFIX: Final = b"\x01\x55\x12\x20"
_RAW_IDENTITY_PREFIX: Final = b"\x01\x55\x00"
_MAX_VARINT_BYTES: Final = 9
_DATASTORE_NAMESPACE: Final = "/r/"


class InvalidCid(ValueError):
    """Text or bytes that are no CID; the message names them and what is wrong."""


def parse_cid(text: str) -> bytes:
    """Return the bytes of the CID that ``text`` spells, as go-cid's ``Decode`` does.

    Takes version 0 (``Qm...``, base58) and multibase text: base16, 32 (also hex and padded),
    36, 58 and 64 (also url).

    Raises:
        InvalidCid: the message holds the text and the reason.

    """
    try:
        cid = _bytes_of_text(text)
        _check(cid)
    except ValueError as error:
        raise InvalidCid(f"{_shown(text)} is not a CID: {error}") from None
    return cid


def cid_text(cid: bytes) -> str:
    """Return the usual text of a CID: base58 for version 0, base32 for version 1.

    The bytes are not checked. The undefined CID (no bytes) has Go's text for it, ``b``.
    """
    if len(cid) == _V0_BYTES and cid.startswith(_V0_PREFIX):
        return base58.b58encode(cid).decode("ascii")
    return "b" + _base32_of(cid).lower()


def raw_sha256_cid(content: bytes) -> bytes:
    """Return the CID of ``content`` as one raw block (CIDv1, raw, sha2-256)."""
    return _RAW_SHA256_PREFIX + hashlib.sha256(content).digest()


def identity_multiaddr_cid(multiaddr: bytes) -> bytes:
    """Return the CID that carries a multiaddr in the operations 3 and 4 (CIDv1, raw, identity)."""
    return _RAW_IDENTITY_PREFIX + _varint(len(multiaddr)) + multiaddr


def multiaddr_of_identity_cid(cid: bytes) -> bytes:
    """Return what :func:`identity_multiaddr_cid` packed; raises :class:`InvalidCid`."""
    check_cid_bytes(cid)
    if not cid.startswith(_RAW_IDENTITY_PREFIX):
        raise InvalidCid(f"{cid.hex()[:MAX_DIAGNOSTIC_CHARS]} carries no multiaddr")
    _, start = read_varint(cid, len(_RAW_IDENTITY_PREFIX))
    return cid[start:]


def check_cid_bytes(cid: bytes) -> None:
    """Refuse bytes that are not one whole CID (go-cid's ``Cast``); raises :class:`InvalidCid`."""
    try:
        _check(cid)
    except ValueError as error:
        raise InvalidCid(
            f"{cid.hex()[:MAX_DIAGNOSTIC_CHARS] or 'no bytes'} is not a CID: {error}"
        ) from None


def check_multihash(multihash: bytes) -> None:
    """Refuse bytes that are not one whole multihash, such as a peer ID; raises ValueError."""
    try:
        _check_multihash(multihash, 0)
    except ValueError as error:
        shown = multihash.hex()[:MAX_DIAGNOSTIC_CHARS] or "no bytes"
        raise ValueError(f"{shown} is not a multihash: {error}") from None


def datastore_key(cid: bytes) -> str:
    """Return the key Go's datastore holds this pin under: ``/r/`` and upper-case base32."""
    return _DATASTORE_NAMESPACE + _base32_of(cid)


def cid_of_datastore_key(key: str | bytes) -> bytes:
    """Return the CID of a datastore key, with or without its namespace.

    Raises:
        InvalidCid: not base32 of a CID.

    """
    try:
        text = key if isinstance(key, str) else key.decode("ascii")
        digits = text.rsplit("/", 1)[-1]
        # Go's decoder takes the digits in either case (multiformats/go-base32).
        cid = base64.b32decode(digits + "=" * (-len(digits) % 8), casefold=True)
        _check(cid)
    except ValueError as error:
        raise InvalidCid(f"{_shown(key)} is not the datastore key of a CID: {error}") from None
    return cid


def _shown(value: str | bytes) -> str:
    return repr(value[:MAX_DIAGNOSTIC_CHARS])


def _base32_of(data: bytes) -> str:
    return base64.b32encode(data).decode("ascii").rstrip("=")


def _check(cid: bytes) -> None:
    """Raise ValueError with the reason unless ``cid`` is one whole CID."""
    # The two forms nearly all pins have, without a varint in sight.
    if len(cid) == _V0_BYTES and cid.startswith(_V0_PREFIX):
        return
    if cid.startswith(_V0_PREFIX):
        raise ValueError(f"a CIDv0 has {_V0_BYTES} bytes, this has {len(cid)}")
    version, position = read_varint(cid, 0)
    if version != 1:
        raise ValueError(f"its version is {version}, where 1 is expected")
    _, position = read_varint(cid, position)
    _check_multihash(cid, position)


def _check_multihash(data: bytes, position: int) -> None:
    _, position = read_varint(data, position)
    length, position = read_varint(data, position)
    if length != len(data) - position:
        raise ValueError(f"its digest has {len(data) - position} bytes and says {length}")


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """Return the unsigned varint at ``position`` and where it ends (multiformats: 9 bytes)."""
    value = shift = 0
    for index in range(position, min(len(data), position + _MAX_VARINT_BYTES)):
        byte = data[index]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 - the continuation bit
            if byte == 0 and index > position:
                raise ValueError("a varint in it is longer than it needs to be")
            return value, index + 1
        shift += 7
    raise ValueError("it ends early")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - seven bits a byte
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _bytes_of_text(text: str) -> bytes:
    if len(text) < 2:  # noqa: PLR2004 - go-cid's ErrCidTooShort
        raise ValueError("it is too short")
    if len(text) > MAX_CID_TEXT_CHARS:
        raise ValueError(f"it has {len(text)} characters, at most {MAX_CID_TEXT_CHARS} are taken")
    if len(text) == _V0_TEXT_CHARS and text.startswith("Qm"):
        return _base58(text)
    decode = _MULTIBASES.get(text[0])
    if decode is None:
        raise ValueError(f"no multibase starts with {text[0]!r}, and it is no CIDv0 (Qm...)")
    return decode(text[1:])


def _base58(digits: str) -> bytes:
    _refuse_strangers(digits, _BASE58_DIGITS, "base58")
    return base58.b58decode(digits)


def _base16(digits: str) -> bytes:
    _refuse_strangers(digits, _BASE16_DIGITS, "base16")
    if len(digits) % 2:
        raise ValueError("it has an odd number of base16 digits")
    return bytes.fromhex(digits)


def _base32(digits: str) -> bytes:
    _refuse_strangers(digits, _BASE32_DIGITS, "base32")
    return _decode_base32(digits, base64.b32decode)


def _base32hex(digits: str) -> bytes:
    _refuse_strangers(digits, _BASE32HEX_DIGITS, "base32hex")
    return _decode_base32(digits, base64.b32hexdecode)


def _decode_base32(digits: str, decode: Callable[[str], bytes]) -> bytes:
    try:
        return decode(digits.upper() + "=" * (-len(digits) % 8))
    except ValueError:
        raise ValueError("no base32 text has this many digits") from None


def _base36(digits: str) -> bytes:
    _refuse_strangers(digits, _BASE36_DIGITS, "base36")
    number = int(digits, 36) if digits else 0
    zeros = len(digits) - len(digits.lstrip("0"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def _base64(digits: str) -> bytes:
    _refuse_strangers(digits, _BASE64_DIGITS, "base64")
    return base64.b64decode(digits + "=" * (-len(digits) % 4))


def _base64url(digits: str) -> bytes:
    _refuse_strangers(digits, _BASE64URL_DIGITS, "base64url")
    return base64.urlsafe_b64decode(digits + "=" * (-len(digits) % 4))


def _unpadded(decode: Callable[[str], bytes]) -> Callable[[str], bytes]:
    return lambda digits: decode(digits.rstrip("="))


def _refuse_strangers(digits: str, alphabet: frozenset[str], name: str) -> None:
    for digit in digits:
        if digit not in alphabet:
            raise ValueError(f"{name} has no {digit!r}")


_BASE58_DIGITS: Final = frozenset(string.digits + string.ascii_letters) - frozenset("0OIl")
_BASE16_DIGITS: Final = frozenset(string.hexdigits)
_BASE32_DIGITS: Final = frozenset(string.ascii_letters + "234567")
_BASE32HEX_DIGITS: Final = frozenset(string.digits + "abcdefghijklmnopqrstuvABCDEFGHIJKLMNOPQRSTUV")
_BASE36_DIGITS: Final = frozenset(string.digits + string.ascii_letters)
_BASE64_DIGITS: Final = frozenset(string.digits + string.ascii_letters + "+/")
_BASE64URL_DIGITS: Final = frozenset(string.digits + string.ascii_letters + "-_")
_MULTIBASES: Final[dict[str, Callable[[str], bytes]]] = {
    "z": _base58,
    "f": _base16,
    "F": _base16,
    "b": _base32,
    "B": _base32,
    "c": _unpadded(_base32),
    "C": _unpadded(_base32),
    "v": _base32hex,
    "V": _base32hex,
    "t": _unpadded(_base32hex),
    "T": _unpadded(_base32hex),
    "k": _base36,
    "K": _base36,
    "m": _base64,
    "M": _unpadded(_base64),
    "u": _base64url,
    "U": _unpadded(_base64url),
}
