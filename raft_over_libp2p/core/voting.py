"""How a server answers candidates (Raft §5.2, §5.4.1; thesis 4.2.3, 9.6; rules 14, 20, 21)."""

from __future__ import annotations

from enum import Enum

from raft_over_libp2p.core.messages import (
    ErrorResponse,
    RequestPreVoteRequest,
    RequestPreVoteResponse,
    RequestVoteRequest,
    RequestVoteResponse,
)
from raft_over_libp2p.core.ready import Role
from raft_over_libp2p.core.server import Server
from raft_over_libp2p.types import CallID, Index, ServerID, Term

__all__ = ["answer_pre_vote", "answer_vote"]

_QUIET_TIMEOUTS = 2
"""Election timeouts without a leader after which an unknown candidate is judged like a voter."""


class _Standing(Enum):
    """What a candidate is to us, before its log is judged like any voter's."""

    VOTER = "voter"
    NONVOTER = "nonvoter"
    STRANGER = "stranger"


def _standing(server: Server, peer: ServerID, last_term: Term, last_index: Index) -> _Standing:
    """Return how ``peer`` is judged (mixed-cluster rule 14).

    Votes do not consult the voter's configuration (thesis 4.1): ours may be the older one.
    So a server we do not know, or know as a nonvoter, counts as a voter if its log is strictly
    newer than ours, which a removed server's never is against a holder of its removal.
    """
    if server.membership.is_voter(peer):
        return _Standing.VOTER
    is_newer = (last_term, last_index) > (server.log.last_term, server.log.last_index)
    is_quiet = server.quiet_s() >= _QUIET_TIMEOUTS * server.config.election_timeout_s
    if is_newer and (is_quiet or server.is_blank):
        return _Standing.VOTER
    return _Standing.NONVOTER if server.membership.has(peer) else _Standing.STRANGER


def _is_loyal(server: Server, peer: ServerID) -> bool:
    """Tell whether a leader other than ``peer`` is in office (thesis 4.2.3)."""
    if server.role is Role.LEADER:
        return True
    if server.leader is None or server.leader == peer:
        return False
    return server.quiet_s() < server.config.heartbeat_timeout_s


def answer_vote(server: Server, call: CallID, peer: ServerID, request: RequestVoteRequest) -> None:
    """Answer a RequestVote: in Go's order, but the log is checked for duplicates too."""
    if peer == server.id:
        server.reply(call, ErrorResponse(error="a server does not ask itself for a vote"))
        return
    server.rounds_refused = 0
    if server.promise.forbids(peer, server.now):
        _refuse(server, call)
        return
    standing = _standing(server, peer, request.last_log_term, request.last_log_index)
    may_override = request.leadership_transfer and server.membership.is_voter(peer)
    if standing is _Standing.STRANGER or (_is_loyal(server, peer) and not may_override):
        _refuse(server, call)
        return
    if request.term > server.term:
        server.adopt_term(request.term)
    if request.term < server.term or standing is _Standing.NONVOTER:
        _refuse(server, call)
        return
    if not _can_vote_for(server, peer) or not server.is_up_to_date(
        request.last_log_term, request.last_log_index
    ):
        _refuse(server, call)
        return
    if server.role is Role.CANDIDATE:
        server.become_follower()  # its pre-vote is over: it has somebody to vote for
    server.vote_for(peer)
    server.last_contact = server.now
    server.arm_election_timer()
    server.reply_stating_vote(call, RequestVoteResponse(term=server.term, granted=True))


def _can_vote_for(server: Server, peer: ServerID) -> bool:
    """Tell whether our vote of this term is ``peer``'s, or free in a term without a leader."""
    if server.hard_state.vote is not None:
        return server.hard_state.vote == peer
    return server.term_leader in {None, peer}


def _refuse(server: Server, call: CallID) -> None:
    server.reply_stating_term(call, RequestVoteResponse(term=server.term, granted=False))


def answer_pre_vote(
    server: Server, call: CallID, peer: ServerID, request: RequestPreVoteRequest
) -> None:
    """Answer a RequestPreVote (thesis 9.6): what a vote would meet, changing nothing.

    As in hashicorp/raft an answer to a higher term states that term, and a vote given in an
    equal term does not count: the asker must be able to enter the term it is behind.
    """
    if peer == server.id:
        server.reply(call, ErrorResponse(error="a server does not ask itself for a pre-vote"))
        return
    server.rounds_refused = 0
    standing = _standing(server, peer, request.last_log_term, request.last_log_index)
    is_loyal = _is_loyal(server, peer) or server.promise.forbids(peer, server.now)
    granted = (
        standing is _Standing.VOTER
        and not is_loyal
        and request.term >= server.term
        and server.is_up_to_date(request.last_log_term, request.last_log_index)
    )
    is_judged = standing is not _Standing.STRANGER and not is_loyal
    if granted or (is_judged and request.term > server.term):
        server.reply(call, RequestPreVoteResponse(term=request.term, granted=granted))
    else:
        server.reply_stating_term(call, RequestPreVoteResponse(term=server.term, granted=False))
