"""How a fake file system fails under the real storage code: in the midst of it, full, or broken."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from raft_over_libp2p.testing.fake_filesystem import FakeFileSystem

__all__ = ["after_power_loss", "breaking", "copy_of", "file_sizes", "full_from", "power_failing"]

_LAST_CHANGE: Final = (1, 1, 2, 2, 3, 3, 4, 5, 6, 7, 8, 10, 12, 16)
"""A write of the log is 2 changes, one that begins a segment about 8, a snapshot about 10."""
_MANY: Final = 1000


class _PowerLost(Exception):
    """Ends the storage code where it is; what it does not catch changes nothing more."""


@contextmanager
def power_failing(fs: FakeFileSystem, dice: random.Random) -> Iterator[None]:
    """End what runs inside at one of its next changes, or let it end by itself if it has fewer."""
    left = dice.choice(_LAST_CHANGE)

    def count() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise _PowerLost

    fs.after_change = count
    try:
        yield
    except _PowerLost:
        pass
    finally:
        fs.after_change = None


@contextmanager
def breaking(fs: FakeFileSystem, dice: random.Random) -> Iterator[None]:
    """Have one of the next syncs or writes fail with EIO, if so many are made inside."""
    failing, made = dice.choice(
        (
            (fs.failing_syncs, fs.syncs),
            (fs.failing_syncs, fs.syncs),
            (fs.failing_directory_syncs, fs.directory_syncs),
            (fs.failing_writes, fs.writes),
        )
    )
    failing.add(made + dice.choice((1, 1, 1, 2, 3)))
    try:
        yield
    finally:
        failing.clear()


@contextmanager
def full_from(fs: FakeFileSystem, dice: random.Random, write: int) -> Iterator[None]:
    """Have no space for write number ``write`` of those made inside, and for all after it."""
    fs.partial_bytes = dice.choice((0, 1, 40, 100, _MANY, _MANY))
    fs.full_writes = set(range(fs.writes + write, fs.writes + write + _MANY))
    try:
        yield
    finally:
        fs.full_writes = set()


class _KeepAll:
    """Dice by which a crash keeps each change whole (see ``FakeFileSystem.crash``)."""

    def random(self) -> float:
        return 0.4

    def randrange(self, stop: int, /) -> int:
        del stop
        return 1


def copy_of(fs: FakeFileSystem) -> FakeFileSystem:
    """Return a file system with all that programs see in ``fs``, all of it durable."""
    return fs.crash(_KeepAll())


def after_power_loss(fs: FakeFileSystem, dice: random.Random) -> FakeFileSystem:
    """Return what is found after power was lost."""
    return fs.crash(dice)


def file_sizes(fs: FakeFileSystem, directory: str) -> list[tuple[str, int]]:
    """Return path and size of each file under ``directory``, in order."""
    found: list[tuple[str, int]] = []
    for name in fs.listdir(directory):
        path = f"{directory}/{name}"
        if fs.is_directory(path):
            found += file_sizes(fs, path)
        else:
            file = fs.open_file(path)
            found.append((path, file.size()))
            file.close()
    return found
