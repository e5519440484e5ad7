"""Linearisable reads on whichever peer: a follower asks the leader for its ReadIndex.

The leader confirms that it still leads (thesis 6.4) and answers the index that the reader
must have applied. A read asks for itself, after it began; the leader joins the reads that
wait there into one round of heartbeats (mixed-cluster rule 7).
"""

from __future__ import annotations

from typing import Final

import trio

from keys.peer_id import PeerID
from node.rpc.client import CallNotSent, CallOutcomeUnknown, RemoteError, RpcClient
from node.rpc.wire import NIL, ErrorType, ServiceID, decode_index
from pinstate.state import PinState
from raft_over_libp2p.errors import NotLeader, ProposalRefused, RemoteProtocolError
from raft_over_libp2p.raft import Raft

__all__ = ["READ_INDEX", "ReadIndexUnsupported", "read_up_to_date"]

READ_INDEX: Final = ServiceID("Consensus", "ReadIndex")
"""A method of ours: a Go peer has none such, and says so."""


class ReadIndexUnsupported(NotLeader):
    """The leader is a Go peer, which offers no linearisable read to its followers."""


async def read_up_to_date(
    raft: Raft[bytes, PinState], client: RpcClient | None, *, timeout_s: float
) -> None:
    """Return when this peer's state holds every write acknowledged before the call.

    Raises:
        NoLeader: nobody leads within ``timeout_s``.
        ReadIndexUnsupported: the leader, which it names, is a Go peer.
        NotLeader, ProposalRefused: no majority confirmed the leader in time; nothing was read.

    """
    deadline = trio.current_time() + timeout_s
    leader = raft.leader() or await raft.wait_for_leader(timeout_s=timeout_s)
    left_s = deadline - trio.current_time()
    if leader == raft.server_id or client is None:
        await raft.read_index(timeout_s=left_s)
        return
    try:
        reply = await client.call(PeerID.parse(leader), READ_INDEX, NIL, timeout_s=left_s)
        index = decode_index(reply)
    except RemoteError as error:
        if error.error_type is ErrorType.SERVER:
            raise ReadIndexUnsupported(leader) from error
        raise ProposalRefused(f"nothing was read: the leader answered: {error}") from error
    except (CallNotSent, CallOutcomeUnknown, RemoteProtocolError) as error:
        raise ProposalRefused(f"nothing was read: {error}") from error
    await raft.wait_applied(index, timeout_s=deadline - trio.current_time())
