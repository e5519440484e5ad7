"""Calls to one peer: a stream for each lane, opened when first needed and kept for long.

A lane's calls are encoded when they are given, whatever is queued leaves in one write, and
answers are matched to calls in order: that is all the protocol offers, for an answer names
no call. So a call that times out ends its stream: a late answer is then never taken for
the answer to a later call.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass
from itertools import islice

import trio

from raft_over_libp2p.core.events import CallFailed, PeerConnected, ResponseReceived
from raft_over_libp2p.core.messages import InstallSnapshotRequest, Request
from raft_over_libp2p.errors import RemoteProtocolError
from raft_over_libp2p.limits import MAX_WRITER_QUEUE_BYTES
from raft_over_libp2p.transport.interface import Deliver, Link, SnapshotExchange
from raft_over_libp2p.transport.lanes import Lane
from raft_over_libp2p.transport.snapshot_sending import SnapshotSending
from raft_over_libp2p.transport.streams import (
    RAFT_PROTOCOL,
    SNAPSHOT_PROTOCOL,
    Door,
    NotServed,
    PeerUnreachable,
    RaftStream,
    StreamBroken,
    StreamRefused,
)
from raft_over_libp2p.transport.timing import TransportTiming
from raft_over_libp2p.types import CallID, ServerID
from raft_over_libp2p.wire.dialects import GO, Dialect, ResponsesReader, dialect_of

__all__ = ["OutboundPeer"]

_HUNG_UP = "the peer closed the stream without an answer"


@dataclass(slots=True)
class _Waiting:
    """A call given and not answered; ``deadline`` is on trio's clock."""

    call: CallID
    request: Request
    deadline: float


@dataclass(slots=True)
class _Direct:
    """A stream whose writer is idle, and the reader of its answers."""

    stream: RaftStream
    reader: ResponsesReader


class OutboundPeer:
    """All calls to one peer, and the connection they need. Made and run by the transport."""

    def __init__(
        self,
        peer: ServerID,
        door: Door,
        timing: TransportTiming,
        deliver: Deliver,
        snapshots: SnapshotExchange | None = None,
    ) -> None:
        """Start nothing; :meth:`run` does."""
        self.peer = peer
        self._last_error = ""
        self._last_failure = ""
        self._failed_at: float | None = None
        self.last_heard = trio.current_time()
        self._door = door
        self._timing = timing
        self.deliver = deliver
        self._is_member = False
        self._snapshots = snapshots
        self._snapshot: SnapshotSending | None = None
        self._lanes: dict[Lane, _LaneStream] = {}
        self._nursery: trio.Nursery | None = None
        self._changed = trio.Event()
        self._was_connected = False
        self._is_asking = False

    async def run(self) -> None:
        """Serve until cancelled: keep a connection while the peer is a member."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for lane in self._lanes.values():
                nursery.start_soon(lane.run)
            if self._snapshot is not None:
                nursery.start_soon(self._send, self._snapshot)
            await self._keep_connected()

    def call(self, lane: Lane, call: CallID, request: Request, data: bytes) -> None:
        """Queue the encoded request ``data``; the outcome is delivered under ``call``."""
        stream = self._lanes.get(lane)
        if stream is None:
            stream = self._lanes[lane] = _LaneStream(lane, self, dialect_of(request))
            if self._nursery is not None:
                self._nursery.start_soon(stream.run)
        stream.call(call, request, data)

    def send_snapshot(self, call: CallID, request: InstallSnapshotRequest, data: bytes) -> None:
        """Send the encoded request ``data`` and the snapshot it names; one at a time.

        Mixed-cluster rule 4: a second one beside it could be installed first.
        """
        if self._snapshot is not None:
            self._snapshot.give_up("another snapshot is sent to the peer")
        self._snapshot = SnapshotSending(
            call,
            request,
            data,
            deliver=self.deliver,
            timeout_s=self._timing.snapshot_timeout_s(request.size_bytes),
        )
        if self._nursery is not None:
            self._nursery.start_soon(self._send, self._snapshot)

    async def _send(self, sending: SnapshotSending) -> None:
        if self._snapshots is None:
            sending.give_up("this server has no snapshots to send")
        else:
            await sending.run(self._snapshots, self)
        if sending.has_timed_out:
            self.timed_out()
        if self._snapshot is sending:
            self._snapshot = None

    @property
    def last_error(self) -> str:
        """Why the peer is not reached, or was not the last time; empty when it is."""
        return self._last_error

    @last_error.setter
    def last_error(self, error: str) -> None:
        self._last_error = error
        if error:
            self._last_failure, self._failed_at = error, trio.current_time()

    @property
    def is_member(self) -> bool:
        """Whether a connection is kept to the peer."""
        return self._is_member

    @is_member.setter
    def is_member(self, is_member: bool) -> None:
        if self._is_member and not is_member and self._snapshot is not None:
            self._snapshot.give_up("the peer is not a member any more")
            self._snapshot = None
        self._is_member = is_member

    @property
    def is_idle(self) -> bool:
        """Whether no call waits for an answer."""
        return self._snapshot is None and not any(lane.has_calls for lane in self._lanes.values())

    def link(self) -> Link:
        """Return how the peer is reached now."""
        is_connected = self._door.is_connected(self.peer)
        return Link(
            peer=self.peer,
            is_connected=is_connected,
            last_error="" if is_connected else self.last_error or "not connected yet",
            snapshot_bytes_sent=self._snapshot.bytes_sent if self._snapshot else 0,
            snapshot_bytes_total=self._snapshot.bytes_total if self._snapshot else 0,
            last_failure=self._last_failure,
            last_failure_s=(
                None if self._failed_at is None else trio.current_time() - self._failed_at
            ),
        )

    def look_again(self, *, came: bool = False) -> None:
        """Hear that a connection ``came`` or went, or that membership changed."""
        if came:
            # Announced anew even if the one before is still listed: it has died (trap 16).
            self._was_connected = False
        self._announce()
        self._changed.set()

    def heard(self) -> None:
        """Note that bytes came from the peer."""
        self.last_heard = trio.current_time()

    def _announce(self) -> None:
        is_connected = self._door.is_connected(self.peer)
        if is_connected and not self._was_connected and self.is_member:
            self.last_error = ""
            self.heard()
            self.deliver(PeerConnected(self.peer))
        self._was_connected = is_connected and self.is_member

    async def _keep_connected(self) -> None:
        wait_s = self._timing.redial_min_s
        while True:
            self._changed = trio.Event()
            if not self.is_member or self._door.is_connected(self.peer):
                self._announce()
                wait_s = self._timing.redial_min_s
                await self._changed.wait()
                continue
            try:
                await self._door.connect(self.peer, self._timing.dial_timeout_s)
            except PeerUnreachable as error:
                self.last_error = str(error)
            # A stock host may say it is connected at once, by a connection that has died and
            # is listed a while longer (trap 16).
            if not self._door.is_connected(self.peer):
                # Jittered, so that peers that lost each other do not dial in step.
                with trio.move_on_after(wait_s * (0.5 + random.random())):  # noqa: S311
                    await self._changed.wait()
                wait_s = min(2 * wait_s, self._timing.redial_max_s)

    # -- what the lanes use

    async def open_stream(self, timeout_s: float, protocol: str = RAFT_PROTOCOL) -> RaftStream:
        """Open a stream for a lane, within ``timeout_s`` and one dial's time.

        Raises:
            NotServed: the peer does not serve ``protocol``.
            PeerUnreachable: there is none.

        """
        timeout_s = min(timeout_s, self._timing.dial_timeout_s)
        return await self._door.open_stream(self.peer, timeout_s, protocol)

    @property
    def resumes_snapshots(self) -> bool:
        """Whether the peer may take snapshots that can be resumed; Go's name other protocols."""
        return self._door.may_serve(self.peer, SNAPSHOT_PROTOCOL)

    async def open_resumable(self, timeout_s: float) -> RaftStream:
        """Open a stream for such a snapshot; as :meth:`open_stream`."""
        return await self._door.open_stream(
            self.peer, min(timeout_s, self._timing.dial_timeout_s), SNAPSHOT_PROTOCOL
        )

    def timed_out(self) -> None:
        """Hear that a call was not answered; a peer silent for long may be gone.

        py-libp2p never notices a frozen peer or a silent partition by itself (trap 8). But
        silence of the application alone is no death: a peer that waits for its disk answers
        our muxer's ping.
        """
        silence_s = trio.current_time() - self.last_heard
        if silence_s < self._timing.silence_s or self._nursery is None or self._is_asking:
            return
        if self._door.can_ask_for_life(self.peer):
            self._is_asking = True
            self._nursery.start_soon(self._ask_for_life)
        elif silence_s >= self._timing.network_timeout_s:
            self.last_error = f"silent for {silence_s:.1f} s, disconnected"
            self._door.disconnect_soon(self.peer)

    async def _ask_for_life(self) -> None:
        try:
            if await self._door.close_dead_connections(self.peer, self._timing.silence_s):
                silence_s = trio.current_time() - self.last_heard
                self.last_error = f"silent for {silence_s:.1f} s, disconnected"
        finally:
            self._is_asking = False

    def call_timeout_s(self, lane: Lane) -> float:
        """Return how long a call on ``lane`` may wait."""
        return self._timing.call_timeout_s(lane)


class _LaneStream:
    """One lane: a queue of encoded requests, and the calls that wait for answers."""

    def __init__(self, lane: Lane, owner: OutboundPeer, dialect: Dialect) -> None:
        self._lane = lane
        self._dialect = dialect
        self._owner = owner
        self._timeout_s = owner.call_timeout_s(lane)
        self._queue: list[bytes] = []
        self._queued_bytes = 0
        self._waiting: deque[_Waiting] = deque()
        self._wake = trio.Event()
        self._reading: trio.CancelScope | None = None
        self._is_writing = False
        self._direct: _Direct | None = None
        """Set while the writer task has nothing to do: a call may then pass it by."""

    @property
    def has_calls(self) -> bool:
        return bool(self._waiting)

    def call(self, call: CallID, request: Request, data: bytes) -> None:
        if self._queued_bytes + len(data) > MAX_WRITER_QUEUE_BYTES:
            reason = f"{self._queued_bytes} bytes wait for the peer already"
            self._owner.deliver(CallFailed(call, reason))
            return
        deadline = trio.current_time() + self._timeout_s
        self._waiting.append(_Waiting(call, request, deadline))
        if len(self._waiting) == 1 and self._reading is not None:
            self._reading.deadline = deadline
        if self._direct is not None and self._direct.stream.write_nowait(data):
            self._direct.reader.expect(request)
            return
        self._queue.append(data)
        self._queued_bytes += len(data)
        self._direct = None
        self._wake.set()

    async def run(self) -> None:
        """Open a stream whenever calls wait, use it until it breaks; until cancelled."""
        while True:
            if not self._waiting:
                self._wake = trio.Event()
                await self._wake.wait()
            try:
                stream = await self._owner.open_stream(
                    self._time_left_s(), self._dialect.protocol_id
                )
            except NotServed as error:
                self._refuse(error)
                continue
            except PeerUnreachable as error:
                self._owner.last_error = str(error)
                if self._time_left_s() <= 0:
                    self._owner.timed_out()
                self._fail_all(str(error))
                continue
            await self._use(stream)
            self._owner.look_again()

    async def _use(self, stream: RaftStream) -> None:
        reader = self._dialect.new_response_reader()
        self._is_writing = True
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write_all, stream, reader, nursery.cancel_scope)
                try:
                    reason = await self._read_all(stream, reader)
                except StreamRefused as error:
                    reason = str(error)
                    self._refuse(error)
                is_hung_up = reason == _HUNG_UP and not reader.buffered_bytes
                # Calls given from here on are for the next stream.
                self._is_writing = False
                self._direct = None
                # Before anything that may take time: the calls have waited long enough.
                self._fail_all(reason, is_hung_up=is_hung_up)
                # A writer that is stuck, and shielded, ends with the stream.
                await stream.reset()
                nursery.cancel_scope.cancel()
        finally:
            self._reading = self._direct = None
            await stream.reset()

    async def _write_all(
        self, stream: RaftStream, reader: ResponsesReader, scope: trio.CancelScope
    ) -> None:
        """Write what is queued, all of it at once, whenever something is."""
        while True:
            if not self._queue or not self._is_writing:
                self._direct = _Direct(stream, reader) if self._is_writing else None
                self._wake = trio.Event()
                await self._wake.wait()
                continue
            for call in islice(self._waiting, len(self._waiting) - len(self._queue), None):
                reader.expect(call.request)
            data = self._queue[0] if len(self._queue) == 1 else b"".join(self._queue)
            self._queue.clear()
            self._queued_bytes = 0
            try:
                await stream.write(data, self._timeout_s)
            except StreamBroken as error:
                self._owner.last_error = str(error)
                self._fail_all(str(error))
                scope.cancel()
                return

    async def _read_all(self, stream: RaftStream, reader: ResponsesReader) -> str:
        """Match answers to calls until the stream ends; return why it did.

        Raises:
            StreamRefused: the peer does not serve the protocol.

        """
        while True:
            with trio.CancelScope(deadline=self._deadline()) as self._reading:
                try:
                    data = await stream.read()
                except StreamRefused:
                    raise
                except StreamBroken as error:
                    return str(error)
            if self._reading.cancelled_caught:
                self._owner.timed_out()
                return "timed out waiting for an answer"
            if not data:
                return _HUNG_UP
            try:
                answers = reader.feed(data)
            except RemoteProtocolError as error:
                return f"the peer's answer is not one: {error}"
            self._owner.heard()
            for answer in answers:
                call = self._waiting.popleft()
                self._owner.deliver(ResponseReceived(call.call, answer.response))

    def _deadline(self) -> float:
        return self._waiting[0].deadline if self._waiting else float("inf")

    def _time_left_s(self) -> float:
        return max(0.0, self._deadline() - trio.current_time())

    def _refuse(self, error: Exception) -> None:
        if self._dialect is GO:
            self._owner.last_error = str(error)
        self._fail_all(str(error), is_unsupported=True)

    def _fail_all(
        self, reason: str, *, is_unsupported: bool = False, is_hung_up: bool = False
    ) -> None:
        self._queue.clear()
        self._queued_bytes = 0
        waiting, self._waiting = self._waiting, deque()
        for call in waiting:
            failed = CallFailed(
                call.call, reason, is_unsupported=is_unsupported, is_hung_up=is_hung_up
            )
            self._owner.deliver(failed)
