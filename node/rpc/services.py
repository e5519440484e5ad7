"""What this peer offers other peers over RPC: IPFS Cluster's Consensus and Cluster services."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from keys.peer_id import PeerID
from node.rpc.outcome import error_text
from node.rpc.server import Method, MethodFailed
from node.rpc.wire import EMPTY_REPLY
from pinstate.pin import Pin
from pinstate.pin_msgpack import decode_pin
from raft_over_libp2p.errors import RaftError

if TYPE_CHECKING:
    from node.consensus import Consensus

__all__ = ["consensus_methods"]

_SERVED_TIMEOUT_S: Final = 10.0
"""Go's callers wait for ever; an answer within IPFS Cluster's network timeout suits them."""


def consensus_methods(consensus: Consensus) -> dict[str, Method]:
    """Return the ``Consensus`` methods that trusted peers call (IPFS Cluster ``rpc_policy.go``).

    A call that reaches a peer which does not lead is passed on to the leader, as Go's is,
    unless the caller is the leader itself.
    """

    async def log_pin(caller: PeerID, argument: bytes) -> bytes:
        pin = _pin(argument)
        try:
            await consensus.log_pin(pin, timeout_s=_SERVED_TIMEOUT_S, forwarded_by=caller)
        except RaftError as error:
            raise MethodFailed(error_text(error)) from error
        return EMPTY_REPLY

    async def log_unpin(caller: PeerID, argument: bytes) -> bytes:
        pin = _pin(argument)
        try:
            await consensus.log_unpin(pin, timeout_s=_SERVED_TIMEOUT_S, forwarded_by=caller)
        except RaftError as error:
            raise MethodFailed(error_text(error)) from error
        return EMPTY_REPLY

    return {"Consensus.LogPin": log_pin, "Consensus.LogUnpin": log_unpin}


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
        raise MethodFailed(f"the argument is no pin: {error}") from error
