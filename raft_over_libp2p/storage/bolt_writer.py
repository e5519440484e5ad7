"""Writes a new BoltDB file that boltdb/bolt 1.3.1 and bbolt open as one of their own.

The items of a bucket come in the order of their keys, so its tree is built from left to right,
leaf by leaf, with the branches above it made afterwards, level by level. Every page is in use,
so the freelist is there and empty. Both meta pages name the same trees: whichever BoltDB
falls back to, it finds everything.

No bucket is inline: BoltDB makes small ones so when it next writes to them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from raft_over_libp2p.errors import LocalProtocolError
from raft_over_libp2p.storage.bolt_format import (
    BRANCH_ELEMENT,
    BRANCH_PAGE,
    BUCKET,
    FREELIST_PAGE,
    LEAF_ELEMENT,
    LEAF_PAGE,
    PAGE_HEADER,
    Meta,
    encode_meta,
)
from raft_over_libp2p.storage.filesystem import File, FileSystem

__all__ = ["BOLT_PAGE_BYTES", "write_bolt_file"]

BOLT_PAGE_BYTES: Final = 4096
_FREELIST_PAGE: Final = 2
_FIRST_TREE_PAGE: Final = 3
_FIRST_TRANSACTION: Final = 2
"""Even, so that it belongs to meta page 0; the one before it, on page 1, says the same."""
_IS_BUCKET: Final = 1
_BUFFERED_BYTES: Final = 1 << 20
_Items = Iterable[tuple[bytes, bytes]]


def write_bolt_file(
    fs: FileSystem,
    path: str,
    buckets: Mapping[bytes, _Items],
    *,
    page_size: int = BOLT_PAGE_BYTES,
) -> None:
    """Make ``path`` a BoltDB file that holds ``buckets``; its bytes, not its name, are durable.

    The items of each bucket must ascend strictly by key; they are taken one by one, so that
    memory holds a MiB of them and 30 bytes or so for each page.

    Raises:
        LocalProtocolError: keys do not ascend.
        StorageError: there is such a file already.
        DiskFull, DurabilityLost: what was written is useless; remove it.

    """
    file = fs.open_file(path, create=True)
    try:
        pages = _Pages(file, page_size)
        roots = {name: _write_tree(pages, items) for name, items in buckets.items()}
        top = [(name, BUCKET.pack(root, 0)) for name, root in sorted(roots.items())]
        root = _write_tree(pages, top, flags=_IS_BUCKET)
        high_water = pages.flush()
        head = PAGE_HEADER.pack(_FREELIST_PAGE, FREELIST_PAGE, 0, 0)
        file.pwrite(head.ljust(page_size, b"\0"), _FREELIST_PAGE * page_size)
        for page_id in (0, 1):
            meta = Meta(
                page_size=page_size,
                root=root,
                freelist=_FREELIST_PAGE,
                high_water=high_water,
                transaction=_FIRST_TRANSACTION - page_id,
            )
            data = encode_meta(meta, page_id).ljust(page_size, b"\0")
            file.pwrite(data, page_id * page_size)
        file.fdatasync()
    finally:
        file.close()


class _Pages:
    """Pages written one behind the other."""

    def __init__(self, file: File, page_size: int) -> None:
        self.page_size = page_size
        self._file = file
        self._next = _FIRST_TREE_PAGE
        self._buffer = bytearray()

    def add(self, kind: int, count: int, content: bytes) -> int:
        """Write a page and return its number; it is as many pages long as it must be."""
        page_id = self._next
        pages = -(-(PAGE_HEADER.size + len(content)) // self.page_size)
        self._buffer += PAGE_HEADER.pack(page_id, kind, count, pages - 1) + content
        self._next += pages
        if len(self._buffer) >= _BUFFERED_BYTES:
            self.flush()
        else:
            self._pad()
        return page_id

    def flush(self) -> int:
        """Hand all to the file; return the number of pages so far."""
        self._pad()
        size = len(self._buffer)
        self._file.pwrite(bytes(self._buffer), self._next * self.page_size - size)
        self._buffer.clear()
        return self._next

    def _pad(self) -> None:
        self._buffer += bytes(-len(self._buffer) % self.page_size)


def _write_tree(pages: _Pages, items: _Items, *, flags: int = 0) -> int:
    """Write a bucket's tree; return its root."""
    level = _write_leaves(pages, items, flags)
    while len(level) > 1:
        level = _write_branches(pages, level)
    return level[0][1]


def _write_leaves(pages: _Pages, items: _Items, flags: int) -> list[tuple[bytes, int]]:
    """Write the leaves; return first key and number of each, at least one."""
    written: list[tuple[bytes, int]] = []
    leaf: list[tuple[bytes, bytes]] = []
    size = PAGE_HEADER.size
    last: bytes | None = None
    for key, value in items:
        if last is not None and key <= last:
            raise LocalProtocolError(f"key {key.hex()} follows key {last.hex()}")
        last = key
        added = LEAF_ELEMENT.size + len(key) + len(value)
        if leaf and size + added > pages.page_size:
            written.append((leaf[0][0], _write_leaf(pages, leaf, flags)))
            leaf, size = [], PAGE_HEADER.size
        leaf.append((key, value))
        size += added
    written.append((leaf[0][0] if leaf else b"", _write_leaf(pages, leaf, flags)))
    return written


def _write_leaf(pages: _Pages, items: list[tuple[bytes, bytes]], flags: int) -> int:
    table, content = [], []
    distance = len(items) * LEAF_ELEMENT.size  # from the element to its key
    for key, value in items:
        table.append(LEAF_ELEMENT.pack(flags, distance, len(key), len(value)))
        content += [key, value]
        distance += len(key) + len(value) - LEAF_ELEMENT.size
    return pages.add(LEAF_PAGE, len(items), b"".join(table + content))


def _write_branches(pages: _Pages, below: list[tuple[bytes, int]]) -> list[tuple[bytes, int]]:
    """Write the level above ``below``; return first key and number of each page."""
    written: list[tuple[bytes, int]] = []
    branch: list[tuple[bytes, int]] = []
    size = PAGE_HEADER.size
    for key, page_id in below:
        added = BRANCH_ELEMENT.size + len(key)
        if len(branch) > 1 and size + added > pages.page_size:
            written.append((branch[0][0], _write_branch(pages, branch)))
            branch, size = [], PAGE_HEADER.size
        branch.append((key, page_id))
        size += added
    written.append((branch[0][0], _write_branch(pages, branch)))
    return written


def _write_branch(pages: _Pages, children: list[tuple[bytes, int]]) -> int:
    table, keys = [], []
    distance = len(children) * BRANCH_ELEMENT.size
    for key, page_id in children:
        table.append(BRANCH_ELEMENT.pack(distance, len(key), page_id))
        keys.append(key)
        distance += len(key) - BRANCH_ELEMENT.size
    return pages.add(BRANCH_PAGE, len(children), b"".join(table + keys))
