"""Every image a crash may leave while snapshots are taken, installed, reaped, logs compacted, reset.

And the check itself is checked: each seeded fault must be caught.
"""

from __future__ import annotations

from typing import Any

import pytest

from raft_over_libp2p.storage import recovery, snapshot_sink, snapshot_store
from raft_over_libp2p.storage.log_store import SegmentedLog
from raft_over_libp2p.storage.snapshot_sink import FileSnapshotSink
from raft_over_libp2p.storage.snapshot_store import FileSnapshotStore
from raft_over_libp2p.types import Index
from tests.storage.crash_world import Violation
from tests.storage.snapshot_world import (
    MEMBERS,
    SnapshotWorld,
    Start,
    open_folder,
    read_start,
    write_snapshot,
)
from tests.storage.snapshots import meta


def takes(world: SnapshotWorld) -> None:
    """With one retained, the second reaps the first."""
    world.append(3, 1)
    world.take(2, b"ab")
    world.append(1, 2)
    world.take(4)


def compactions(world: SnapshotWorld) -> None:
    for _ in range(5):
        world.append(4, 1)
    world.take(13)
    world.compact()
    world.append(1, 2)
    world.take(21, b"")
    world.compact()


def installs_ahead_of_the_log(world: SnapshotWorld) -> None:
    world.append(3, 1)
    world.install(10, 2)
    world.append(2, 3)
    world.install(20, 3)
    world.append(1, 3)


def an_install_on_an_empty_folder(world: SnapshotWorld) -> None:
    world.install(10, 2)
    world.append(2, 2)
    world.compact()


def installs_that_disagree_with_the_log(world: SnapshotWorld) -> None:
    for _ in range(5):
        world.append(5, 1)
    world.install(4, 2)
    world.append(2, 2)
    world.restart()


def an_install_that_agrees_with_the_log(world: SnapshotWorld) -> None:
    world.append(5, 1)
    world.install(3, 1)
    world.compact()


def restarts(world: SnapshotWorld) -> None:
    """With an unfinished snapshot, and between an install and its reset."""
    world.append(3, 1)
    world.leave_unfinished(2)
    world.restart()
    world.install(9, 2, discards=False)
    world.restart()


def no_space_and_cancelled(world: SnapshotWorld) -> None:
    world.append(3, 1)
    world.take(1)
    for write in (2, 3):  # the state's second byte, and meta.json
        world.fs.full_writes, world.fs.partial_bytes = {world.fs.writes + write}, 1
        world.take(3, b"ab")
        world.fs.sync_directory("/raft/snapshots")
    sink = world.folder.snapshots.create(meta(2, 1, MEMBERS), 7)
    world.step(world.durable, lambda: (sink.write(b"half"), sink.cancel()))


WORKLOADS = (
    takes,
    compactions,
    installs_ahead_of_the_log,
    an_install_on_an_empty_folder,
    installs_that_disagree_with_the_log,
    an_install_that_agrees_with_the_log,
    restarts,
    no_space_and_cancelled,
)


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda each: each.__name__)
def test_every_crash_leaves_the_old_or_the_new(workload: Any, record_property: Any) -> None:
    world = SnapshotWorld()
    workload(world)
    record_property("images", world.images)
    assert world.images > 80


# -- the checker is checked


class _Unsynced:
    """A file whose fdatasync does nothing."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def fdatasync(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _file_not_synced(world: SnapshotWorld, patch: pytest.MonkeyPatch, name: str) -> None:
    real = world.fs.open_file

    def open_file(path: str, *, create: bool = False) -> Any:
        file = real(path, create=create)
        return _Unsynced(file) if path.endswith(name) else file

    patch.setattr(world.fs, "open_file", open_file)


def _state_not_synced(world: SnapshotWorld, patch: pytest.MonkeyPatch) -> None:
    _file_not_synced(world, patch, "state.bin")


def _meta_not_synced(world: SnapshotWorld, patch: pytest.MonkeyPatch) -> None:
    _file_not_synced(world, patch, "meta.json")


def _directory_not_synced(world: SnapshotWorld, patch: pytest.MonkeyPatch, end: str) -> None:
    real = world.fs.sync_directory
    patch.setattr(
        world.fs, "sync_directory", lambda path: None if path.endswith(end) else real(path)
    )


def _names_in_it_not_synced(world: SnapshotWorld, patch: pytest.MonkeyPatch) -> None:
    """As in Go."""
    _directory_not_synced(world, patch, ".tmp")


def _parent_not_synced(world: SnapshotWorld, patch: pytest.MonkeyPatch) -> None:
    _directory_not_synced(world, patch, "/snapshots")


def _renamed_before_synced(_: SnapshotWorld, patch: pytest.MonkeyPatch) -> None:
    real = FileSnapshotSink.finish

    def finish(self: Any) -> Any:
        final = self._path.removesuffix(".tmp")
        self._fs.rename(self._path, final)
        self._fs.sync_directory(self._directory)
        self._fs.rename(final, self._path)
        return real(self)

    patch.setattr(FileSnapshotSink, "finish", finish)


def _reaped_before_the_new_one_is_durable(_: SnapshotWorld, patch: pytest.MonkeyPatch) -> None:
    real = FileSnapshotStore.create

    def create(self: Any, *arguments: Any) -> Any:
        for old in self.list():
            self.remove(old)
        return real(self, *arguments)

    patch.setattr(FileSnapshotStore, "create", create)


def _reaped_under_its_final_name(_: SnapshotWorld, patch: pytest.MonkeyPatch) -> None:
    """As in Go."""

    def remove(self: Any, info: Any) -> None:
        snapshot_sink.remove_files(self._fs, self._path(info))

    patch.setattr(FileSnapshotStore, "remove", remove)


def _reset_in_memory_only(_: SnapshotWorld, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SegmentedLog, "reset", lambda self, index: self._index.reset(index))


def _reset_after_append(_: SnapshotWorld, patch: pytest.MonkeyPatch) -> None:
    """The entries behind the snapshot are written first, the old log is voided after them."""
    write = SegmentedLog.write
    waiting: list[Index] = []

    def append_then_reset(self: Any, truncate_from: Any, new: Any) -> None:
        write(self, truncate_from, new)
        if waiting:
            self._append_batch(waiting.pop(), (), is_reset=True)

    def reset(self: Any, index: Index) -> None:
        self._index.reset(index)
        waiting.append(index)

    patch.setattr(SegmentedLog, "reset", reset)
    patch.setattr(SegmentedLog, "write", append_then_reset)


def _old_segments_removed_before_the_reset(_: SnapshotWorld, patch: pytest.MonkeyPatch) -> None:
    real = SegmentedLog.reset

    def reset(self: Any, index: Index) -> None:
        self.remove_prefix(self.last_index())
        real(self, index)

    patch.setattr(SegmentedLog, "reset", reset)


def _log_reset_before_the_snapshot(_: SnapshotWorld, patch: pytest.MonkeyPatch) -> None:
    def install(self: SnapshotWorld, index: int, term: int) -> None:
        self.step(
            Start(index, term, b"i"),
            lambda: (
                self.folder.log.reset(Index(index + 1)),
                write_snapshot(self.folder, index, term, b"i"),
            ),
        )

    patch.setattr(SnapshotWorld, "install", install)


def _compacted_before_the_snapshot(_: SnapshotWorld, patch: pytest.MonkeyPatch) -> None:
    real = SnapshotWorld.take

    def take(self: SnapshotWorld, index: int, state: bytes = b"s") -> None:
        self.step(self.durable, lambda: self.folder.log.remove_prefix(Index(index)))
        real(self, index, state)

    patch.setattr(SnapshotWorld, "take", take)


def _a_log_that_disagrees_is_kept(_: SnapshotWorld, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recovery, "_follows", lambda *_: True)


def _an_older_log_is_trusted_by_its_end(_: SnapshotWorld, patch: pytest.MonkeyPatch) -> None:
    """Only the index is compared, not the term."""
    patch.setattr(recovery, "_follows", lambda log, snapshot: log.last_index() >= snapshot.index)


FAULTS = (
    (_state_not_synced, takes),
    (_meta_not_synced, takes),
    (_names_in_it_not_synced, takes),
    (_parent_not_synced, compactions),
    (_renamed_before_synced, takes),
    (_reaped_before_the_new_one_is_durable, takes),
    (_reaped_under_its_final_name, takes),
    (_reset_in_memory_only, installs_ahead_of_the_log),
    (_reset_after_append, installs_that_disagree_with_the_log),
    (_old_segments_removed_before_the_reset, installs_that_disagree_with_the_log),
    (_log_reset_before_the_snapshot, installs_ahead_of_the_log),
    (_compacted_before_the_snapshot, compactions),
    (_a_log_that_disagrees_is_kept, installs_ahead_of_the_log),
    (_an_older_log_is_trusted_by_its_end, installs_that_disagree_with_the_log),
)


@pytest.mark.parametrize(("fault", "workload"), FAULTS, ids=lambda each: each.__name__)
def test_a_seeded_fault_is_caught(
    monkeypatch: pytest.MonkeyPatch, fault: Any, workload: Any
) -> None:
    world = SnapshotWorld()
    fault(world, monkeypatch)
    with pytest.raises(Violation):
        workload(world)


def assert_a_damaged_snapshot_is_not_used() -> None:
    world = SnapshotWorld(retain=2)
    world.append(3, 1)
    write_snapshot(world.folder, 1, 1, b"old")
    write_snapshot(world.folder, 3, 1, b"new")
    world.fs.flip_bit("/raft/snapshots/1-3-1000/state.bin", 0)
    world.fs.kill()
    with open_folder(world.fs, retain=2) as folder:
        found = read_start(folder)
        assert len(folder.snapshots.skipped) == 1
    assert b"old" == found.state
    assert [2, 3] == [entry.index for entry in found.log]


def test_a_damaged_snapshot_is_not_used_and_the_older_one_is() -> None:
    assert_a_damaged_snapshot_is_not_used()


def test_a_checksum_that_is_not_checked_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot_store, "check_content", lambda *_: None)
    with pytest.raises(AssertionError):
        assert_a_damaged_snapshot_is_not_used()
