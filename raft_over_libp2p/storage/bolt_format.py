"""BoltDB's file, as boltdb/bolt 1.3.1 and bbolt up to 1.4 write it (both: version 2).

::

    file          pages of page_size bytes; pages 0 and 1 are meta pages
    page          id u64 | flags u16 | count u16 | overflow u32, then its content
                  (a page with overflow n is n + 1 pages long)
    meta          magic u32 | version u32 | page size u32 | flags u32 | root bucket's root u64
                  | its sequence u64 | freelist's page u64 | high water u64 | transaction u64
                  | FNV-64a of all before it u64
    branch page   count elements: key at u32 | key size u32 | child's page u64; then keys
    leaf page     count elements: flags u32 | key at u32 | key size u32 | value size u32; then
                  keys and values. Places are relative to the element itself.
    bucket        a value (element flag 1): root u64 | sequence u64. Root 0: its only page
                  follows in the value itself, an inline bucket.

The numbers stand in the byte order of the machine that wrote the file; here that is
little-endian, as on all platforms that this program supports. No page has a checksum but the
meta pages. Transaction n is written to meta page n % 2 after its pages are synced, so the
older meta page stays valid until the next one commits.

Source: boltdb/bolt ``db.go``, ``page.go``, ``bucket.go``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from raft_over_libp2p import limits

__all__ = [
    "BRANCH_ELEMENT",
    "BRANCH_PAGE",
    "BUCKET",
    "FREELIST_PAGE",
    "LEAF_ELEMENT",
    "LEAF_PAGE",
    "MAX_PAGE_SIZE",
    "META_BYTES",
    "META_PAGE",
    "MIN_PAGE_SIZE",
    "PAGE_HEADER",
    "Meta",
    "encode_meta",
    "parse_meta",
]

PAGE_HEADER: Final = struct.Struct("<QHHI")
LEAF_ELEMENT: Final = struct.Struct("<IIII")
BRANCH_ELEMENT: Final = struct.Struct("<IIQ")
BUCKET: Final = struct.Struct("<QQ")
BRANCH_PAGE: Final = 0x01
LEAF_PAGE: Final = 0x02
META_PAGE: Final = 0x04
FREELIST_PAGE: Final = 0x10
MIN_PAGE_SIZE: Final = limits.KIB
MAX_PAGE_SIZE: Final = 64 * limits.KIB
"""BoltDB takes the operating system's page size: 4 KiB, 16 KiB or 64 KiB."""

_META: Final = struct.Struct("<IIIIQQQQQ")
_CHECKSUM: Final = struct.Struct("<Q")
META_BYTES: Final = PAGE_HEADER.size + _META.size + _CHECKSUM.size
_MAGIC: Final = 0xED0CDAED
_VERSION: Final = 2
_FNV_OFFSET: Final = 0xCBF29CE484222325
_FNV_PRIME: Final = 0x100000001B3
_MAX_UINT64: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """What a meta page says: the tree of one transaction.

    ``high_water`` is the number of pages in use or free; the file has no page behind it.
    """

    page_size: int
    root: int
    freelist: int
    high_water: int
    transaction: int
    sequence: int = 0


def parse_meta(data: bytes) -> Meta | str:
    """Return the meta in the page that begins with ``data``, or why it is none."""
    if len(data) < META_BYTES:
        return f"the file has only {len(data)} bytes there"
    magic, version, page_size, _, root, sequence, freelist, high_water, transaction = (
        _META.unpack_from(data, PAGE_HEADER.size)
    )
    if magic != _MAGIC:
        return f"its magic number is {magic:08x}, not BoltDB's {_MAGIC:08x}"
    end = PAGE_HEADER.size + _META.size
    (checksum,) = _CHECKSUM.unpack_from(data, end)
    if checksum != _fnv64a(data[PAGE_HEADER.size : end]):
        return "its checksum is wrong"
    if version != _VERSION:
        return f"it has BoltDB's format version {version}; this program knows {_VERSION}"
    if not MIN_PAGE_SIZE <= page_size <= MAX_PAGE_SIZE or page_size & (page_size - 1):
        return f"it says pages have {page_size} bytes"
    return Meta(
        page_size=page_size,
        root=root,
        freelist=freelist,
        high_water=high_water,
        transaction=transaction,
        sequence=sequence,
    )


def encode_meta(meta: Meta, page_id: int) -> bytes:
    """Return the first bytes of meta page ``page_id``; zeros follow."""
    body = _META.pack(
        _MAGIC,
        _VERSION,
        meta.page_size,
        0,
        meta.root,
        meta.sequence,
        meta.freelist,
        meta.high_water,
        meta.transaction,
    )
    header = PAGE_HEADER.pack(page_id, META_PAGE, 0, 0)
    return header + body + _CHECKSUM.pack(_fnv64a(body))


def _fnv64a(data: bytes) -> int:
    value = _FNV_OFFSET
    for byte in data:
        value = (value ^ byte) * _FNV_PRIME & _MAX_UINT64
    return value
