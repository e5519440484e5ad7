"""Which snapshots come in: one of each peer, few in all, each spooled until it is whole."""

from __future__ import annotations

import trio

from raft_over_libp2p.core.messages import InstallSnapshotRequest
from raft_over_libp2p.errors import UnauthorisedPeer
from raft_over_libp2p.limits import MAX_INBOUND_SNAPSHOTS
from raft_over_libp2p.transport.interface import PartialSpool, SnapshotExchange, Spool
from raft_over_libp2p.types import CallID, ServerID

__all__ = ["InboundSnapshots", "IncomingSnapshot", "ResumedSnapshot"]


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


class ResumedSnapshot(IncomingSnapshot):
    """One whose bytes are kept when its stream breaks."""

    def __init__(self, call: CallID, spool: PartialSpool | None, stream: trio.CancelScope) -> None:
        super().__init__(call, spool, stream)
        self._partial = spool
        self.was_handed_over = False

    @property
    def is_of_use(self) -> bool:
        """Whether more bytes are wanted than are here."""
        return self._partial is not None and self._partial.is_of_use

    @property
    def size_bytes(self) -> int:
        """How many bytes are here; 0 where nobody wants them."""
        return 0 if self._partial is None else self._partial.size_bytes

    def is_whole_but_wrong(self, size_bytes: int, sha256: bytes) -> bool:
        """Tell whether all bytes are here, and are not those that were offered."""
        spool = self._partial
        if spool is None or spool.size_bytes < size_bytes:
            return False
        return spool.sha256() != sha256

    def is_whole(self) -> None:
        super().is_whole()
        self.was_handed_over = True
        self._partial = None

    def abandon(self) -> None:
        """Keep what was spooled for the next stream, unless the driver has it."""
        partial, self._partial = self._partial, None
        self._spool = None
        if partial is not None:
            partial.suspend()

    def discard(self) -> None:
        """Drop what was spooled: nothing of it can be trusted."""
        self._partial = None
        super().abandon()


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
        self._make_room(peer)
        spool = self.exchange.spool(call, peer, request) if self.exchange is not None else None
        incoming = self._of_peer[peer] = IncomingSnapshot(call, spool, stream)
        return incoming

    def resume(
        self,
        call: CallID,
        peer: ServerID,
        request: InstallSnapshotRequest,
        sha256: bytes,
        stream: trio.CancelScope,
    ) -> ResumedSnapshot:
        """Do as :meth:`begin` for a snapshot that can be resumed; it may be here in part."""
        self._make_room(peer)
        exchange = self.exchange
        spool = exchange.resume(call, peer, request, sha256) if exchange is not None else None
        resumed = self._of_peer[peer] = ResumedSnapshot(call, spool, stream)
        return resumed

    def _make_room(self, peer: ServerID) -> None:
        earlier = self._of_peer.pop(peer, None)
        if earlier is not None:
            earlier.end_stream()
        if len(self._of_peer) >= MAX_INBOUND_SNAPSHOTS:
            raise UnauthorisedPeer(f"{len(self._of_peer)} other peers send snapshots already")

    def end(self, call: CallID) -> None:
        """Forget the snapshot that came as ``call``, if it is one: it was answered, or never will."""
        for peer, incoming in self._of_peer.items():
            if incoming.call == call:
                incoming.abandon()
                del self._of_peer[peer]
                return
