"""What this peer offers other peers over RPC: IPFS Cluster's Consensus and Cluster services."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from keys.peer_id import PeerID
from node.rpc.outcome import error_text
from node.rpc.server import Method, MethodFailed
from node.rpc.wire import EMPTY_REPLY, decode_bytes, decode_peer_id
from pinstate.pin import Pin
from pinstate.pin_msgpack import decode_pin
from raft_over_libp2p.errors import RaftError

if TYPE_CHECKING:
    from node.consensus import Consensus

__all__ = ["consensus_methods"]

_SERVED_S: Final = 10.0
"""Go's callers wait for ever; an answer within IPFS Cluster's network timeout suits them."""


def consensus_methods(consensus: Consensus) -> dict[str, Method]:
    """Return the ``Consensus`` methods that trusted peers call (IPFS Cluster ``rpc_policy.go``).

    A call that reaches a peer which does not lead is passed on to the leader, as Go's is,
    unless the caller is the leader itself.
    """

    async def log_pin(caller: PeerID, argument: bytes) -> None:
        await consensus.log_pin(_pin(argument), timeout_s=_SERVED_S, forwarded_by=caller)

    async def log_unpin(caller: PeerID, argument: bytes) -> None:
        await consensus.log_unpin(_pin(argument), timeout_s=_SERVED_S, forwarded_by=caller)

    async def add_peer(caller: PeerID, argument: bytes) -> None:
        await consensus.add_peer(_peer(argument), timeout_s=_SERVED_S, forwarded_by=caller)

    async def rm_peer(caller: PeerID, argument: bytes) -> None:
        await consensus.rm_peer(_peer(argument), timeout_s=_SERVED_S, forwarded_by=caller)

    async def log_add_peer(caller: PeerID, argument: bytes) -> None:
        multiaddr = _multiaddr(argument)
        await consensus.log_add_peer(multiaddr, timeout_s=_SERVED_S, forwarded_by=caller)

    async def log_rm_peer(caller: PeerID, argument: bytes) -> None:
        await consensus.log_rm_peer(_peer(argument), timeout_s=_SERVED_S, forwarded_by=caller)

    def served(method: Callable[[PeerID, bytes], Awaitable[None]]) -> Method:
        async def serve(caller: PeerID, argument: bytes) -> bytes:
            try:
                await method(caller, argument)
            except (RaftError, ValueError) as error:
                raise MethodFailed(error_text(error)) from error
            return EMPTY_REPLY

        return serve

    return {
        "Consensus.LogPin": served(log_pin),
        "Consensus.LogUnpin": served(log_unpin),
        "Consensus.AddPeer": served(add_peer),
        "Consensus.RmPeer": served(rm_peer),
        # Ours alone: a Go leader has no such methods, and is then asked what it has.
        "Consensus.LogAddPeer": served(log_add_peer),
        "Consensus.LogRmPeer": served(log_rm_peer),
    }


def cluster_methods(identity_reply: Callable[[], bytes], version_reply: bytes) -> dict[str, Method]:
    """Return the ``Cluster`` methods any peer may call: who this peer is, and its version."""

    async def cluster_id(_caller: PeerID, _argument: bytes) -> bytes:
        return identity_reply()

    async def version(_caller: PeerID, _argument: bytes) -> bytes:
        return version_reply

    return {"Cluster.ID": cluster_id, "Cluster.Version": version}


def _pin(argument: bytes) -> Pin:
    try:
        return decode_pin(argument)
    except ValueError as error:
        raise ValueError(f"the argument is no pin: {error}") from error


def _peer(argument: bytes) -> PeerID:
    return PeerID.from_bytes(decode_peer_id(argument))


def _multiaddr(argument: bytes) -> str:
    from multiaddr import Multiaddr
    from multiaddr.exceptions import Error

    try:
        return str(Multiaddr(decode_bytes(argument)))
    except Error as error:
        raise ValueError(f"the argument is no multiaddr: {error}") from error
