"""How a leader sends snapshots: to whom, when again, and what waits meanwhile."""

from __future__ import annotations

import pytest

from raft_over_libp2p import limits
from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core.events import SnapshotNotTaken
from raft_over_libp2p.core.membership_change import ChangeKind
from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    ErrorResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
)
from raft_over_libp2p.core.ready import Call, Role, SnapshotMeta
from raft_over_libp2p.core.status import ProgressMode
from raft_over_libp2p.types import Configuration, Index, LogType, Term
from tests.core.logs import MemoryLog, entry, ids
from tests.core.solo import Solo

NO_TRAIL = RaftConfig(trailing_logs=0)


def leader(*voters: str, last: int = 14) -> Solo:
    """Return the leader of term 4 with a snapshot at (10, 2), entries 11 to ``last``, and a no-op."""
    voters = voters or ("a", "b", "c")
    meta = SnapshotMeta(
        index=Index(10),
        term=Term(2),
        configuration=Configuration.of_voters(*ids(*voters)),
        configuration_index=Index(4),
    )
    kept = MemoryLog([entry(i, 3) for i in range(11, last + 1)], first=11)
    solo = Solo(snapshot=meta, kept=kept, term=3, config=NO_TRAIL)
    solo.lead()
    return solo


def sent(solo: Solo, peer: str) -> list[Call]:
    return solo.take_calls(InstallSnapshotRequest, peer)


def install(solo: Solo, peer: str, last_log: int = 3) -> Call:
    """Let ``peer`` ask for a snapshot, and return the call that brings it."""
    while calls := solo.appends(peer):
        solo.respond(calls[0], solo.reject(last_log))
    (call,) = sent(solo, peer)
    return call


def installed(solo: Solo) -> InstallSnapshotResponse:
    return InstallSnapshotResponse(term=solo.term, success=True)


def keep_in_touch(solo: Solo, seconds: float, *peers: str) -> None:
    end = solo.now + seconds
    while solo.now < end:
        solo.wait(0.2)
        for peer in peers:
            for call in solo.heartbeats(peer):
                solo.respond(call, solo.success())


class TestTheSnapshot:
    def test_it_is_sent_when_the_entries_it_takes_are_gone(self) -> None:
        solo = leader()
        call = install(solo, "b")
        assert call.request == InstallSnapshotRequest(
            term=Term(4),
            leader=ids("a")[0],
            last_log_index=Index(10),
            last_log_term=Term(2),
            configuration=Configuration.of_voters(*ids("a", "b", "c")),
            configuration_index=Index(4),
            size_bytes=0,
        )
        assert solo.progress("b").mode is ProgressMode.SNAPSHOT

    def test_mixed_rule_4_only_heartbeats_go_out_beside_it(self) -> None:
        solo = leader()
        install(solo, "b")
        solo.acknowledge_all("c")
        solo.propose(b"x")
        solo.persist()
        keep_in_touch(solo, 2, "b", "c")
        assert solo.status.role is Role.LEADER
        assert solo.appends("b") == []
        assert sent(solo, "b") == []

    def test_entries_follow_when_it_is_answered(self) -> None:
        solo = leader()
        call = install(solo, "b")
        solo.respond(call, installed(solo))
        assert solo.progress("b").match_index == 10
        (append,) = solo.appends("b")
        assert append.request.prev_log_index == 10
        assert [e.index for e in append.request.entries] == [11, 12, 13, 14]

    def test_it_counts_for_no_majority_of_its_own(self) -> None:
        """It holds only what is committed."""
        solo = leader()
        solo.respond(install(solo, "b"), installed(solo))
        assert solo.status.commit_index == 10
        solo.acknowledge_all("b")
        assert solo.status.commit_index == 15

    def test_a_higher_term_in_its_answer_ends_leading(self) -> None:
        solo = leader()
        call = install(solo, "b")
        solo.respond(call, InstallSnapshotResponse(term=Term(9), success=False))
        assert (solo.status.role, solo.term) == (Role.FOLLOWER, 9)

    def test_one_that_was_refused_is_sent_again_later(self) -> None:
        solo = leader()
        solo.respond(install(solo, "b"), ErrorResponse(error="short read"))
        assert solo.progress("b").last_error == "short read"
        solo.wait(0.05)
        (again,) = sent(solo, "b")
        assert again.request.last_log_index == 10

    def test_none_is_sent_to_a_silent_peer(self) -> None:
        """It would fail, and the next would have to be a newer one."""
        solo = leader()
        solo.acknowledge_all("c")
        solo.respond(install(solo, "b"), ErrorResponse(error="busy"))
        for _ in range(15):
            keep_in_touch(solo, 0.1, "c")
            for call in sent(solo, "b"):
                solo.respond(call, ErrorResponse(error="busy"))
        keep_in_touch(solo, 2, "c")
        assert sent(solo, "b") == []
        solo.respond(solo.heartbeats("b")[-1], solo.success())
        assert len(sent(solo, "b")) == 1

    def test_mixed_rule_12_entries_after_one_on_its_way_stay(self) -> None:
        """Rule 12: compaction never past one being sent or the entries after it."""
        solo = leader()
        call = install(solo, "b")
        solo.acknowledge_all("c")
        assert solo.take_snapshot().index == 15
        assert solo.status.first_index == 11
        solo.respond(call, installed(solo))
        solo.acknowledge_all("b")
        assert solo.progress("b").match_index == 15
        solo.propose(b"x")
        solo.persist()
        solo.acknowledge_all("b")
        assert solo.take_snapshot().index == 16
        assert solo.status.first_index == 17


class TestRule4AnUnknownOutcome:
    """Rule 4: a late or repeated InstallSnapshot takes back what a Go follower has since."""

    def failed(self) -> Solo:
        solo = leader()
        solo.acknowledge_all("c")
        solo.fail(install(solo, "b"))
        keep_in_touch(solo, 0.3, "b", "c")
        return solo

    def test_mixed_rule_4_a_round_trip_comes_before_entries(self) -> None:
        solo = self.failed()
        (probe,) = solo.appends("b")
        assert (probe.request.prev_log_index, probe.request.entries) == (10, ())
        assert sent(solo, "b") == []
        solo.respond(probe, solo.success())
        append, *_ = solo.appends("b")
        assert append.request.entries[0].index == 11

    def test_mixed_rule_4_a_further_snapshot_has_a_larger_index(self) -> None:
        solo = self.failed()
        (probe,) = solo.appends("b")
        solo.respond(probe, solo.reject(3))
        assert sent(solo, "b") == []
        assert solo.finish_snapshot().index == 15
        (again,) = sent(solo, "b")
        assert again.request.last_log_index == 15

    def test_mixed_rule_4_the_same_is_sent_again_when_nothing_newer_is_agreed_on(self) -> None:
        """Perhaps nothing can be, without the peer that needs it."""
        solo = leader()
        solo.fail(install(solo, "b"))
        keep_in_touch(solo, 0.3, "b", "c")
        (probe,) = solo.appends("b")
        solo.respond(probe, solo.reject(3))
        (again,) = sent(solo, "b")
        assert again.request.last_log_index == 10

    def test_the_round_trip_is_repeated_until_it_is_answered(self) -> None:
        solo = self.failed()
        (probe,) = solo.appends("b")
        solo.fail(probe)
        keep_in_touch(solo, 0.3, "b", "c")
        (again,) = solo.appends("b")
        assert (again.request.prev_log_index, again.request.entries) == (10, ())

    def test_a_silent_peer_costs_no_further_snapshots(self) -> None:
        solo = self.failed()
        for call in solo.appends("b"):
            solo.fail(call)
        keep_in_touch(solo, 5, "c")
        assert (solo.taking, sent(solo, "b")) == (None, [])


class TestRule4WhatAPeerMayHaveApplied:
    """Rule 4: a Go peer with a stale tail above its own snapshot hides how far it is."""

    def test_mixed_rule_4_none_is_sent_that_is_older(self) -> None:
        solo = leader()
        solo.acknowledge_all("c")
        while calls := solo.appends("b"):
            solo.respond(calls[0], solo.reject(12))
        assert sent(solo, "b") == []
        assert solo.finish_snapshot().index == 15
        (call,) = sent(solo, "b")
        assert call.request.last_log_index == 15

    def test_mixed_rule_4_before_a_commit_of_its_term_a_leader_waits_an_election_timeout(
        self,
    ) -> None:
        solo = leader()
        while calls := solo.appends("b"):
            solo.respond(calls[0], solo.reject(12))
        keep_in_touch(solo, 0.8, "b", "c")
        assert sent(solo, "b") == []
        keep_in_touch(solo, 0.6, "b", "c")
        (call,) = sent(solo, "b")
        assert call.request.last_log_index == 10


def test_after_a_snapshot_that_was_not_stored_what_it_stood_for_is_sent_again() -> None:
    """Its disk was full: first it could not store entries, and then not the snapshot."""
    solo = leader()
    solo.acknowledge_all("b")
    solo.acknowledge_all("c")
    solo.propose(b"x")
    solo.persist()
    solo.acknowledge_all("c")
    for _ in range(2):
        solo.respond(solo.appends("b")[-1], solo.reject(15, storage=True))
        keep_in_touch(solo, 0.2, "c")
    assert solo.finish_snapshot().index == 16
    (call,) = sent(solo, "b")
    solo.respond(call, InstallSnapshotResponse(term=solo.term, success=False))
    keep_in_touch(solo, 0.2, "b", "c")
    assert [call.request.last_log_index for call in sent(solo, "b")] == [16]


def test_no_ops_wait_for_room_among_what_is_uncommitted(monkeypatch: pytest.MonkeyPatch) -> None:
    solo = leader()
    solo.acknowledge_all("c")
    solo.respond(install(solo, "b"), installed(solo))
    (append,) = solo.appends("b")
    solo.propose(b"x" * 100)
    monkeypatch.setattr(limits, "MAX_UNCOMMITTED_BYTES", 300)
    solo.respond(append, solo.reject(25))
    assert solo.status.last_index == 16
    solo.persist()
    solo.acknowledge_all("c")
    solo.turn()
    assert solo.status.last_index == 26


class TestRule15AStaleTailOverASnapshot:
    """Rule 15: a Go follower with a stale tail above a snapshot rejects for ever."""

    def refused(self, last_log: int) -> Solo:
        """Return a leader whose snapshot b acknowledged, and then rejects what follows it."""
        solo = leader()
        solo.acknowledge_all("c")
        solo.respond(install(solo, "b"), installed(solo))
        (append,) = solo.appends("b")
        solo.respond(append, solo.reject(last_log))
        for _ in range(5):
            # Whether its last entry is one of ours: it is not, nor are those before it.
            for asked in solo.appends("b"):
                solo.respond(asked, solo.reject(last_log))
        return solo

    def test_what_it_holds_above_the_snapshot_may_be_ours_and_is_asked_for_once(self) -> None:
        """One of two: nothing can be agreed on without it, and an answer of it was lost."""
        solo = leader()
        solo.acknowledge_all("c")
        solo.respond(install(solo, "b"), installed(solo))
        (append,) = solo.appends("b")
        solo.respond(append, solo.reject(14))
        (asked,) = solo.appends("b")
        assert (14, ()) == (asked.request.prev_log_index, asked.request.entries)
        solo.respond(asked, solo.success(14))
        assert solo.progress("b").match_index == 14

    def test_mixed_rule_15_a_snapshot_behind_its_last_entry_is_sent(self) -> None:
        solo = self.refused(12)
        assert solo.appends("b") == []
        assert solo.finish_snapshot().index == 15
        (call,) = sent(solo, "b")
        assert call.request.last_log_index == 15

    def test_mixed_rule_15_no_ops_are_appended_until_the_log_outgrows_it(self) -> None:
        solo = self.refused(25)
        solo.persist()
        solo.acknowledge_all("c")
        assert solo.status.last_index == 26
        assert {e.type for e in solo.committed[-10:]} == {LogType.NOOP}
        assert solo.finish_snapshot().index == 26
        (call,) = sent(solo, "b")
        assert call.request.last_log_index == 26
        solo.respond(call, installed(solo))
        assert solo.progress("b").match_index == 26

    def test_a_long_tail_is_outgrown_in_parts(self) -> None:
        solo = self.refused(15 + 2000)
        assert solo.status.last_index == 15 + limits.MAX_APPLY_BATCH_ENTRIES
        solo.turn()
        assert solo.status.last_index == 15 + 2000 + 1

    def test_a_tail_beyond_all_reason_is_told_to_the_operator(self) -> None:
        solo = self.refused(2**40)
        assert solo.status.last_index == 15
        assert solo.alarms("says that its log ends at entry 1099511627776")

    def test_mixed_rule_15_two_storage_rejects_at_one_place_ask_for_a_snapshot(self) -> None:
        """It fell into a hole of the peer's store."""
        solo = leader()
        solo.acknowledge_all("c")
        (call,) = solo.appends("b")
        solo.respond(call, solo.reject(18, storage=True))
        keep_in_touch(solo, 0.2, "c")
        (again,) = solo.appends("b")
        assert again.request.prev_log_index == call.request.prev_log_index
        solo.respond(again, solo.reject(18, storage=True))
        solo.persist()
        solo.acknowledge_all("c")
        keep_in_touch(solo, 0.2, "c")
        solo.respond(solo.appends("b")[-1], solo.reject(18, storage=True))
        assert solo.finish_snapshot().index == 19
        (snapshot,) = sent(solo, "b")
        assert snapshot.request.last_log_index == 19

    def test_a_peer_without_space_whose_entry_it_takes_is_sent_entries_for_ever(self) -> None:
        """One of two: no newer snapshot can be agreed on without it."""
        solo = leader("a", "b")
        solo.persist()
        solo.acknowledge_all("b")
        solo.propose(b"x")
        solo.persist()
        for _ in range(4):
            solo.respond(solo.appends("b")[0], solo.reject(15, storage=True))
            keep_in_touch(solo, 0.2, "b")
        solo.acknowledge_all("b")
        assert solo.status.commit_index == 16

    def test_who_knows_an_acknowledged_entry_no_more_is_asked_for_its_last(self) -> None:
        """Its own snapshot ends there, and entries behind it came whose answer was lost."""
        solo = leader("a", "b")
        solo.persist()
        solo.acknowledge_all("b")
        solo.propose(b"x", b"y")
        solo.persist()
        for call in solo.appends("b"):
            solo.fail(call)
        keep_in_touch(solo, 0.2, "b")
        for call in solo.appends("b"):
            solo.respond(call, solo.reject(17))
        keep_in_touch(solo, 0.2, "b")
        call = solo.appends("b")[0]
        assert call.request.prev_log_index == 17
        solo.respond(call, solo.success())
        assert solo.status.commit_index == 17

    def test_one_storage_reject_is_a_passing_trouble(self) -> None:
        solo = leader()
        solo.acknowledge_all("c")
        solo.respond(solo.appends("b")[0], solo.reject(18, storage=True))
        keep_in_touch(solo, 0.2, "c")
        (call,) = solo.appends("b")
        solo.respond(call, solo.success())
        solo.propose(b"x")
        solo.respond(solo.appends("b")[0], solo.reject(18, storage=True))
        assert (solo.taking, sent(solo, "b")) == (None, [])

    def test_who_refuses_the_very_first_entry_gets_a_snapshot(self) -> None:
        """Rule 11: its own snapshot was never agreed on, and it says so of any entry."""
        solo = Solo("a", "b", "c", log=[entry(2, 1)])
        solo.lead_with_commit("c")
        for _ in range(3):
            for call in solo.appends("b"):
                solo.respond(call, solo.reject(0))
        assert solo.finish_snapshot().index == 3
        assert len(sent(solo, "b")) == 1

    def test_a_snapshot_that_cannot_be_taken_is_not_tried_at_once_again(self) -> None:
        solo = self.refused(12)
        solo.taking = None
        solo.machine.handle(SnapshotNotTaken(Index(15), "no space left"), solo.now)
        solo.turn()
        keep_in_touch(solo, 20, "b", "c")
        assert solo.taking is None


class TestRule17OneVoterAtATime:
    def test_mixed_rule_17_a_second_voter_waits_when_the_rest_is_no_quorum(self) -> None:
        solo = leader()
        first = install(solo, "b")
        solo.respond(solo.appends("c")[0], solo.reject(3))
        assert sent(solo, "c") == []
        solo.respond(first, installed(solo))
        assert len(sent(solo, "c")) == 1

    def test_mixed_rule_17_it_does_not_wait_when_the_rest_is_a_quorum(self) -> None:
        solo = leader("a", "b", "c", "d", "e")
        install(solo, "b")
        install(solo, "c")
        solo.respond(solo.appends("d")[0], solo.reject(3))
        assert sent(solo, "d") == []

    def test_a_nonvoter_waits_for_nobody(self) -> None:
        solo = leader()
        solo.acknowledge_all("c")
        solo.change(ChangeKind.ADD_NONVOTER, "n")
        install(solo, "b")
        solo.respond(solo.appends("n")[0], solo.reject(0))
        assert len(sent(solo, "n")) == 1


def test_appends_and_snapshots_are_never_mixed_up() -> None:
    solo = leader()
    call = install(solo, "b")
    solo.respond(call, solo.success())
    assert solo.progress("b").match_index == 0
    assert "another RPC" in solo.progress("b").last_error
    assert not [c for c in solo.calls if isinstance(c.request, AppendEntriesRequest) and c is call]
