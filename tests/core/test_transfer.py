"""How a leader hands over (mixed-cluster rules 21 and 23)."""

from __future__ import annotations

import re

import pytest

from raft_over_libp2p.core.membership_change import ChangeKind
from raft_over_libp2p.core.messages import (
    AppendEntriesResponse,
    ErrorResponse,
    RequestVoteRequest,
    TimeoutNowRequest,
    TimeoutNowResponse,
)
from raft_over_libp2p.core.ready import Call, Role, TransferEnded
from raft_over_libp2p.errors import NotLeader, ProposalRefused
from raft_over_libp2p.types import Index, ServerID, Term
from tests.core.cluster import Cluster
from tests.core.solo import Solo, heartbeat

B = ServerID("b")


def leader(*caught_up: str) -> Solo:
    solo = Solo("a", "b", "c", nonvoters=["n"])
    solo.lead_with_commit(*caught_up)
    return solo


def begin(solo: Solo, target: str | None = "b") -> ServerID:
    chosen = solo.machine.transfer_leadership(ServerID(target) if target else None, solo.now)
    solo.turn()
    return chosen


def told(solo: Solo) -> list[Call]:
    return solo.take_calls(TimeoutNowRequest)


def ended(solo: Solo) -> list[TransferEnded]:
    return [o for o in solo.observations if isinstance(o, TransferEnded)]


def sent() -> tuple[Solo, Call]:
    """Return a leader that told b to campaign."""
    solo = leader("b", "c")
    begin(solo)
    solo.acknowledge_all("b")
    (call,) = told(solo)
    return solo, call


class TestToWhom:
    def test_only_a_leader_hands_over(self) -> None:
        solo = Solo("a", "b", "c")
        with pytest.raises(NotLeader):
            begin(solo)

    def test_by_default_it_is_the_voter_with_the_longest_log(self) -> None:
        assert begin(leader("c", "n"), None) == "c"

    def test_by_default_it_is_one_that_was_heard_lately(self) -> None:
        solo = leader("b", "c")
        for _ in range(5):
            solo.wait(0.2)
            for call in solo.heartbeats("b"):
                solo.respond(call, solo.success())
        solo.propose(b"x")
        solo.persist()
        for call in solo.appends("c"):
            solo.fail(call)
        assert begin(solo, None) == "b"

    @pytest.mark.parametrize(
        ("target", "text"),
        [
            ("n", "n is not a voter of this cluster"),
            ("x", "x is not a voter of this cluster"),
            ("a", "cannot transfer leadership to itself"),
        ],
    )
    def test_who_cannot_lead_is_refused(self, target: str, text: str) -> None:
        solo = leader("b")
        with pytest.raises(ProposalRefused, match=re.escape(text)):
            begin(solo, target)
        solo.propose(b"x")

    def test_who_is_down_is_refused(self) -> None:
        solo = leader("b")
        for _ in range(4):
            solo.wait(0.2)
            for call in solo.heartbeats("c"):
                solo.respond(call, solo.success())
        with pytest.raises(ProposalRefused, match=r"b was not heard for 0.[78] s"):
            begin(solo, "b")

    def test_a_cluster_of_one_has_nobody(self) -> None:
        solo = Solo("a")
        solo.lead()
        with pytest.raises(ProposalRefused, match="no other voter"):
            begin(solo, None)

    def test_one_at_a_time(self) -> None:
        solo = leader("b", "c")
        begin(solo)
        with pytest.raises(ProposalRefused, match="leadership transfer in progress"):
            begin(solo, "c")


class TestRule21:
    def test_mixed_rule_21_timeout_now_waits_for_a_fresh_success_at_the_last_entry(self) -> None:
        """Rule 21: send TimeoutNow only at match = last, after a fresh success."""
        solo = leader("b", "c")
        begin(solo)
        assert told(solo) == []
        (probe,) = solo.appends("b")
        assert (probe.request.prev_log_index, probe.request.entries) == (2, ())
        solo.respond(probe, solo.success())
        (call,) = told(solo)
        assert call.peer == "b"

    def test_mixed_rule_21_entries_come_first(self) -> None:
        solo = leader("b", "c")
        solo.propose(b"x")
        solo.propose(b"y")
        begin(solo)
        first, *others = solo.appends("b")
        solo.respond(first, solo.success())
        assert told(solo) == []
        for call in others:
            solo.respond(call, solo.success())
        assert len(told(solo)) == 1

    def test_mixed_rule_21_a_success_asked_for_before_is_not_fresh(self) -> None:
        solo = leader("b", "c")
        solo.propose(b"x")
        (before,) = solo.appends("b")
        solo.wait(0.05)
        begin(solo)
        solo.respond(before, solo.success())
        assert told(solo) == []
        solo.acknowledge_all("b")
        assert len(told(solo)) == 1

    def test_mixed_rule_21_writes_are_stopped(self) -> None:
        solo = leader("b", "c")
        begin(solo)
        with pytest.raises(ProposalRefused, match="leadership transfer in progress"):
            solo.propose(b"x")
        with pytest.raises(ProposalRefused, match="leadership transfer in progress"):
            solo.change(ChangeKind.ADD_VOTER, "d")
        assert solo.status.transfer_target == "b"

    def test_mixed_rule_21_it_dies_after_an_election_timeout(self) -> None:
        solo = leader("b", "c")
        begin(solo)
        for _ in range(6):
            solo.wait(0.19)
            for call in [*solo.heartbeats("c"), *solo.heartbeats("b")]:
                solo.respond(call, solo.success())
        assert ended(solo) == [TransferEnded(B, "b did not take over within 1.0 s")]
        solo.propose(b"x")

    def test_mixed_rule_21_it_dies_on_step_down(self) -> None:
        solo = leader("b", "c")
        begin(solo)
        solo.answered("c", heartbeat(9, "c"))
        assert len(ended(solo)) == 1
        assert "stopped leading before the other was ready" in ended(solo)[0].error
        assert solo.status.transfer_target is None

    def test_it_ends_well_when_another_leads(self) -> None:
        solo, _ = sent()
        answer = AppendEntriesResponse(term=Term(3), last_log=Index(2), success=False)
        solo.respond(solo.heartbeats("b")[0], answer)
        assert solo.status.role is Role.FOLLOWER
        assert ended(solo) == []
        solo.answered("b", heartbeat(3))
        assert ended(solo) == [TransferEnded(B, "")]

    def test_it_ends_when_nobody_is_heard_to_lead(self) -> None:
        solo, _ = sent()
        answer = AppendEntriesResponse(term=Term(3), last_log=Index(2), success=False)
        solo.respond(solo.heartbeats("b")[0], answer)
        solo.wait(1.1)
        assert ended(solo) == [TransferEnded(B, "b did not take over within 1.0 s")]

    def test_a_target_that_refuses_ends_it_at_once(self) -> None:
        solo, call = sent()
        solo.respond(call, ErrorResponse(error="this server may not campaign now"))
        assert ended(solo) == [TransferEnded(B, "b refused: this server may not campaign now")]
        solo.propose(b"x")

    def test_a_target_that_does_not_answer_ends_it_at_once(self) -> None:
        solo, call = sent()
        solo.fail(call, "connection reset")
        assert ended(solo) == [TransferEnded(B, "b did not answer: connection reset")]

    def test_a_target_that_agrees_is_waited_for(self) -> None:
        solo, call = sent()
        solo.respond(call, TimeoutNowResponse())
        assert ended(solo) == []
        with pytest.raises(ProposalRefused):
            solo.propose(b"x")

    def test_mixed_rule_21_the_transfer_flag_is_for_one_round_only(self) -> None:
        """Rule 21: pre-vote is skipped for one round only."""
        solo = Solo("a", "b", "c")
        solo.answered("b", heartbeat(2))
        solo.answered("b", TimeoutNowRequest())
        (first, *_) = solo.take_calls(RequestVoteRequest)
        assert first.request.leadership_transfer
        solo.wait(2.5)
        solo.persist()
        assert solo.take_calls(RequestVoteRequest) == []


class TestRule23AStalledDisk:
    def test_mixed_rule_23_a_voter_with_the_whole_log_is_told_to_campaign(self) -> None:
        """Rule 23: TimeoutNow to a voter at match = last, else plain step-down."""
        solo = leader("b", "c")
        solo.propose(b"x")
        solo.acknowledge_all("c")
        for _ in range(8):
            solo.wait(0.15)
            for call in [*solo.heartbeats("c"), *solo.heartbeats("b")]:
                solo.respond(call, solo.success())
        assert solo.status.role is Role.FOLLOWER
        assert [call.peer for call in told(solo)] == ["c"]

    def test_mixed_rule_23_without_one_it_just_steps_down(self) -> None:
        solo = leader("b", "c")
        solo.propose(b"x")
        for _ in range(8):
            solo.wait(0.15)
            for call in [*solo.heartbeats("c"), *solo.heartbeats("b")]:
                solo.respond(call, solo.success())
        assert solo.status.role is Role.FOLLOWER
        assert told(solo) == []


def test_a_leader_that_was_removed_hands_over() -> None:
    """Thesis 4.2.2: without it an election timeout passes before another leads."""
    cluster = Cluster(["a", "b", "c"])
    cluster.commit(b"x")
    first = cluster.leader()
    cluster.change(ChangeKind.REMOVE_SERVER, first.server_id)
    cluster.run(0.3)
    assert cluster.leaders()
    assert cluster.leader() is not first
