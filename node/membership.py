"""Peers that come and go: the change of Raft's configuration, and where the newcomer is.

Membership is Raft's configuration alone. Operations 3 and 4 in the log only say where peers
are, and change no state (mixed-cluster rule 13). To add: is the peer there, operation 3, then
the change, tied to the configuration that was read first. To remove: the change, then
operation 4. A leader that dies in between leaves an address too many or too few, which the
next Python leader mends.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import trio

from keys.peer_id import PeerID
from node.forwarding import Forwarder, RemoteCall
from node.peer_addresses import PeerAddresses, PeerNotReached
from node.rpc.wire import encode_bytes, encode_peer_id
from pinstate.log_op import LogOp, LogOpType
from raft_over_libp2p.errors import ProposalRefused, RaftError
from raft_over_libp2p.types import ServerID

if TYPE_CHECKING:
    from pinstate.state import PinState
    from raft_over_libp2p.oplog import OpLog

__all__ = ["Membership"]

logger = logging.getLogger(__name__)

_REACH_S: Final = 5.0
"""To connect to a peer before it is added; a dial is given 3 s."""
_ADDRESS_S: Final = 5.0
"""For an address operation whose failure is harmless."""


class Membership:
    """Adds and removes peers, from whichever peer it is asked; errors as ``Consensus``."""

    def __init__(
        self,
        oplog: Callable[[], OpLog[PinState, LogOp]],
        forwarder: Forwarder,
        addresses: PeerAddresses,
    ) -> None:
        """``oplog()`` gives the running log, or raises ``ProposalRefused`` after a shutdown."""
        self._oplog = oplog
        self._forwarder = forwarder
        self._addresses = addresses
        self._agreed: dict[PeerID, bytes] = {}

    # -- what the log says about addresses

    def applied(self, ops: Sequence[LogOp]) -> None:
        """Take in operations 3 and 4 as they are applied; called for every batch."""
        for op in ops:
            if op.type is LogOpType.ADD_PEER or op.type is LogOpType.RM_PEER:
                self._take_in(op)

    def _take_in(self, op: LogOp) -> None:
        try:
            peer = PeerID.from_bytes(op.peer)
            multiaddr = op.multiaddr
        except ValueError as error:
            logger.warning("an address operation in the log names no peer: %s", error)
            return
        if op.type is LogOpType.ADD_PEER:
            self._agreed[peer] = multiaddr
            self._addresses.remember(peer, multiaddr)
        else:
            self._agreed.pop(peer, None)
            self._addresses.forget(peer)

    async def keep_addresses_agreed(self) -> None:
        """Whenever this peer leads, log the known addresses of members that have none logged.

        Returns when the peer is shut down.
        """
        try:
            raft = self._oplog().raft
            while True:
                if raft.is_leader:
                    for server_id in raft.configuration().ids:
                        await self._log_if_missing(PeerID.parse(server_id))
                await raft.changed()
        except ProposalRefused:
            return

    async def _log_if_missing(self, peer: PeerID) -> None:
        known = self._addresses.known(peer)
        if known is not None and peer not in self._agreed:
            oplog = self._oplog()
            try:
                await oplog.commit_op(LogOp.add_peer(known), timeout_s=_ADDRESS_S)
            except RaftError as error:
                logger.debug("the address of %s is not logged: %s", peer, error)

    # -- adding

    async def log_add_peer(
        self, multiaddr: str, *, timeout_s: float | None, forwarded_by: PeerID | None
    ) -> None:
        """Add the peer at ``multiaddr``; for a member, log its new address.

        Raises:
            ValueError: not a multiaddr that ends in a peer's ID.

        """
        op = LogOp.add_peer(multiaddr)
        peer = PeerID.from_bytes(op.peer)
        await self._forwarder.at_leader(
            self._oplog().raft,
            lambda left_s: self._add_here(peer, op, left_s),
            # A Go leader takes the peer's ID alone; its address is logged by the next of ours.
            (
                RemoteCall("LogAddPeer", encode_bytes(op.multiaddr)),
                RemoteCall("AddPeer", encode_peer_id(peer.multihash)),
            ),
            timeout_s=timeout_s,
            forwarded_by=forwarded_by,
        )

    async def add_peer(
        self, peer: PeerID, *, timeout_s: float | None, forwarded_by: PeerID | None
    ) -> None:
        """Add ``peer``, whose address is known already (Cluster's ``AddPeer``)."""
        await self._forwarder.at_leader(
            self._oplog().raft,
            lambda left_s: self._add_here(peer, None, left_s),
            (RemoteCall("AddPeer", encode_peer_id(peer.multihash)),),
            timeout_s=timeout_s,
            forwarded_by=forwarded_by,
        )

    async def _add_here(self, peer: PeerID, op: LogOp | None, timeout_s: float) -> None:
        """Add ``peer`` as the leader: nothing is changed before it has been reached."""
        deadline = trio.current_time() + timeout_s
        oplog = self._oplog()
        server_id = ServerID(str(peer))
        # Read before operation 3 is logged: a change by somebody else in between is noticed.
        prev_index = oplog.raft.status().core.configuration_index
        is_member = oplog.raft.configuration().is_voter(server_id)
        if peer.multihash != PeerID.parse(oplog.raft.server_id).multihash and (
            op is not None or not is_member
        ):
            await self._reach(peer, op.multiaddr if op else None, min(timeout_s, _REACH_S))
        if op is not None:
            await oplog.commit_op(op, timeout_s=deadline - trio.current_time())
        if is_member:
            return
        try:
            await oplog.raft.join(
                server_id, prev_index=prev_index, timeout_s=deadline - trio.current_time()
            )
        except ProposalRefused:
            if op is not None and not oplog.raft.configuration().has(server_id):
                await self._forget_here(peer)
            raise

    async def _reach(self, peer: PeerID, multiaddr: bytes | None, timeout_s: float) -> None:
        try:
            await self._addresses.reach(peer, multiaddr, timeout_s=timeout_s)
        except PeerNotReached as error:
            raise ProposalRefused(f"{peer} was not added: {error}") from error

    # -- removing

    async def log_rm_peer(
        self, peer: PeerID, *, timeout_s: float | None, forwarded_by: PeerID | None
    ) -> None:
        """Remove ``peer`` from the configuration, and then its address from the log."""
        argument = encode_peer_id(peer.multihash)
        await self._forwarder.at_leader(
            self._oplog().raft,
            lambda left_s: self._remove_here(peer, left_s, is_logged=True),
            (RemoteCall("LogRmPeer", argument), RemoteCall("RmPeer", argument)),
            timeout_s=timeout_s,
            forwarded_by=forwarded_by,
        )

    async def rm_peer(
        self, peer: PeerID, *, timeout_s: float | None, forwarded_by: PeerID | None
    ) -> None:
        """Remove ``peer`` from the configuration (Cluster's ``RmPeer``)."""
        await self._forwarder.at_leader(
            self._oplog().raft,
            lambda left_s: self._remove_here(peer, left_s, is_logged=False),
            (RemoteCall("RmPeer", encode_peer_id(peer.multihash)),),
            timeout_s=timeout_s,
            forwarded_by=forwarded_by,
        )

    async def _remove_here(self, peer: PeerID, timeout_s: float, *, is_logged: bool) -> None:
        raft = self._oplog().raft
        server_id = ServerID(str(peer))
        configuration = raft.configuration()
        if not configuration.has(server_id):
            raise ProposalRefused(f"{peer} is not a member of this cluster")
        if configuration.voters == (server_id,):
            # Cluster's own words.
            raise ProposalRefused("cannot remove ourselves from a 1-peer cluster")
        await raft.remove_server(server_id, timeout_s=timeout_s)
        if is_logged:
            await self._forget_here(peer)

    async def _forget_here(self, peer: PeerID) -> None:
        """Log that the address of ``peer`` is to be forgotten; without it nothing is wrong."""
        try:
            await self._oplog().commit_op(LogOp.rm_peer(peer.multihash), timeout_s=_ADDRESS_S)
        except RaftError as error:
            logger.debug("the address of %s stays in the log: %s", peer, error)
