"""hashicorp/raft before 1.7 ends the stream on a pre-vote (raft-wire 3)."""

from __future__ import annotations

from raft_over_libp2p.core.messages import (
    RequestPreVoteRequest,
    RequestPreVoteResponse,
    RequestVoteRequest,
)
from raft_over_libp2p.core.ready import Call, Role
from raft_over_libp2p.types import Term
from tests.core.solo import Solo, heartbeat


def next_round(solo: Solo) -> list[Call]:
    while not (calls := solo.take_calls(RequestPreVoteRequest)):
        solo.time_out()
    return calls


def hang_up(solo: Solo) -> None:
    """Let a round of pre-votes go by in which ``b`` hangs up, and ``c`` is not there."""
    for call in next_round(solo):
        solo.fail(call, is_hung_up=call.peer == "b")


def test_a_voter_that_hangs_up_on_three_pre_votes_is_asked_for_its_vote() -> None:
    solo = Solo("a", "b", "c")

    hang_up(solo)
    hang_up(solo)
    assert 1 == solo.term
    hang_up(solo)
    solo.persist()

    assert 2 == solo.term
    assert {"b", "c"} == {call.peer for call in solo.take_calls(RequestVoteRequest)}


def test_it_takes_three_in_a_row() -> None:
    """A peer that dies hangs up once, and is not reached after that."""
    solo = Solo("a", "b", "c")

    for _ in range(3):
        hang_up(solo)
        for call in next_round(solo):
            solo.fail(call)
        hang_up(solo)

    assert 1 == solo.term


def test_an_answer_shows_that_a_voter_knows_pre_votes() -> None:
    solo = Solo("a", "b", "c")
    hang_up(solo)
    hang_up(solo)

    for call in next_round(solo):
        solo.respond(call, RequestPreVoteResponse(term=Term(1), granted=False))
    hang_up(solo)

    assert 1 == solo.term


def test_a_server_that_nobody_hears_moves_no_term() -> None:
    solo = Solo("a", "b", "c")

    for _ in range(10):
        for call in next_round(solo):
            solo.fail(call)

    assert 1 == solo.term


def test_who_hangs_up_on_a_vote_has_refused_it() -> None:
    solo = Solo("a", "b", "c")
    for _ in range(3):
        hang_up(solo)
    solo.persist()

    for _ in range(3):
        for call in solo.take_calls(RequestVoteRequest):
            solo.fail(call, is_hung_up=True)

    assert Role.CANDIDATE is solo.status.role


def test_while_a_leader_is_heard_nobody_is_asked() -> None:
    solo = Solo("a", "b", "c")
    for _ in range(3):
        hang_up(solo)
    solo.persist()
    term = solo.term

    solo.answered("b", heartbeat(term))

    assert Role.FOLLOWER is solo.status.role
