"""Every image a crash may leave, at every moment: nothing durable is lost, nothing is invented.

And the check itself is checked: each seeded fault must be caught.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import pytest

from raft_over_libp2p.core.ready import HardState
from raft_over_libp2p.errors import CorruptLog, DurabilityLost
from raft_over_libp2p.storage import batch, log_scan, vote_store
from raft_over_libp2p.storage.log_store import SegmentedLog
from raft_over_libp2p.storage.vote_store import VoteStore
from raft_over_libp2p.testing.fake_filesystem import FakeFileSystem
from raft_over_libp2p.types import Configuration, Index, LogEntry, LogType, ServerID, Term
from raft_over_libp2p.wire.configuration import GoConfigurationCodec
from tests.storage.crash_world import PEER, CrashWorld, Held, Violation, held_by, open_folder
from tests.storage.entries import entries


def appends(world: CrashWorld) -> None:
    for count in (1, 3, 1, 2):
        world.append(count, 1)


def truncations(world: CrashWorld) -> None:
    world.append(5, 1)
    world.append(1, 2, truncate_from=4)
    world.append(0, 2, truncate_from=2)
    world.append(2, 3)
    world.append(1, 4, truncate_from=1)


def votes(world: CrashWorld) -> None:
    for term in range(1, 5):
        world.vote(term, None)
        world.append(1, term)
        world.vote(term, "12D3KooWRival" if term % 2 else str(PEER))


def segment_changes(world: CrashWorld) -> None:
    for _ in range(4):
        world.append(5, 1)
    world.append(40, 2)  # larger than a segment
    world.append(2, 3, truncate_from=7)


def prefix_removals(world: CrashWorld) -> None:
    for _ in range(6):
        world.append(5, 1)
    world.remove_prefix(12)
    world.append(2, 2, truncate_from=20)
    world.remove_prefix(19)
    world.append(3, 2)


def restarts(world: CrashWorld) -> None:
    world.append(3, 1)
    world.restart()
    world.vote(2, str(PEER))
    for _ in range(4):
        world.append(5, 2)
    world.restart()
    world.append(1, 3, truncate_from=5)
    world.restart()


def no_space(world: CrashWorld) -> None:
    """Attempts that leave a part behind, then one that succeeds over the remains."""
    world.append(2, 1)
    # The second attempt begins a new segment, and leaves its remains there.
    for partial, count in ((60, 3), (150, 9)):
        world.fs.full_writes, world.fs.partial_bytes = {world.fs.writes + 1}, partial
        world.append(count, 2)
        world.append(1, 3)


def no_space_then_a_new_segment(world: CrashWorld) -> None:
    """Remains at the end of a segment, and the next batch goes to the next one."""
    world.append(1, 1)
    world.fs.full_writes, world.fs.partial_bytes = {world.fs.writes + 1}, 300
    world.append(3, 2)
    world.append(9, 3)
    world.restart()


WORKLOADS = (
    appends,
    truncations,
    votes,
    segment_changes,
    prefix_removals,
    restarts,
    no_space,
    no_space_then_a_new_segment,
)


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda each: each.__name__)
def test_every_crash_leaves_the_old_or_the_new(workload: Any, record_property: Any) -> None:
    world = CrashWorld()
    workload(world)
    record_property("images", world.images)
    assert world.images > 150


@pytest.mark.slow
def test_making_a_folder_may_be_cut_short_anywhere() -> None:
    fs = FakeFileSystem()
    images = 0

    def check() -> None:
        nonlocal images
        for image in fs.crash_images(20_000):
            images += 1
            with open_folder(image) as folder:
                assert folder.is_fresh

    fs.after_change = check
    open_folder(fs)
    assert images > 500


@pytest.mark.slow
def test_bootstrap_cut_short_leaves_a_fresh_folder_or_a_bootstrapped_one() -> None:
    fs = FakeFileSystem()
    folder = open_folder(fs)
    fs.sync_directory("/")
    codec = GoConfigurationCodec()
    configuration = Configuration.of_voters(PEER, ServerID("other"))
    seen = set()

    def check() -> None:
        for image in fs.crash_images(20_000):
            with open_folder(image) as found:
                seen.add(found.is_fresh)
                if not found.is_fresh:
                    assert held_by(found).state == HardState(Term(1))
                    assert [LogType.CONFIGURATION] == [e.type for e in held_by(found).log]

    fs.after_change = check
    folder.bootstrap(configuration, codec)
    assert seen == {False, True}


def test_a_reset_cut_short_leaves_the_old_log_or_none() -> None:
    """Also one that begins a new segment, and whose old segments are being removed."""
    fs = FakeFileSystem()
    fs.mkdir("/log")
    fs.sync_directory("/")
    log = SegmentedLog(fs, "/log", bytes(16), segment_bytes=512)
    for one in entries(1, 12, size=60):
        log.write(None, [one])
    old = (1, tuple(entries(1, 12, size=60)))
    seen = set()

    def check() -> None:
        for image in fs.crash_images(200):
            found = SegmentedLog(image, "/log", bytes(16), segment_bytes=512)
            kept = tuple(found.entries(found.first_index(), found.last_index(), 1 << 20))
            seen.add((found.first_index(), kept))

    fs.after_change = check
    log.reset(Index(40))
    assert {old, (40, ())} == seen
    seen.clear()
    log.write(None, entries(40, 40, 2))
    assert {(40, ()), (40, tuple(entries(40, 40, 2)))} == seen


def test_what_a_failed_sync_left_in_memory_is_made_durable_by_the_next_start() -> None:
    """fsyncgate: the kernel calls the pages clean, the next process reads them, power fails."""
    assert_survives_a_failed_sync()


def assert_survives_a_failed_sync() -> None:
    fs = FakeFileSystem()
    folder = open_folder(fs)
    fs.sync_directory("/")
    folder.log.write(None, entries(1, 2))
    fs.failing_syncs = {fs.syncs + 1, fs.syncs + 2}
    with pytest.raises(DurabilityLost):
        folder.log.write(None, entries(3, 4))
    with pytest.raises(DurabilityLost):
        folder.stable.save(HardState(Term(5), PEER))
    fs.kill()
    with open_folder(fs) as again:
        told = held_by(again)
    for image in fs.crash_images(10):
        with open_folder(image) as found:
            if told != held_by(found):
                raise Violation(f"{told} became {held_by(found)}")
    assert told == Held(tuple(entries(1, 4)), HardState(Term(5), PEER))


# -- the checker is checked


def _ack_before_sync(world: CrashWorld, _: pytest.MonkeyPatch) -> None:
    world.folder.log._tail.file = _Unsynced(world.folder.log._tail.file)


class _Unsynced:
    """A file whose fdatasync does nothing."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def fdatasync(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _directory_not_synced(world: CrashWorld, patch: pytest.MonkeyPatch) -> None:
    real = world.fs.sync_directory
    patch.setattr(
        world.fs, "sync_directory", lambda path: None if path == "/raft/log" else real(path)
    )


def _batch_checksum_not_checked(_: CrashWorld, patch: pytest.MonkeyPatch) -> None:
    real = batch.crc32
    patch.setattr(batch, "crc32", lambda data, seed=None: 0 if seed is None else real(data, seed))


def _remains_stay(_: CrashWorld, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SegmentedLog, "_clear_remains", lambda _: None)


def _unlinks_synced_together(_: CrashWorld, patch: pytest.MonkeyPatch) -> None:
    def remove(self: Any, upto: int) -> Index:
        for number in sorted(self._segments):
            begins_at = self._index.first_in_or_after(number + 1)
            if number >= self._tail.number or begins_at > upto + 1:
                break
            self._index.drop_before(begins_at)
            self._fs.unlink(self._segments.pop(number).file.path)
        self._fs.sync_directory(self._directory)
        return Index(self._index.first)

    patch.setattr(SegmentedLog, "remove_prefix", remove)


def _truncation_in_memory_only(_: CrashWorld, patch: pytest.MonkeyPatch) -> None:
    write = SegmentedLog.write

    def forgetful(self: Any, truncate_from: Index | None, new: Sequence[LogEntry]) -> None:
        if truncate_from is not None and not new:
            self._index.replace_from(truncate_from, 1, [], [], [], [])
            return
        write(self, truncate_from, new)

    patch.setattr(SegmentedLog, "write", forgetful)


def _term_and_vote_in_two_writes(_: CrashWorld, patch: pytest.MonkeyPatch) -> None:
    """hashicorp/raft issue 661."""
    save = VoteStore.save

    def torn(self: VoteStore, state: HardState) -> None:
        save(self, HardState(state.term, self.load().vote))
        save(self, state)

    patch.setattr(VoteStore, "save", torn)


def _one_slot_with_one_copy(_: CrashWorld, patch: pytest.MonkeyPatch) -> None:
    """A torn save takes the older vote with it."""
    encode = vote_store._encode
    patch.setattr(vote_store, "_encode", lambda saved: encode(saved)[:512] + bytes(512))
    patch.setattr(vote_store, "_SLOT_BYTES", 0)
    patch.setattr(vote_store, "_FILE_BYTES", 1024)

    def read(fs: Any, path: str) -> Any:
        saved = vote_store._decode(fs.open_file(path).pread(512, 0), path)
        if saved is None:
            raise CorruptLog(path, 0, "the one copy")
        return saved

    patch.setattr(vote_store, "_read", read)


FAULTS = (
    (_ack_before_sync, appends),
    (_directory_not_synced, segment_changes),
    (_batch_checksum_not_checked, segment_changes),
    (_remains_stay, no_space_then_a_new_segment),
    (_unlinks_synced_together, prefix_removals),
    (_truncation_in_memory_only, truncations),
    (_term_and_vote_in_two_writes, votes),
    (_one_slot_with_one_copy, votes),
)


@pytest.mark.parametrize(("fault", "workload"), FAULTS, ids=lambda each: each.__name__)
def test_a_seeded_fault_is_caught(
    monkeypatch: pytest.MonkeyPatch, fault: Any, workload: Any
) -> None:
    world = CrashWorld()
    fault(world, monkeypatch)
    # Without its checksum a torn batch is parsed, which may also end beyond the file.
    with pytest.raises((Violation, struct.error)):
        workload(world)


def test_a_start_that_trusts_what_it_read_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def trust(fs: Any, directory: str, folder_id: bytes, size: int, scan: Any) -> None:
        if not scan.segments:
            scan.segments.append(log_scan.create_segment(fs, directory, 1, folder_id, size))
        scan.segments[-1].capacity = 0

    monkeypatch.setattr(log_scan, "_make_durable", trust)
    monkeypatch.setattr(SegmentedLog, "_prepare_spare", lambda _: None)
    with pytest.raises(Violation):
        assert_survives_a_failed_sync()


def test_a_batch_without_its_trailer_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """With zeros for a trailer, an attempt without space can come back as written."""
    monkeypatch.setattr(batch, "_TRAILER", bytes(4))
    world = CrashWorld()
    world.append(1, 1)
    size = batch.batch_bytes(entries(2, 2, 2, size=40))
    world.fs.full_writes, world.fs.partial_bytes = {world.fs.writes + 1}, size - 5
    with pytest.raises(Violation):
        world.append(1, 2)


def test_a_durable_last_batch_that_is_lost_is_noticed_by_the_vote_file() -> None:
    fs = FakeFileSystem()
    with open_folder(fs) as folder:
        folder.log.write(None, entries(1, 2))
        path, offset = folder.log.end
        folder.log.write(None, entries(3, 3))
        folder.stable.save(HardState(Term(2)))
    fs.flip_bit(path, offset + 50)
    with pytest.raises(CorruptLog, match="batch 2 was durable"):
        open_folder(fs)
