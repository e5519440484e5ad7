from __future__ import annotations

import random

import pytest

from raft_over_libp2p.core.ready import HardState, Write
from raft_over_libp2p.types import BatchID, Index, LogEntry, ServerID, Term
from tests.simulation.disk import Disk
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
