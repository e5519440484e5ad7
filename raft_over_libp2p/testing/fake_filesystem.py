"""A file system in memory that remembers what was not synced, so that a test can lose it.

Two views are kept of each file and directory: what programs see, and what is on the disk, with the
changes between them. A crash keeps any subset of those changes, each whole or (a write) torn:

- a write may be lost, kept, cut off at any byte (only its head is there), lack its head (only its
  rest is there), or lack sectors in its middle: they are not written in order;
- a changed size, and a created, renamed or removed name, may be lost or kept; a rename is one step.

A failed ``fdatasync`` behaves as Linux does: programs still see the bytes, the disk never gets
them, and later syncs do not report it.

Faults are set as attributes; see :class:`FakeFileSystem`. No clock and no dice of its own.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

from raft_over_libp2p.errors import DataDirLocked, DiskFull, DurabilityLost, StorageError

__all__ = ["Dice", "FakeFileSystem"]

_ALL_TEAR_POINTS_UP_TO: Final = 24
_SECTOR: Final = 512


class Dice(Protocol):
    """What a crash rolls; ``random.Random`` is one."""

    def random(self) -> float: ...

    def randrange(self, stop: int, /) -> int: ...


@dataclass(frozen=True, slots=True)
class _Write:
    offset: int
    data: bytes

    def apply(self, content: bytearray) -> None:
        end = self.offset + len(self.data)
        if end > len(content):
            content.extend(bytes(end - len(content)))
        content[self.offset : end] = self.data

    def without_rest(self, point: int) -> _Write:
        return _Write(self.offset, self.data[:point])

    def without_head(self, point: int) -> _Write:
        return _Write(self.offset + point, self.data[point:])


@dataclass(frozen=True, slots=True)
class _Resize:
    size: int

    def apply(self, content: bytearray) -> None:
        if self.size < len(content):
            del content[self.size :]
        else:
            content.extend(bytes(self.size - len(content)))


@dataclass(frozen=True, slots=True)
class _Holed:
    """A write of which some whole sectors in the middle were lost."""

    head: _Write
    tail: _Write

    def apply(self, content: bytearray) -> None:
        self.head.apply(content)
        self.tail.apply(content)


_Change: TypeAlias = "_Write | _Resize | _Holed"


@dataclass(slots=True, eq=False)
class _Inode:
    seen: bytearray = field(default_factory=bytearray)
    durable: bytearray = field(default_factory=bytearray)
    pending: list[_Change] = field(default_factory=list)

    def change(self, change: _Change) -> None:
        change.apply(self.seen)
        self.pending.append(change)

    def sync(self) -> None:
        for change in self.pending:
            change.apply(self.durable)
        self.pending.clear()


@dataclass(frozen=True, slots=True)
class _Relink:
    """One step in a directory: ``remove`` goes, then ``name`` (if any) names ``inode``."""

    remove: str | None
    name: str | None
    inode: _Inode | _Directory | None

    def apply(self, names: dict[str, _Inode | _Directory]) -> None:
        if self.remove is not None:
            names.pop(self.remove, None)
        if self.name is not None and self.inode is not None:
            names[self.name] = self.inode


@dataclass(slots=True, eq=False)
class _Directory:
    seen: dict[str, _Inode | _Directory] = field(default_factory=dict)
    durable: dict[str, _Inode | _Directory] = field(default_factory=dict)
    pending: list[_Relink] = field(default_factory=list)
    permissions: int = 0o700

    def change(self, change: _Relink) -> None:
        change.apply(self.seen)
        self.pending.append(change)

    def sync(self) -> None:
        for change in self.pending:
            change.apply(self.durable)
        self.pending.clear()


class FakeFileSystem:
    """The ``FileSystem`` protocol in memory, with crashes and faults.

    ``capacity_bytes`` bounds the sum of all file sizes (DiskFull beyond it). Writes, syncs of
    files and syncs of directories are counted; the one whose number is in ``failing_writes``
    fails with EIO, in ``full_writes`` writes ``partial_bytes`` (never all) and finds no space, in
    ``failing_syncs`` or ``failing_directory_syncs`` with EIO. ``after_change`` is called after
    every change and sync, so that a test can look at the crashes possible at each moment.
    """

    def __init__(self, *, capacity_bytes: int | None = None) -> None:
        self.capacity_bytes = capacity_bytes
        self.writes = 0
        self.syncs = 0
        self.directory_syncs = 0
        self.failing_writes: set[int] = set()
        self.full_writes: set[int] = set()
        self.partial_bytes = 0
        self.failing_syncs: set[int] = set()
        self.failing_directory_syncs: set[int] = set()
        self.after_change: Callable[[], None] | None = None
        self._root = _Directory()
        self._locks: set[tuple[str, bool]] = set()

    # -- the FileSystem protocol

    def open_file(self, path: str, *, create: bool = False) -> _FakeFile:
        directory, name = self._parent(path)
        if create:
            if name in directory.seen:
                raise StorageError(f"cannot open {path}: File exists")
            inode = _Inode()
            self._relink(directory, _Relink(None, name, inode))
            return _FakeFile(self, path, inode)
        found = directory.seen.get(name)
        if not isinstance(found, _Inode):
            raise StorageError(f"cannot open {path}: No such file")
        return _FakeFile(self, path, found)

    def rename(self, old: str, new: str) -> None:
        directory, old_name = self._parent(old)
        new_directory, new_name = self._parent(new)
        if directory is not new_directory or old_name not in directory.seen:
            raise DurabilityLost(f"cannot rename a file to {new}: no {old} in that directory")
        self._relink(directory, _Relink(old_name, new_name, directory.seen[old_name]))

    def unlink(self, path: str) -> None:
        directory, name = self._parent(path)
        if not isinstance(directory.seen.get(name), _Inode):
            raise StorageError(f"cannot remove {path}: No such file")
        self._relink(directory, _Relink(name, None, None))

    def mkdir(self, path: str) -> None:
        directory, name = self._parent(path)
        if name in directory.seen:
            raise StorageError(f"cannot make directory {path}: File exists")
        self._relink(directory, _Relink(None, name, _Directory()))

    def rmdir(self, path: str) -> None:
        directory, name = self._parent(path)
        found = directory.seen.get(name)
        if not isinstance(found, _Directory):
            raise StorageError(f"cannot remove {path}: No such directory")
        if found.seen:
            raise DurabilityLost(f"cannot remove {path}: Directory not empty")
        self._relink(directory, _Relink(name, None, None))

    def listdir(self, path: str) -> list[str]:
        return sorted(self._directory(path).seen)

    def exists(self, path: str) -> bool:
        return self._find(path) is not None

    def is_directory(self, path: str) -> bool:
        return isinstance(self._find(path), _Directory)

    def permissions(self, path: str) -> int:
        found = self._find(path)
        if found is None:
            raise StorageError(f"cannot inspect {path}: No such file")
        return found.permissions if isinstance(found, _Directory) else 0o600

    def sync_directory(self, path: str) -> None:
        self.directory_syncs += 1
        if self.directory_syncs in self.failing_directory_syncs:
            raise DurabilityLost(f"cannot make {path} durable: injected")
        self._directory(path).sync()
        self._changed()

    def lock(self, path: str, *, across_programs: bool = False) -> _FakeLock:
        if not self.exists(path):
            self.open_file(path, create=True)
        key = (path, across_programs)
        if key in self._locks:
            raise DataDirLocked(f"{path} is locked")
        self._locks.add(key)
        return _FakeLock(self._locks, key)

    # -- crashes

    def kill(self) -> None:
        """End the program, not the machine: locks are gone, everything written is still seen."""
        self._locks.clear()

    def crash(self, dice: Dice) -> FakeFileSystem:
        """Return what a machine that lost power now might find; this file system stays as it is."""

        def choose(options: Sequence[_Change | None]) -> _Change | None:
            # Lost and kept come up often; each tear seldom.
            roll = dice.random()
            if roll < 0.35:  # noqa: PLR2004
                return None
            return options[1] if roll < 0.7 else options[dice.randrange(len(options))]  # noqa: PLR2004

        return self._image(
            {
                id(inode): [choose(_outcomes(change)) for change in inode.pending]
                for inode in self._inodes()
            },
            {
                id(directory): [dice.random() < 0.5 for _ in directory.pending]  # noqa: PLR2004
                for directory in self._directories()
            },
        )

    def crash_images(self, limit: int) -> Iterator[FakeFileSystem]:
        """Yield every image a crash may leave now: each subset of changes, each tear.

        Writes of up to 24 bytes are torn at each byte, longer ones at their first and last
        bytes, at sector borders and in the middle.

        Raises:
            ValueError: there are more than ``limit``; nothing is yielded, nothing is left out.

        """
        inodes = [inode for inode in self._inodes() if inode.pending]
        directories = [d for d in self._directories() if d.pending]
        choices: list[Sequence[object]] = [_outcomes(c) for inode in inodes for c in inode.pending]
        choices += [(False, True) for d in directories for _ in d.pending]
        count = 1
        for options in choices:
            count *= len(options)
        if count > limit:
            raise ValueError(f"{count} images, more than {limit}")
        for picked in itertools.product(*choices):
            rest = iter(picked)
            files = {id(i): list(itertools.islice(rest, len(i.pending))) for i in inodes}
            names = {id(d): list(itertools.islice(rest, len(d.pending))) for d in directories}
            yield self._image(files, names)

    def flip_bit(self, path: str, offset: int, bit: int = 0) -> None:
        """Change one bit of a file at rest, as a failing disk does."""
        file = self.open_file(path)
        file.inode.seen[offset] ^= 1 << bit
        if offset < len(file.inode.durable):
            file.inode.durable[offset] ^= 1 << bit

    def has_unsynced(self) -> bool:
        """Tell whether a crash now could lose anything."""
        return any(i.pending for i in self._inodes()) or any(d.pending for d in self._directories())

    # -- inside

    def _image(
        self, files: dict[int, list[object]], names: dict[int, list[object]]
    ) -> FakeFileSystem:
        image = FakeFileSystem(capacity_bytes=self.capacity_bytes)
        copies: dict[int, _Inode] = {}

        def copy_inode(inode: _Inode) -> _Inode:
            # One inode may have two names in an image: a rename that was kept by halves.
            if id(inode) not in copies:
                content = bytearray(inode.durable)
                for change in files.get(id(inode), ()):
                    if isinstance(change, _Write | _Resize | _Holed):
                        change.apply(content)
                copies[id(inode)] = _Inode(seen=content, durable=bytearray(content))
            return copies[id(inode)]

        def copy_directory(directory: _Directory) -> _Directory:
            kept = dict(directory.durable)
            for change, is_kept in zip(
                directory.pending, names.get(id(directory), ()), strict=False
            ):
                if is_kept:
                    change.apply(kept)
            entries: dict[str, _Inode | _Directory] = {
                name: copy_directory(found) if isinstance(found, _Directory) else copy_inode(found)
                for name, found in kept.items()
            }
            return _Directory(entries, dict(entries), permissions=directory.permissions)

        image._root = copy_directory(self._root)
        return image

    def _directories(self) -> Iterator[_Directory]:
        waiting, met = [self._root], {id(self._root)}
        while waiting:
            directory = waiting.pop()
            yield directory
            for found in _reachable(directory):
                if isinstance(found, _Directory) and id(found) not in met:
                    met.add(id(found))
                    waiting.append(found)

    def _inodes(self) -> Iterator[_Inode]:
        met: set[int] = set()
        for directory in self._directories():
            for found in _reachable(directory):
                if isinstance(found, _Inode) and id(found) not in met:
                    met.add(id(found))
                    yield found

    def _find(self, path: str) -> _Inode | _Directory | None:
        found: _Inode | _Directory | None = self._root
        for name in path.strip("/").split("/"):
            if not isinstance(found, _Directory):
                return None
            found = found.seen.get(name) if name else found
        return found

    def _directory(self, path: str) -> _Directory:
        found = self._find(path)
        if not isinstance(found, _Directory):
            raise StorageError(f"cannot open {path}: No such directory")
        return found

    def _parent(self, path: str) -> tuple[_Directory, str]:
        parent, _, name = path.rstrip("/").rpartition("/")
        return self._directory(parent), name

    def _charge(self, inode: _Inode, size: int) -> None:
        if self.capacity_bytes is None or size <= len(inode.seen):
            return
        used = sum(len(each.seen) for each in self._inodes())
        if used - len(inode.seen) + size > self.capacity_bytes:
            raise DiskFull(f"no space: {used} of {self.capacity_bytes} bytes are used")

    def _write(self, inode: _Inode, data: bytes, offset: int) -> None:
        self.writes += 1
        if self.writes in self.failing_writes:
            raise DurabilityLost("cannot write: injected")
        if self.writes in self.full_writes:
            part = data[: min(self.partial_bytes, len(data) - 1)]
            self._change(inode, _Write(offset, bytes(part)))
            raise DiskFull("no space to write: injected")
        self._charge(inode, offset + len(data))
        self._change(inode, _Write(offset, bytes(data)))

    def _sync(self, inode: _Inode) -> None:
        self.syncs += 1
        if self.syncs in self.failing_syncs:
            inode.pending.clear()
            raise DurabilityLost("cannot make a file durable: injected")
        inode.sync()
        self._changed()

    def _change(self, inode: _Inode, change: _Change) -> None:
        inode.change(change)
        self._changed()

    def _relink(self, directory: _Directory, change: _Relink) -> None:
        directory.change(change)
        self._changed()

    def _changed(self) -> None:
        if self.after_change is not None:
            self.after_change()


def _reachable(directory: _Directory) -> Iterator[_Inode | _Directory]:
    yield from directory.seen.values()
    yield from directory.durable.values()
    for change in directory.pending:
        if change.inode is not None:
            yield change.inode


def _outcomes(change: _Change) -> Sequence[_Change | None]:
    """Return what a crash may make of ``change``: nothing, all of it, and its torn forms."""
    if not isinstance(change, _Write):
        return (None, change)
    size = len(change.data)
    if size <= _ALL_TEAR_POINTS_UP_TO:
        points: set[int] = set(range(1, size))
    else:
        points = {1, 2, 3, 4, 8, size // 2, size - 8, size - 4, size - 2, size - 1}
        border = _SECTOR - change.offset % _SECTOR
        points.update(p for p in range(border, size, max(_SECTOR, size // 4)) if 0 < p < size)
    heads = [change.without_rest(point) for point in sorted(points)]
    rests = [change.without_head(point) for point in sorted(points)]
    borders = range(_SECTOR - change.offset % _SECTOR, size, _SECTOR)
    holes = {(borders[0], borders[1]), (borders[0], borders[-1])} if len(borders) > 1 else set()
    holed = [
        _Holed(change.without_rest(start), change.without_head(end)) for start, end in sorted(holes)
    ]
    return (None, change, *heads, *rests, *holed)


class _FakeLock:
    def __init__(self, locks: set[tuple[str, bool]], key: tuple[str, bool]) -> None:
        self._locks = locks
        self._key = key

    def close(self) -> None:
        self._locks.discard(self._key)


class _FakeFile:
    def __init__(self, files: FakeFileSystem, path: str, inode: _Inode) -> None:
        self.path = path
        self.inode = inode
        self._files = files
        self._is_closed = False

    def _check_open(self) -> None:
        if self._is_closed:
            raise StorageError(f"{self.path} is closed")

    def pread(self, size: int, offset: int) -> bytes:
        self._check_open()
        return bytes(memoryview(self.inode.seen)[offset : offset + size])

    def pwrite(self, data: bytes, offset: int) -> None:
        self._check_open()
        self._files._write(self.inode, data, offset)  # noqa: SLF001 - halves of one fake

    def fdatasync(self) -> None:
        self._check_open()
        self._files._sync(self.inode)  # noqa: SLF001

    def truncate(self, size: int) -> None:
        self._check_open()
        self._files._change(self.inode, _Resize(size))  # noqa: SLF001

    def preallocate(self, size: int) -> None:
        self._check_open()
        if size > len(self.inode.seen):
            self._files._charge(self.inode, size)  # noqa: SLF001
            self._files._change(self.inode, _Resize(size))  # noqa: SLF001

    def size(self) -> int:
        self._check_open()
        return len(self.inode.seen)

    def close(self) -> None:
        self._is_closed = True
