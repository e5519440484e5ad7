"""Which snapshots come in: one of each peer, few in all, each spooled until it is whole."""

from __future__ import annotations

import trio

from raft_over_libp2p.core.messages import InstallSnapshotRequest
from raft_over_libp2p.errors import UnauthorisedPeer
from raft_over_libp2p.limits import MAX_INBOUND_SNAPSHOTS
from raft_over_libp2p.transport.interface import SnapshotExchange, Spool
from raft_over_libp2p.types import CallID, ServerID

__all__ = ["InboundSnapshots", "IncomingSnapshot"]


class IncomingSnapshot:
    """One snapshot from its request to the reply to it, or to the end of its stream."""

    def __init__(self, call: CallID, spool: Spool | None, stream: trio.CancelScope) -> None:
        self.call = call
        self._spool = spool
        self._stream = stream

    def write(self, chunk: bytes) -> None:
        """Spool the next bytes, or drop them where nobody wants them."""
        if self._spool is not None:
            self._spool.write(chunk)

    def is_whole(self) -> None:
        """Leave the spool to the driver, which hears of the request now."""
        self._spool = None

    def abandon(self) -> None:
        """Drop what was spooled, unless it was whole."""
        spool, self._spool = self._spool, None
        if spool is not None:
            spool.cancel()

    def end_stream(self) -> None:
        """Drop what was spooled, and end the stream it came on."""
        self.abandon()
        self._stream.cancel()


class InboundSnapshots:
    """The snapshots of one transport that come in or wait for their reply."""

    def __init__(self) -> None:
        self.exchange: SnapshotExchange | None = None
        self._of_peer: dict[ServerID, IncomingSnapshot] = {}

    def begin(
        self,
        call: CallID,
        peer: ServerID,
        request: InstallSnapshotRequest,
        stream: trio.CancelScope,
    ) -> IncomingSnapshot:
        """Make room for the snapshot of ``request``, which comes on ``stream``.

        An earlier one of the same peer gives way: the peer has given it up, and the reset of
        its stream is on its way or was lost with its connection.

        Raises:
            UnauthorisedPeer: too many peers send one; end the stream.

        """
        earlier = self._of_peer.pop(peer, None)
        if earlier is not None:
            earlier.end_stream()
        if len(self._of_peer) >= MAX_INBOUND_SNAPSHOTS:
            raise UnauthorisedPeer(f"{len(self._of_peer)} other peers send snapshots already")
        spool = self.exchange.spool(call, peer, request) if self.exchange is not None else None
        incoming = self._of_peer[peer] = IncomingSnapshot(call, spool, stream)
        return incoming

    def end(self, call: CallID) -> None:
        """Forget the snapshot that came as ``call``, if it is one: it was answered, or never will."""
        for peer, incoming in self._of_peer.items():
            if incoming.call == call:
                incoming.abandon()
                del self._of_peer[peer]
                return
