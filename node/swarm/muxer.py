"""Our own yamux: many streams over one connection, safe to cancel, and quick.

Speaks the yamux of go-libp2p (hashicorp/yamux spec, protocol ``/yamux/1.0.0``). It takes
the place of py-libp2p's muxer for these reasons (numbers of docs/upstream.md):

* A cancelled ``write`` leaves whole frames: one task writes the connection, and it is
  cancelled only when the connection ends. The stock muxer writes from the caller's task,
  and cancelling that leaves half an encrypted record on the wire (2).
* A silent peer is noticed: a ping without any answer ends the connection (8).
* The death of a connection shows as a reset, not as the end of the stream (9).
* No fixed limit of 256 streams behind which opening blocks for ever (10).
* A reader that pauses does not have its writer's stream killed after 5 s (11).
* Frames that are ready together leave in one write of the record layer; a window update
  goes out once half the window is read, not at each read; no lock, no task a frame.
* What a peer can make us hold is bounded: bytes, streams, answers to its pings.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Awaitable, Callable
from typing import Final

import trio
from libp2p.abc import IMuxedConn, ISecureConn
from libp2p.connection_types import ConnectionType
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.peer.id import ID
from libp2p.stream_muxer.exceptions import MuxedConnUnavailable
from libp2p.stream_muxer.muxer_multistream import MuxerMultistream
from multiaddr import Multiaddr

from node.swarm import limits
from node.swarm.accepting import BareProtocols
from node.swarm.yamux_stream import YamuxStream
from raft_over_libp2p.transport.stream_rate import StreamRate

__all__ = ["YAMUX_PROTOCOL", "YamuxConnection", "YamuxMuxer"]

YAMUX_PROTOCOL: Final = TProtocol("/yamux/1.0.0")

_HEADER: Final = struct.Struct("!BBHII")
_HEADER_BYTES: Final = _HEADER.size
_VERSION: Final = 0
_DATA, _WINDOW_UPDATE, _PING, _GO_AWAY = range(4)
_SYN, _ACK, _FIN, _RST = 1, 2, 4, 8
_MAX_STREAM_ID: Final = 0xFFFFFFFF

_log = logging.getLogger(__name__)


class ProtocolViolation(BaseLibp2pError):
    """The peer broke yamux; its connection ends."""


class YamuxConnection(IMuxedConn):
    """One connection and its streams; :meth:`start` runs it."""

    is_write_cancel_safe = True
    """Tells ``raft_over_libp2p.transport.streams`` that a write may be cancelled."""
    has_lazy_streams = True
    """Tells it that a stream opens without waiting, and that its streams have ``prepend``."""

    def __init__(
        self, conn: ISecureConn, peer_id: ID, bare_protocols: BareProtocols | None = None
    ) -> None:
        """Multiplex ``conn``, at whose other end is ``peer_id``."""
        self._bare_protocols = bare_protocols
        self._nursery: trio.Nursery | None = None
        self.peer_id = peer_id
        self.secured_conn = conn
        self.event_started = trio.Event()
        self.event_closed = trio.Event()
        self.on_close: Callable[[], Awaitable[None]] | None = None
        self.why_closed = ""
        self._is_initiator = conn.is_initiator
        self._next_stream_id = 1 if conn.is_initiator else 2
        self._streams: dict[int, YamuxStream] = {}
        self._to_accept, self._accepted = trio.open_memory_channel[YamuxStream](
            limits.ACCEPT_BACKLOG
        )
        self._out: list[bytes] = []
        self._out_bytes = 0
        self._wake_writer = trio.lowlevel.ParkingLot()
        self._drained = trio.lowlevel.ParkingLot()
        self._windows_bytes = 0
        self._new_streams = StreamRate(
            per_s=limits.NEW_STREAMS_PER_S, burst=limits.NEW_STREAMS_BURST
        )
        self._new_streams_of_stranger = StreamRate(
            per_s=limits.NEW_STREAMS_PER_S_OF_STRANGER, burst=limits.NEW_STREAMS_BURST_OF_STRANGER
        )
        self._foreign_streams = StreamRate(
            per_s=limits.FOREIGN_STREAMS_PER_S, burst=limits.FOREIGN_STREAMS_BURST
        )
        self._rest = b""
        self._body_left = 0
        self._body_stream: YamuxStream | None = None
        self._body_flags = 0
        self._last_heard = 0.0
        self._is_heard: trio.Event | None = None
        self._scope = trio.CancelScope()

    # -- what the swarm asks

    @property
    def is_initiator(self) -> bool:
        return self._is_initiator

    @property
    def is_established(self) -> bool:
        return self.event_started.is_set() and not self.is_closed

    @property
    def is_closed(self) -> bool:
        return self.event_closed.is_set()

    async def start(self) -> None:
        """Run until the connection ends, by either side's will. Raises nothing."""
        self._last_heard = trio.current_time()
        with self._scope:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._until_it_fails, self._write_all)
                nursery.start_soon(self._until_it_fails, self._watch)
                self.event_started.set()
                await self._until_it_fails(self._read_all)
        self._end("closed")
        with trio.CancelScope(shield=True):
            await self._close_socket()

    async def _until_it_fails(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do ``work``; when it ends, the connection does."""
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - whatever a peer causes ends its connection only
            self._end(str(error) or type(error).__name__)
        self._scope.cancel()

    async def close(self) -> None:
        """Say goodbye and end the connection; streams end with it."""
        if not self.is_closed:
            self.queue(_HEADER.pack(_VERSION, _GO_AWAY, 0, 0, 0))
            with trio.move_on_after(limits.GOODBYE_S):
                while self._out and not self.is_closed:
                    await self._drained.park()
        self._end("closed by this side")
        await self._close_socket()

    async def open_stream(self) -> YamuxStream:
        if self.is_closed:
            raise MuxedConnUnavailable(f"the connection is closed: {self.why_closed}")
        if len(self._streams) >= limits.MAX_STREAMS or self._next_stream_id > _MAX_STREAM_ID:
            raise MuxedConnUnavailable(f"{len(self._streams)} streams are open on the connection")
        stream = self._new_stream(self._next_stream_id)
        self._next_stream_id += 2
        self._send_window_update(stream.stream_id, 0, _SYN)
        return stream

    async def accept_stream(self) -> YamuxStream:
        try:
            return await self._accepted.receive()
        except trio.EndOfChannel:
            raise MuxedConnUnavailable(f"the connection is closed: {self.why_closed}") from None

    async def shows_life(self, within_s: float) -> bool:
        """Ask the peer for a sign of life; tell whether anything came within ``within_s``."""
        if self.is_closed:
            return False
        self._is_heard = is_heard = self._is_heard or trio.Event()
        self._ping()
        with trio.move_on_after(within_s):
            await is_heard.wait()
            return True
        return False

    def get_transport_addresses(self) -> list[Multiaddr]:
        return self.secured_conn.get_transport_addresses()

    def get_connection_type(self) -> ConnectionType:
        return self.secured_conn.get_connection_type()

    def get_remote_address(self) -> tuple[str, int] | None:
        return self.secured_conn.get_remote_address()

    # -- what its streams ask

    def send_data(self, stream_id: int, data: bytes) -> None:
        """Queue one frame of ``data``, which its stream's window allows."""
        self.queue(_HEADER.pack(_VERSION, _DATA, 0, stream_id, len(data)), data)

    def send_credit(self, stream: YamuxStream) -> None:
        """Let the peer send what was read on ``stream``, and more where it carries much."""
        increment = stream.take_credit()
        if stream.window_bytes < limits.LARGE_WINDOW_BYTES:
            growth = limits.LARGE_WINDOW_BYTES - stream.window_bytes
            if self._windows_bytes + growth <= limits.MAX_WINDOWS_BYTES:
                self._windows_bytes += growth
                stream.enlarge_window(growth)
                increment += growth
        self._send_window_update(stream.stream_id, increment, 0)

    def send_fin(self, stream_id: int) -> None:
        """Tell the peer that no more data comes on the stream."""
        self._send_window_update(stream_id, 0, _FIN)

    def send_reset(self, stream_id: int) -> None:
        """Tell the peer that the stream is gone."""
        self._send_window_update(stream_id, 0, _RST)

    def forget(self, stream: YamuxStream) -> None:
        """Drop a stream that ended both ways."""
        if self._streams.pop(stream.stream_id, None) is not None:
            self._windows_bytes -= stream.window_bytes

    @property
    def is_congested(self) -> bool:
        """Whether a writer should wait for :meth:`wait_until_drained` before it queues more."""
        return self._out_bytes > limits.MAX_QUEUED_BYTES

    async def wait_until_drained(self) -> None:
        """Return when queued bytes have gone to the record layer, or the connection ended."""
        await self._drained.park()

    def queue(self, *frames: bytes) -> None:
        """Queue whole frames for the writer task. Never blocks."""
        if self.is_closed:
            return
        self._out.extend(frames)
        self._out_bytes += sum(map(len, frames))
        if self._out_bytes > limits.MAX_QUEUED_BYTES + limits.MAX_QUEUED_CONTROL_BYTES:
            self._end("the peer asks without reading the answers")
            self._scope.cancel()
        self._wake_writer.unpark()

    # -- tasks

    async def _write_all(self) -> None:
        while True:
            if not self._out:
                self._drained.unpark_all()
                await self._wake_writer.park()
                continue
            frames, self._out = self._out, []
            self._out_bytes = 0
            self._drained.unpark_all()
            await self.secured_conn.write(b"".join(frames))

    async def _read_all(self) -> None:
        while True:
            data = await self.secured_conn.read(None)
            if not data:
                self._end("closed by the peer")
                return
            self._last_heard = trio.current_time()
            if self._is_heard is not None:
                self._is_heard.set()
                self._is_heard = None
            if not self._take(data):
                return

    async def _watch(self) -> None:
        """End the connection when the peer shows no sign of life, and stale half-closed streams."""
        looked_at = trio.current_time()
        is_asked = False
        while True:
            await trio.sleep(limits.KEEPALIVE_EVERY_S)
            now = trio.current_time()
            for stream in list(self._streams.values()):
                if stream.is_overdue(now):
                    await stream.reset()
            # Never by the length of the silence alone: an answer comes some time after its
            # question, so a peer could look silent for two whole intervals and not have been
            # asked in either.
            if self._last_heard >= looked_at:
                is_asked = False
            elif is_asked:
                self._end(f"the peer was silent for {now - self._last_heard:.0f} s")
                return
            else:
                is_asked = True
                self._ping()
            looked_at = now

    # -- frames in

    def _take(self, data: bytes) -> bool:
        """Take in the next bytes of the connection; False after the peer's goodbye."""
        if self._rest:
            data, self._rest = self._rest + data, b""
        position, end = 0, len(data)
        while position < end:
            if self._body_left:
                taken = min(self._body_left, end - position)
                self._take_body(data[position : position + taken])
                position += taken
                continue
            if end - position < _HEADER_BYTES:
                self._rest = data[position:]
                break
            header = _HEADER.unpack_from(data, position)
            position += _HEADER_BYTES
            if not self._take_header(*header):
                return False
        return True

    def _take_header(
        self, version: int, kind: int, flags: int, stream_id: int, length: int
    ) -> bool:
        if version != _VERSION or kind > _GO_AWAY:
            raise ProtocolViolation(f"frame of version {version}, type {kind}")
        if kind == _PING:
            if flags & _SYN:
                self.queue(_HEADER.pack(_VERSION, _PING, _ACK, 0, length))
            return True
        if kind == _GO_AWAY:
            self._end(f"the peer said goodbye (code {length})")
            return False
        stream = self._streams.get(stream_id)
        if stream is None and flags & _SYN:
            stream = self._accept(stream_id)
        if kind == _WINDOW_UPDATE:
            if stream is not None:
                stream.credit(length)
                self._apply(stream, flags)
        elif length:
            self._body_left, self._body_stream, self._body_flags = length, stream, flags
        elif stream is not None:
            self._apply(stream, flags)
        return True

    def _take_body(self, data: bytes) -> None:
        """Take in a piece of a DATA frame: it is not held until the frame is whole."""
        self._body_left -= len(data)
        stream = self._body_stream
        if stream is None:
            return  # A stream that is gone: its peer has not heard of that yet.
        if not stream.receive(data):
            raise ProtocolViolation(f"stream {stream.stream_id} has more data than its window")
        if not self._body_left:
            self._body_stream = None
            self._apply(stream, self._body_flags)

    @staticmethod
    def _apply(stream: YamuxStream, flags: int) -> None:
        if flags & _RST:
            stream.die("the peer reset the stream")
        elif flags & _FIN:
            stream.receive_end()

    def _accept(self, stream_id: int) -> YamuxStream | None:
        if stream_id % 2 == self._next_stream_id % 2 or stream_id == 0:
            raise ProtocolViolation(f"the peer opened stream {stream_id}, which is not its to open")
        if len(self._streams) >= limits.MAX_STREAMS or not self._is_in_rate():
            self.send_reset(stream_id)
            return None
        stream = self._new_stream(stream_id)
        self._send_window_update(stream_id, 0, _ACK)
        if self._bare_protocols is None or self._nursery is None:
            self._offer(stream)
        else:
            self._nursery.start_soon(self._serve, stream, self._bare_protocols)
        return None if stream.is_closed else stream

    def _is_in_rate(self) -> bool:
        protocols = self._bare_protocols
        is_member = protocols is None or protocols.is_member(str(self.peer_id))
        rate = self._new_streams if is_member else self._new_streams_of_stranger
        return rate.allows(trio.current_time())

    async def _serve(self, stream: YamuxStream, protocols: BareProtocols) -> None:
        """Serve ``stream`` if it is of one of ``protocols``, else leave it to py-libp2p."""
        try:
            handler = await protocols.accept(stream)
            if handler is not None:
                await handler(stream)
        except Exception as error:  # noqa: BLE001 - the connection must outlive any one stream
            _log.warning("a stream of %s failed: %r", self.peer_id, error)
            await stream.reset()
            return
        if handler is None and not stream.is_closed:
            self._offer(stream)

    def _offer(self, stream: YamuxStream) -> None:
        """Hand ``stream`` to py-libp2p, if it takes its streams in time and they are not too many."""
        if not self._foreign_streams.allows(trio.current_time()):
            self.send_reset(stream.stream_id)
            stream.die("too many streams of protocols that are not ours")
            return
        try:
            self._to_accept.send_nowait(stream)
        except (trio.WouldBlock, trio.BrokenResourceError):
            self.send_reset(stream.stream_id)
            stream.die("nobody takes the stream")

    # -- ends

    def _new_stream(self, stream_id: int) -> YamuxStream:
        stream = self._streams[stream_id] = YamuxStream(stream_id, self)
        self._windows_bytes += stream.window_bytes
        return stream

    def _ping(self) -> None:
        self.queue(_HEADER.pack(_VERSION, _PING, _SYN, 0, 0))

    def _send_window_update(self, stream_id: int, increment: int, flags: int) -> None:
        self.queue(_HEADER.pack(_VERSION, _WINDOW_UPDATE, flags, stream_id, increment))

    def _end(self, why: str) -> None:
        """Mark the connection closed and end its streams; the tasks end with ``_scope``."""
        if self.is_closed:
            return
        self.why_closed = why
        _log.debug("connection to %s: %s", self.peer_id, why)
        self.event_closed.set()
        self._out.clear()
        self._to_accept.close()
        for stream in list(self._streams.values()):
            stream.die(f"connection lost: {why}")
        self._drained.unpark_all()

    async def _close_socket(self) -> None:
        self._scope.cancel()
        try:
            await self.secured_conn.close()
        except (BaseLibp2pError, OSError, trio.BrokenResourceError) as error:
            _log.debug("closing the connection to %s: %s", self.peer_id, error)


class YamuxMuxer(MuxerMultistream):
    """Negotiates the muxer and makes it :class:`YamuxConnection`.

    py-libp2p's makes its own Yamux whatever class is registered (trap 12).
    """

    def __init__(self, bare_protocols: BareProtocols | None = None) -> None:
        """Have the connections themselves accept the streams of ``bare_protocols``."""
        self._bare_protocols = bare_protocols
        super().__init__({YAMUX_PROTOCOL: YamuxConnection})

    async def new_conn(self, conn: ISecureConn, peer_id: ID) -> IMuxedConn:
        protocol, _ = await self._selector.select(conn, conn.is_initiator, self.negotiate_timeout)
        return self._annotate_connection(
            YamuxConnection(conn, peer_id, self._bare_protocols), conn, protocol
        )
