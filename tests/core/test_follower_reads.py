"""Reads of who does not lead, and how a leader answers them (thesis 6.4; mixed-cluster rule 7)."""

from __future__ import annotations

import pytest

from raft_over_libp2p import limits
from raft_over_libp2p.core.events import CallFailed
from raft_over_libp2p.core.messages import (
    ErrorResponse,
    ReadIndexRequest,
    ReadIndexResponse,
)
from raft_over_libp2p.core.ready import Call, ReadRefused, ReadState
from raft_over_libp2p.errors import NotLeader, ProposalRefused
from raft_over_libp2p.types import Index, ServerID, Term
from tests.core.solo import Solo, append, heartbeat, snapshot

B = ServerID("b")


def follower() -> Solo:
    solo = Solo("a", "b", "c", term=3)
    solo.answered("b", heartbeat(3))
    return solo


def read(solo: Solo, *tokens: int) -> None:
    for token in tokens:
        solo.machine.read_index(token, solo.now)
    solo.turn()


def asked(solo: Solo) -> Call:
    (call,) = solo.take_calls(ReadIndexRequest, "b")
    return call


def confirmed(index: int) -> ReadIndexResponse:
    return ReadIndexResponse(term=Term(3), index=Index(index))


class TestRule7FollowerReads:
    def test_reads_that_wait_together_share_a_request(self) -> None:
        solo = follower()
        read(solo, 1, 2)

        solo.respond(asked(solo), confirmed(9))

        assert [ReadState(1, Index(9)), ReadState(2, Index(9))] == solo.reads

    def test_a_read_that_begins_later_waits_for_the_next_request(self) -> None:
        """One request serves only reads begun before it was sent."""
        solo = follower()
        read(solo, 1)
        first = asked(solo)
        read(solo, 2)
        assert solo.take_calls(ReadIndexRequest) == []

        solo.respond(first, confirmed(9))
        assert [ReadState(1, Index(9))] == solo.reads

        solo.respond(asked(solo), confirmed(10))
        assert ReadState(2, Index(10)) == solo.reads[-1]

    def test_without_a_leader_nobody_is_asked(self) -> None:
        solo = Solo("a", "b", "c", term=3)
        with pytest.raises(NotLeader):
            solo.machine.read_index(1, solo.now)

    @pytest.mark.parametrize("term", [3, 4])
    def test_a_read_is_refused_when_the_leader_is_lost(self, term: int) -> None:
        solo = follower()
        read(solo, 1)
        call = asked(solo)
        if term == 4:
            solo.answered("c", heartbeat(4, leader="c"))
        else:
            solo.wait(5)

        assert [1] == [r.token for r in solo.reads if isinstance(r, ReadRefused)]
        solo.respond(call, confirmed(9))
        assert len(solo.reads) == 1

    def test_an_error_or_silence_refuses_the_read(self) -> None:
        solo = follower()
        read(solo, 1)
        solo.respond(asked(solo), ErrorResponse(error="this server leads no more"))
        read(solo, 2)
        solo.fail(asked(solo))

        assert [ReadRefused(1, B), ReadRefused(2, B)] == solo.reads

    def test_a_leader_without_the_protocol_is_said_to_be_one(self) -> None:
        solo = follower()
        read(solo, 1)
        solo.machine.handle(
            CallFailed(asked(solo).call, "not served", is_unsupported=True), solo.now
        )
        solo.turn()

        assert [ReadRefused(1, B, is_unsupported=True)] == solo.reads

    def test_a_state_beyond_what_was_confirmed_is_not_read(self) -> None:
        """Rule 11: a snapshot may be one that is being restored, and not agreed on."""
        solo = follower()
        read(solo, 1)
        call = asked(solo)
        solo.installed("b", snapshot(3, (5, 3)))

        solo.respond(call, confirmed(4))

        assert [ReadRefused(1, B)] == solo.reads

    def test_reads_that_wait_are_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(limits, "MAX_PENDING_READS", 2)
        solo = follower()
        for token in (1, 2):
            solo.machine.read_index(token, solo.now)
        with pytest.raises(ProposalRefused):
            solo.machine.read_index(3, solo.now)


class TestTheLeaderOfAFollower:
    def leader(self, *nonvoters: str) -> Solo:
        solo = Solo("a", "b", "c", nonvoters=nonvoters)
        solo.lead_with_commit("b")
        solo.heartbeats("b"), solo.heartbeats("c")
        return solo

    @pytest.mark.parametrize("peer", ["c", "n"])
    def test_it_answers_a_member_when_a_majority_confirmed_it(self, peer: str) -> None:
        solo = self.leader("n")
        call = solo.ask(peer, ReadIndexRequest(term=solo.term))
        assert call not in solo.replies

        solo.respond(solo.heartbeats("b")[0], solo.success())

        assert ReadIndexResponse(term=solo.term, index=Index(2)) == solo.replies[call]
        assert solo.reads == []

    def test_an_answer_to_an_earlier_call_confirms_nothing(self) -> None:
        solo = self.leader()
        solo.wait(0.25)
        earlier = solo.heartbeats("b")[-1]
        call = solo.ask("c", ReadIndexRequest(term=solo.term))

        solo.respond(earlier, solo.success())

        assert call not in solo.replies

    @pytest.mark.parametrize(("peer", "ahead"), [("z", 0), ("c", 1)])
    def test_a_stranger_and_who_knows_a_later_term_are_refused(self, peer: str, ahead: int) -> None:
        solo = self.leader()

        answer = solo.answered(peer, ReadIndexRequest(term=Term(solo.term + ahead)))

        assert isinstance(answer, ErrorResponse)
        assert solo.heartbeats("b") == []

    def test_who_does_not_lead_refuses(self) -> None:
        answer = follower().answered("c", ReadIndexRequest(term=Term(3)))

        assert isinstance(answer, ErrorResponse)

    def test_a_deposed_leader_refuses_what_waits(self) -> None:
        solo = self.leader()
        call = solo.ask("c", ReadIndexRequest(term=solo.term))

        solo.answered("b", append(9, (2, 2), leader="b"))

        assert isinstance(solo.replies[call], ErrorResponse)


def test_only_a_leader_is_verified() -> None:
    with pytest.raises(NotLeader):
        follower().machine.verify_leader(1, 100.0)
