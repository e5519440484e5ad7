"""How a follower takes in its leader's snapshot (mixed-cluster rules 8, 11, 12 and 16)."""

from __future__ import annotations

import pytest

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core.messages import ErrorResponse, InstallSnapshotResponse
from raft_over_libp2p.core.ready import ConfigurationChanged, Role, SnapshotMeta
from raft_over_libp2p.types import CallID, Configuration, Index, LogEntry, Term
from tests.core.logs import MemoryLog, configuration_entry, entry, ids
from tests.core.solo import Solo, append, heartbeat, snapshot


def follower(*log: LogEntry, commit: int = 1) -> Solo:
    """Return a follower of b in term 3 that holds ``log`` after entry 1."""
    solo = Solo("a", "b", "c", log=log, term=3)
    solo.answered("b", append(3, (commit, 1), commit=commit))
    return solo


def ok(term: int = 3) -> InstallSnapshotResponse:
    return InstallSnapshotResponse(term=Term(term), success=True)


class TestAReplacedLog:
    def test_the_state_the_log_and_the_indexes_are_the_snapshots(self) -> None:
        solo = follower(entry(2, 1))
        assert solo.installed("b", snapshot(3, (10, 2), configuration_index=4)) == ok()
        assert [s.meta.index for s in solo.adopted] == [10]
        status = solo.status
        assert (status.snapshot_index, status.commit_index, status.applied_index) == (10, 10, 10)
        assert (status.first_index, status.last_index, status.last_log_term) == (11, 10, 2)
        assert status.durable_index == 10
        assert (solo.disk.first, solo.disk.kept) == (11, [])

    def test_the_log_goes_on_after_it(self) -> None:
        solo = follower()
        solo.installed("b", snapshot(3, (10, 2)))
        assert solo.answered("b", append(3, (10, 2), [entry(11, 3)], commit=11)).success
        assert [e.index for e in solo.committed] == [1, 11]

    def test_mixed_rule_12_a_log_that_ends_before_it_is_discarded_whole(self) -> None:
        """Rule 12: if the log lacks (S.index, S.term), discard the whole log."""
        solo = follower(entry(2, 1), entry(3, 1))
        solo.installed("b", snapshot(3, (10, 2)))
        assert solo.disk.kept == []

    def test_mixed_rule_12_a_log_with_another_term_there_is_discarded_whole(self) -> None:
        solo = follower(entry(2, 1), entry(3, 1), entry(4, 1))
        solo.installed("b", snapshot(3, (3, 2)))
        assert (solo.disk.first, solo.disk.kept) == (4, [])
        assert solo.status.last_index == 3

    def test_mixed_rule_12_a_log_that_agrees_keeps_what_follows(self) -> None:
        solo = follower(entry(2, 1), entry(3, 2), entry(4, 2))
        assert solo.installed("b", snapshot(3, (3, 2))) == ok()
        assert (solo.status.last_index, solo.status.snapshot_index) == (4, 3)
        assert [e.index for e in solo.disk.kept] == [1, 2, 3, 4], "trailing entries stay"
        assert solo.answered("b", append(3, (4, 2), commit=4)).success
        assert [e.index for e in solo.committed] == [1, 4]

    def test_entries_that_a_kept_log_does_not_need_go(self) -> None:
        config = RaftConfig(trailing_logs=0)
        solo = Solo("a", "b", "c", log=[entry(2, 2), entry(3, 2)], term=3, config=config)
        solo.installed("b", snapshot(3, (2, 2)))
        solo.persist()
        assert [e.index for e in solo.disk.kept] == [3]

    def test_entries_still_on_their_way_to_the_disk_are_discarded_too(self) -> None:
        """What it applied is durable: here or in the snapshot."""
        solo = follower()
        waiting = solo.ask("b", append(3, (1, 1), [entry(2, 3), entry(3, 3)]))
        solo.ask("b", snapshot(3, (2, 3)))
        solo.store()
        assert solo.status.last_index == 2
        assert solo.status.applied_index <= solo.status.durable_index
        solo.persist()
        assert (solo.disk.first, solo.disk.kept) == (3, [])
        assert not solo.replies[waiting].success


class TestMembers:
    def test_mixed_rule_12_the_configuration_is_the_snapshots(self) -> None:
        solo = follower(configuration_entry(2, 2, "a", "b"))
        solo.installed("b", snapshot(3, (10, 2), "a", "b", "d", configuration_index=7))
        status = solo.status
        assert status.configuration.voters == ("a", "b", "d")
        assert (status.configuration_index, status.configuration_committed) == (7, True)
        assert solo.observations[-1] == ConfigurationChanged(
            status.configuration, Index(7), committed=True
        )

    def test_mixed_rule_12_a_later_one_in_a_log_that_is_kept_stays_the_latest(self) -> None:
        later = configuration_entry(4, 2, "a", "b", "c", "d")
        solo = follower(entry(2, 2), entry(3, 2), later)
        solo.installed("b", snapshot(3, (3, 2)))
        status = solo.status
        assert (status.configuration_index, status.configuration_committed) == (4, False)

    def test_a_blank_server_becomes_a_member(self) -> None:
        solo = Solo(blank=True)
        assert solo.installed("b", snapshot(3, (10, 2))) == ok()
        solo.crash_and_restart()
        assert solo.status.configuration.voters == ("a", "b", "c")


class TestWhenItIsAnswered:
    def test_mixed_rule_8_not_before_the_log_is_discarded_on_the_disk(self) -> None:
        """Rule 8: success waits for snapshot, directory and log reset."""
        solo = follower()
        call = solo.ask("b", snapshot(3, (10, 2)))
        assert call not in solo.replies
        solo.store()
        assert call not in solo.replies
        solo.persist()
        assert solo.replies[call] == ok()

    def test_a_crash_between_snapshot_and_reset_loses_nothing(self) -> None:
        solo = follower(entry(2, 1))
        solo.ask("b", snapshot(3, (10, 2)))
        solo.store()
        solo.waiting.clear()
        solo.disk.kept, solo.disk.first = [], 11  # what storage.recovery does then
        solo.crash_and_restart()
        assert (solo.status.commit_index, solo.status.last_index) == (10, 10)

    def test_the_leader_is_followed_meanwhile(self) -> None:
        solo = follower()
        solo.ask("b", snapshot(3, (10, 2)))
        assert solo.answered("b", append(3, (1, 1), [entry(2, 3)], commit=2)).success
        solo.store()
        solo.persist()
        assert (solo.status.last_index, solo.status.commit_index) == (10, 10)

    def test_what_could_not_be_stored_is_told_and_changes_nothing(self) -> None:
        solo = follower(entry(2, 1))
        before = solo.status
        call = solo.ask("b", snapshot(3, (10, 2)))
        solo.fail_to_store("its checksum is wrong")
        assert solo.replies[call] == ErrorResponse(error="its checksum is wrong")
        assert solo.status == before
        assert solo.alarms("its checksum is wrong")
        assert solo.installed("b", snapshot(3, (10, 2))) == ok()


class TestWhatIsDropped:
    def test_one_at_a_time(self) -> None:
        solo = follower()
        solo.ask("b", snapshot(3, (10, 2)))
        second = solo.ask("b", snapshot(3, (11, 2)))
        assert "being stored" in solo.replies[second].error
        assert solo.dropped == [second]

    def test_mixed_rule_16_an_older_one_succeeds_and_is_dropped(self) -> None:
        solo = follower(entry(2, 1), commit=2)
        call = solo.ask("b", snapshot(3, (2, 1)))
        assert solo.replies[call] == ok()
        assert (solo.dropped, solo.storing) == ([call], [])

    def test_mixed_rule_11_one_of_a_leader_of_the_past_is_dropped_at_completion(self) -> None:
        """Rule 11: InstallSnapshot re-checks term and commit at completion."""
        solo = follower()
        call = solo.ask("b", snapshot(3, (10, 2)))
        solo.answered("c", heartbeat(4, "c"))
        solo.store()
        assert solo.replies[call] == InstallSnapshotResponse(term=Term(4), success=False)
        assert (solo.dropped, solo.adopted) == ([call], [])
        assert (solo.status.last_index, solo.status.snapshot_index) == (1, 0)

    def test_mixed_rule_11_one_that_was_overtaken_is_dropped_at_completion(self) -> None:
        """It would take back what was committed and applied meanwhile."""
        solo = follower()
        call = solo.ask("b", snapshot(3, (3, 3)))
        solo.answered("b", append(3, (1, 1), [entry(i, 3) for i in range(2, 6)], commit=5))
        solo.store()
        assert solo.replies[call] == ok()
        assert (solo.dropped, solo.adopted) == ([call], [])
        assert (solo.status.last_index, solo.status.commit_index) == (5, 5)

    def test_one_that_an_earlier_machine_asked_for_is_dropped(self) -> None:
        solo = follower()
        solo.ask("b", snapshot(3, (10, 2)))
        solo.crash_and_restart()
        stored = solo.store()
        assert solo.dropped == [stored.call] == [CallID(2)]
        assert solo.status.last_index == 1

    @pytest.mark.parametrize(
        "request_",
        [
            snapshot(3, (10, 4)),
            snapshot(3, (10, 0)),
            snapshot(3, (0, 2)),
            snapshot(3, (10, 2), configuration_index=11),
        ],
    )
    def test_what_no_leader_may_send_is_refused(self, request_) -> None:
        solo = follower()
        assert isinstance(solo.installed("b", request_), ErrorResponse)
        assert (len(solo.dropped), solo.status.last_index) == (1, 1)

    def test_one_of_a_second_leader_in_a_term_is_refused(self) -> None:
        solo = follower()
        assert not solo.installed("c", snapshot(3, (10, 2), leader="c")).success
        assert solo.alarms("claims to lead term 3")


def test_acknowledgements_of_a_log_that_was_discarded_become_refusals() -> None:
    """The old leader must not count what is not here any more."""
    solo = follower()
    held = solo.ask("b", append(3, (1, 1), [entry(2, 3)]))
    solo.ask("c", snapshot(5, (10, 4), leader="c"))
    solo.store()
    solo.persist()
    assert not solo.replies[held].success
    assert solo.replies[held].term == 5


def test_a_snapshot_that_is_being_taken_meanwhile_is_forgotten() -> None:
    solo = follower(entry(2, 1), commit=2)
    solo.machine.snapshot_now(solo.now)
    solo.turn()
    solo.installed("b", snapshot(3, (10, 2)))
    installed = solo.snapshot
    solo.finish_snapshot()
    solo.snapshot = installed
    assert solo.status.snapshot_index == 10
    assert solo.answered("b", append(3, (10, 2), [entry(11, 3)])).success


def meta_of(index: int, term: int) -> SnapshotMeta:
    return SnapshotMeta(
        index=Index(index),
        term=Term(term),
        configuration=Configuration.of_voters(*ids("a", "b", "c")),
        configuration_index=Index(1),
    )


class TestRule11ASnapshotThatWasNeverAgreedOn:
    """Rule 11: a term conflict at our own snapshot's index."""

    def disputed(self) -> Solo:
        """Return a server with a snapshot at (10, 5), which nobody else has."""
        solo = Solo(snapshot=meta_of(10, 5), kept=MemoryLog([], first=11), term=6)
        response = solo.answered("b", append(6, (10, 4), [entry(11, 6)], commit=11))
        assert not response.success
        return solo

    def test_entries_are_refused_and_the_operator_is_told(self) -> None:
        solo = self.disputed()
        assert solo.alarms("the cluster has another entry 10")
        assert not solo.answered("b", append(6, (0, 0), [entry(1, 1)])).success
        assert solo.answered("b", heartbeat(6)).success
        assert solo.status.last_index == 10

    def test_it_is_seen_in_entries_over_the_snapshot_too(self) -> None:
        solo = Solo(snapshot=meta_of(10, 5), kept=MemoryLog([], first=11), term=6)
        entries = [entry(i, 4) for i in range(8, 12)]
        assert not solo.answered("b", append(6, (7, 4), entries, commit=11)).success
        assert solo.alarms("another entry 10")

    def test_it_does_not_campaign(self) -> None:
        solo = self.disputed()
        solo.wait(10)
        assert solo.status.role is Role.FOLLOWER

    @pytest.mark.parametrize("index", [8, 10, 12])
    def test_the_next_snapshot_heals_it_whatever_its_index(self, index: int) -> None:
        solo = self.disputed()
        assert solo.installed("b", snapshot(6, (index, 6))) == ok(6)
        status = solo.status
        assert (status.commit_index, status.last_index, status.last_log_term) == (index, index, 6)
        assert solo.answered("b", append(6, (index, 6), [entry(index + 1, 6)])).success

    def test_one_that_a_restart_would_not_find_first_is_refused(self) -> None:
        """Snapshots are listed by term, then index: the disputed one would come back."""
        solo = self.disputed()
        answer = solo.installed("b", snapshot(6, (8, 4)))
        assert "after entry 10" in answer.error

    def test_a_snapshot_at_the_same_entry_shows_it(self) -> None:
        solo = Solo(snapshot=meta_of(10, 5), kept=MemoryLog([], first=11), term=6)
        assert solo.installed("b", snapshot(6, (10, 6))) == ok(6)
        assert solo.status.last_log_term == 6
