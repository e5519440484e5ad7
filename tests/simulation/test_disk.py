from __future__ import annotations

import random

import pytest

from raft_over_libp2p.core.ready import HardState, SnapshotMeta, Write
from raft_over_libp2p.types import BatchID, Configuration, Index, LogEntry, ServerID, Term
from tests.simulation.disk import Disk
from tests.simulation.entry_log import EntryLog
from tests.simulation.snapshot_store import Snapshot
from tests.simulation.violation import Violation

_VOTE = HardState(Term(2), ServerID("s1"))


def _entry(index: int, term: int) -> LogEntry:
    return LogEntry(Index(index), Term(term))


def _disk(terms: list[int]) -> Disk:
    entries = [_entry(index, term) for index, term in enumerate(terms, start=1)]
    return Disk(HardState(Term(1)), entries, lambda _: None)


def _terms(disk: Disk) -> list[int]:
    return [int(entry.term) for entry in disk.image]


def test_a_write_is_durable_when_its_sync_returns() -> None:
    disk = _disk([1, 1])
    disk.submit(
        Write(batch=BatchID(1), hard_state=_VOTE, truncate_from=Index(2), append=(_entry(2, 2),))
    )
    disk.flushing = 1
    before = (disk.hard_state, _terms(disk))

    batch = disk.complete()

    assert (HardState(Term(1)), [1, 1]) == before
    assert (BatchID(1), _VOTE, [1, 2]) == (batch, disk.hard_state, _terms(disk))


def test_a_crash_leaves_any_prefix_of_a_write_and_nothing_else() -> None:
    images = set()
    for seed in range(300):
        disk = _disk([1, 1])
        disk.submit(
            Write(
                batch=BatchID(1),
                hard_state=_VOTE,
                truncate_from=Index(2),
                append=(_entry(2, 2), _entry(3, 2)),
            )
        )
        disk.flushing = 1
        disk.crash(random.Random(seed))
        images.add((disk.hard_state.vote is not None, tuple(_terms(disk))))

    expected = {
        (False, (1, 1)),
        (True, (1, 1)),
        (True, (1,)),
        (True, (1, 2)),
        (True, (1, 2, 2)),
    }
    assert expected == images


def test_batches_that_share_a_sync_may_lose_all_but_the_newest_hard_state() -> None:
    images = set()
    for seed in range(300):
        disk = _disk([1])
        disk.submit(Write(batch=BatchID(1), append=(_entry(2, 1),)))
        disk.submit(Write(batch=BatchID(2), hard_state=_VOTE))
        disk.flushing = 2
        disk.crash(random.Random(seed))
        images.add((disk.hard_state.vote is not None, tuple(_terms(disk))))

    assert {(False, (1,)), (False, (1, 1)), (True, (1, 1)), (True, (1,))} == images


def test_a_full_disk_leaves_the_log_as_it_was() -> None:
    for seed in range(20):
        disk = _disk([1, 1])
        disk.submit(Write(batch=BatchID(1), truncate_from=Index(2), append=(_entry(2, 2),)))
        disk.flushing = 1

        disk.fail_full(random.Random(seed))

        assert [1, 1] == _terms(disk)


def test_a_read_of_what_a_pending_write_truncates_is_a_violation() -> None:
    disk = _disk([1, 1])
    disk.submit(Write(batch=BatchID(1), truncate_from=Index(2)))

    with pytest.raises(Violation, match="log reader"):
        disk.term(Index(2))


def test_a_read_past_what_is_durable_is_a_violation() -> None:
    disk = _disk([1])
    disk.submit(Write(batch=BatchID(1), append=(_entry(2, 1),)))

    with pytest.raises(Violation, match="log reader"):
        disk.entries(Index(1), Index(2), 1000)


def _snapshot(index: int, term: int) -> Snapshot:
    configuration = Configuration.of_voters(ServerID("s1"))
    meta = SnapshotMeta(
        index=Index(index),
        term=Term(term),
        configuration=configuration,
        configuration_index=Index(1),
    )
    return Snapshot(meta, 0)


def _disk_beside(agreed: list[int], terms: list[int]) -> Disk:
    """Return a disk with a log of ``terms``, in a cluster that agreed on ``agreed``."""
    log = EntryLog(_entry(index, term) for index, term in enumerate(agreed, start=1))
    entries = [_entry(index, term) for index, term in enumerate(terms, start=1)]
    return Disk(HardState(Term(1)), entries, lambda _: None, agreed=log)


def test_a_crash_leaves_a_log_that_is_reset_as_it_was_or_empty() -> None:
    images = set()
    for seed in range(100):
        disk = _disk_beside([1, 2, 2], [1, 1, 1, 1])
        disk.snapshots.add(_snapshot(3, 2))
        disk.submit(Write(batch=BatchID(1), reset_to=Index(4), append=(_entry(4, 2),)))
        disk.flushing = 1
        disk.crash(random.Random(seed))
        images.add((disk.image.first, tuple(_terms(disk))))

    assert {(1, (1, 1, 1, 1)), (4, (1, 2, 2)), (4, (1, 2, 2, 2))} == images


def test_a_restart_discards_a_log_that_its_snapshot_contradicts() -> None:
    disk = _disk_beside([1, 2, 2], [1, 1, 1, 1])
    disk.snapshots.add(_snapshot(3, 2))

    disk.recover()

    assert (4, 3, Term(2)) == (disk.first_index(), disk.last_index(), disk.hard_state.term)


def test_a_restart_keeps_a_log_that_goes_on_where_its_snapshot_ends() -> None:
    disk = _disk_beside([1, 1, 1], [1, 1, 1, 1])
    disk.snapshots.add(_snapshot(3, 1))

    disk.recover()

    assert (1, 4) == (disk.first_index(), disk.last_index())


def test_a_log_whose_beginning_no_snapshot_covers_is_a_violation() -> None:
    disk = _disk_beside([1] * 8, [1] * 8)
    disk.submit(Write(batch=BatchID(1), remove_prefix=Index(6)))
    disk.flushing = 1
    disk.complete()
    disk.snapshots.add(_snapshot(5, 1))

    with pytest.raises(Violation, match="no entry is lost"):
        disk.recover()


def test_entries_that_may_go_are_read_no_more_though_they_are_there() -> None:
    disk = _disk_beside([1] * 4, [1] * 4)
    disk.submit(Write(batch=BatchID(1), remove_prefix=Index(2)))

    assert 4 == len(disk.image)
    with pytest.raises(Violation, match="log reader"):
        disk.term(Index(2))


def test_a_reset_without_a_snapshot_is_a_violation() -> None:
    disk = _disk_beside([1, 2, 2], [1])
    disk.submit(Write(batch=BatchID(1), reset_to=Index(4)))
    disk.flushing = 1

    with pytest.raises(Violation, match="reset behind a snapshot"):
        disk.complete()


def test_what_a_durable_snapshot_covers_is_held_whatever_the_log_says() -> None:
    disk = _disk_beside([1, 2, 2], [1, 1])
    before = disk.holds(3, Term(2))
    disk.snapshots.add(_snapshot(3, 2))

    assert (False, True, False) == (before, disk.holds(3, Term(2)), disk.holds(3, Term(1)))


def test_a_store_keeps_the_newest_snapshots() -> None:
    disk = _disk([1])
    for index in (2, 9, 5):
        disk.snapshots.add(_snapshot(index, 1))

    assert 9 == disk.snapshots.newest_index
    assert disk.snapshots.find(Index(2), Term(1)) is None
