"""CRC-64/XZ: the checksum of Go's snapshots (``hash/crc64`` with its ECMA table) and of xz files.

Reflected, polynomial 0xC96C5795D7870F42, all ones before and after. The standard library has no
function for it, but its ``lzma`` module is linked against liblzma, whose public function
``lzma_crc64`` is it: 3 GB/s, and other threads run meanwhile. An interpreter that hides
liblzma's names gets the same from a table, at about 6 MB/s.
"""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Callable
from typing import Final, TypeAlias

__all__ = ["crc64", "crc64_by_table"]

_Crc64: TypeAlias = Callable[[bytes, int], int]

_POLYNOMIAL: Final = 0xC96C5795D7870F42
_ALL_ONES: Final = (1 << 64) - 1
_CHECK: Final = 0x995DC9BBDF1939FA
"""The CRC of b"123456789", by which catalogues tell CRCs apart."""


def _remainder(byte: int) -> int:
    for _ in range(8):
        byte = byte >> 1 ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_TABLE: Final = tuple([_remainder(byte) for byte in range(256)])


def crc64_by_table(data: bytes, crc: int = 0) -> int:
    """Do what ``crc64`` does, in Python alone."""
    table = _TABLE
    crc ^= _ALL_ONES
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ _ALL_ONES


def _crc64_of_liblzma() -> _Crc64 | None:
    """Return liblzma's function as this interpreter has it loaded; None where it is out of reach."""
    module = importlib.util.find_spec("_lzma")
    if module is None:
        return None
    path = module.origin if module.has_location else None  # None: built into the interpreter
    try:
        function = ctypes.CDLL(path).lzma_crc64
    except (OSError, AttributeError):
        return None
    function.restype = ctypes.c_uint64
    function.argtypes = (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint64)

    def crc64_of_liblzma(data: bytes, crc: int = 0) -> int:
        return int(function(data, len(data), crc))

    return crc64_of_liblzma if crc64_of_liblzma(b"123456789") == _CHECK else None


_fast: Final = _crc64_of_liblzma()


def crc64(data: bytes, crc: int = 0) -> int:
    """Return the CRC of ``data``, or of what ``crc`` is the CRC of and ``data`` behind it."""
    return crc64_by_table(data, crc) if _fast is None else _fast(data, crc)
