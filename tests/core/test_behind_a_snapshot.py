"""A machine whose log begins after a snapshot: what it knows, takes and sends."""

from __future__ import annotations

from raft_over_libp2p.core.interfaces import SnapshotMeta
from raft_over_libp2p.core.status import ProgressMode
from raft_over_libp2p.types import Configuration, Index, Term
from tests.core.logs import MemoryLog, entry, ids
from tests.core.solo import Solo, append


def behind_a_snapshot(last: int = 14) -> Solo:
    """Return a server with a snapshot at (10, 2) and entries 11 to ``last`` of term 3."""
    meta = SnapshotMeta(
        index=Index(10),
        term=Term(2),
        configuration=Configuration.of_voters(*ids("a", "b", "c")),
        configuration_index=Index(4),
    )
    kept = MemoryLog([entry(i, 3) for i in range(11, last + 1)], first=11)
    return Solo(snapshot=meta, kept=kept, term=3)


def test_the_snapshots_configuration_and_index_hold() -> None:
    solo = behind_a_snapshot()
    status = solo.status
    assert status.configuration.voters == ("a", "b", "c")
    assert (status.configuration_index, status.configuration_committed) == (4, True)
    assert (status.snapshot_index, status.commit_index, status.applied_index) == (10, 10, 10)
    assert (status.first_index, status.last_index) == (11, 14)


def test_a_previous_entry_behind_the_snapshot_is_matched_and_its_entries_skipped() -> None:
    """Rule 16: prev < our snapshot index: matched; skip entries <= S."""
    solo = behind_a_snapshot()
    entries = [*(entry(i, 2) for i in range(8, 11)), *(entry(i, 3) for i in range(11, 17))]
    assert solo.answered("b", append(3, (7, 2), entries, commit=16)).success
    assert solo.status.last_index == 16
    assert [e.index for e in solo.committed] == list(range(11, 17))


def test_the_snapshots_own_entry_is_checked() -> None:
    solo = behind_a_snapshot()
    assert solo.answered("b", append(3, (10, 2))).success
    assert not solo.answered("b", append(3, (10, 1))).success


def test_entries_that_are_gone_are_not_sent() -> None:
    """Never AppendEntries with prev = 0 and a first index above 1 (rule 15)."""
    solo = behind_a_snapshot()
    solo.lead()
    solo.respond(solo.appends("b")[0], solo.reject(3))
    assert solo.appends("b") == []
    assert solo.progress("b").mode is ProgressMode.SNAPSHOT


def test_the_first_entry_after_the_snapshot_is_sent() -> None:
    solo = behind_a_snapshot()
    solo.lead()
    solo.respond(solo.appends("b")[0], solo.reject(10))
    (call,) = solo.appends("b")
    assert (call.request.prev_log_index, call.request.prev_log_term) == (10, 2)
    solo.respond(call, solo.success())
    assert solo.progress("b").match_index == 14


def test_a_log_that_is_all_snapshot_goes_on_after_it() -> None:
    solo = behind_a_snapshot(last=10)
    assert (solo.status.first_index, solo.status.last_index) == (11, 10)
    assert solo.answered("b", append(3, (10, 2), [entry(11, 3)])).success
    assert solo.disk.kept == [entry(11, 3)]
