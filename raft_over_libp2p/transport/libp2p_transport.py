"""Raft's RPCs over libp2p streams, byte for byte as go-libp2p-raft sends and expects them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial

import trio
from libp2p.abc import IHost
from trio import TaskStatus

from raft_over_libp2p.core.events import CallFailed
from raft_over_libp2p.core.messages import InstallSnapshotRequest
from raft_over_libp2p.core.ready import Call, Output
from raft_over_libp2p.errors import LocalProtocolError
from raft_over_libp2p.transport.inbound import Inbound
from raft_over_libp2p.transport.interface import Deliver, Link, SnapshotExchange
from raft_over_libp2p.transport.lanes import lane_of
from raft_over_libp2p.transport.outbound import OutboundPeer
from raft_over_libp2p.transport.streams import SNAPSHOT_PROTOCOL, Dial, Door
from raft_over_libp2p.transport.timing import TransportTiming
from raft_over_libp2p.types import ServerID
from raft_over_libp2p.wire.dialects import DIALECTS, encode_any_request

__all__ = ["Libp2pTransport"]


class Libp2pTransport:
    """One server's :class:`~raft_over_libp2p.transport.interface.Transport` over a py-libp2p host.

    The host is the embedder's: this opens none and closes none. It must run, and know the
    members' addresses (its peerstore, or ``dial``).
    """

    def __init__(
        self, host: IHost, timing: TransportTiming | None = None, *, dial: Dial | None = None
    ) -> None:
        """Use ``host``; connect with ``dial``, by default with the host's own dialler."""
        self._door = Door(host, dial)
        self._timing = timing or TransportTiming()
        self._inbound = Inbound(self._door.server_id)
        self._members: frozenset[ServerID] = frozenset()
        self._peers: dict[ServerID, _RunningPeer] = {}
        self._deliver: Deliver | None = None
        self._nursery: trio.Nursery | None = None
        self._snapshots: SnapshotExchange | None = None

    @property
    def server_id(self) -> ServerID:
        """This server's ID: the host's peer ID in text form."""
        return self._door.server_id

    @property
    def refused(self) -> Mapping[str, int]:
        """How many inbound streams were ended for what their peer did, by error."""
        return self._inbound.refused

    # -- the Transport protocol

    async def run(
        self,
        deliver: Deliver,
        snapshots: SnapshotExchange | None = None,
        *,
        task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery, self._deliver, self._snapshots = nursery, deliver, snapshots
            try:
                self._inbound.open(deliver, snapshots)
                self._door.open_to(nursery, self._connection_changed)
                for dialect in DIALECTS:
                    serve = partial(self._inbound.serve, dialect)
                    self._door.serve(serve, dialect.protocol_id)
                self._door.serve(self._inbound.serve_resumable, SNAPSHOT_PROTOCOL)
                for peer in self._members:
                    self._peer(peer)
                task_status.started()
                await trio.sleep_forever()
            finally:
                for dialect in DIALECTS:
                    self._door.stop_serving(dialect.protocol_id)
                self._door.stop_serving(SNAPSHOT_PROTOCOL)
                self._door.close()
                self._inbound.close()
                self._peers.clear()
                self._nursery = self._deliver = None

    def send(self, outputs: Sequence[Output]) -> None:
        if self._deliver is None:
            return  # Stopped, or not started: nobody is there to hear of an outcome.
        for output in outputs:
            if isinstance(output, Call):
                self._call(output)
            else:
                self._inbound.reply(output.call, output.response)

    def set_members(self, members: Collection[ServerID]) -> None:
        self._members = frozenset(members) - {self.server_id}
        self._inbound.set_members(members)
        self._door.set_members(members)
        if self._nursery is None:
            return
        for peer in self._members:
            self._peer(peer)
        for peer, running in list(self._peers.items()):
            running.outbound.is_member = peer in self._members
            running.outbound.look_again()
            if peer not in self._members and running.outbound.is_idle:
                running.scope.cancel()
                del self._peers[peer]

    def links(self) -> Mapping[ServerID, Link]:
        return {
            peer: (
                self._peers[peer].outbound.link()
                if peer in self._peers
                else Link(peer=peer, is_connected=False, last_error="not started")
            )
            for peer in sorted(self._members)
        }

    # -- peers

    def _call(self, output: Call) -> None:
        if output.peer == self.server_id and self._deliver is not None:
            self._deliver(CallFailed(output.call, "a server does not call itself"))
            return
        peer, request = self._peer(output.peer), output.request
        data = encode_any_request(request, self.server_id)
        if isinstance(request, InstallSnapshotRequest):
            peer.send_snapshot(output.call, request, data)
        else:
            peer.call(lane_of(request), output.call, request, data)

    def _peer(self, peer: ServerID) -> OutboundPeer:
        """Return the outbound side to ``peer``, started if need be."""
        running = self._peers.get(peer)
        if running is None:
            if self._nursery is None or self._deliver is None:
                raise LocalProtocolError("this transport does not run")
            outbound = OutboundPeer(peer, self._door, self._timing, self._deliver, self._snapshots)
            outbound.is_member = peer in self._members
            running = self._peers[peer] = _RunningPeer(outbound)
            self._nursery.start_soon(running.run)
        return running.outbound

    def _connection_changed(self, peer: ServerID, came: bool) -> None:  # noqa: FBT001
        running = self._peers.get(peer)
        if running is not None:
            running.outbound.look_again(came=came)


class _RunningPeer:
    """An outbound peer with the means to stop it."""

    def __init__(self, outbound: OutboundPeer) -> None:
        self.outbound = outbound
        self.scope = trio.CancelScope()

    async def run(self) -> None:
        with self.scope:
            await self.outbound.run()
