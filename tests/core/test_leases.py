"""Promises of voters and what a leader makes of them (thesis 6.4.1; mixed-cluster rule 6)."""

from __future__ import annotations

import pytest

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core.events import CallFailed, ClockStoodStill
from raft_over_libp2p.core.membership_change import ChangeKind
from raft_over_libp2p.core.messages import (
    ErrorResponse,
    LeaseRequest,
    LeaseResponse,
    RequestPreVoteResponse,
    RequestVoteResponse,
    TimeoutNowRequest,
)
from raft_over_libp2p.core.ready import Call, ReadState
from raft_over_libp2p.core.status import CoreStatus
from raft_over_libp2p.errors import LocalProtocolError
from raft_over_libp2p.types import Index, ServerID, Term
from tests.core.solo import Solo, heartbeat, prevote_request, vote_request

CONFIG = RaftConfig(lease_reads=True, leader_lease_timeout_s=1.0)


def leader(*others: str) -> Solo:
    """Return a leader whose heartbeats have been answered, with every promise outstanding."""
    others = others or ("b", "c")
    solo = Solo("a", *others, config=CONFIG)
    solo.wait(CONFIG.election_timeout_s)
    solo.lead_with_commit(*others)
    solo.take_calls(LeaseRequest)
    return solo


def ask(solo: Solo) -> list[Call]:
    """Let time pass until promises are asked for; return the requests, one a voter."""
    solo.take_calls(LeaseRequest)
    while True:
        solo.time_out()
        for peer in "bcde":
            for call in solo.heartbeats(peer):
                solo.respond(call, solo.success())
        if calls := solo.take_calls(LeaseRequest):
            return calls


def grant(solo: Solo, *calls: Call) -> None:
    for call in calls:
        solo.respond(call, LeaseResponse(term=solo.term, granted=True))


def left_s(solo: Solo) -> float:
    status: CoreStatus = solo.status
    return status.lease_left_s


class TestRule6TheLeader:
    def test_it_reads_at_once_while_enough_voters_are_bound(self) -> None:
        solo = leader()
        grant(solo, ask(solo)[0])

        solo.machine.read_index(7, solo.now)
        solo.turn()

        assert [ReadState(7, Index(2))] == solo.reads
        assert left_s(solo) == pytest.approx(0.9)

    def test_a_promise_counts_from_its_request(self) -> None:
        """Fault 54: it must not count from the answer."""
        solo = leader()
        (call, _) = ask(solo)
        solo.now += 0.3
        grant(solo, call)

        assert left_s(solo) == pytest.approx(0.6)

    @pytest.mark.parametrize(("others", "needed"), [("bc", 1), ("bcd", 1), ("bcde", 2)])
    def test_bound_voters_are_in_every_majority(self, others: str, needed: int) -> None:
        """The leader and they must be n - quorum + 1."""
        solo = leader(*others)
        calls = ask(solo)
        grant(solo, *calls[: needed - 1])
        assert left_s(solo) == 0
        grant(solo, calls[needed - 1])
        assert left_s(solo) > 0

    def test_a_refusal_and_a_peer_without_the_protocol_count_for_nothing(self) -> None:
        solo = leader()
        refused, deaf = ask(solo)
        solo.respond(refused, LeaseResponse(term=solo.term, granted=False))
        solo.machine.handle(CallFailed(deaf.call, "not served", is_unsupported=True), solo.now)
        solo.turn()

        assert left_s(solo) == 0
        assert [refused.peer] == [call.peer for call in ask(solo)]
        solo.connect(deaf.peer)
        assert {refused.peer, deaf.peer} == {call.peer for call in ask(solo)}

    def test_it_needs_a_commit_of_its_own_term(self) -> None:
        solo = Solo("a", "b", "c", config=CONFIG)
        solo.wait(CONFIG.election_timeout_s)
        solo.lead()
        grant(solo, *ask(solo))

        assert left_s(solo) == 0

    def test_it_needs_a_configuration_that_is_agreed_on(self) -> None:
        solo = leader()
        grant(solo, *ask(solo))
        solo.change(ChangeKind.ADD_VOTER, "d")

        assert left_s(solo) == 0

    def test_a_suspend_ends_it_and_what_was_asked_before(self) -> None:
        solo = leader()
        first, second = ask(solo)
        grant(solo, first)
        solo.machine.handle(ClockStoodStill(), solo.now)
        grant(solo, second)
        assert left_s(solo) == 0

        grant(solo, ask(solo)[0])
        assert left_s(solo) > 0

    def test_it_ends_before_leadership_is_handed_over(self) -> None:
        solo = leader()
        before = ask(solo)
        grant(solo, before[0])
        solo.machine.transfer_leadership(ServerID("b"), solo.now)
        solo.turn()
        grant(solo, before[1])

        assert left_s(solo) == 0
        assert [0, 0] == [c.request.duration_ms for c in solo.take_calls(LeaseRequest)]

    def test_verify_leader_asks_all_the_same(self) -> None:
        solo = leader()
        grant(solo, *ask(solo))
        solo.machine.verify_leader(7, solo.now)
        solo.turn()

        assert solo.reads == []
        solo.respond(solo.heartbeats("b")[-1], solo.success())
        assert [ReadState(7, Index(2))] == solo.reads

    def test_nobody_is_asked_unless_it_is_on(self) -> None:
        solo = Solo("a", "b", "c")
        solo.lead_with_commit("b", "c")
        solo.wait(0.3)

        assert solo.take_calls(LeaseRequest) == []
        assert left_s(solo) == 0


def lease(round_: int, *, term: int = 3, ms: int = 1000) -> LeaseRequest:
    return LeaseRequest(term=Term(term), round=round_, duration_ms=ms)


def voter(config: RaftConfig = CONFIG) -> Solo:
    solo = Solo("a", "b", "c", term=3, config=config)
    solo.now += config.election_timeout_s
    solo.answered("b", heartbeat(3))
    return solo


def granted(solo: Solo, peer: str, request: LeaseRequest) -> bool:
    answer = solo.answered(peer, request)
    assert isinstance(answer, LeaseResponse)
    return answer.granted


def votes(solo: Solo) -> bool:
    answer = solo.answered("c", vote_request(9, (9, 9), "c", transfer=True))
    assert isinstance(answer, RequestVoteResponse)
    return answer.granted


class TestRule6TheVoter:
    def test_a_bound_voter_elects_nobody_else(self) -> None:
        solo = voter()
        assert granted(solo, "b", lease(1))
        solo.now += 0.99

        assert not votes(solo)
        pre_vote = solo.answered("c", prevote_request(9, (9, 9)))
        assert isinstance(pre_vote, RequestPreVoteResponse)
        assert not pre_vote.granted
        assert isinstance(solo.answered("b", TimeoutNowRequest()), ErrorResponse)
        assert solo.term == 3

    def test_it_is_free_again_when_its_time_is_over(self) -> None:
        solo = voter()
        granted(solo, "b", lease(1))
        solo.now += 1.0

        assert votes(solo)

    def test_a_promise_given_back_frees_it_for_a_transfer(self) -> None:
        solo = voter()
        granted(solo, "b", lease(1))
        granted(solo, "b", lease(2, ms=0))

        assert votes(solo)

    def test_a_late_round_undoes_nothing(self) -> None:
        solo = voter()
        granted(solo, "b", lease(3))
        assert not granted(solo, "b", lease(2, ms=0))

        assert not votes(solo)

    @pytest.mark.parametrize(
        ("peer", "request_"),
        [
            ("c", lease(1)),
            ("b", lease(1, term=2)),
            ("b", lease(1, term=4)),
            ("b", lease(1, ms=1001)),
        ],
    )
    def test_only_its_leader_is_promised_and_not_too_much(
        self, peer: str, request_: LeaseRequest
    ) -> None:
        assert not granted(voter(), peer, request_)

    def test_nothing_is_promised_unless_it_is_on(self) -> None:
        assert not granted(voter(RaftConfig()), "b", lease(1))

    def test_it_keeps_still_for_an_election_timeout_after_it_started(self) -> None:
        """It may have promised something before it crashed."""
        solo = voter()
        granted(solo, "b", lease(1))
        solo.crash_and_restart()
        assert not votes(solo)
        solo.now += CONFIG.election_timeout_s
        assert votes(solo)


def test_leases_need_a_timeout_that_outlasts_what_is_not_noticed() -> None:
    with pytest.raises(LocalProtocolError, match="lease_reads"):
        RaftConfig(
            lease_reads=True,
            heartbeat_timeout_s=0.2,
            election_timeout_s=0.2,
            leader_lease_timeout_s=0.1,
        )
