"""What each peer must know of the others' addresses, and they of its own.

A peer that can be reached elsewhere than the log says tells the cluster so. It asks the
leader over an RPC of its own, which logs an address of a member and adds nobody:
``LogAddPeer`` would bring back a peer that was removed and has not heard of it yet. And a
peer that came by a snapshot, which holds no addresses, asks the leader where the others are.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import trio

from keys.peer_id import PeerID
from node.config.peer_multiaddr import split_peer_address
from node.own_addresses import is_loopback
from node.peer_addresses import PeerNotReached
from node.peer_description import decode_description
from node.rpc.client import CallNotSent, CallOutcomeUnknown, RemoteError, RpcClient
from node.rpc.outcome import error_text
from node.rpc.server import Method, MethodFailed
from node.rpc.wire import EMPTY_REPLY, ErrorType, ServiceID, decode_bytes, encode_bytes
from pinstate.log_op import LogOp, OpCodec
from raft_over_libp2p.errors import NotLeader, ProposalRefused, RaftError
from raft_over_libp2p.types import ServerID

if TYPE_CHECKING:
    from node.consensus import Consensus
    from node.swarm_addresses import SwarmAddresses

__all__ = ["AddressAnnouncer", "address_to_announce"]

logger = logging.getLogger(__name__)

_CALL_FAILED: Final = (RaftError, CallNotSent, CallOutcomeUnknown, RemoteError)
_METHOD: Final = ServiceID("Consensus", "LogPeerAddress")
_ID: Final = ServiceID("Cluster", "ID")
_EMPTY_STRUCT: Final = b"\x80"
_SETTLE_S: Final = 2.0
"""A new leader logs the addresses it knows first; then this peer's may be agreed on already."""
_LOOK_S: Final = 30.0
"""How often is looked again: an address changes with a restart, a leader more often."""
_ASK_S: Final = 10.0
_REACH_S: Final = 5.0
_LOG_S: Final = 4.0


class AddressAnnouncer:
    """Keeps this peer's address agreed on, and as the leader takes others' announcements."""

    def __init__(self, consensus: Consensus, addresses: SwarmAddresses, client: RpcClient) -> None:
        self._consensus = consensus
        self._addresses = addresses
        self._client = client

    async def keep_agreed(self, *, is_explicit: bool, told: Callable[[str], None]) -> None:
        """Announce whenever this peer votes, is in sync, and the log has another address; for ever.

        Tries once under each leader: a Go leader takes no address, and one that does not
        reach this peer at it would not the next minute.
        """
        tried: object = None
        while True:
            try:
                await self._consensus.wait_for_sync(timeout_s=math.inf)
                await trio.sleep(_SETTLE_S)
                await self._learn_missing()
                address = address_to_announce(
                    self._addresses.agreed_own, self._addresses.own, is_explicit=is_explicit
                )
                core = self._consensus.status().core
                attempt = (address, core.leader, core.term)
                if address is not None and attempt != tried:
                    tried = attempt
                    line = f"{address}/p2p/{self._consensus.peer_id}"
                    await self._announce(line)
                    told(f"the cluster knows this peer at {line}")
            except _CALL_FAILED as error:
                logger.warning("this peer's address is not agreed on: %s", error)
            await trio.sleep(_LOOK_S)

    async def _learn_missing(self) -> None:
        """Ask the leader, of either language, where the members are whose address is not known."""
        own, leader = self._consensus.peer_id, self._consensus.leader()
        missing = [p for p in self._consensus.peers() if p != own and not self._addresses.known(p)]
        if not missing or leader == own:
            return
        try:
            reply = await self._client.call(leader, _ID, _EMPTY_STRUCT, timeout_s=_ASK_S)
            described = decode_description(reply)
        except _CALL_FAILED as error:
            logger.warning("where %s is, is not known: %s", ", ".join(map(str, missing)), error)
            return
        for line in (*described.addresses, *described.cluster_peers_addresses):
            try:
                peer = PeerID.parse(split_peer_address(line)[0])
                multiaddr = LogOp.add_peer(line).multiaddr
            except ValueError as error:
                logger.warning("%s tells of an address that is none: %s", leader, error)
                continue
            if peer in missing:
                self._addresses.remember(peer, multiaddr)

    async def _announce(self, line: str) -> None:
        op = LogOp.add_peer(line)
        leader = self._consensus.leader()
        if leader == self._consensus.peer_id:
            await self._log(op)
            return
        try:
            argument = encode_bytes(op.multiaddr)
            await self._client.call(leader, _METHOD, argument, timeout_s=_ASK_S)
        except RemoteError as error:
            if error.error_type is ErrorType.SERVER:
                raise ProposalRefused(f"{leader} leads, a Go peer, which takes none") from error
            raise

    async def _log(self, op: LogOp) -> None:
        await self._consensus.raft.apply(OpCodec().encode(op), timeout_s=_LOG_S)

    def methods(self) -> dict[str, Method]:
        """Return what other peers may call."""

        async def serve(caller: PeerID, argument: bytes) -> bytes:
            try:
                await self._log_for(caller, LogOp.add_peer(decode_bytes(argument)))
            except (RaftError, ValueError) as error:
                raise MethodFailed(error_text(error)) from error
            return EMPTY_REPLY

        return {str(_METHOD): serve}

    async def _log_for(self, caller: PeerID, op: LogOp) -> None:
        """Log the address of ``caller``, as the leader: a member's own, and one that it answers at."""
        raft = self._consensus.raft
        if op.peer != caller.multihash:
            raise ProposalRefused(f"{caller} may announce no address but its own")
        if not raft.is_leader:
            raise NotLeader(raft.leader())
        try:
            await self._addresses.reach(caller, op.multiaddr, timeout_s=_REACH_S)
        except PeerNotReached as error:
            raise ProposalRefused(str(error)) from error
        if not raft.configuration().has(ServerID(str(caller))):
            raise ProposalRefused(f"{caller} is not a member of this cluster")
        await self._log(op)


def address_to_announce(agreed: str | None, own: Sequence[str], *, is_explicit: bool) -> str | None:
    """Return which of ``own``, best first, the log should have in place of ``agreed``; None for none.

    An agreed address that is one of them stays, and a name stays where the operator announces
    nothing (``is_explicit``), since nobody can tell that it is not this peer's. A loopback
    address never takes the place of one that others can reach.
    """
    if not own or agreed in own:
        return None
    if agreed is not None:
        if is_loopback(own[0]) and not is_loopback(agreed):
            return None
        if agreed.startswith("/dns") and not is_explicit:
            return None
    return own[0]
