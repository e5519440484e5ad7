"""The door to py-libp2p: connections and streams to peers, named by server ID.

No other module of this package names a type of py-libp2p. What can go wrong on a stream
comes out as :class:`StreamBroken`, what can go wrong before one stands as
:class:`PeerUnreachable`; both carry words for an operator.

A write is never cancelled half-way on a host whose muxer does not survive it: py-libp2p's
own leaves half an encrypted record on the wire, which ends every stream of the connection,
or wedges it for good (trap 2 of docs/upstream.md). Such a write runs shielded, and one
that overruns its deadline ends the connection.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final, Protocol, TypeAlias, cast

import trio
from libp2p.abc import IHost, IMuxedStream, INetConn, INetStream, INetwork, INotifee
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.exceptions import SwarmException
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.peer.peerstore import PeerStoreError
from libp2p.stream_muxer.exceptions import MuxedConnUnavailable, MuxedStreamEOF
from multiaddr import Multiaddr

from raft_over_libp2p.transport.negotiation import Proposal, ProposalRefusedError
from raft_over_libp2p.types import ServerID

__all__ = [
    "RAFT_PROTOCOL",
    "SNAPSHOT_PROTOCOL",
    "Dial",
    "Door",
    "NotServed",
    "PeerUnreachable",
    "RaftStream",
    "StreamBroken",
    "StreamRefused",
]

RAFT_PROTOCOL: Final = TProtocol("/raft/1.0.0/rpc")
"""go-libp2p-raft's protocol ID."""
SNAPSHOT_PROTOCOL: Final = TProtocol("/raft-over-libp2p/1.0.0/snapshot")
"""Snapshots that can be resumed, between Python peers (``wire.snapshot_transfer``)."""

_NOT_SERVED: Final = "protocols not supported"
"""How py-libp2p's error begins when the peer refused each protocol that was proposed."""
_READ_BYTES: Final = 256 * 1024
_MAX_REASONS: Final = 4
_DYING_LOOKS: Final = 10
_DYING_S: Final = 0.2
"""How long py-libp2p lists a connection that has died: 105 to 125 ms measured."""
_GOODBYE_S: Final = 1.0
"""Resetting a stream or closing a connection may wait so long for a jammed socket."""

_log = logging.getLogger(__name__)


class StreamBroken(Exception):
    """The stream is gone or of no more use; says why."""


class StreamRefused(StreamBroken):
    """The peer does not serve the protocol: nothing that was written was acted on."""


class PeerUnreachable(Exception):
    """No connection or no stream to the peer could be had; says why."""


class NotServed(PeerUnreachable):
    """The peer was asked for a stream, and does not serve the protocol."""


Changed: TypeAlias = Callable[[ServerID, bool], None]
"""Hears that a connection to the peer came (True) or went (False)."""


class Dial(Protocol):
    """Connects a host to a peer, within a time it is given."""

    async def __call__(self, peer: ServerID, timeout_s: float) -> None:
        """Return when a connection stands.

        Raises:
            PeerUnreachable: none does, with the reason in words for an operator.

        """
        ...


class RaftStream:
    """One stream of the Raft protocol, or another; one task reads it and one writes it.

    Reads and writes go to the muxed stream itself: py-libp2p's wrapper takes a lock twice
    around each.
    """

    def __init__(
        self, stream: INetStream | IMuxedStream, door: Door, proposal: Proposal | None = None
    ) -> None:
        """Wrap a ``stream`` of the host behind ``door``.

        It is negotiated, unless ``proposal`` goes before the first bytes written: the answer
        to it is looked at in the first ``read``.
        """
        self._stream = stream
        self._proposal = proposal
        self._muxed = cast("IMuxedStream", getattr(stream, "muxed_stream", stream))
        self._door = door
        self._is_closed = False
        self.peer = _server_id(stream.muxed_conn.peer_id)
        # Only our own muxer has these (node.swarm.muxer).
        self._write_nowait: Callable[[bytes], bool] | None = getattr(
            self._muxed, "write_nowait", None
        )
        self._stop_reading: Callable[[], None] | None = getattr(self._muxed, "stop_reading", None)
        self._is_write_cancel_safe = bool(getattr(stream.muxed_conn, "is_write_cancel_safe", False))

    async def read(self) -> bytes:
        """Return what has arrived, at least one byte, or nothing at the end of the stream.

        The end may also be the death of the connection, which py-libp2p does not tell apart
        (trap 9): an end inside a message is a broken stream to the caller.

        Raises:
            StreamRefused: the peer does not serve the protocol.
            StreamBroken: the stream was reset, or its connection ended.

        """
        try:
            while self._proposal is not None:
                beyond = self._agreed(self._proposal, await self._muxed.read(_READ_BYTES))
                if beyond is not None:
                    self._proposal = None
                if beyond:
                    return beyond
            return await self._muxed.read(_READ_BYTES)
        except MuxedStreamEOF:
            return b""
        except EOFError:
            return b""
        except (BaseLibp2pError, OSError, trio.BrokenResourceError) as error:
            raise StreamBroken(f"stream to {self.peer} lost: {_words(error)}") from error

    def _agreed(self, proposal: Proposal, data: bytes) -> bytes | None:
        try:
            return proposal.take(data)
        except ProposalRefusedError as error:
            if not error.is_known_refusal:
                raise StreamBroken(str(error)) from error
            self._door.does_not_serve(self.peer, proposal.protocol)
            raise StreamRefused(str(error)) from error

    async def write(self, data: bytes, timeout_s: float) -> None:
        """Hand ``data`` to the connection, in order and whole.

        Raises:
            StreamBroken: it was not taken within ``timeout_s`` (the stream, or where it must
                be the connection, is ended), or the stream is gone.

        """
        shield = not self._is_write_cancel_safe
        with trio.move_on_after(timeout_s, shield=shield) as scope:
            try:
                await self._muxed.write(data)
            except (BaseLibp2pError, OSError, trio.BrokenResourceError) as error:
                raise StreamBroken(f"stream to {self.peer} lost: {_words(error)}") from error
        if scope.cancelled_caught:
            if shield:
                # Half a record may be on the wire: nothing after it can be read.
                self._door.disconnect_soon(self.peer)
            raise StreamBroken(f"{self.peer} took no bytes for {timeout_s:g} s")

    def write_nowait(self, data: bytes) -> bool:
        """Hand ``data`` over whole, if that can be done without waiting; else return False.

        Only while no :meth:`write` is under way. A stock host never can.
        """
        return self._write_nowait is not None and self._write_nowait(data)

    async def reset(self) -> None:
        """End the stream both ways at once; what the peer did not read is lost.

        Nothing after :meth:`close`: that would take back what was written.
        """
        if self._is_closed:
            return
        with trio.move_on_after(_GOODBYE_S, shield=True):
            try:
                await self._stream.reset()
            except (BaseLibp2pError, OSError, trio.BrokenResourceError) as error:
                _log.debug("resetting a stream to %s: %s", self.peer, error)

    async def close(self) -> None:
        """End our side after what was written, and drop what still comes.

        py-libp2p's own ``close`` leaves the read side as it is (trap 18): only our muxer drops.
        """
        self._is_closed = True
        if self._stop_reading is not None:
            self._stop_reading()
        with trio.move_on_after(_GOODBYE_S, shield=True):
            try:
                await self._stream.close()
            except (BaseLibp2pError, OSError, trio.BrokenResourceError) as error:
                _log.debug("closing a stream to %s: %s", self.peer, error)


class Door:
    """One py-libp2p host as the transport sees it."""

    def __init__(self, host: IHost, dial: Dial | None = None) -> None:
        """Use ``host``; connect with ``dial``, by default with the host's own dialler."""
        self._host = host
        self._dial = dial or self._dial_by_host
        self._nursery: trio.Nursery | None = None
        self._notifee: _Notifee | None = None

    @property
    def server_id(self) -> ServerID:
        """The host's own peer ID in text form."""
        return ServerID(str(self._host.get_id()))

    def open_to(self, nursery: trio.Nursery, changed: Changed) -> None:
        """Start: ``changed`` hears of each connection that comes or goes, until closed."""
        self._nursery = nursery
        self._notifee = _Notifee(changed)
        self._host.get_network().register_notifee(self._notifee)

    def close(self) -> None:
        """Stop hearing of connections; the host itself stays as it is."""
        self._nursery = None
        if self._notifee is not None:
            network = self._host.get_network()
            if isinstance(network, Swarm):
                network.remove_notifee(self._notifee)
            self._notifee.changed = _nobody
            self._notifee = None

    def serve(
        self,
        handler: Callable[[RaftStream], Awaitable[None]],
        protocol: str = RAFT_PROTOCOL,
    ) -> None:
        """Let ``handler`` serve inbound streams. It must not raise; this door makes sure."""

        async def serve_stream(net_stream: INetStream) -> None:
            stream = RaftStream(net_stream, self)
            try:
                await handler(stream)
            except Exception:  # noqa: BLE001 - at the one door, see below
                # An exception that leaves a stream handler ends the whole host (trap 1).
                _log.exception("serving a stream of %s", stream.peer)
                await stream.reset()

        # Our own host (node.swarm.announcing) hands over muxed streams without py-libp2p's
        # wrapping, whose price is several times that of a call.
        register = getattr(self._host, "set_bare_stream_handler", self._host.set_stream_handler)
        register(TProtocol(protocol), serve_stream)

    def set_members(self, members: Collection[ServerID]) -> None:
        """Let the host know whose streams are wanted, if it is one that limits how many come."""
        tell = getattr(self._host, "set_members", None)
        if tell is not None:
            tell({str(member) for member in members})

    def stop_serving(self, protocol: str = RAFT_PROTOCOL) -> None:
        """Refuse further inbound streams."""
        self._host.remove_stream_handler(TProtocol(protocol))

    def may_serve(self, peer: ServerID, protocol: TProtocol) -> bool:
        """Tell whether to ask ``peer`` for ``protocol``: it names it (identify), or nothing yet."""
        try:
            named = self._host.get_peerstore().get_protocols(_peer_id(peer))
        except (PeerStoreError, PeerUnreachable):
            return True
        return protocol in named or not named

    def is_connected(self, peer: ServerID) -> bool:
        """Tell whether a connection to ``peer`` stands, as far as the host knows."""
        try:
            connections = self._host.get_network().get_connections(_peer_id(peer))
        except PeerUnreachable:
            return False
        return any(not connection.is_closed for connection in connections)

    async def connect(self, peer: ServerID, timeout_s: float) -> None:
        """Connect to ``peer`` unless a connection stands.

        Raises:
            PeerUnreachable: within ``timeout_s`` at the latest.

        """
        if not self.is_connected(peer):
            await self._dial(peer, timeout_s)

    async def open_stream(
        self, peer: ServerID, timeout_s: float, protocol: str = RAFT_PROTOCOL
    ) -> RaftStream:
        """Open a stream of ``protocol`` to ``peer``, connecting first if need be.

        Over our own muxer, to a peer that is known to serve the protocol, nothing is waited
        for: see ``transport.negotiation``.

        Raises:
            NotServed: the peer said that it does not serve ``protocol``.
            PeerUnreachable: within ``timeout_s`` at the latest.

        """
        what = "Raft stream" if protocol == RAFT_PROTOCOL else f"stream of {protocol}"
        stream = await self._open_lazily(peer, protocol)
        if stream is not None:
            return stream
        deadline = trio.current_time() + timeout_s
        failure = f"timed out opening a {what} after {timeout_s:g} s"
        while (left_s := deadline - trio.current_time()) > 0:
            await self.connect(peer, left_s)
            with trio.move_on_at(deadline) as scope:
                try:
                    stream = await self._open_lazily(peer, protocol)
                    if stream is not None:
                        return stream
                    negotiated = await self._host.new_stream(_peer_id(peer), [TProtocol(protocol)])
                    return RaftStream(negotiated, self)
                except SwarmException as error:
                    # No stream on the connection: it is dying, and listed a while longer
                    # (trap 16). Once it is gone, connect again.
                    failure = f"no {what}: {_words(error)}"
                    await self._until_disconnected(peer)
                except (BaseLibp2pError, OSError, trio.BrokenResourceError) as error:
                    if _NOT_SERVED in str(error.__cause__):
                        self.does_not_serve(peer, protocol)
                        raise NotServed(f"no {what}: {_words(error)}") from error
                    raise PeerUnreachable(f"no {what}: {_words(error)}") from error
            if scope.cancelled_caught and not self._is_write_cancel_safe(peer):
                # The negotiation's write was perhaps cancelled half-way (trap 2).
                self.disconnect_soon(peer)
        raise PeerUnreachable(failure)

    async def _open_lazily(self, peer: ServerID, protocol: str) -> RaftStream | None:
        peer_id = _peer_id(peer)
        for connection in self._host.get_network().get_connections(peer_id):
            muxed_conn = connection.muxed_conn
            if not getattr(muxed_conn, "has_lazy_streams", False) or muxed_conn.is_closed:
                continue
            if not self._host.get_peerstore().supports_protocols(peer_id, [protocol]):
                return None
            try:
                muxed = await muxed_conn.open_stream()
            except MuxedConnUnavailable:
                continue
            proposal = Proposal(protocol)
            cast("Any", muxed).prepend(proposal.opening)
            return RaftStream(muxed, self, proposal)
        return None

    def does_not_serve(self, peer: ServerID, protocol: str) -> None:
        """Forget that ``peer`` was said to serve ``protocol``: the next stream asks first."""
        with suppress(PeerStoreError):
            self._host.get_peerstore().remove_protocols(_peer_id(peer), [protocol])

    def _is_write_cancel_safe(self, peer: ServerID) -> bool:
        return all(
            getattr(c.muxed_conn, "is_write_cancel_safe", False) for c in self._connections(peer)
        )

    async def _until_disconnected(self, peer: ServerID) -> None:
        for _ in range(_DYING_LOOKS):
            if not self.is_connected(peer):
                return
            await trio.sleep(_DYING_S / _DYING_LOOKS)

    def can_ask_for_life(self, peer: ServerID) -> bool:
        """Tell whether the muxer of every connection to ``peer`` can be asked (our own can)."""
        return all(hasattr(c.muxed_conn, "shows_life") for c in self._connections(peer))

    async def close_dead_connections(self, peer: ServerID, within_s: float) -> bool:
        """Ask for a sign of life on each connection to ``peer``; close those without.

        Tell whether one was closed.
        """
        closed: list[INetConn] = []

        async def ask(connection: INetConn) -> None:
            shows_life = getattr(connection.muxed_conn, "shows_life")  # noqa: B009 - ours only
            if not await shows_life(within_s) and not connection.is_closed:
                closed.append(connection)
                await self._close_connection(connection)

        async with trio.open_nursery() as nursery:
            for connection in self._connections(peer):
                nursery.start_soon(ask, connection)
        return bool(closed)

    async def _close_connection(self, connection: INetConn) -> None:
        with trio.move_on_after(_GOODBYE_S):
            try:
                await connection.close()
            except (BaseLibp2pError, OSError, trio.BrokenResourceError) as error:
                _log.debug("closing a connection: %s", error)

    def _connections(self, peer: ServerID) -> list[INetConn]:
        return list(self._host.get_network().get_connections(_peer_id(peer)))

    def disconnect_soon(self, peer: ServerID) -> None:
        """Close every connection to ``peer``, in the background."""
        if self._nursery is not None:
            self._nursery.start_soon(self._disconnect, peer)

    async def _disconnect(self, peer: ServerID) -> None:
        with trio.move_on_after(_GOODBYE_S):
            try:
                await self._host.disconnect(_peer_id(peer))
            except (BaseLibp2pError, OSError, trio.BrokenResourceError) as error:
                _log.debug("disconnecting %s: %s", peer, error)

    async def _dial_by_host(self, peer: ServerID, timeout_s: float) -> None:
        peer_id = _peer_id(peer)
        network = self._host.get_network()
        if isinstance(network, Swarm):
            # One failed dial would block this peer for 60 s (trap 3).
            network.unblock_peer(peer_id)
        # py-libp2p's own bounds do not hold (trap 4).
        with trio.move_on_after(timeout_s):
            try:
                await self._host.connect(PeerInfo(peer_id, self._addresses(peer_id)))
            except (BaseLibp2pError, OSError, trio.BrokenResourceError) as error:
                raise PeerUnreachable(_words(error)) from error
            return
        raise PeerUnreachable(f"timed out connecting after {timeout_s:g} s")

    def _addresses(self, peer_id: ID) -> list[Multiaddr]:
        try:
            return list(self._host.get_peerstore().addrs(peer_id))
        except PeerStoreError as error:
            raise PeerUnreachable("no addresses known") from error


class _Notifee(INotifee):
    """Passes on which peers' connections come and go."""

    def __init__(self, changed: Changed) -> None:
        self.changed = changed

    async def connected(self, network: INetwork, conn: INetConn) -> None:  # noqa: ARG002
        self.changed(ServerID(str(conn.muxed_conn.peer_id)), True)  # noqa: FBT003

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:  # noqa: ARG002
        self.changed(ServerID(str(conn.muxed_conn.peer_id)), False)  # noqa: FBT003

    async def opened_stream(self, network: INetwork, stream: INetStream) -> None:
        pass

    async def closed_stream(self, network: INetwork, stream: INetStream) -> None:
        pass

    async def listen(self, network: INetwork, multiaddr: Multiaddr) -> None:
        pass

    async def listen_close(self, network: INetwork, multiaddr: Multiaddr) -> None:
        pass


def _nobody(peer: ServerID, came: bool) -> None:  # noqa: FBT001
    del peer, came


@lru_cache(maxsize=1024)
def _server_id(peer_id: ID) -> ServerID:
    return ServerID(str(peer_id))


@lru_cache(maxsize=1024)
def _peer_id(peer: ServerID) -> ID:
    try:
        return ID.from_base58(peer)
    except (ValueError, KeyError, BaseLibp2pError) as error:
        raise PeerUnreachable(f"{peer!r} is not a peer ID") from error


def _words(error: BaseException) -> str:
    """Return the reasons of ``error``, outermost first, in one line."""
    reasons: list[str] = []
    seen: BaseException | None = error
    while seen is not None and len(reasons) < _MAX_REASONS:
        text = str(seen) or type(seen).__name__
        if text not in reasons:
            reasons.append(text)
        seen = seen.__cause__
    return ": ".join(reasons)
