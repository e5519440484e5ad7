"""Files of a data folder that a disk damaged: refused, or read with nothing lost unseen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from raft_over_libp2p.core.ready import HardState
from raft_over_libp2p.errors import (
    MalformedMessage,
    StorageError,
    UnsupportedVersion,
)
from raft_over_libp2p.storage.data_folder import DataFolder
from raft_over_libp2p.storage.recovery import load_initial_state
from raft_over_libp2p.storage.snapshot_meta import encode_meta, parse_meta
from raft_over_libp2p.testing.fake_filesystem import FakeFileSystem
from raft_over_libp2p.types import LogEntry, LogType, ServerID, Term
from raft_over_libp2p.wire.configuration import GoConfigurationCodec
from tests.fuzz.target import Target
from tests.storage.entries import entries, entry
from tests.storage.snapshots import GO_SNAPSHOTS, MEMBERS, meta

__all__ = ["TARGETS"]

_ME = ServerID("12D3KooWPeer")
_SEGMENT_BYTES = 1024
_ALL = 1 << 30
_CODEC = GoConfigurationCodec()
_STATE = b"the state as of entry 6"
_VOTE = HardState(Term(4), ServerID("12D3KooWOther"))
_SNAPSHOT_INDEX = 6
_LAST = 30
_DURABLE_AT_VOTE = 20
"""The vote was saved when entries up to here were durable: none of them may be lost unseen."""


def _open(fs: FakeFileSystem) -> DataFolder:
    return DataFolder.open("/raft", _ME, fs=fs, segment_bytes=_SEGMENT_BYTES, entropy=bytes)


@dataclass(frozen=True)
class _Healthy:
    """A folder's files and the entries they hold."""

    fs: FakeFileSystem
    files: tuple[str, ...]
    log: tuple[LogEntry, ...]


@cache
def _healthy() -> _Healthy:
    """A folder of several segments, a snapshot, and a log that goes on behind the last vote."""
    fs = FakeFileSystem()
    log = [entry(1, 1, _CODEC.encode(MEMBERS), LogType.CONFIGURATION)]
    log += entries(2, 12, 2, size=40) + entries(13, _LAST, 4, size=60)
    with _open(fs) as folder:
        fs.sync_directory("/")
        folder.stable.save(HardState(Term(4)))
        for each in log[:_DURABLE_AT_VOTE]:
            folder.log.write(None, [each])
        sink = folder.snapshots.create(meta(_SNAPSHOT_INDEX, 2, MEMBERS), 1000)
        sink.write(_STATE)
        sink.finish()
        folder.stable.save(_VOTE)
        for each in log[_DURABLE_AT_VOTE:]:
            folder.log.write(None, [each])
    return _Healthy(fs, tuple(_files_below(fs, "/raft")), tuple(log))


def _files_below(fs: FakeFileSystem, path: str) -> Iterator[str]:
    for name in sorted(fs.listdir(path)):
        if fs.is_directory(f"{path}/{name}"):
            yield from _files_below(fs, f"{path}/{name}")
        elif "lock" not in name.lower():
            yield f"{path}/{name}"


def _damaged(data: bytes) -> tuple[FakeFileSystem, set[str]]:
    """Return a copy of the folder with damage as ``data`` says, six bytes for each."""
    healthy = _healthy()
    fs = next(healthy.fs.crash_images(1))
    touched = set()
    for start in range(0, min(len(data), 24), 6):
        which, kind, high, low, size, value = data[start : start + 6].ljust(6, b"\0")
        path = healthy.files[which % len(healthy.files)]
        file = fs.open_file(path)
        length = file.size()
        at = (high << 8 | low) % max(length, 1)
        old = file.pread(length, 0)
        match kind % 6:
            case 0:
                file.pwrite(bytes([old[at] ^ (1 << value % 8)]) if length else b"", at)
            case 1:
                file.pwrite(bytes(min(size, length - at)), at)
            case 2:
                file.pwrite(bytes([value]) * min(size, length - at), at)
            case 3:
                file.truncate(at)
            case 4:
                file.truncate(length + size)
            case 5:
                fs.unlink(path)
        if kind % 6 == 5 or file.pread(_ALL, 0) != old:
            touched.add(path)
        file.close()
        if kind % 6 == 5:
            break
    return fs, touched


def damaged_folder(data: bytes) -> None:
    """Damage is refused; or all that was durable when the vote was saved is there, unchanged."""
    healthy = _healthy()
    fs, touched = _damaged(data)
    with _open(fs) as folder:
        initial = load_initial_state(folder, _CODEC)
        log = folder.log
        first, last = log.first_index(), log.last_index()
        found = tuple(log.entries(first, last, _ALL))
        assert found == healthy.log[first - 1 : last]
        assert last >= _DURABLE_AT_VOTE
        assert last == _LAST or any(path.endswith(".segment") for path in touched)
        assert initial.hard_state == _VOTE
        newest = folder.snapshots.newest_restorable()
        assert first == 1 or newest is not None
        if newest is None:
            assert folder.snapshots.skipped or any("/snapshots/" in path for path in touched)
            return
        assert newest.meta == meta(_SNAPSHOT_INDEX, 2, MEMBERS)
        reader = folder.snapshots.open(newest)
        assert reader.read(_ALL) == _STATE
        reader.close()


def _damages() -> list[bytes]:
    return [
        bytes([which, kind, place, 100, 9, 255])
        for which in range(len(_healthy().files))
        for kind in range(6)
        for place in (0, 1)
    ]


def snapshot_meta(data: bytes) -> None:
    info = parse_meta(data)
    again = parse_meta(encode_meta(info))
    assert info == again
    assert encode_meta(info) == encode_meta(again)


def _metas() -> list[bytes]:
    return [(path / "meta.json").read_bytes() for path in GO_SNAPSHOTS]


TARGETS = (
    Target("storage-folder", damaged_folder, _damages, (StorageError,)),
    Target("storage-meta", snapshot_meta, _metas, (MalformedMessage, UnsupportedVersion)),
)
