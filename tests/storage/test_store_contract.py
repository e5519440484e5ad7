"""Both forms of each store do what the contract says, and a store that does not is found out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import pytest

from raft_over_libp2p.core.interfaces import SnapshotMeta
from raft_over_libp2p.core.ready import HardState
from raft_over_libp2p.errors import LocalProtocolError, StorageError
from raft_over_libp2p.storage.interface import LogStore, SnapshotInfo, SnapshotStore, StableStore
from raft_over_libp2p.storage.log_store import SegmentedLog
from raft_over_libp2p.storage.memory import (
    MemoryLog,
    MemorySnapshotReader,
    MemorySnapshots,
    MemorySnapshotSink,
    MemoryStable,
)
from raft_over_libp2p.storage.snapshot_store import FileSnapshotStore
from raft_over_libp2p.storage.vote_store import VoteStore
from raft_over_libp2p.testing.contract import ContractBroken
from raft_over_libp2p.testing.store_contract import (
    LOG_STORE_CHECKS,
    SNAPSHOT_STORE_CHECKS,
    STABLE_STORE_CHECKS,
    check_log_store,
    check_snapshot_store,
    check_stable_store,
)
from raft_over_libp2p.types import Index, LogEntry, Term
from tests.storage.conftest import Disk
from tests.storage.snapshots import meta

FOLDER_ID = b"folder id 16 byt"


class Folders:
    """Opens stores in new directories of one disk."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.count = 0

    def new(self) -> str:
        self.count += 1
        path = f"{self.disk.root}/{self.count}"
        self.disk.fs.mkdir(path)
        return path

    def log(self, path: str | None = None) -> SegmentedLog:
        return SegmentedLog(self.disk.fs, path or self.new(), FOLDER_ID, segment_bytes=256)

    def log_again(self, log: SegmentedLog) -> SegmentedLog:
        log.close()
        return self.log(log.end[0].rpartition("/")[0])

    def stable(self) -> VoteStore:
        path = self.new()
        VoteStore.create(self.disk.fs, path)
        return VoteStore(self.disk.fs, path, lambda: 0)

    def stable_again(self, stable: VoteStore) -> VoteStore:
        stable.close()
        return VoteStore(self.disk.fs, stable.path.rpartition("/")[0], lambda: 0)

    def snapshots(self) -> FileSnapshotStore:
        return FileSnapshotStore(self.disk.fs, self.new(), retain=2)

    def snapshots_again(self, snapshots: FileSnapshotStore) -> FileSnapshotStore:
        return FileSnapshotStore(self.disk.fs, snapshots.path.rpartition("/")[0], retain=2)


class TestFiles:
    def test_the_log(self, disk: Disk) -> None:
        folders = Folders(disk)
        check_log_store(folders.log, folders.log_again)

    def test_term_and_vote(self, disk: Disk) -> None:
        folders = Folders(disk)
        check_stable_store(folders.stable, folders.stable_again)

    def test_snapshots(self, disk: Disk) -> None:
        folders = Folders(disk)
        check_snapshot_store(folders.snapshots, folders.snapshots_again)


class TestMemory:
    def test_the_log(self) -> None:
        check_log_store(MemoryLog)

    def test_term_and_vote(self) -> None:
        check_stable_store(MemoryStable)

    def test_snapshots(self) -> None:
        check_snapshot_store(MemorySnapshots)

    def test_the_oldest_snapshots_beyond_the_limit_go(self) -> None:
        store = MemorySnapshots(retain=1)
        for index in (7, 8):
            store.create(meta(index), 1000).finish()
        assert [8] == [info.meta.index for info in store.list()]

    def test_a_snapshot_over_the_limit_is_not_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("raft_over_libp2p.limits.MAX_SNAPSHOT_BYTES", 3)
        sink = MemorySnapshots().create(meta(7), 1000)
        with pytest.raises(StorageError, match="over 3 bytes"):
            sink.write(b"four")
        with pytest.raises(LocalProtocolError, match="finished or gone"):
            sink.finish()

    def test_removing_a_snapshot_that_is_gone_is_told(self) -> None:
        store = MemorySnapshots()
        info = store.create(meta(7), 1000).finish()
        store.remove(info)
        with pytest.raises(StorageError, match="1-7-1000"):
            store.remove(info)

    def test_at_least_one_snapshot_is_retained(self) -> None:
        with pytest.raises(LocalProtocolError, match="keep at least one"):
            MemorySnapshots(retain=0)


# -- stores with one fault each


class _BornWithAnEntry(MemoryLog):
    def first_index(self) -> Index:
        return Index(2) if not self._entries and self._first == 1 else super().first_index()


class _LosesExtensions(MemoryLog):
    def entries(self, low: Index, high: Index, max_bytes: int) -> Sequence[LogEntry]:
        return [
            LogEntry(e.index, e.term, e.type, e.data, encoded=e.encoded)
            for e in super().entries(low, high, max_bytes)
        ]


class _GivesNothingForNoBytes(MemoryLog):
    def entries(self, low: Index, high: Index, max_bytes: int) -> Sequence[LogEntry]:
        found = super().entries(low, high, max_bytes)
        return found if sum(len(e.encoded or b"") for e in found) <= max_bytes else found[:-1]


class _OverwritesInPlace(MemoryLog):
    def write(self, truncate_from: Index | None, entries: Sequence[LogEntry]) -> None:
        rest = []
        if truncate_from is not None and entries:
            rest = self._entries[entries[-1].index - self._first + 1 :]
        super().write(truncate_from, [*entries, *rest])


class _WritesBeforeItLooks(MemoryLog):
    def write(self, truncate_from: Index | None, entries: Sequence[LogEntry]) -> None:
        try:
            super().write(truncate_from, entries)
        except LocalProtocolError:
            self._entries.extend(entries)
            raise


class _ReadsWhatItLacks(MemoryLog):
    def term(self, index: Index) -> Term:
        return super().term(index) if self.first_index() <= index <= self.last_index() else Term(0)


class _RemembersConfigurations(MemoryLog):
    def __init__(self) -> None:
        super().__init__()
        self.listed: list[LogEntry] = []

    def configuration_entries(self) -> tuple[LogEntry, ...]:
        self.listed = self.listed or list(super().configuration_entries())
        return tuple(self.listed)


class _RemovesOneTooMany(MemoryLog):
    def remove_prefix(self, upto: Index) -> Index:
        return super().remove_prefix(Index(upto + 1))


class _ResetsToTheEnd(MemoryLog):
    def reset(self, next_index: Index) -> None:
        super().reset(Index(max(next_index, self.last_index() + 1)))


class _ClosesOnce(MemoryLog):
    def __init__(self) -> None:
        super().__init__()
        self.is_closed = False

    def close(self) -> None:
        if self.is_closed:
            raise ContractBroken("closed twice")
        self.is_closed = True


LOG_FAULTS: dict[str, Callable[[], LogStore]] = {
    "begins empty": _BornWithAnEntry,
    "reads what was written": _LosesExtensions,
    "cuts at max_bytes": _GivesNothingForNoBytes,
    "replaces a suffix": _OverwritesInPlace,
    "refuses holes": _WritesBeforeItLooks,
    "refuses to read what it lacks": _ReadsWhatItLacks,
    "lists configurations": _RemembersConfigurations,
    "removes a prefix": _RemovesOneTooMany,
    "is reset": _ResetsToTheEnd,
    "is closed twice": _ClosesOnce,
}


class _BeginsInTermOne(MemoryStable):
    def load(self) -> HardState:
        state = super().load()
        return state if state.term else HardState(Term(1))


class _KeepsTheFirstVote(MemoryStable):
    def save(self, state: HardState) -> None:
        known = self.load()
        super().save(replace(state, vote=known.vote) if known.term == state.term else state)


class _GoesBack(MemoryStable):
    def save(self, state: HardState) -> None:
        self._state = state


class _ClosesItsFileOnce(MemoryStable):
    def __init__(self) -> None:
        super().__init__()
        self.files = ["vote"]

    def close(self) -> None:
        if not self.files:
            raise ContractBroken("closed twice")
        self.files.pop()


STABLE_FAULTS: dict[str, Callable[[], StableStore]] = {
    "begins at zero": _BeginsInTermOne,
    "keeps the last": _KeepsTheFirstVote,
    "never goes back": _GoesBack,
    "is closed twice": _ClosesItsFileOnce,
}


class _SkipsOne(MemorySnapshots):
    def newest_restorable(self) -> SnapshotInfo | None:
        return _NOBODYS


class _WrongChecksum(MemorySnapshots):
    def list(self) -> tuple[SnapshotInfo, ...]:
        return tuple(replace(info, checksum=bytes(8)) for info in super().list())


class _ShowsUnfinished(MemorySnapshots):
    def list(self) -> tuple[SnapshotInfo, ...]:
        unfinished = self._names - {info.snapshot_id for info in super().list()}
        return (*super().list(), *(replace(_NOBODYS, snapshot_id=name) for name in unfinished))


class _ReadsBackALiveFile(MemorySnapshots):
    def create(self, meta: SnapshotMeta, unix_ms: int) -> MemorySnapshotSink:
        return _LiveSink(super().create(meta, unix_ms))


class _LiveSink(MemorySnapshotSink):
    def __init__(self, sink: MemorySnapshotSink) -> None:
        super().__init__(sink._id, sink._meta, sink._finished, sink._cancelled)

    def read_back(self) -> MemorySnapshotReader:
        return _LiveReader(self)


class _LiveReader(MemorySnapshotReader):
    def __init__(self, sink: MemorySnapshotSink) -> None:
        super().__init__(sink._info(), b"")
        self._sink = sink

    def read(self, max_bytes: int) -> bytes:
        return b"" if self._sink._is_over else bytes(self._sink._data[:max_bytes])


class _TakesANameTwice(MemorySnapshots):
    def create(self, meta: SnapshotMeta, unix_ms: int) -> MemorySnapshotSink:
        self._names.clear()
        return super().create(meta, unix_ms)


class _ListsByIndex(MemorySnapshots):
    def list(self) -> tuple[SnapshotInfo, ...]:
        return tuple(sorted(super().list(), key=lambda info: -info.meta.index))


class _KeepsRemoved(MemorySnapshots):
    def remove(self, info: SnapshotInfo) -> None:
        """Forget to."""


_NOBODYS = SnapshotInfo(snapshot_id="1-1-1", meta=meta(1), size_bytes=0, checksum=bytes(8))

SNAPSHOT_FAULTS: dict[str, Callable[[], SnapshotStore]] = {
    "begin empty": _SkipsOne,
    "are read as written": _WrongChecksum,
    "unfinished are not seen": _ShowsUnfinished,
    "are read back": _ReadsBackALiveFile,
    "have names of their own": _TakesANameTwice,
    "are listed newest first": _ListsByIndex,
    "removed are gone": _KeepsRemoved,
}


class TestEachCheckCanFail:
    @pytest.mark.parametrize("name", LOG_STORE_CHECKS)
    def test_of_the_log(self, name: str) -> None:
        log = LOG_FAULTS[name]()
        with pytest.raises(ContractBroken):
            LOG_STORE_CHECKS[name](log, lambda: log)

    @pytest.mark.parametrize("name", STABLE_STORE_CHECKS)
    def test_of_term_and_vote(self, name: str) -> None:
        stable = STABLE_FAULTS[name]()
        with pytest.raises(ContractBroken):
            STABLE_STORE_CHECKS[name](stable, lambda: stable)

    @pytest.mark.parametrize("name", SNAPSHOT_STORE_CHECKS)
    def test_of_snapshots(self, name: str) -> None:
        snapshots = SNAPSHOT_FAULTS[name]()
        with pytest.raises(ContractBroken):
            SNAPSHOT_STORE_CHECKS[name](snapshots, lambda: snapshots)

    @pytest.mark.parametrize("form", ["log", "stable", "snapshots"])
    def test_what_is_lost_over_a_restart_is_noticed(self, form: str) -> None:
        forgets = {
            "log": partial(check_log_store, MemoryLog, lambda _log: MemoryLog()),
            "stable": partial(check_stable_store, MemoryStable, lambda _stable: MemoryStable()),
            "snapshots": partial(
                check_snapshot_store, MemorySnapshots, lambda _snapshots: MemorySnapshots()
            ),
        }
        with pytest.raises(ContractBroken, match=r"opened again|what is listed"):
            forgets[form]()
