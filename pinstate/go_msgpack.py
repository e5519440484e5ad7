"""Msgpack as ugorji's Go codec writes and reads it by default: old raw strings, signed integers.

Writing: strings and bytes are both "raw" (``a0`` fixstr, ``da``, ``db``; never str8 or bin),
signed integers above 127 take the signed forms, times are the payload of msgpack's timestamp
without its extension header. Reading takes every form that the Go decoder takes.

Source: ugorji/go/codec v1.2.12 with a zero ``MsgpackHandle``; the test vectors were made by it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

import msgpack

from pinstate.pin import NANOSECONDS_PER_S, ZERO_TIME_UNIX_S

__all__ = [
    "NIL",
    "Extension",
    "array",
    "map_header",
    "raw",
    "read_list",
    "read_raw",
    "read_signed",
    "read_struct",
    "read_text",
    "read_time",
    "read_unsigned",
    "signed",
    "text",
    "time",
    "unpack_first",
    "unsigned",
]

NIL: Final = b"\xc0"
_TIMESTAMP_64_SECONDS_BITS: Final = 34
_INT64: Final = range(-(1 << 63), 1 << 63)
_UINT64: Final = range(1 << 64)


def raw(data: bytes) -> bytes:
    """Return ``data`` as a raw string."""
    length = len(data)
    if length <= 31:  # noqa: PLR2004 - fixstr
        return bytes((0xA0 | length,)) + data
    if length <= 0xFFFF:  # noqa: PLR2004 - raw 16
        return struct.pack(">BH", 0xDA, length) + data
    return struct.pack(">BI", 0xDB, length) + data


def text(value: str) -> bytes:
    """Return ``value`` as a raw string; surrogates go back to the bytes they stand for."""
    return raw(value.encode("utf-8", "surrogateescape"))


def signed(value: int) -> bytes:
    """Return a Go ``int``: above 127 in the signed forms that :mod:`msgpack` never writes."""
    if -32 <= value <= 127:  # noqa: PLR2004 - fixint
        return struct.pack(">b", value)
    if -(1 << 7) <= value < 1 << 7:
        return struct.pack(">Bb", 0xD0, value)
    if -(1 << 15) <= value < 1 << 15:
        return struct.pack(">Bh", 0xD1, value)
    if -(1 << 31) <= value < 1 << 31:
        return struct.pack(">Bi", 0xD2, value)
    return struct.pack(">Bq", 0xD3, value)


def unsigned(value: int) -> bytes:
    """Return a Go ``uint64``."""
    if value <= 0x7F:  # noqa: PLR2004 - fixint
        return struct.pack(">B", value)
    if value <= 0xFF:  # noqa: PLR2004 - uint8
        return struct.pack(">BB", 0xCC, value)
    if value <= 0xFFFF:  # noqa: PLR2004 - uint16
        return struct.pack(">BH", 0xCD, value)
    if value <= 0xFFFF_FFFF:  # noqa: PLR2004 - uint32
        return struct.pack(">BI", 0xCE, value)
    return struct.pack(">BQ", 0xCF, value)


def time(nanoseconds: int) -> bytes:
    """Return a moment (nanoseconds since 1970 UTC) as a raw timestamp of 4, 8 or 12 bytes."""
    seconds, nanos = divmod(nanoseconds, NANOSECONDS_PER_S)
    if seconds >> _TIMESTAMP_64_SECONDS_BITS:
        return raw(struct.pack(">Iq", nanos, seconds))
    packed = nanos << _TIMESTAMP_64_SECONDS_BITS | seconds
    return raw(packed.to_bytes(4 if packed <= 0xFFFF_FFFF else 8, "big"))  # noqa: PLR2004 - 32 bit


def array(items: Sequence[bytes]) -> bytes:
    """Return an array of items that are encoded already."""
    return _header(len(items), 0x90, 0xDC, 0xDD) + b"".join(items)


def map_header(length: int) -> bytes:
    """Return the header of a map with ``length`` pairs."""
    return _header(length, 0x80, 0xDE, 0xDF)


def _header(length: int, fix: int, wide: int, wider: int) -> bytes:
    if length <= 15:  # noqa: PLR2004 - fixarray, fixmap
        return bytes((fix | length,))
    if length <= 0xFFFF:  # noqa: PLR2004 - 16 bit
        return struct.pack(">BH", wide, length)
    return struct.pack(">BI", wider, length)


def unpack_first(data: bytes) -> object:
    """Return the first object in ``data``; what follows it is ignored, as Go does.

    Maps become lists of pairs, in order and with repeated keys; arrays become tuples; strings
    and binary become bytes; msgpack timestamps become :class:`msgpack.Timestamp`, other
    extensions :class:`Extension`.

    Raises:
        ValueError: not msgpack, cut short, or nested deeper than 1024.

    """
    try:
        return msgpack.unpackb(
            data,
            raw=True,
            use_list=False,
            object_pairs_hook=_pairs,
            strict_map_key=False,
            ext_hook=Extension,
        )
    except msgpack.ExtraData as error:
        return error.unpacked


class Extension:
    """A msgpack extension other than a timestamp: no field takes one, but Go passes over it."""

    __slots__ = ()

    def __init__(self, _code: int, _data: bytes) -> None:
        pass


def _pairs(pairs: list[tuple[object, object]]) -> list[tuple[object, object]]:
    return pairs


def read_struct(
    value: object, fields: Sequence[bytes], *, takes_unknown: bool = False
) -> list[tuple[bytes, object]]:
    """Return the fields that a Go struct's map, array or nil holds, in order.

    ``fields`` are the struct's names in their order. A key may be repeated: let the later one
    win. A pair with an empty key or nil is passed over, as are unknown fields with ``takes_unknown``
    (Go's ``ErrorIfNoField`` off).

    Raises:
        ValueError: no map, array or nil; a key that is no string; an unknown field.

    """
    if type(value) is list:
        named = [(read_raw(key), item) for key, item in value]
        pairs = [(name, item) for name, item in named if name]
    elif value is None:
        return []
    elif type(value) is tuple:
        if len(value) > len(fields) and not takes_unknown:
            raise ValueError(f"an array of {len(value)} where there are {len(fields)} fields")
        return list(zip(fields, value, strict=False))
    else:
        raise ValueError(f"{_kind(value)} where a map or an array belongs")
    for key, _ in pairs:
        if key not in fields and not takes_unknown:
            raise ValueError(f"there is no field {key[:32]!r}")
    return pairs


def read_raw(value: object) -> bytes:
    """Return bytes from a string, binary, array of small integers, or nil (empty)."""
    if type(value) is bytes:
        return value
    if value is None:
        return b""
    if type(value) is tuple:
        return bytes(read_unsigned(item) for item in value)
    raise ValueError(f"{_kind(value)} where a string belongs")


def read_list(value: object) -> tuple[object, ...] | None:
    """Return the items of an array, or of a map (keys and values in turn), or None for nil."""
    if value is None or type(value) is tuple:
        return value
    if type(value) is list:
        return tuple(item for pair in value for item in pair)
    raise ValueError(f"{_kind(value)} where an array belongs")


def read_text(value: object) -> str:
    """Return text; bytes that are not UTF-8 become surrogates, as Go would keep them."""
    return read_raw(value).decode("utf-8", "surrogateescape")


def read_signed(value: object) -> int:
    """Return a Go ``int`` from an integer, a float without a fraction, or nil (0)."""
    number = _integer(value)
    if number not in _INT64:
        raise ValueError(f"{number} does not fit 64 bits")
    return number


def read_unsigned(value: object) -> int:
    """Return a Go ``uint64`` from an integer, a float without a fraction, or nil (0)."""
    number = _integer(value)
    if number not in _UINT64:
        raise ValueError(f"{number} does not fit 64 bits without a sign")
    return number


def read_time(value: object) -> int | None:
    """Return nanoseconds since 1970 UTC from a timestamp in any form; None for Go's zero time."""
    if value is None:
        return None
    if isinstance(value, msgpack.Timestamp):
        seconds, nanos = int(value.seconds), int(value.nanoseconds)
    else:
        seconds, nanos = _timestamp_payload(value)
    if seconds == ZERO_TIME_UNIX_S and nanos == 0:
        return None
    return seconds * NANOSECONDS_PER_S + nanos


def _timestamp_payload(value: object) -> tuple[int, int]:
    if type(value) is bytes and len(value) == 4:  # noqa: PLR2004 - timestamp 32
        return int.from_bytes(value, "big"), 0
    if type(value) is bytes and len(value) == 8:  # noqa: PLR2004 - timestamp 64
        packed = int.from_bytes(value, "big")
        return packed & (1 << _TIMESTAMP_64_SECONDS_BITS) - 1, packed >> _TIMESTAMP_64_SECONDS_BITS
    if type(value) is bytes and len(value) == 12:  # noqa: PLR2004 - timestamp 96
        nanos, seconds = struct.unpack(">Iq", value)
        return seconds, nanos
    raise ValueError(f"{_kind(value)} where a timestamp belongs")


def _integer(value: object) -> int:
    # Exact types: a bool is no integer on the wire.
    if type(value) is int:
        return value
    if value is None:
        return 0
    if type(value) is float and value.is_integer():
        return int(value)
    raise ValueError(f"{_kind(value)} where an integer belongs")


def _kind(value: object) -> str:
    if isinstance(value, bytes):
        return f"a string of {len(value)} bytes"
    names = {list: "a map", tuple: "an array", bool: "a boolean", type(None): "nil"}
    return names.get(type(value), f"a {type(value).__name__}")
