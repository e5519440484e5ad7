"""Reads a BoltDB file without Go and without writing to it; no page is trusted.

Of a file's pages only the two meta pages have checksums. So every other page is checked
against what a healthy file always has: its own number and a kind in its header, places within
itself, and keys that ascend strictly and stay between those of the branch above. Hence, with no
bookkeeping:

- a page that is reached twice would repeat its keys, and is refused; so a damaged file costs no
  more reading than a healthy one of its size;
- a circle of branch pages ends at the deepest level a tree may have.

At most one page of each level is in memory. Free pages and the freelist are never looked at.
Whoever reads makes sure that nobody writes meanwhile (Go holds a flock on the file).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from types import TracebackType
from typing import Final, NoReturn, Self

from raft_over_libp2p import limits
from raft_over_libp2p.errors import CorruptLog, StorageError
from raft_over_libp2p.storage.bolt_format import (
    BRANCH_ELEMENT,
    BRANCH_PAGE,
    BUCKET,
    LEAF_ELEMENT,
    LEAF_PAGE,
    MAX_PAGE_SIZE,
    META_BYTES,
    MIN_PAGE_SIZE,
    PAGE_HEADER,
    Meta,
    parse_meta,
)
from raft_over_libp2p.storage.filesystem import File, FileSystem

__all__ = ["MAX_DEPTH", "MAX_PAGE_BYTES", "BoltBucket", "BoltFile"]

MAX_DEPTH: Final = 16
"""Levels of one tree: with two keys a page, the fewest there are, 65 536 pages; real ones have 4."""
MAX_PAGE_BYTES: Final = 16 * limits.MIB
"""One page with its overflow. BoltDB splits pages of more than four keys, so this holds
four entries of the largest size that is taken (1 MiB of data, 1 MiB of extensions)."""
_FIRST_TREE_PAGE: Final = 2
_IS_BUCKET: Final = 1


@dataclass(frozen=True, slots=True)
class _Page:
    """A checked page. ``keys`` ascend strictly; of a leaf, ``values`` and ``flags`` go with them."""

    page_id: int
    place: int
    keys: Sequence[bytes]
    children: Sequence[int] = ()
    values: Sequence[bytes] = ()
    flags: Sequence[int] = ()
    is_leaf: bool = True


@dataclass(slots=True)
class _Level:
    """A branch on the way down, the child that is next, and what all keys in it are below."""

    branch: _Page
    position: int
    high: bytes | None


class BoltFile:
    """An open file; a context manager. Made by :meth:`open`."""

    def __init__(self, file: File, meta: Meta, damaged_meta: str | None) -> None:
        """Take over what :meth:`open` found."""
        self.path = file.path
        self.meta = meta
        self.damaged_meta = damaged_meta
        """Why one of the two meta pages is no good; the other one's transaction is then read."""
        self._file = file

    @classmethod
    def open(cls, fs: FileSystem, path: str) -> Self:
        """Open the file and read its newest whole transaction's meta page.

        Raises:
            CorruptLog: neither meta page is whole, or the file is shorter than they say.
            StorageError: it cannot be opened, or is of a version this program does not know.

        """
        file = fs.open_file(path)
        try:
            meta, damaged = _newest_meta(file)
            _check_length(file, meta)
        except BaseException:
            file.close()
            raise
        return cls(file, meta, damaged)

    def bucket(self, name: bytes) -> BoltBucket | None:
        """Return the bucket of that name at the top; None when there is none."""
        return BoltBucket(self, self.meta.root, None).bucket(name)

    def close(self) -> None:
        """Release the file; idempotent."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _page(self, page_id: int) -> _Page:
        size = self.meta.page_size
        if not _FIRST_TREE_PAGE <= page_id < self.meta.high_water:
            raise CorruptLog(
                self.path, 0, f"it refers to page {page_id}; it has {self.meta.high_water}"
            )
        place = page_id * size
        data = self._file.pread(size, place)
        if len(data) < size:
            self._refuse(page_id, place, "the file ends within it")
        stored_id, _, _, overflow = PAGE_HEADER.unpack_from(data)
        if stored_id != page_id:
            self._refuse(page_id, place, f"its header says it is page {stored_id}")
        if overflow:
            total = (overflow + 1) * size
            if page_id + overflow >= self.meta.high_water:
                self._refuse(page_id, place, f"its {overflow + 1} pages go beyond the last one")
            if total > MAX_PAGE_BYTES:
                self._refuse(page_id, place, f"it has {total} bytes, more than {MAX_PAGE_BYTES}")
            data += self._file.pread(total - size, place + size)
        return self._parse(page_id, place, data)

    def _parse(self, page_id: int, place: int, data: bytes) -> _Page:
        """Return the page in ``data``: a page of its own, or that of an inline bucket."""
        if len(data) < PAGE_HEADER.size:
            self._refuse(page_id, place, f"it has only {len(data)} bytes")
        _, kind, count, _ = PAGE_HEADER.unpack_from(data)
        if kind == BRANCH_PAGE:
            page = self._parse_branch(page_id, place, data, count)
        elif kind == LEAF_PAGE:
            page = self._parse_leaf(page_id, place, data, count)
        else:
            self._refuse(page_id, place, f"its kind is {kind:#x}, neither branch nor leaf")
        keys = page.keys
        if any(after <= before for before, after in pairwise(keys)):
            self._refuse(page_id, place, "its keys do not ascend")
        return page

    def _parse_branch(self, page_id: int, place: int, data: bytes, count: int) -> _Page:
        first_content = PAGE_HEADER.size + count * BRANCH_ELEMENT.size
        if not count or first_content > len(data):
            self._refuse(page_id, place, f"a branch with {count} children")
        keys, children = [], []
        for at in range(PAGE_HEADER.size, first_content, BRANCH_ELEMENT.size):
            position, key_size, child = BRANCH_ELEMENT.unpack_from(data, at)
            start = at + position
            if start < first_content or start + key_size > len(data):
                self._refuse(page_id, place, "a key lies outside it")
            keys.append(data[start : start + key_size])
            children.append(child)
        return _Page(page_id, place, keys, children, is_leaf=False)

    def _parse_leaf(self, page_id: int, place: int, data: bytes, count: int) -> _Page:
        first_content = PAGE_HEADER.size + count * LEAF_ELEMENT.size
        if first_content > len(data):
            self._refuse(page_id, place, f"a leaf with {count} keys")
        keys, values, kinds = [], [], []
        for at in range(PAGE_HEADER.size, first_content, LEAF_ELEMENT.size):
            flags, position, key_size, value_size = LEAF_ELEMENT.unpack_from(data, at)
            start = at + position
            middle = start + key_size
            end = middle + value_size
            if start < first_content or end > len(data):
                self._refuse(page_id, place, "a key or value lies outside it")
            if flags & ~_IS_BUCKET:
                self._refuse(page_id, place, f"a key has the unknown flags {flags:#x}")
            keys.append(data[start:middle])
            values.append(data[middle:end])
            kinds.append(flags)
        return _Page(page_id, place, keys, (), values, kinds)

    def _refuse(self, page_id: int, place: int, why: str) -> NoReturn:
        raise CorruptLog(self.path, place, f"page {page_id}: {why}")


class BoltBucket:
    """One bucket of an open file."""

    def __init__(self, file: BoltFile, root: int, inline: _Page | None) -> None:
        """Take over what :meth:`BoltFile.bucket` found."""
        self._file = file
        self._root = root
        self._inline = inline

    def get(self, key: bytes) -> bytes | None:
        """Return the value of ``key``, None when there is none.

        Raises:
            CorruptLog: a page on the way to it is damaged, or it is a bucket.

        """
        for found, value in self.items(key):
            return value if found == key else None
        return None

    def items(self, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield keys and values in the order of the keys, from ``start`` on.

        Raises:
            CorruptLog: a page is damaged, or a key has a bucket for its value; discard what
                was yielded before.

        """
        for page in self._leaves(start):
            for position in range(bisect_left(page.keys, start), len(page.keys)):
                if page.flags[position]:
                    self._refuse(page, f"key {page.keys[position].hex()} is a bucket")
                yield page.keys[position], page.values[position]

    def last(self) -> tuple[bytes, bytes] | None:
        """Return the greatest key and its value; None in an empty bucket.

        Raises:
            CorruptLog: a page on the way to it is damaged, or it is a bucket.

        """
        page, low = self._top(), b""
        for _ in range(MAX_DEPTH):
            if page.is_leaf:
                break
            low = max(low, page.keys[-1])
            page = self._child(page, len(page.keys) - 1, low, None)
        else:
            self._refuse(page, f"the tree has more than {MAX_DEPTH} levels")
        if not page.keys:
            return None
        if page.flags[-1]:
            self._refuse(page, f"key {page.keys[-1].hex()} is a bucket")
        return page.keys[-1], page.values[-1]

    def bucket(self, name: bytes) -> BoltBucket | None:
        """Return the bucket of that name in this one; None when there is none.

        Raises:
            CorruptLog: a page on the way to it is damaged, or it is no bucket.

        """
        for page in self._leaves(name):
            position = bisect_left(page.keys, name)
            if position == len(page.keys):
                continue
            if page.keys[position] != name:
                return None
            if not page.flags[position]:
                self._refuse(page, f"key {name!r} is not a bucket")
            return self._bucket_in(page, page.values[position])
        return None

    # -- inside

    def _bucket_in(self, page: _Page, value: bytes) -> BoltBucket:
        if len(value) < BUCKET.size:
            self._refuse(page, f"a bucket's header has {len(value)} bytes")
        root, _ = BUCKET.unpack_from(value)
        inline = None
        if root == 0:
            inline = self._file._parse(page.page_id, page.place, value[BUCKET.size :])  # noqa: SLF001 - one reader
            if not inline.is_leaf:
                self._refuse(page, "an inline bucket is not a leaf")
        return BoltBucket(self._file, root, inline)

    def _leaves(self, start: bytes) -> Iterator[_Page]:
        """Yield the leaf pages in order, from the one on that may hold ``start``."""
        top = self._top()
        if top.is_leaf:
            yield top
            return
        levels = [_Level(top, _child_at(top.keys, start), None)]
        while levels:
            level = levels[-1]
            branch, position = level.branch, level.position
            if position == len(branch.keys):
                levels.pop()
                continue
            level.position += 1
            is_last = level.position == len(branch.keys)
            high = level.high if is_last else branch.keys[level.position]
            page = self._child(branch, position, branch.keys[position], high)
            if page.is_leaf:
                yield page
            elif len(levels) == MAX_DEPTH:
                self._refuse(page, f"the tree has more than {MAX_DEPTH} levels")
            else:
                levels.append(_Level(page, _child_at(page.keys, start), high))

    def _top(self) -> _Page:
        return self._inline or self._file._page(self._root)  # noqa: SLF001 - one reader

    def _child(self, branch: _Page, position: int, low: bytes, high: bytes | None) -> _Page:
        page = self._file._page(branch.children[position])  # noqa: SLF001 - one reader
        if not page.keys:
            self._refuse(page, f"it is empty, and page {branch.page_id} refers to it")
        if page.keys[0] < low or (high is not None and page.keys[-1] >= high):
            self._refuse(page, f"its keys are not those that page {branch.page_id} says")
        return page

    def _refuse(self, page: _Page, why: str) -> NoReturn:
        self._file._refuse(page.page_id, page.place, why)  # noqa: SLF001 - one reader


def _child_at(keys: Sequence[bytes], key: bytes) -> int:
    """Return which child of a branch may hold ``key``."""
    return max(bisect_right(keys, key) - 1, 0)


def _check_length(file: File, meta: Meta) -> None:
    size = file.size()
    if meta.high_water * meta.page_size > size:
        found = size // meta.page_size
        why = f"the file ends here, after {found} of its {meta.high_water} pages"
        raise CorruptLog(file.path, size, why)


def _newest_meta(file: File) -> tuple[Meta, str | None]:
    """Return the valid meta of the latest transaction, and what is wrong with the other one."""
    first = parse_meta(file.pread(META_BYTES, 0))
    second = _second_meta(file, first)
    if isinstance(first, Meta) and isinstance(second, Meta):
        return max(first, second, key=lambda meta: meta.transaction), None
    if isinstance(first, Meta):
        return first, f"page 1: {second}"
    if isinstance(second, Meta):
        return second, f"page 0: {first}"
    if "format version" in f"{first}{second}":
        raise StorageError(
            f"{file.path}: page 0: {first}; page 1: {second}. Nothing was changed. "
            "Use a newer version of this program."
        )
    raise CorruptLog(file.path, 0, f"no meta page is whole: page 0: {first}; page 1: {second}")


def _second_meta(file: File, first: Meta | str) -> Meta | str:
    """Look for page 1 where page 0 says it is, or, without it, wherever it may be."""
    if isinstance(first, Meta):
        second = parse_meta(file.pread(META_BYTES, first.page_size))
        if isinstance(second, Meta) and second.page_size != first.page_size:
            return f"it says pages have {second.page_size} bytes, and page 0 {first.page_size}"
        return second
    found: Meta | str = "it is not where any page size would put it"
    size = MIN_PAGE_SIZE
    while size <= MAX_PAGE_SIZE:
        meta = parse_meta(file.pread(META_BYTES, size))
        if isinstance(meta, Meta):
            if meta.page_size == size:
                return meta
        elif "magic" not in meta and "bytes there" not in meta:
            found = meta
        size *= 2
    return found
