"""The seed's Consensus: a cluster's agreed pinset, from whichever peer it is asked.

IPFS Cluster's ``consensus/raft`` component in Python form: operations go to whoever leads,
over gorpc when that is another peer, and come back as a state every peer holds.
"""

from __future__ import annotations

import logging
import math
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from keys.peer_id import PeerID
from node.consensus_config import ConsensusConfig
from node.forwarding import Forwarder, RemoteCall
from node.membership import Membership
from node.peer_addresses import NoAddresses, PeerAddresses
from node.rpc.client import RpcClient
from pinstate.log_op import LogOp, OpCodec
from pinstate.pin import Pin
from pinstate.pin_msgpack import go_form
from pinstate.state import PinState
from raft_over_libp2p.errors import (
    NotLeader,
    ProposalRefused,
    RaftError,
)
from raft_over_libp2p.oplog import OpLog
from raft_over_libp2p.raft import Raft, RaftMetrics, RaftStatus
from raft_over_libp2p.raft.single_error import single_error
from raft_over_libp2p.storage.data_folder import DataFolder
from raft_over_libp2p.transport.interface import Transport
from raft_over_libp2p.transport.libp2p_transport import Libp2pTransport
from raft_over_libp2p.transport.timing import TransportTiming
from raft_over_libp2p.types import Configuration, ServerID
from raft_over_libp2p.wire.configuration import GoConfigurationCodec

if TYPE_CHECKING:
    from libp2p.abc import IHost

    from raft_over_libp2p.storage.filesystem import FileSystem
    from raft_over_libp2p.transport.streams import Dial

__all__ = ["Consensus", "ConsensusConfig"]

logger = logging.getLogger(__name__)

ROLLBACK_BATCH_OPS: Final = 512
"""Operations of a rollback proposed together: far below what may wait at once."""
SHUTDOWN_STEP_S: Final = 3.0
"""To hand over leadership, and to write a snapshot, when the peer stops."""


class Consensus:
    """One peer's part in agreeing on the pinset; made by :meth:`open`.

    Every call answers *done* by returning, *definitely not done* by ``NoLeader``,
    ``NotLeader`` or ``ProposalRefused``, and *unknown* by ``OutcomeUnknown``.
    """

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        cluster_peers: Sequence[PeerID] | None,
        host: IHost,
        data_folder: Path,
        state: PinState | None = None,
        *,
        config: ConsensusConfig | None = None,
        dial: Dial | None = None,
        addresses: PeerAddresses | None = None,
    ) -> AsyncIterator[Consensus]:
        """Take part in a cluster with the identity of ``host`` until the block ends.

        Does not wait for a leader: see :meth:`ready`. On a fresh ``data_folder`` the cluster's
        first voters are ``cluster_peers`` and this peer, and every first voter must be given
        the same set; an empty set makes a cluster of one, and None none: this peer waits to be
        added to one. A folder with a past ignores ``cluster_peers``. ``host`` stays open: it is
        its opener's; ``dial`` connects it to a member, by default its own dialler over its
        peerstore; ``addresses`` keeps what the log says about where peers are. ``state`` is where
        the log starts from, the empty pinset as a rule.

        Raises:
            StorageError: the folder is locked, another peer's, a Go peer's, or damaged; or,
                while running, the disk fails: the block is cancelled.

        """
        config = config or ConsensusConfig()
        timing = TransportTiming.of(config.raft, network_timeout_s=config.network_timeout_s)
        async with cls.open_on(
            Libp2pTransport(host, timing, dial=dial),
            cluster_peers,
            PeerID.from_bytes(host.get_id().to_bytes()),
            data_folder,
            state,
            config=config,
            addresses=addresses,
        ) as consensus:
            yield consensus

    @classmethod
    @asynccontextmanager
    async def open_on(
        cls,
        transport: Transport,
        cluster_peers: Sequence[PeerID] | None,
        peer_id: PeerID,
        data_folder: Path,
        state: PinState | None = None,
        *,
        config: ConsensusConfig | None = None,
        addresses: PeerAddresses | None = None,
        fs: FileSystem | None = None,
        sync_inline: bool = False,
    ) -> AsyncIterator[Consensus]:
        """As :meth:`open`, on any transport and file system: for tests and unusual programs."""
        consensus = cls(peer_id, config or ConsensusConfig(), addresses or NoAddresses())
        with single_error():
            async with trio.open_nursery() as nursery:
                await nursery.start(
                    partial(
                        consensus._run,
                        transport,
                        cluster_peers,
                        partial(DataFolder.open, data_folder, ServerID(str(peer_id)), fs=fs),
                        state or PinState(),
                        sync_inline=sync_inline,
                    )
                )
                try:
                    yield consensus
                finally:
                    with trio.CancelScope(shield=True):
                        await consensus.shutdown()

    def __init__(self, peer_id: PeerID, config: ConsensusConfig, addresses: PeerAddresses) -> None:
        self.peer_id = peer_id
        self._config = config
        self._forwarder = Forwarder(
            attempts=config.commit_retries,
            retry_delay_s=config.commit_retry_delay_s,
            leader_timeout_s=config.leader_timeout_s,
            network_timeout_s=config.network_timeout_s,
            election_s=2 * config.raft.heartbeat_timeout_s,
        )
        self._membership = Membership(self._open_oplog, self._forwarder, addresses)
        self._oplog: OpLog[PinState, LogOp] | None = None
        self._stop = trio.Event()
        self._stopped = trio.Event()
        self._is_ready = False
        self._is_stopping = False

    async def _run(
        self,
        transport: Transport,
        cluster_peers: Sequence[PeerID] | None,
        open_folder: Callable[[], DataFolder],
        state: PinState,
        *,
        sync_inline: bool,
        task_status: trio.TaskStatus[None],
    ) -> None:
        try:
            with open_folder() as folder:
                if folder.is_fresh and cluster_peers is not None:
                    first = first_configuration(cluster_peers, self.peer_id)
                    folder.bootstrap(first, GoConfigurationCodec())
                async with OpLog.open(
                    folder=folder,
                    transport=transport,
                    state=state,
                    codec=OpCodec(),
                    config=self._config.raft,
                    sync_inline=sync_inline,
                    applied=self._membership.applied,
                ) as self._oplog:
                    task_status.started()
                    async with trio.open_nursery() as nursery:
                        nursery.start_soon(self._membership.keep_addresses_agreed)
                        await self._stop.wait()
                        nursery.cancel_scope.cancel()
        finally:
            self._stopped.set()

    # -- who is who

    def leader(self) -> PeerID:
        """Return who leads, as far as this peer knows.

        Raises:
            NoLeader: nobody, as far as it knows; names the voters it cannot reach.

        """
        raft = self._open_oplog().raft
        leader = raft.leader()
        if leader is None:
            raise raft.no_leader("leader unknown or not existing yet")
        return PeerID.parse(leader)

    def peers(self) -> list[PeerID]:
        """Return the members of the latest configuration, in the order of their text."""
        return sorted(PeerID.parse(i) for i in self._open_oplog().raft.configuration().ids)

    def status(self) -> RaftStatus:
        """Return a picture of this peer's Raft and of how it reaches the others."""
        return self._open_oplog().raft.status()

    def metrics(self) -> RaftMetrics:
        """Return what this peer's Raft has done since it started, counted and timed."""
        return self._open_oplog().raft.metrics()

    @property
    def raft(self) -> Raft[bytes, PinState]:
        """The running server: its observers, and what only it can do."""
        return self._open_oplog().raft

    def set_client(self, rpc_client: RpcClient) -> None:
        """Give what forwarding to another leader uses; until then such calls are refused."""
        self._forwarder.client = rpc_client

    # -- what is agreed on

    async def log_pin(
        self, pin: Pin, *, timeout_s: float | None = None, forwarded_by: PeerID | None = None
    ) -> None:
        """Have the cluster agree to hold ``pin``; durable on a majority when it returns.

        It is in :meth:`state` of the leader then, and of every other peer soon after.
        ``timeout_s`` defaults to ``leader_timeout_s + network_timeout_s``. ``forwarded_by``
        names the peer that passed the call on, to whom it is not passed back.

        Raises:
            NoLeader: nobody leads or the leader is not reached; not applied.
            ProposalRefused: not applied; says why.
            OutcomeUnknown: it may be applied; ask :meth:`state`.

        """
        call = RemoteCall("LogPin", go_form(pin))
        await self._commit(LogOp.pin(pin), call, timeout_s, forwarded_by)

    async def log_unpin(
        self, pin: Pin, *, timeout_s: float | None = None, forwarded_by: PeerID | None = None
    ) -> None:
        """Have the cluster agree to hold ``pin``'s CID no more; only the CID matters.

        Errors as in :meth:`log_pin`. Unpinning what is not pinned changes nothing.
        """
        call = RemoteCall("LogUnpin", go_form(pin))
        await self._commit(LogOp.unpin(pin), call, timeout_s, forwarded_by)

    def state(self) -> PinState:
        """Return the last agreed state this peer knows, at once; it may lag the leader's.

        Raises:
            NoState: nothing has been agreed on yet.
            InconsistentState: an agreed entry could not be applied.

        """
        return self._open_oplog().log_head()

    async def linearizable_state(self, *, timeout_s: float | None = None) -> PinState:
        """Return a state that holds every write acknowledged before this call, on any peer.

        Raises:
            NoLeader: nobody leads in time.
            ReadIndexUnsupported: the leader is a Go peer; ask it, or take :meth:`state`.
            NotLeader, ProposalRefused: no majority confirmed the leader; nothing was read.
            NoState, InconsistentState: as :meth:`state`.

        """
        timeout_s = self._config.network_timeout_s if timeout_s is None else timeout_s
        oplog, deadline = self._open_oplog(), trio.current_time() + timeout_s
        if oplog.raft.leader() is None:
            await oplog.raft.wait_for_leader(timeout_s=timeout_s)
        await oplog.raft.read_index(timeout_s=deadline - trio.current_time())
        return oplog.log_head()

    async def rollback(self, state: PinState, *, timeout_s: float | None = None) -> None:
        """Make ``state`` the agreed state, on the leader only (the seed's ``Rollback``).

        The difference is proposed as ordinary unpins and pins, and then one empty entry,
        which ends an inconsistency: a rollback entry as Go's only adds keys, so this way Go
        and Python peers end up with the same pinset. Writes made meanwhile are kept.

        Raises:
            NotLeader, ProposalRefused: nothing, or nothing more, was applied.
            OutcomeUnknown: a part may be applied; calling it again is safe.

        """
        deadline = trio.current_time() + (
            self._forwarder.default_timeout_s if timeout_s is None else timeout_s
        )
        oplog = self._open_oplog()
        if not oplog.raft.is_leader:
            raise NotLeader(oplog.raft.leader())
        await oplog.raft.read_index(timeout_s=deadline - trio.current_time())
        current = oplog.local_state
        ops = [LogOp.unpin(pin) for pin in current.list() if pin.cid not in state]
        ops += [LogOp.pin(pin) for pin in state.list() if current.get(pin.cid) != pin]
        for start in range(0, len(ops), ROLLBACK_BATCH_OPS):
            batch = ops[start : start + ROLLBACK_BATCH_OPS]
            await oplog.commit_ops(batch, timeout_s=deadline - trio.current_time())
        await oplog.rollback(b"", timeout_s=deadline - trio.current_time())

    # -- who belongs to the cluster

    async def log_add_peer(
        self,
        multiaddr: str,
        *,
        timeout_s: float | None = None,
        forwarded_by: PeerID | None = None,
    ) -> None:
        """Add the peer at ``multiaddr``, which ends in ``/p2p/<ID>``, as a voter.

        The leader reaches it first, so that one that is not there costs nothing; then its
        address is agreed on, it gets the log as a learner, and votes when it has caught up.
        For a member just the new address is agreed on. Under a Go leader only the membership
        changes, and the address is logged when a Python peer next leads.

        Raises:
            ValueError: not such a multiaddr.
            NoLeader, ProposalRefused: it is no member; says why.
            OutcomeUnknown: it may be; see :meth:`peers`.

        """
        await self._membership.log_add_peer(
            multiaddr, timeout_s=timeout_s, forwarded_by=forwarded_by
        )

    async def log_rm_peer(
        self,
        peer: PeerID,
        *,
        timeout_s: float | None = None,
        forwarded_by: PeerID | None = None,
    ) -> None:
        """Remove ``peer`` from the cluster, and then its address from the log.

        A leader may remove itself, and steps down when that is agreed on. Errors as in
        :meth:`log_add_peer`; a stranger, or the only voter, is refused.
        """
        await self._membership.log_rm_peer(peer, timeout_s=timeout_s, forwarded_by=forwarded_by)

    async def add_peer(
        self,
        peer: PeerID,
        *,
        timeout_s: float | None = None,
        forwarded_by: PeerID | None = None,
    ) -> None:
        """Add ``peer``, whose address the leader knows (Cluster's ``AddPeer``)."""
        await self._membership.add_peer(peer, timeout_s=timeout_s, forwarded_by=forwarded_by)

    async def rm_peer(
        self,
        peer: PeerID,
        *,
        timeout_s: float | None = None,
        forwarded_by: PeerID | None = None,
    ) -> None:
        """Remove ``peer`` from the configuration (Cluster's ``RmPeer``)."""
        await self._membership.rm_peer(peer, timeout_s=timeout_s, forwarded_by=forwarded_by)

    async def transfer_leadership(
        self, target: PeerID | None = None, *, timeout_s: float | None = None
    ) -> PeerID:
        """Hand leadership to ``target``, or the best voter, from the leader; return to whom.

        Raises:
            NotLeader, ProposalRefused: leadership stays; says why.
            OutcomeUnknown: it is not over within ``timeout_s``.

        """
        timeout_s = self._config.network_timeout_s if timeout_s is None else timeout_s
        server_id = None if target is None else ServerID(str(target))
        raft = self._open_oplog().raft
        return PeerID.parse(await raft.leadership_transfer(server_id, timeout_s=timeout_s))

    # -- waiting

    async def ready(self, *, timeout_s: float | None = None) -> None:
        """Return when this peer has been in sync once; await it as often as you like.

        Raises:
            NoLeader, ProposalRefused: not within ``timeout_s`` (None waits for ever).

        """
        if not self._is_ready:
            await self.wait_for_sync(timeout_s=math.inf if timeout_s is None else timeout_s)
            self._is_ready = True

    async def wait_for_sync(self, *, timeout_s: float | None = None) -> None:
        """Return when there is a leader, this peer votes, and all that was committed is applied.

        A log that ends in an entry of the current term holds everything committed in earlier
        ones, so it waits until such an entry is applied here. ``timeout_s`` defaults to
        ``leader_timeout_s``, which bounds the wait for a leader alone.

        Raises:
            NoLeader: nobody leads in time.
            ProposalRefused: a leader, but not in sync within ``timeout_s``.

        """
        raft = self._open_oplog().raft
        leader_timeout_s = self._config.leader_timeout_s if timeout_s is None else timeout_s
        deadline = math.inf if timeout_s is None else trio.current_time() + timeout_s
        await raft.wait_for_leader(timeout_s=leader_timeout_s)
        with trio.move_on_at(deadline):
            while not self._is_in_sync():
                await raft.changed()
            return
        core = raft.status().core
        message = (
            f"not in sync within {timeout_s} s: applied {core.applied_index} of "
            f"{core.last_index}, {'a' if core.configuration.is_voter(raft.server_id) else 'no'} voter"
        )
        raise ProposalRefused(message)

    def _is_in_sync(self) -> bool:
        core = self._open_oplog().raft.status().core
        return (
            core.leader is not None
            and core.configuration.is_voter(core.server_id)
            and core.last_log_term == core.term
            and core.applied_index >= core.commit_index > 0
        )

    async def shutdown(self) -> None:
        """Stop for good: the transport closes, what waits is failed; calling it again is fine.

        A leader hands over first, and a snapshot is taken, each within ``SHUTDOWN_STEP_S``;
        without them nothing is lost.
        """
        if self._oplog is not None and not self._stop.is_set() and not self._is_stopping:
            self._is_stopping = True
            await self._leave(self._oplog.raft)
        self._stop.set()
        await self._stopped.wait()

    async def _leave(self, raft: Raft[bytes, PinState]) -> None:
        try:
            if raft.is_leader and len(raft.configuration().voters) > 1:
                await raft.leadership_transfer(timeout_s=SHUTDOWN_STEP_S)
        except RaftError as error:
            logger.debug("leadership is not handed over: %s", error)
        try:
            await raft.snapshot(timeout_s=SHUTDOWN_STEP_S)
        except RaftError as error:
            logger.debug("no snapshot is taken: %s", error)

    # -- the way of an operation

    def _open_oplog(self) -> OpLog[PinState, LogOp]:
        if self._oplog is None or self._stop.is_set():
            raise ProposalRefused("consensus is shut down")
        return self._oplog

    async def _commit(
        self,
        op: LogOp,
        call: RemoteCall,
        timeout_s: float | None,
        forwarded_by: PeerID | None,
    ) -> None:
        oplog = self._open_oplog()
        await self._forwarder.at_leader(
            oplog.raft,
            lambda left_s: oplog.commit_op(op, timeout_s=left_s),
            (call,),
            timeout_s=timeout_s,
            forwarded_by=forwarded_by,
        )


def first_configuration(cluster_peers: Sequence[PeerID], own: PeerID) -> Configuration:
    """Return the first voters: ``cluster_peers`` in order, then ``own``, each once.

    All first voters must build the same entry, and Go's order is the given set followed by
    oneself: give every peer the whole set, itself included, in one order.
    """
    return Configuration.of_voters(
        *dict.fromkeys(ServerID(str(peer)) for peer in (*cluster_peers, own))
    )
