"""Sending one snapshot so that a broken stream costs only what was on its way (rule 25).

The peer says at which byte to go on. After a broken stream or connection the snapshot is
offered again on a new one; to the core all of it is one InstallSnapshot call.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Awaitable, Callable

import trio

from raft_over_libp2p import limits
from raft_over_libp2p.core.messages import InstallSnapshotRequest, Response
from raft_over_libp2p.errors import RemoteProtocolError, StorageError
from raft_over_libp2p.transport.interface import SnapshotSource
from raft_over_libp2p.transport.streams import (
    PeerUnreachable,
    RaftStream,
    StreamBroken,
    StreamRefused,
)
from raft_over_libp2p.wire.snapshot_transfer import (
    AnswerReader,
    encode_chunk_header,
)

__all__ = ["OpenStream", "ResumableSending", "sha256_of"]

OpenStream = Callable[[float], Awaitable[RaftStream]]
"""Opens a stream to the peer within the seconds given, or raises ``PeerUnreachable``."""

_REOPEN_AFTER_S = 0.05
_REOPEN_AFTER_AT_MOST_S = 2.0


async def sha256_of(source: SnapshotSource) -> bytes:
    """Return the SHA-256 of all of ``source``, read in another thread, and begin it anew.

    Raises:
        StorageError: it cannot be read.

    """

    def read_all() -> bytes:
        digest = hashlib.sha256()
        while chunk := source.read(limits.MIB):
            digest.update(chunk)
        source.seek(0)
        return digest.digest()

    return await trio.to_thread.run_sync(read_all)


class ResumableSending:
    """One snapshot on its way to one peer, over as many streams as it takes."""

    def __init__(
        self,
        request: InstallSnapshotRequest,
        offer: bytes,
        source: SnapshotSource,
        *,
        deadline: float,
        moved: Callable[[int], None],
    ) -> None:
        """Send ``source`` by ``deadline`` on trio's clock; ``moved`` hears at which byte it is."""
        self._request = request
        self._offer = offer
        self._source = source
        self._deadline = deadline
        self._moved = moved
        self._position = 0
        self._furthest = 0
        self._fruitless = 0
        """Streams in a row that broke without the peer being further than ever before."""
        self._why_not_written: StorageError | StreamBroken | None = None

    async def run(self, open_stream: OpenStream) -> Response:
        """Return the peer's answer.

        Raises:
            PeerUnreachable: the first stream could not be opened.
            RemoteProtocolError: the peer's answer is none.
            StorageError: the snapshot cannot be read.
            StreamBroken: too many streams broke, or no new one could be had.
            StreamRefused: the peer does not serve the protocol; nothing was acted on.

        """
        stream = await open_stream(self._time_left_s())
        while True:
            try:
                return await self._exchange(stream)
            except StreamRefused:
                raise
            except StreamBroken as error:
                stream = await self._open_again(open_stream, error)

    async def _open_again(self, open_stream: OpenStream, broken: StreamBroken) -> RaftStream:
        self._fruitless += 1
        if self._fruitless > limits.MAX_FRUITLESS_SNAPSHOT_STREAMS:
            raise broken
        why, wait_s = str(broken), _REOPEN_AFTER_S
        with trio.move_on_after(limits.SNAPSHOT_REOPEN_S):
            while True:
                # Jittered, so that peers that lost each other do not dial in step.
                await trio.sleep(wait_s * (0.5 + random.random()))  # noqa: S311
                try:
                    return await open_stream(self._time_left_s())
                except PeerUnreachable as error:
                    why, wait_s = str(error), min(2 * wait_s, _REOPEN_AFTER_AT_MOST_S)
        raise StreamBroken(f"no new stream in {limits.SNAPSHOT_REOPEN_S:g} s: {why}") from broken

    async def _exchange(self, stream: RaftStream) -> Response:
        """Offer the snapshot on ``stream`` and send what the peer lacks; return its answer."""
        reader = AnswerReader(self._request)
        try:
            await stream.write(self._offer, self._time_left_s())
            answer = await _next_answer(stream, reader)
            if isinstance(answer, int):
                self._go_on_at(answer)
                answer = await self._send_rest(stream, reader)
            await stream.close()
        finally:
            await stream.reset()
        return answer

    def _go_on_at(self, offset: int) -> None:
        if offset > self._furthest:
            self._furthest, self._fruitless = offset, 0
        self._source.seek(offset)
        self._position = offset
        self._moved(offset)

    async def _send_rest(self, stream: RaftStream, reader: AnswerReader) -> Response:
        """Write the rest and meanwhile wait for the answer, which may come early."""
        self._why_not_written = None
        answer: int | Response | StreamBroken | RemoteProtocolError | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write_rest, stream, nursery.cancel_scope)
            try:
                answer = await _next_answer(stream, reader)
            except (StreamBroken, RemoteProtocolError) as error:
                answer = error
            finally:
                if self._position < self._request.size_bytes:
                    # A writer that is stuck, and shielded, ends with the stream.
                    await stream.reset()
            nursery.cancel_scope.cancel()
        if answer is None and self._why_not_written is not None:
            raise self._why_not_written
        if isinstance(answer, StreamBroken | RemoteProtocolError):
            raise answer
        if answer is None or isinstance(answer, int):
            raise StreamBroken("the peer did not answer")
        return answer

    async def _write_rest(self, stream: RaftStream, scope: trio.CancelScope) -> None:
        size_bytes = self._request.size_bytes
        try:
            while self._position < size_bytes:
                chunk = self._next_chunk(size_bytes)
                header = encode_chunk_header(self._request.term, self._position, len(chunk))
                await stream.write(header + chunk, self._time_left_s())
                self._position += len(chunk)
                self._moved(self._position)
        except (StorageError, StreamBroken) as error:
            self._why_not_written = error
            scope.cancel()

    def _next_chunk(self, size_bytes: int) -> bytes:
        chunk = self._source.read(limits.SNAPSHOT_CHUNK_BYTES)
        if not 0 < len(chunk) <= size_bytes - self._position:
            raise StorageError(f"{len(chunk)} bytes after {self._position} of {size_bytes}")
        return chunk

    def _time_left_s(self) -> float:
        return max(0.0, self._deadline - trio.current_time())


async def _next_answer(stream: RaftStream, reader: AnswerReader) -> int | Response:
    """Return what the peer says next.

    Raises:
        RemoteProtocolError: it is no answer.
        StreamBroken: the stream ended before it.

    """
    data = b""
    while (answer := reader.feed(data)) is None:
        data = await stream.read()
        if not data:
            raise StreamBroken("the peer closed the stream without an answer")
    return answer
