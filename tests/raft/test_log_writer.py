from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from raft_over_libp2p.core.ready import HardState, Write
from raft_over_libp2p.raft.log_writer import merge_writes
from raft_over_libp2p.types import BatchID, Index, LogEntry, Term


def applied_in_order(disk: list[LogEntry], writes: list[Write]) -> list[LogEntry]:
    """What the disk holds after each write was made by itself: the plain meaning."""
    log = list(disk)
    for write in writes:
        if write.reset_to is not None:
            log = []
        if write.truncate_from is not None:
            log = [entry for entry in log if entry.index < write.truncate_from]
        log.extend(write.append)
        if write.remove_prefix is not None:
            log = [entry for entry in log if entry.index > write.remove_prefix]
    return log


@st.composite
def runs_of_writes(draw: st.DrawFn) -> tuple[list[LogEntry], list[Write]]:
    """A log of some entries and writes that each fit what the ones before left."""
    first = 1
    disk = [LogEntry(Index(i + 1), Term(1)) for i in range(draw(st.integers(0, 6)))]
    log, writes = list(disk), []
    for batch in range(1, draw(st.integers(1, 6)) + 1):
        reset = draw(st.none() | st.none() | st.integers(1, 9))
        if reset is not None:
            first, log = reset, []
        cut = draw(st.none() | st.integers(first, first + len(log)))
        if cut is not None:
            log = log[: cut - first]
        append = tuple(
            LogEntry(Index(first + len(log) + i), Term(batch + 1))
            for i in range(draw(st.integers(0, 3)))
        )
        log.extend(append)
        drop = draw(st.none() | st.integers(first, first + len(log) - 1)) if log else None
        if drop is not None:
            log, first = log[drop + 1 - first :], drop + 1
        state = draw(st.none() | st.builds(HardState, st.integers(1, 9).map(Term)))
        writes.append(
            Write(
                batch=BatchID(batch),
                hard_state=state,
                truncate_from=None if cut is None else Index(cut),
                append=append,
                reset_to=None if reset is None else Index(reset),
                remove_prefix=None if drop is None else Index(drop),
            )
        )
    return disk, writes


@given(runs_of_writes())
def test_merged_writes_leave_the_log_that_the_single_ones_would(
    run: tuple[list[LogEntry], list[Write]],
) -> None:
    disk, writes = run
    merged = merge_writes(writes)
    as_one = Write(
        batch=merged.last_batch,
        truncate_from=merged.truncate_from,
        append=tuple(merged.append),
        reset_to=merged.reset_to,
        remove_prefix=merged.remove_prefix,
    )

    assert applied_in_order(disk, writes) == applied_in_order(disk, [as_one])


@given(runs_of_writes())
def test_merged_writes_keep_the_newest_hard_state_and_batch(
    run: tuple[list[LogEntry], list[Write]],
) -> None:
    _, writes = run
    merged = merge_writes(writes)
    states = [write.hard_state for write in writes if write.hard_state is not None]

    assert (states[-1] if states else None, writes[-1].batch) == (
        merged.hard_state,
        merged.last_batch,
    )
