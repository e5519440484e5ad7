"""When a snapshot is taken, what it holds, and which entries go behind it."""

from __future__ import annotations

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core.events import Applied, Persisted, SnapshotNotTaken, SnapshotTaken
from raft_over_libp2p.core.membership_change import ChangeKind
from raft_over_libp2p.core.ready import Alarm, SnapshotMeta
from raft_over_libp2p.types import Configuration, Index, Term
from tests.core.logs import configuration_entry, entry, ids
from tests.core.solo import Solo, append

FEW = RaftConfig(trailing_logs=3, snapshot_threshold=10, snapshot_interval_s=5.0)


def follower(last: int, *, config: RaftConfig = FEW) -> Solo:
    """Return a follower that applied 1 to ``last``."""
    solo = Solo("a", "b", "c", config=config)
    solo.answered("b", append(2, (1, 1), [entry(i, 2) for i in range(2, last + 1)], commit=last))
    return solo


def feed(solo: Solo, first: int, last: int) -> None:
    entries = [entry(i, 2) for i in range(first, last + 1)]
    prev_term = 2 if first > 2 else 1
    assert solo.answered("b", append(2, (first - 1, prev_term), entries, commit=last)).success


class TestWhen:
    def test_one_is_taken_when_enough_was_applied(self) -> None:
        solo = follower(10)
        solo.wait(11)
        assert solo.taking is not None
        assert solo.taking.index == 10

    def test_none_is_taken_before_that(self) -> None:
        solo = follower(9)
        solo.wait(30)
        assert solo.taking is None

    def test_what_counts_is_what_was_applied_since_the_last_one(self) -> None:
        solo = follower(10)
        solo.wait(11)
        solo.finish_snapshot()
        feed(solo, 11, 19)
        solo.wait(30)
        assert solo.taking is None
        feed(solo, 20, 20)
        solo.wait(11)
        assert solo.taking is not None

    def test_the_interval_is_drawn_between_once_and_twice(self) -> None:
        """hashicorp's randomTimeout(SnapshotInterval): servers do not write all at once."""
        solo = follower(10)
        solo.wait(4.9)
        assert solo.taking is None
        solo.wait(5.2)
        assert solo.taking is not None

    def test_a_user_may_ask_for_one_at_any_time(self) -> None:
        solo = follower(2)
        assert solo.machine.snapshot_now(solo.now)
        solo.turn()
        assert solo.taking is not None

    def test_nothing_new_is_no_reason_for_one(self) -> None:
        solo = follower(2)
        solo.take_snapshot()
        assert not solo.machine.snapshot_now(solo.now)
        assert not Solo("a", "b", "c").machine.snapshot_now(100.0)

    def test_one_at_a_time_and_the_wish_is_kept(self) -> None:
        solo = follower(2)
        solo.machine.snapshot_now(solo.now)
        solo.turn()
        assert solo.machine.snapshot_now(solo.now), "it is under way"
        feed(solo, 3, 3)
        assert solo.machine.snapshot_now(solo.now), "another one is needed"
        solo.turn()
        assert solo.finish_snapshot().index == 2
        assert solo.finish_snapshot().index == 3
        assert solo.taking is None

    def test_it_waits_until_the_state_machine_has_applied_all_it_was_given(self) -> None:
        solo = Solo("a", "b", "c")
        solo.ask("b", append(2, (1, 1), [entry(2, 2)], commit=2))
        solo.disk.write(solo.waiting[0])
        solo.machine.handle(Persisted(solo.waiting[0].batch), solo.now)
        assert [e.index for e in solo.machine.take_ready().committed] == [2]
        assert solo.machine.snapshot_now(solo.now), "entry 1 was applied"
        assert solo.machine.take_ready().take_snapshot is None
        solo.machine.handle(Applied(Index(2)), solo.now)
        meta = solo.machine.take_ready().take_snapshot
        assert meta is not None
        assert meta.index == 2

    def test_a_failure_is_told_and_the_next_comes_in_its_time(self) -> None:
        solo = follower(10)
        solo.wait(11)
        solo.taking = None
        solo.machine.handle(SnapshotNotTaken(Index(10), "no space left"), solo.now)
        solo.turn()
        assert solo.observations[-1] == Alarm(
            None, "no snapshot could be taken at entry 10: no space left"
        )
        assert solo.status.snapshot_index == 0
        solo.wait(11)
        assert solo.taking is not None

    def test_one_that_an_earlier_machine_asked_for_changes_nothing(self) -> None:
        """It may be done, or fail, after a full disk ended that machine."""
        solo = follower(10)
        solo.machine.handle(SnapshotTaken(Index(2)), solo.now)
        solo.machine.handle(SnapshotNotTaken(Index(3), "no space left"), solo.now)
        solo.turn()
        assert (solo.status.snapshot_index, solo.alarms("snapshot")) == (0, [])
        assert solo.take_snapshot().index == 10


class TestWhatItHolds:
    def test_it_says_where_it_stands_and_who_the_members_are(self) -> None:
        solo = follower(5)
        assert solo.take_snapshot() == SnapshotMeta(
            index=Index(5),
            term=Term(2),
            configuration=Configuration.of_voters(*ids("a", "b", "c")),
            configuration_index=Index(1),
        )

    def test_mixed_rule_12_its_configuration_is_the_one_in_force_at_its_index(self) -> None:
        """Rule 12: ... also when a later one is in the log, or agreed on and not applied yet."""
        solo = follower(2)
        newer = configuration_entry(4, 2, "a", "b")
        solo.answered("b", append(2, (2, 2), [entry(3, 2), newer], commit=3))
        meta = solo.take_snapshot()
        assert (meta.index, meta.configuration_index) == (3, 1)
        assert meta.configuration.voters == ("a", "b", "c")

    def test_one_is_possible_when_a_change_of_members_was_applied_last(self) -> None:
        """hashicorp/raft refuses: wait until the configuration entry has been applied."""
        solo = Solo("a")
        solo.lead()
        solo.change(ChangeKind.ADD_NONVOTER, "n")
        solo.persist()
        meta = solo.take_snapshot()
        assert (meta.index, meta.configuration_index) == (3, 3)
        assert meta.configuration.ids == ("a", "n")


class TestWhatGoes:
    def test_entries_behind_it_go_but_for_the_trailing_ones(self) -> None:
        solo = follower(10)
        solo.take_snapshot()
        assert solo.status.first_index == 8
        solo.persist()
        assert [e.index for e in solo.disk.kept] == [8, 9, 10]

    def test_no_entry_that_it_does_not_cover_goes(self) -> None:
        solo = follower(10)
        solo.machine.snapshot_now(solo.now)
        solo.turn()
        feed(solo, 11, 40)
        solo.finish_snapshot()
        solo.persist()
        assert [e.index for e in solo.disk.kept] == list(range(11, 41))

    def test_nothing_goes_before_it_is_durable(self) -> None:
        """Rule 12: compaction only behind a verified snapshot."""
        solo = follower(10)
        solo.machine.snapshot_now(solo.now)
        solo.turn()
        solo.persist()
        assert (solo.status.first_index, solo.status.snapshot_index) == (1, 0)
        solo.machine.handle(SnapshotNotTaken(Index(10), "no space left"), solo.now)
        solo.turn()
        assert (solo.status.first_index, solo.waiting) == (1, [])

    def test_a_short_log_keeps_all(self) -> None:
        solo = follower(3)
        solo.take_snapshot()
        assert (solo.status.first_index, solo.waiting) == (1, [])

    def test_it_restarts_from_the_snapshot_and_what_follows(self) -> None:
        solo = follower(10)
        solo.take_snapshot()
        feed(solo, 11, 12)
        solo.crash_and_restart()
        status = solo.status
        assert (status.snapshot_index, status.commit_index, status.last_index) == (10, 10, 12)
        assert status.configuration.voters == ("a", "b", "c")

    def test_a_leader_goes_on_over_its_snapshot(self) -> None:
        solo = Solo("a", "b", config=RaftConfig(trailing_logs=0))
        solo.lead_with_commit("b")
        solo.propose(b"x", b"y")
        solo.persist()
        solo.acknowledge_all("b")
        assert solo.take_snapshot().index == 4
        assert solo.status.first_index == 5
        solo.propose(b"z")
        (call,) = solo.appends("b")
        assert (call.request.prev_log_index, call.request.prev_log_term) == (4, 2)
