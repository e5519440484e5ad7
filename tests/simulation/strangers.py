"""What a server asks for that is in no configuration: every kind of request, with no right to any.

Left out is what hashicorp/raft believes of whoever holds the cluster's secret, and so do we: that
it leads, if the term is later than any known, or is one in which nobody is known to lead.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    InstallSnapshotRequest,
    LeaseRequest,
    ReadIndexRequest,
    Request,
    RequestPreVoteRequest,
    RequestVoteRequest,
    TimeoutNowRequest,
)
from raft_over_libp2p.types import NO_INDEX, NO_TERM, CallID, Index, LogEntry, Term
from tests.simulation.check_elections import STRANGERS_TERM
from tests.simulation.network import Flight

if TYPE_CHECKING:
    from tests.simulation.server import Server
    from tests.simulation.world import World

__all__ = ["STRANGE_REQUESTS", "ask_as_a_stranger"]


def _heartbeat(world: World, term: Term, _: random.Random) -> Request:
    return AppendEntriesRequest(term=term, leader=world.stranger.id)


def _append(world: World, term: Term, dice: random.Random) -> Request:
    """Return entries at a place that is agreed on, and others than those."""
    index = dice.randint(0, len(world.commitment.entries))
    prev_term = world.commitment.entries[index - 1].term if index else NO_TERM
    prev_term = min(prev_term, term)
    return AppendEntriesRequest(
        term=term,
        leader=world.stranger.id,
        prev_log_index=Index(index),
        prev_log_term=prev_term,
        entries=(LogEntry(Index(index + 1), term, data=b"strange"),),
        leader_commit_index=Index(index + 1),
    )


def _snapshot(world: World, term: Term, _: random.Random) -> Request:
    agreed = world.commitment.entries
    return InstallSnapshotRequest(
        term=term,
        leader=world.stranger.id,
        last_log_index=Index(len(agreed) + 1),
        last_log_term=term,
        configuration=agreed.latest.configuration,
        configuration_index=agreed.latest.index,
        size_bytes=0,
    )


def _vote(world: World, term: Term, dice: random.Random) -> Request:
    return RequestVoteRequest(
        term=dice.choice((term, STRANGERS_TERM)),
        candidate=world.stranger.id,
        last_log_index=NO_INDEX,
        last_log_term=NO_TERM,
        leadership_transfer=dice.random() < 0.5,
    )


def _pre_vote(_: World, term: Term, dice: random.Random) -> Request:
    return RequestPreVoteRequest(
        term=dice.choice((term, STRANGERS_TERM)), last_log_index=NO_INDEX, last_log_term=NO_TERM
    )


def _timeout_now(_: World, __: Term, ___: random.Random) -> Request:
    return TimeoutNowRequest()


def _read_index(_: World, term: Term, __: random.Random) -> Request:
    return ReadIndexRequest(term=term)


def _lease(_: World, term: Term, __: random.Random) -> Request:
    return LeaseRequest(term=term, round=1_000_000, duration_ms=1000)


STRANGE_REQUESTS: dict[str, Callable[[World, Term, random.Random], Request]] = {
    "stranger: append": _append,
    "stranger: heartbeat": _heartbeat,
    "stranger: lease": _lease,
    "stranger: pre-vote": _pre_vote,
    "stranger: read index": _read_index,
    "stranger: snapshot": _snapshot,
    "stranger: TimeoutNow": _timeout_now,
    "stranger: vote": _vote,
}
"""By the mark of each."""
_LEADS = frozenset({"stranger: append", "stranger: heartbeat", "stranger: snapshot"})


def ask_as_a_stranger(world: World, target: Server, dice: random.Random) -> None:
    """Have ``target``, which runs, get one such request, in its own term or an earlier one."""
    if target.is_go and not target.log.latest.index:
        return  # a blank Go peer goes to anybody's term
    mark = dice.choice(list(STRANGE_REQUESTS))
    term = target.hard_state.term
    # Who knows the leader of its term refuses another as long as it lives.
    knows_leader = not target.is_go and target.status().leader is not None
    if (mark in _LEADS and not knows_leader) or dice.random() < 0.5:
        term = Term(term - 1 - int(dice.random() ** 2 * term))
    if term <= NO_TERM:
        return
    world.marks[mark] += 1
    request = STRANGE_REQUESTS[mark](world, term, dice)
    flight = Flight(world.stranger, target, CallID(0), request, world.now)
    flight.is_duplicate = True
    world.network.deliver(flight)
