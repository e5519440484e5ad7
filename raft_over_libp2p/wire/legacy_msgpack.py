"""Writing msgpack as go-msgpack v2 does for hashicorp/raft: the form from before str8 and bin.

Byte strings and text are one kind ("raw"), unsigned fields take unsigned forms, signed
fields above 127 take signed ones, and nil is not empty. Map keys are Go's field names,
sorted bytewise by whoever calls this. Rules: go-msgpack ``MsgpackHandle`` with
``WriteExt=false``.
"""

# ruff: noqa: PLR2004 - msgpack's tag bytes and widths are what this is about

from __future__ import annotations

from struct import Struct
from typing import Final

__all__ = [
    "NIL",
    "pack_array_header",
    "pack_bool",
    "pack_int",
    "pack_map_header",
    "pack_raw",
    "pack_text",
    "pack_uint",
]

NIL: Final = b"\xc0"

_FALSE: Final = b"\xc2"
_TRUE: Final = b"\xc3"
_ONE_BYTE: Final = tuple(bytes((value,)) for value in range(256))
_TAG_AND_U8: Final = Struct(">BB").pack
_TAG_AND_U16: Final = Struct(">BH").pack
_TAG_AND_U32: Final = Struct(">BI").pack
_TAG_AND_U64: Final = Struct(">BQ").pack
_TAG_AND_I8: Final = Struct(">Bb").pack
_TAG_AND_I16: Final = Struct(">Bh").pack
_TAG_AND_I32: Final = Struct(">Bi").pack
_TAG_AND_I64: Final = Struct(">Bq").pack


def pack_raw(value: bytes | None) -> bytes:
    """Return a Go ``[]byte``: nil for None, which differs from the empty string."""
    if value is None:
        return NIL
    size = len(value)
    if size < 32:
        return _ONE_BYTE[0xA0 | size] + value
    if size < 0x1_0000:
        return _TAG_AND_U16(0xDA, size) + value
    return _TAG_AND_U32(0xDB, size) + value


def pack_text(value: str) -> bytes:
    """Return a Go ``string``, which is never nil."""
    return pack_raw(value.encode())


def pack_uint(value: int) -> bytes:
    """Return an unsigned field (0 to 2**64 - 1) in its shortest unsigned form.

    Raises:
        struct.error: ``value`` is out of range.

    """
    if 0 <= value < 0x80:
        return _ONE_BYTE[value]
    if value < 0x100:
        return _TAG_AND_U8(0xCC, value)
    if value < 0x1_0000:
        return _TAG_AND_U16(0xCD, value)
    if value < 0x1_0000_0000:
        return _TAG_AND_U32(0xCE, value)
    return _TAG_AND_U64(0xCF, value)


def pack_int(value: int) -> bytes:
    """Return a signed field (int64) in its shortest form; above 127 still a signed one.

    Raises:
        struct.error: ``value`` is out of range.

    """
    if -32 <= value < 0x80:
        return _ONE_BYTE[value & 0xFF]
    if -0x80 <= value < 0x80:
        return _TAG_AND_I8(0xD0, value)
    if -0x8000 <= value < 0x8000:
        return _TAG_AND_I16(0xD1, value)
    if -0x8000_0000 <= value < 0x8000_0000:
        return _TAG_AND_I32(0xD2, value)
    return _TAG_AND_I64(0xD3, value)


def pack_bool(value: bool) -> bytes:  # noqa: FBT001 - the value to write is the only argument
    """Return a Go ``bool``."""
    return _TRUE if value else _FALSE


def pack_array_header(length: int) -> bytes:
    """Return what stands before the ``length`` elements of a slice."""
    if length < 16:
        return _ONE_BYTE[0x90 | length]
    if length < 0x1_0000:
        return _TAG_AND_U16(0xDC, length)
    return _TAG_AND_U32(0xDD, length)


def pack_map_header(length: int) -> bytes:
    """Return what stands before the ``length`` pairs of a struct (fewer than 65536)."""
    if length < 16:
        return _ONE_BYTE[0x80 | length]
    return _TAG_AND_U16(0xDE, length)
