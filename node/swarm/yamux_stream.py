"""One stream of a yamux connection: two windows, a receive buffer, an end each way."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Self

import trio
from libp2p.abc import IMuxedStream
from libp2p.stream_muxer.exceptions import MuxedStreamClosed, MuxedStreamEOF, MuxedStreamReset

from node.swarm import limits

if TYPE_CHECKING:
    from node.swarm.muxer import YamuxConnection

__all__ = ["YamuxStream"]


class YamuxStream(IMuxedStream):
    """Ordered bytes both ways; one task reads it and one writes it.

    Cancelling a ``read`` loses nothing. Cancelling a ``write`` loses nothing of other
    streams; of this one, some of the data has been queued and some has not, so the caller
    resets it.
    """

    def __init__(self, stream_id: int, conn: YamuxConnection) -> None:
        """Belong to ``conn``, which made ``stream_id``."""
        self.stream_id = stream_id
        self.window_bytes = limits.INITIAL_WINDOW_BYTES
        """What the peer may have sent and we have not read, at most."""
        self.muxed_conn = self._conn = conn
        self._chunks: deque[bytes | memoryview] = deque()
        self._buffered_bytes = 0
        self._read_bytes = 0
        """Read since credit was last given."""
        self._send_window_bytes = limits.INITIAL_WINDOW_BYTES
        self._has_data = trio.lowlevel.ParkingLot()
        self._has_window = trio.lowlevel.ParkingLot()
        self._peer_ended = False
        self._is_deaf = False
        self._held = b""
        self._we_ended_at: float | None = None
        self._death = ""

    @property
    def is_closed(self) -> bool:
        """Whether nothing more can be read or written."""
        return bool(self._death) or (self._peer_ended and self._we_ended_at is not None)

    # -- for its user

    async def read(self, n: int | None = None) -> bytes:
        """Return what has arrived, at least one byte and at most ``n``.

        Raises:
            MuxedStreamEOF: the peer ended its side, and everything before was read.
            MuxedStreamReset: the stream or its connection is gone.

        """
        if n == 0:
            return b""
        while not self._chunks:
            if self._death:
                raise MuxedStreamReset(self._death)
            if self._peer_ended:
                raise MuxedStreamEOF("the peer ended its side of the stream")
            await self._has_data.park()
        return self._taken(self._buffered_bytes if n is None or n < 0 else n)

    def unread(self, data: bytes) -> None:
        """Put back what was read last and belongs to another reader."""
        if data:
            self._chunks.appendleft(data)
            self._buffered_bytes += len(data)
            self._read_bytes -= len(data)

    def prepend(self, data: bytes) -> None:
        """Let ``data`` go before what is written next, in one frame with it."""
        self._held += data

    async def write(self, data: bytes) -> None:
        """Queue ``data`` in frames, waiting for the peer's window and for the socket.

        Raises:
            MuxedStreamReset: the stream or its connection is gone.
            MuxedStreamClosed: our side was closed.

        """
        if self._held:
            data, self._held = self._held + data, b""
        position, end = 0, len(data)
        while position < end:
            self._check_writable()
            size = min(self._send_window_bytes, end - position, limits.MAX_DATA_FRAME_BYTES)
            if not size:
                await self._has_window.park()
            elif self._conn.is_congested:
                await self._conn.wait_until_drained()
            else:
                self._send_window_bytes -= size
                whole = size == end
                piece = data if whole else data[position : position + size]
                self._conn.send_data(self.stream_id, piece)
                position += size

    def write_nowait(self, data: bytes) -> bool:
        """Queue all of ``data`` if nothing stands in the way; else nothing, and return False.

        Only while no ``write`` of this stream is under way. It saves the caller a task switch.
        """
        if self._held:
            data = self._held + data
        size = len(data)
        if (
            size > min(self._send_window_bytes, limits.MAX_DATA_FRAME_BYTES)
            or self._death
            or self._we_ended_at is not None
            or self._conn.is_congested
        ):
            return False
        self._held = b""
        self._send_window_bytes -= size
        self._conn.send_data(self.stream_id, data)
        return True

    async def close(self) -> None:
        """End our side; the peer's data can still be read, as over any libp2p muxer."""
        if self._we_ended_at is None and not self._death:
            if self._held:
                self._send_window_bytes -= len(self._held)
                self._conn.send_data(self.stream_id, self._held)
                self._held = b""
            self._we_ended_at = trio.current_time()
            self._has_window.unpark_all()
            self._conn.send_fin(self.stream_id)
            self._forget_if_done()

    close_write = close

    def stop_reading(self) -> None:
        """Hold nothing more of what comes; the peer may send what its window allows."""
        self._is_deaf = True
        self._chunks.clear()

    async def reset(self) -> None:
        """End both sides at once; what was not read yet is dropped on both."""
        if not self.is_closed:
            self._conn.send_reset(self.stream_id)
        self.die("the stream was reset by this side")

    def set_deadline(self, ttl: int) -> None:
        """Not offered: bound a read or write with ``trio.move_on_after``."""
        raise NotImplementedError

    def get_remote_address(self) -> tuple[str, int] | None:
        return self._conn.get_remote_address()

    async def __aenter__(self) -> Self:
        return self

    # -- for its connection

    def receive(self, data: bytes) -> bool:
        """Take in data of the peer; False when it is more than the window allows."""
        if self._death:
            return True
        self._buffered_bytes += len(data)
        if self._buffered_bytes + self._read_bytes > self.window_bytes or self._peer_ended:
            return False
        if not self._is_deaf:
            self._chunks.append(data)
            self._has_data.unpark_all()
        return True

    def receive_end(self) -> None:
        """The peer sends no more."""
        self._peer_ended = True
        self._has_data.unpark_all()
        self._forget_if_done()

    def credit(self, increment: int) -> None:
        """The peer takes ``increment`` more bytes."""
        if increment:
            self._send_window_bytes += increment
            self._has_window.unpark_all()

    def take_credit(self) -> int:
        """Return how much was read since credit was last given; it is given now."""
        read_bytes, self._read_bytes = self._read_bytes, 0
        return read_bytes

    def enlarge_window(self, growth: int) -> None:
        """Let the peer have ``growth`` more bytes under way."""
        self.window_bytes += growth

    def is_overdue(self, now: float) -> bool:
        """Tell whether the peer has left its side open for too long after we ended ours."""
        ended_at = self._we_ended_at
        return ended_at is not None and now - ended_at > limits.HALF_CLOSED_S

    def die(self, why: str) -> None:
        """The stream is gone: reads and writes fail from now on with ``why``."""
        if not self._death:
            self._death = why
            self._chunks.clear()
            self._buffered_bytes = 0
            self._has_data.unpark_all()
            self._has_window.unpark_all()
            self._conn.forget(self)

    # -- inside

    def _taken(self, n: int) -> bytes:
        chunks = self._chunks
        pieces = [chunks.popleft()]
        left = n - len(pieces[0])
        while left > 0 and chunks:
            pieces.append(chunks.popleft())
            left -= len(pieces[-1])
        if left < 0:
            # A view: a reader of single bytes must not copy the rest each time.
            last = memoryview(pieces[-1])
            chunks.appendleft(last[left:])
            pieces[-1] = last[:left]
        data = bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)
        self._buffered_bytes -= len(data)
        self._read_bytes += len(data)
        if self._read_bytes >= self.window_bytes // 2 and not self._peer_ended:
            self._conn.send_credit(self)
        return data

    def _check_writable(self) -> None:
        if self._death:
            raise MuxedStreamReset(self._death)
        if self._we_ended_at is not None:
            raise MuxedStreamClosed("this side of the stream is closed")

    def _forget_if_done(self) -> None:
        if self._peer_ended and self._we_ended_at is not None:
            self._conn.forget(self)
