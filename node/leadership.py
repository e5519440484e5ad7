"""Handing leadership over, from whichever peer it is asked.

Go peers hand over among themselves only when one stops, and offer no call for it; a Python
leader takes the wish of any trusted peer, over RPC.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from keys.errors import InvalidPeerID
from keys.peer_id import PeerID
from node.rpc.client import CallNotSent, CallOutcomeUnknown, RemoteError, RpcClient
from node.rpc.outcome import error_of, error_text
from node.rpc.server import Method, MethodFailed
from node.rpc.wire import ErrorType, ServiceID, decode_bytes, encode_bytes
from raft_over_libp2p.errors import (
    MalformedMessage,
    OutcomeUnknown,
    ProposalRefused,
    RaftError,
)

if TYPE_CHECKING:
    from node.consensus import Consensus

__all__ = ["LeadershipTransfer"]

_METHOD: Final = ServiceID("Consensus", "TransferLeadership")
_SERVED_S: Final = 10.0
"""A transfer lasts one election timeout at most, so this is never the limit."""


class LeadershipTransfer:
    """Has the leader hand over."""

    def __init__(self, consensus: Consensus, client: RpcClient) -> None:
        self._consensus = consensus
        self._client = client

    async def transfer(self, target: PeerID | None, *, timeout_s: float) -> PeerID:
        """Hand leadership to ``target``, or to the voter that is furthest; return who it is.

        Nothing is to be done when ``target`` leads already.

        Raises:
            NoLeader, NotLeader, ProposalRefused: it was not handed over; says why.
            OutcomeUnknown: it may be.

        """
        leader = self._consensus.leader()
        if target == leader:
            return leader
        if leader == self._consensus.peer_id:
            return await self._consensus.transfer_leadership(target, timeout_s=timeout_s)
        return await self._ask(leader, target, timeout_s)

    async def _ask(self, leader: PeerID, target: PeerID | None, timeout_s: float) -> PeerID:
        argument = encode_bytes(target.multihash if target else b"")
        try:
            reply = await self._client.call(leader, _METHOD, argument, timeout_s=timeout_s)
            return PeerID.from_bytes(decode_bytes(reply))
        except CallNotSent as error:
            raise ProposalRefused(f"the leader was not asked: {error}") from error
        except (CallOutcomeUnknown, MalformedMessage, InvalidPeerID) as error:
            raise OutcomeUnknown(f"leadership may be handed over: {error}") from error
        except RemoteError as error:
            if error.error_type is ErrorType.SERVER:
                raise ProposalRefused(
                    f"leadership stays with {leader}: a Go peer hands over only when it is stopped"
                ) from error
            raise error_of(str(error)) from error

    def methods(self) -> dict[str, Method]:
        """Return what other peers may call."""

        async def serve(_caller: PeerID, argument: bytes) -> bytes:
            try:
                wanted = decode_bytes(argument)
                target = PeerID.from_bytes(wanted) if wanted else None
                leader = await self._consensus.transfer_leadership(target, timeout_s=_SERVED_S)
            except (RaftError, ValueError) as error:
                raise MethodFailed(error_text(error)) from error
            return encode_bytes(leader.multihash)

        return {str(_METHOD): serve}
