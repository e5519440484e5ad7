"""How a server campaigns (Raft §5.2; pre-vote, thesis 9.6; mixed-cluster rules 9, 10, 21 to 23)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from raft_over_libp2p.core import leadership
from raft_over_libp2p.core.calls import VoteCall
from raft_over_libp2p.core.messages import (
    ErrorResponse,
    RequestPreVoteRequest,
    RequestPreVoteResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    Response,
)
from raft_over_libp2p.core.quorum import majority
from raft_over_libp2p.core.ready import Removed, Role
from raft_over_libp2p.core.server import Server
from raft_over_libp2p.types import NO_TERM, ServerID, Term

__all__ = [
    "Candidacy",
    "Phase",
    "campaign",
    "may_campaign",
    "on_answer",
    "on_failure",
    "on_persisted",
    "on_timeout",
]


_QUIET_TIMEOUTS = 10
"""Election timeouts without a leader after which a server that has given up says it was removed."""
_ROUNDS_UNTIL_GIVEN_UP = 3
"""Refused rounds in a row after which a server that is no voter any more stops asking."""
_HANG_UPS_UNTIL_UNKNOWN = 3
"""Pre-votes in a row after which a voter that hangs up is taken not to know them: a peer that
dies hangs up once, and is not reached after that."""


class Phase(Enum):
    """How far a campaign has come."""

    PRE_VOTE = "pre-vote"
    SAVING_VOTE = "saving-vote"
    """The new term and the vote for itself are not durable: nothing may be said of them yet."""
    VOTE = "vote"


@dataclass(slots=True)
class Candidacy:
    """One round of asking. Each voter is counted once, however often it answers."""

    phase: Phase
    is_transfer: bool = False
    granted: set[ServerID] = field(default_factory=set)
    refused: set[ServerID] = field(default_factory=set)
    """Who will not grant in this round: it said so, or did not answer."""
    said_no: set[ServerID] = field(default_factory=set)


def may_campaign(server: Server, *, is_asked: bool = False) -> bool:
    """Tell whether this server may ask for votes now; ``is_asked`` if its leader wants it to.

    It must be a voter in the latest or in the committed configuration: a leader that crashed
    after appending its own removal may hold the only log that can win (rule 10). It must not
    while its disk stands still (rule 23) or was full and has not written since (rule 9), nor
    on a state that was never agreed on (rule 11), nor while it has promised a leader not to
    (rule 6).
    """
    return (
        server.membership.is_voter(server.id)
        and not _is_given_up(server)
        and (is_asked or not _is_of_the_past(server))
        and not server.is_held_back
        and not server.is_disputed
        and not server.is_write_overdue
        and not server.promise.forbids(server.id, server.now)
    )


def _is_given_up(server: Server) -> bool:
    """Tell whether it is no voter in its latest configuration, and those who are will not have it.

    It cannot know that its removal is agreed on: a Go leader sends the removal, and not that.
    But a majority of the others answered, several times, so they can go on without it. Should
    they need it, they will ask for its vote, and it campaigns again.
    """
    is_out = not server.membership.latest.configuration.is_voter(server.id)
    return is_out and server.rounds_refused >= _ROUNDS_UNTIL_GIVEN_UP


def _is_of_the_past(server: Server) -> bool:
    """Tell whether its configuration, of which it is the only voter, is known to be an old one.

    A founder that was removed, emptied and added again passes through its own first
    configuration while it catches up. It would elect itself then, and nobody is asked who
    could refuse. But it began with an empty log, and others led, after that configuration was
    written, who did not need its vote. (A server may also be the last voter because another
    removed itself, who led once more before that was agreed on: with this server's vote.)
    """
    latest = server.membership.latest
    if not server.began_blank or latest.configuration.voters != (server.id,):
        return False
    log = server.log
    written_in = log.term(latest.index) or log.term(log.snapshot_index) or NO_TERM
    return server.outvoted_term > written_in


def _note_refusals(server: Server) -> None:
    """Note whether the round that ends was refused by a majority that answered."""
    if server.candidacy is not None:
        voters = server.membership.latest.configuration.voters
        said_no = server.candidacy.said_no.intersection(voters)
        is_refused = len(said_no) >= majority(len(voters))
        server.rounds_refused = server.rounds_refused + 1 if is_refused else 0


def on_timeout(server: Server) -> None:
    """Do what a follower's or a candidate's election timer asks for."""
    heartbeat_timeout_s = server.config.heartbeat_timeout_s
    if server.role is Role.FOLLOWER and server.now - server.last_contact < heartbeat_timeout_s:
        # The timer is not moved at each contact: it fires, looks, and goes on from there.
        server.election_at = server.last_contact + server.random_timeout(heartbeat_timeout_s)
        return
    server.leader = None
    _note_refusals(server)
    if may_campaign(server):
        campaign(server)
        return
    _tell_removal(server)
    if server.is_held_back:
        # A write that succeeds shows that the disk takes writes again.
        server.writes.owe_hard_state(is_new_term=False)
    if server.role is Role.CANDIDATE:
        server.become_follower()
    else:
        server.arm_election_timer()


def _tell_removal(server: Server) -> None:
    membership = server.membership
    # Those who refuse may be electing one who never saw the removal, and who will speak to us.
    is_quiet = server.quiet_s() >= _QUIET_TIMEOUTS * server.config.election_timeout_s
    is_known = membership.is_latest_committed or (_is_given_up(server) and is_quiet)
    if server.was_member and is_known and not membership.latest.configuration.has(server.id):
        server.was_member = False
        server.ready.observations.append(Removed(membership.latest.index))


def campaign(server: Server, *, is_transfer: bool = False) -> None:
    """Begin a round: a pre-vote, unless the leader asked for this or pre-vote is off."""
    server.calls.clear()
    server.leader = None
    server.election_at = server.now + server.random_timeout(server.config.election_timeout_s)
    if is_transfer or server.config.pre_vote_disabled:
        _start_election(server, is_transfer=is_transfer)
        return
    server.candidacy = Candidacy(Phase.PRE_VOTE)
    if server.role is not Role.CANDIDATE:
        server.set_role(Role.CANDIDATE)
    request = RequestPreVoteRequest(
        term=Term(server.term + 1),
        last_log_index=server.log.last_index,
        last_log_term=server.log.last_term,
    )
    for peer in _voters_asked(server):
        server.call(peer, request, VoteCall(peer))
    _count(server, server.id, granted=True)


def _start_election(server: Server, *, is_transfer: bool) -> None:
    """Enter the next term and vote for ourselves; votes are asked for when that is durable."""
    server.calls.clear()
    server.enter_term(Term(server.term + 1), vote=server.id)
    server.candidacy = Candidacy(Phase.SAVING_VOTE, is_transfer)
    server.election_at = server.now + server.random_timeout(server.config.election_timeout_s)
    server.set_role(Role.CANDIDATE)


def on_persisted(server: Server) -> None:
    """Ask for votes once our own is durable."""
    candidacy = server.candidacy
    if candidacy is None or candidacy.phase is not Phase.SAVING_VOTE:
        return
    if server.writes.vote_batch > server.writes.persisted_batch:
        return
    candidacy.phase = Phase.VOTE
    request = RequestVoteRequest(
        term=server.term,
        candidate=server.id,
        last_log_index=server.log.last_index,
        last_log_term=server.log.last_term,
        leadership_transfer=candidacy.is_transfer,
    )
    for peer in _voters_asked(server):
        server.call(peer, request, VoteCall(peer))
    _count(server, server.id, granted=True)


def _voters_asked(server: Server) -> list[ServerID]:
    voters = server.membership.latest.configuration.voters
    return [peer for peer in voters if peer != server.id]


def on_answer(server: Server, call: VoteCall, response: Response) -> None:
    """Count a vote, or follow a higher term."""
    candidacy = server.candidacy
    if candidacy is None:
        return
    if isinstance(response, RequestPreVoteResponse) and candidacy.phase is Phase.PRE_VOTE:
        # A grant, and a refusal by who would enter it too, states the term asked for.
        server.pre_votes_hung_up[call.peer] = 0
        asked = Term(server.term + 1)
    elif isinstance(response, RequestVoteResponse) and candidacy.phase is Phase.VOTE:
        asked = server.term
    else:
        # hashicorp/raft before 1.7 may say that it does not know pre-votes: that is no refusal.
        is_unknown = isinstance(response, ErrorResponse) and "unexpected command" in response.error
        _count(server, call.peer, granted=is_unknown and candidacy.phase is Phase.PRE_VOTE)
        return
    if response.term > asked:
        server.adopt_term(response.term)
    else:
        granted = response.granted and response.term == asked
        if not granted:
            candidacy.said_no.add(call.peer)
        _count(server, call.peer, granted=granted)


def on_failure(server: Server, call: VoteCall, *, is_hung_up: bool) -> None:
    """Take a failed call as a refusal in this round, but not from who knows no pre-vote.

    hashicorp/raft before 1.7 closes the stream on one. Its own later releases take that for a
    refusal, so that one of them whose log is the newest is never elected by such voters.
    """
    candidacy = server.candidacy
    if candidacy is None or candidacy.phase is not Phase.PRE_VOTE:
        _count(server, call.peer, granted=False)
        return
    hung_up = server.pre_votes_hung_up
    hung_up[call.peer] = hung_up[call.peer] + 1 if is_hung_up else 0
    _count(server, call.peer, granted=hung_up[call.peer] >= _HANG_UPS_UNTIL_UNKNOWN)


def _count(server: Server, voter: ServerID, *, granted: bool) -> None:
    """Count an answer; only voters of the latest configuration count (rule 10)."""
    candidacy = server.candidacy
    voters = server.membership.latest.configuration.voters
    if candidacy is None:
        return
    was_open = _can_still_win(candidacy, voters)
    (candidacy.granted if granted else candidacy.refused).add(voter)
    needed = majority(len(voters))
    if len(candidacy.granted.intersection(voters)) >= needed:
        if candidacy.phase is Phase.PRE_VOTE:
            _start_election(server, is_transfer=False)
        else:
            leadership.begin(server)
    elif was_open and candidacy.phase is Phase.PRE_VOTE and not _can_still_win(candidacy, voters):
        # Go voters refuse for up to two timeouts after the last contact: ask again soon (22).
        quarter_s = server.config.election_timeout_s / 4
        again_at = server.now + server.random_timeout(quarter_s)
        server.election_at = min(server.election_at, again_at)


def _can_still_win(candidacy: Candidacy, voters: tuple[ServerID, ...]) -> bool:
    return len(voters) - len(candidacy.refused.intersection(voters)) >= majority(len(voters))
