"""What checkers find in a world that is bent by hand, where no fault of the core leads to it."""

from __future__ import annotations

import pytest

from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    ErrorResponse,
    RequestVoteRequest,
)
from raft_over_libp2p.core.ready import (
    Call,
    HardState,
    Ready,
    Removed,
    Reply,
    SnapshotMeta,
    TransferEnded,
    Write,
)
from raft_over_libp2p.types import (
    NO_INDEX,
    NO_TERM,
    BatchID,
    CallID,
    Configuration,
    Index,
    LogEntry,
    Term,
)
from tests.simulation.directed import Directed
from tests.simulation.network import OTHER, Flight
from tests.simulation.snapshot_store import Snapshot
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


def _asked_by_a_stale_candidate() -> tuple[Directed, HardState]:
    """Return a world where ``s1`` asks ``s2`` with an empty log, and the vote it asks for."""
    stage = Directed(3)
    candidate, voter = stage.server(1), stage.server(2)
    request = RequestVoteRequest(
        term=Term(9), candidate=candidate.id, last_log_index=NO_INDEX, last_log_term=NO_TERM
    )
    voter.inbound[CallID(99)] = Flight(candidate, voter, CallID(99), request, 10.0)
    return stage, HardState(Term(9), candidate.id)


def test_a_vote_for_a_stale_log_is_seen() -> None:
    stage, vote = _asked_by_a_stale_candidate()

    with pytest.raises(Violation, match="vote only for the up to date"):
        stage.world.durability.hard_state(stage.server(2), vote)


def test_a_vote_of_before_may_be_written_again_though_the_log_has_grown() -> None:
    stage, vote = _asked_by_a_stale_candidate()
    voter = stage.server(2)
    voter.hard_state = vote

    stage.world.durability.hard_state(voter, vote)

    assert vote == voter.hard_state


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


def _meta(stage: Directed, index: int) -> SnapshotMeta:
    """Return what a snapshot at ``index`` must say."""
    agreed = stage.world.commitment.entries
    placed = agreed.in_force_at(index)
    return SnapshotMeta(
        index=Index(index),
        term=agreed[index - 1].term,
        configuration=placed.configuration,
        configuration_index=placed.index,
    )


def test_a_snapshot_with_another_state_is_seen() -> None:
    stage = Directed(3)
    server = stage.elect(1)
    stage.run_for(0.5)
    meta = _meta(stage, server.applied)
    stage.world.snapshots.taken(server, meta)
    server.digest += 1

    with pytest.raises(Violation, match="a snapshot is the replay"):
        stage.world.snapshots.taken(server, meta)


def test_a_snapshot_of_what_is_not_agreed_on_is_seen() -> None:
    stage = Directed(3)
    server = stage.elect(1)
    stage.run_for(0.5)
    beyond = SnapshotMeta(
        index=Index(99),
        term=Term(2),
        configuration=Configuration(),
        configuration_index=Index(1),
    )

    with pytest.raises(Violation, match="snapshot of what is agreed on"):
        stage.world.snapshots.adopted(server, Snapshot(beyond, 0), Term(2), Term(2))


def test_a_state_machine_that_goes_back_is_seen() -> None:
    stage = Directed(3)
    server = stage.elect(1)
    stage.run_for(0.5)
    snapshot = Snapshot(_meta(stage, 1), stage.world.commitment.digests[1])

    with pytest.raises(Violation, match="applied never goes back"):
        stage.world.snapshots.adopted(server, snapshot, Term(2), Term(2))


def test_compaction_without_a_durable_snapshot_is_seen() -> None:
    stage = Directed(3)
    server = stage.elect(1)
    stage.run_for(0.5)

    with pytest.raises(Violation, match="compaction behind a snapshot"):
        stage.world.snapshots.compaction(server, Index(1))


def test_a_log_discarded_though_its_entries_were_acknowledged_is_seen() -> None:
    stage = Directed(3, trailing_logs=0)
    server = stage.elect(1)
    stage.run_for(0.5)
    stage.write(server)
    stage.run_for(0.5)
    follower = stage.server(2)
    index = len(follower.log) - 1
    follower.disk.snapshots.add(Snapshot(_meta(stage, index), 0))
    follower.commit_index = index

    with pytest.raises(Violation, match="acknowledged entries stay"):
        stage.world.snapshots.write(follower, Write(batch=BatchID(9), reset_to=Index(index + 1)))


def test_a_configuration_that_a_server_forgot_is_seen() -> None:
    stage = Directed(3)
    server = stage.elect(1)
    stage.run_for(0.5)
    server.agreed_configuration_index = 2

    with pytest.raises(Violation, match="configurations never go back"):
        server.check_status()


def test_a_configuration_that_the_log_does_not_hold_is_seen() -> None:
    stage = Directed(3)
    server = stage.elect(1)
    server.log.placed.pop()

    with pytest.raises(Violation, match="the configuration in force"):
        server.check_status()


def test_a_member_that_is_told_of_its_removal_is_seen() -> None:
    stage = Directed(3)
    server = stage.elect(1)
    stage.run_for(0.5)

    with pytest.raises(Violation, match="only the removed are told"):
        stage.world.membership.removed(server, Removed(Index(1)))


def test_a_second_incarnation_of_a_server_is_seen() -> None:
    stage = Directed(3)

    with pytest.raises(Violation, match="one incarnation"):
        stage.server(1).start()


def test_the_end_of_a_transfer_that_nobody_began_is_seen() -> None:
    stage = Directed(3)
    server = stage.elect(1)

    with pytest.raises(Violation, match="transfers"):
        server.transfers.ended(server, TransferEnded(stage.server(2).id, ""))


def test_a_transfer_that_does_not_end_is_seen() -> None:
    stage = Directed(3)
    server = stage.elect(1)
    server.transfers.began(server, stage.server(2).id)

    with pytest.raises(Violation, match="a transfer ends"):
        stage.run_for(5.0)
