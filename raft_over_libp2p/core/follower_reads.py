"""Linearisable reads on who does not lead: it asks the leader (thesis 6.4, mixed-cluster rule 7).

All reads that wait when a request leaves share it, and it serves only these: one that begins
while a request is under way waits for the next, because the leader may have been confirmed
before it began. One request is in flight at a time. A read ends confirmed, or refused: then
nothing was read, and it may be asked again.

Only members may ask, whatever their suffrage, by the leader's latest or committed
configuration: to who is none, the log does not go on, so no index says what it may read.
"""

from __future__ import annotations

from raft_over_libp2p import limits
from raft_over_libp2p.core.calls import ReadIndexCall
from raft_over_libp2p.core.messages import (
    ErrorResponse,
    ReadIndexRequest,
    ReadIndexResponse,
    Response,
)
from raft_over_libp2p.core.reads import FollowersRead
from raft_over_libp2p.core.ready import ReadRefused, ReadState
from raft_over_libp2p.core.server import Server
from raft_over_libp2p.errors import NotLeader, ProposalRefused
from raft_over_libp2p.types import CallID, ServerID

__all__ = ["answer_read_index", "ask", "on_answer", "on_failure", "register"]


def register(server: Server, token: int) -> None:
    """Take in a read on a server that does not lead.

    Raises:
        NotLeader: no leader is known whom it could ask.
        ProposalRefused: ``MAX_PENDING_READS`` reads wait, or what this server applied is not
            what the cluster agreed on.

    """
    if server.leader is None:
        raise NotLeader(None)
    if server.is_disputed:
        raise ProposalRefused("the state of this server is not what was agreed on")
    if len(server.waiting_reads) >= limits.MAX_PENDING_READS:
        raise ProposalRefused(f"{limits.MAX_PENDING_READS} reads wait for the leader already")
    server.waiting_reads.append(token)


def ask(server: Server) -> None:
    """Send the reads that wait to the leader, unless earlier ones are with it."""
    asked = server.asked_reads
    if asked is not None:
        if _is_open(server, asked):
            return
        server.asked_reads = None
        server.refused_reads.extend(asked.tokens)
    waiting, leader = server.waiting_reads, server.leader
    if not waiting:
        return
    server.waiting_reads = []
    if leader is None or server.leadership is not None:
        server.refused_reads.extend(waiting)
        return
    call = ReadIndexCall(server.next_call, leader, server.term, waiting)
    server.asked_reads = call
    server.call(leader, ReadIndexRequest(term=server.term), call)


def _is_open(server: Server, asked: ReadIndexCall) -> bool:
    """Tell whether the leader that was asked still leads as far as known: else nobody waits."""
    is_same = (server.leader, server.term) == (asked.leader, asked.term)
    return is_same and server.calls.get(asked.number) is asked


def on_answer(server: Server, call: ReadIndexCall, response: Response) -> None:
    """Hand out the reads that the leader confirmed, or refuse them."""
    if server.asked_reads is not call:
        return
    server.asked_reads = None
    # A snapshot beyond that index may be a user's that a leader is restoring, which nobody has
    # agreed on yet (rule 11): the state here is not what the leader confirmed.
    if (
        isinstance(response, ReadIndexResponse)
        and response.index >= server.log.snapshot_index
        and not server.is_disputed
    ):
        server.ready.read_states.extend(ReadState(token, response.index) for token in call.tokens)
    else:
        server.refused_reads.extend(call.tokens)


def on_failure(server: Server, call: ReadIndexCall, *, is_unsupported: bool) -> None:
    """Refuse the reads that got no answer; ``is_unsupported`` if the leader knows no such call."""
    if server.asked_reads is not call:
        return
    server.asked_reads = None
    if is_unsupported:
        server.ready.read_states.extend(
            ReadRefused(token, call.leader, is_unsupported=True) for token in call.tokens
        )
    else:
        server.refused_reads.extend(call.tokens)


def answer_read_index(
    server: Server, call: CallID, peer: ServerID, request: ReadIndexRequest
) -> None:
    """Answer a follower once this leader is confirmed, as for a read of its own (rule 5)."""
    leadership = server.leadership
    if not server.membership.has(peer):
        server.reply(call, ErrorResponse(error=f"{peer} is no member of this cluster"))
    elif leadership is None or request.term > server.term:
        leader = "this server does not lead" if leadership is None else "this leader is deposed"
        server.reply(call, ErrorResponse(error=f"{leader}; nothing was read"))
    else:
        try:
            leadership.register_read(FollowersRead(call))
        except ProposalRefused as error:
            server.reply(call, ErrorResponse(error=str(error)))
