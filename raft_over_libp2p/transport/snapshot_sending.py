"""Sending one snapshot: an InstallSnapshot call on a stream of its own.

The request, the snapshot's bytes behind it, then the answer. The snapshot is open and known
to be whole before the first byte leaves, and it is sent as fast as the peer takes it: a Go
peer does nothing else from the request's arrival to the last byte (mixed-cluster rule 17).
What is queued to the connection stays below the muxer's bound, so heartbeats and appends
pass between the chunks. To a peer that says it resumes snapshots it goes on that protocol
(``resumable_sending``), and one that denies it then gets it as a Go peer does.
"""

from __future__ import annotations

from contextlib import closing
from typing import Protocol

import trio

from raft_over_libp2p.core.events import CallFailed, ResponseReceived
from raft_over_libp2p.core.messages import InstallSnapshotRequest
from raft_over_libp2p.errors import RemoteProtocolError, StorageError
from raft_over_libp2p.limits import SNAPSHOT_CHUNK_BYTES
from raft_over_libp2p.transport.interface import Deliver, SnapshotExchange, SnapshotSource
from raft_over_libp2p.transport.resumable_sending import ResumableSending, sha256_of
from raft_over_libp2p.transport.streams import (
    NotServed,
    PeerUnreachable,
    RaftStream,
    StreamBroken,
    StreamRefused,
)
from raft_over_libp2p.types import CallID
from raft_over_libp2p.wire.framing import ResponseReader
from raft_over_libp2p.wire.snapshot_transfer import encode_offer

__all__ = ["SnapshotSending", "SnapshotTarget"]


class SnapshotTarget(Protocol):
    """The peer a snapshot goes to; ``OutboundPeer`` is one."""

    @property
    def resumes_snapshots(self) -> bool:
        """Whether it may take snapshots that can be resumed: it says so, or nothing yet."""
        ...

    async def open_stream(self, timeout_s: float) -> RaftStream:
        """Open a stream of Go's protocol, or raise ``PeerUnreachable`` in time."""
        ...

    async def open_resumable(self, timeout_s: float) -> RaftStream:
        """Open a stream of the protocol that resumes, or raise ``PeerUnreachable`` in time:
        ``NotServed`` if the peer has no such protocol.
        """
        ...


class SnapshotSending:
    """One InstallSnapshot call; its outcome is delivered exactly once."""

    def __init__(
        self,
        call: CallID,
        request: InstallSnapshotRequest,
        header: bytes,
        *,
        deliver: Deliver,
        timeout_s: float,
    ) -> None:
        """Send ``header``, the encoded ``request``, and the snapshot, within ``timeout_s`` from now."""
        self.bytes_sent = 0
        self.bytes_total = request.size_bytes
        self.is_over = False
        self.has_timed_out = False
        self._call = call
        self._request = request
        self._header = header
        self._deliver = deliver
        self._timeout_s = timeout_s
        self._scope = trio.CancelScope(deadline=trio.current_time() + timeout_s)
        self._why_not_written = ""

    def give_up(self, reason: str) -> None:
        """End the call, if it is not over, and its stream with it."""
        self._end(CallFailed(self._call, reason))
        self._scope.cancel()

    async def run(self, snapshots: SnapshotExchange, target: SnapshotTarget) -> None:
        """Send it, and deliver how that ended."""
        with self._scope:
            try:
                self._end(await self._send(snapshots, target))
            except StorageError as error:
                self._fail(f"the snapshot cannot be read: {error}")
            except (PeerUnreachable, StreamBroken) as error:
                self._fail(str(error))
            except RemoteProtocolError as error:
                self._fail(f"the peer's answer is not one: {error}")
        self.has_timed_out = not self.is_over
        self._fail(
            f"timed out after {self._timeout_s:g} s, with {self.bytes_sent} of"
            f" {self.bytes_total} bytes sent"
        )

    def _end(self, outcome: ResponseReceived | CallFailed) -> None:
        if not self.is_over:
            self.is_over = True
            self._deliver(outcome)

    def _fail(self, reason: str) -> None:
        self._end(CallFailed(self._call, reason))

    async def _send(
        self, snapshots: SnapshotExchange, target: SnapshotTarget
    ) -> ResponseReceived | CallFailed:
        request = self._request
        with closing(
            await snapshots.open_snapshot(request.last_log_index, request.last_log_term)
        ) as source:
            if source.size_bytes != self.bytes_total:
                raise StorageError(f"it has {source.size_bytes} bytes, not {self.bytes_total}")
            if target.resumes_snapshots:
                try:
                    return await self._send_resumable(source, target)
                except (NotServed, StreamRefused):
                    source.seek(0)
                    self.bytes_sent = 0
            return await self._exchange(await target.open_stream(self._time_left_s()), source)

    async def _send_resumable(
        self, source: SnapshotSource, target: SnapshotTarget
    ) -> ResponseReceived:
        offer = encode_offer(await sha256_of(source), self._header)
        sending = ResumableSending(
            self._request,
            offer,
            source,
            deadline=self._scope.deadline,
            moved=self._moved,
        )
        return ResponseReceived(self._call, await sending.run(target.open_resumable))

    def _moved(self, position: int) -> None:
        self.bytes_sent = position

    async def _exchange(
        self, stream: RaftStream, source: SnapshotSource
    ) -> ResponseReceived | CallFailed:
        """Write all of it and meanwhile wait for the answer, which may come early."""
        outcome: ResponseReceived | CallFailed | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write_all, stream, source, nursery.cancel_scope)
            try:
                outcome = await self._read_answer(stream)
                if self.bytes_sent == self.bytes_total:
                    await stream.close()
            finally:
                # A writer that is stuck, and shielded, ends with the stream.
                await stream.reset()
            nursery.cancel_scope.cancel()
        return outcome or CallFailed(self._call, self._why_not_written)

    async def _write_all(
        self, stream: RaftStream, source: SnapshotSource, scope: trio.CancelScope
    ) -> None:
        data = self._header
        try:
            while self.bytes_sent < self.bytes_total:
                chunk = self._next_chunk(source)
                await stream.write(data + chunk, self._time_left_s())
                self.bytes_sent += len(chunk)
                data = b""
            if data:
                await stream.write(data, self._time_left_s())
        except StorageError as error:
            self._why_not_written = f"the snapshot cannot be read: {error}"
            scope.cancel()
        except StreamBroken as error:
            self._why_not_written = str(error)
            scope.cancel()

    def _next_chunk(self, source: SnapshotSource) -> bytes:
        chunk = source.read(SNAPSHOT_CHUNK_BYTES)
        if not 0 < len(chunk) <= self.bytes_total - self.bytes_sent:
            raise StorageError(f"{len(chunk)} bytes after {self.bytes_sent} of {self.bytes_total}")
        return chunk

    async def _read_answer(self, stream: RaftStream) -> ResponseReceived | CallFailed:
        reader = ResponseReader()
        reader.expect(self._request)
        try:
            while data := await stream.read():
                for answer in reader.feed(data):
                    return ResponseReceived(self._call, answer.response)
        except StreamBroken as error:
            return CallFailed(self._call, str(error))
        except RemoteProtocolError as error:
            return CallFailed(self._call, f"the peer's answer is not one: {error}")
        return CallFailed(self._call, "the peer closed the stream without an answer")

    def _time_left_s(self) -> float:
        return max(0.0, self._scope.deadline - trio.current_time())
