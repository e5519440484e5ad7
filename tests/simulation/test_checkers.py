"""What checkers find in a world that is bent by hand, where no fault of the core leads to it."""

from __future__ import annotations

import pytest

from raft_over_libp2p.core.messages import AppendEntriesRequest, ErrorResponse
from raft_over_libp2p.core.ready import Call, HardState, Ready, Reply
from raft_over_libp2p.types import CallID, Index, LogEntry, Term
from tests.simulation.directed import Directed
from tests.simulation.network import OTHER
from tests.simulation.violation import Violation


def test_two_leaders_of_a_term_are_seen() -> None:
    stage = Directed(3)
    leader = stage.elect(1)

    with pytest.raises(Violation, match="election safety"):
        stage.world.elections.leads(stage.server(2).id, leader.hard_state.term)


def test_two_votes_in_a_term_are_seen() -> None:
    world = Directed(3).world
    one, two, three = (server.id for server in world.everyone)
    world.elections.vote_durable(one, HardState(Term(9), two))

    with pytest.raises(Violation, match="one vote a term"):
        world.elections.vote_durable(one, HardState(Term(9), three))


def test_a_leader_without_a_committed_entry_is_seen() -> None:
    stage = Directed(3)
    stage.elect(1)
    stage.run_for(0.5)
    laggard = stage.server(2)
    for voter in stage.world.everyone:
        stage.world.elections.vote_durable(voter.id, HardState(Term(9), laggard.id))
    laggard.log.pop()

    with pytest.raises(Violation, match="leader completeness"):
        stage.world.elections.elected(laggard, Term(9))


def test_another_entry_at_an_applied_index_is_seen() -> None:
    stage = Directed(3)
    stage.elect(1)
    stage.run_for(0.5)
    server = stage.server(2)
    server.applied = 1

    with pytest.raises(Violation, match="state machine safety"):
        stage.world.commitment.apply(server, [LogEntry(Index(2), Term(1), data=b"other")])


def test_a_commit_index_that_falls_is_seen() -> None:
    stage = Directed(3)
    stage.elect(1)
    stage.run_for(0.5)
    server = stage.server(2)
    server.commit_index += 1

    with pytest.raises(Violation, match="commit never goes back"):
        stage.world.commitment.status(server, server.status())


def test_a_lost_acknowledged_write_is_seen() -> None:
    world = Directed(3).world
    world.clients.acknowledged[b"written"] = 5

    with pytest.raises(Violation, match="is lost"):
        world.clients.final()


def test_a_second_answer_to_a_call_is_seen() -> None:
    stage = Directed(3)
    server = stage.server(1)
    with pytest.raises(Violation, match="is not open"):
        server._do(Ready(send=[Reply(CallID(99), ErrorResponse(error="no"))]), 0.0)


def test_calls_without_end_are_seen() -> None:
    stage = Directed(3)
    server, peer = stage.server(1), stage.server(2)
    request = AppendEntriesRequest(term=Term(2), leader=server.id)

    def send(number: int) -> None:
        stage.world.network.send_call(server, Call(CallID(number), peer.id, request))

    for number in range(1000, 1064):
        send(number)

    with pytest.raises(Violation, match="bounded calls"):
        send(1064)


def test_each_call_is_answered_or_fails_once_in_bounded_time() -> None:
    stage = Directed(3)
    server, peer = stage.server(1), stage.server(2)
    stage.cut({1}, {2, 3})
    stage.run_for(20.0)

    open_calls = list(server.outstanding.values())
    assert all(flight.deadline >= stage.world.now for flight in open_calls)
    assert sum(1 for f in open_calls if f.kind == OTHER) == server.in_flight.get(
        (peer.id, OTHER), 0
    ) + server.in_flight.get((stage.server(3).id, OTHER), 0)
