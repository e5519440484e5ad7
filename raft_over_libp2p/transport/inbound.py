"""Calls of peers: requests off their streams, to the driver, and the replies back in order.

Each stream is served by itself: one that is silent, slow or waits for the disk holds no
other. Whatever a peer does wrong ends its stream, as a Go peer would, and nothing of it
reaches the core.
"""

from __future__ import annotations

import logging
import math
from collections import Counter, deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass

import trio

from raft_over_libp2p import limits
from raft_over_libp2p.core.events import RequestReceived
from raft_over_libp2p.core.messages import (
    ErrorResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    Request,
    Response,
)
from raft_over_libp2p.errors import (
    FrameTooLarge,
    MalformedMessage,
    RemoteProtocolError,
    UnauthorisedPeer,
    UnsupportedVersion,
)
from raft_over_libp2p.transport.authorise import authorise
from raft_over_libp2p.transport.inbound_snapshots import InboundSnapshots, IncomingSnapshot
from raft_over_libp2p.transport.interface import Deliver, SnapshotExchange
from raft_over_libp2p.transport.resumable_inbound import ResumableStream
from raft_over_libp2p.transport.stream_rate import StreamRate
from raft_over_libp2p.transport.streams import RaftStream, StreamBroken
from raft_over_libp2p.types import CallID, ServerID, Term
from raft_over_libp2p.wire.dialects import Dialect, RequestsReader
from raft_over_libp2p.wire.framing import DecodedRequest, RequestReader
from raft_over_libp2p.wire.header import check_snapshot_version
from raft_over_libp2p.wire.responses import encode_response

__all__ = ["Inbound", "Owed"]

_log = logging.getLogger(__name__)

_SLOWEST_BYTES_PER_S = 16 * 1024
_COMPLAINT_EVERY_S = 10.0
_REPLY_WRITE_S = 10.0
"""A peer that takes no reply for so long has its stream ended (Cluster's network timeout)."""


@dataclass(slots=True, eq=False)
class Owed:
    """A request delivered, in the order of its stream; ``reply`` waits for those before it."""

    call: CallID
    reply: bytes | None = None


class Inbound:
    """Every inbound stream of one transport, their limits, and the calls not yet answered."""

    def __init__(self, local_id: ServerID) -> None:
        """Serve nothing until :meth:`open`."""
        self.local_id = local_id
        self.refused: Counter[str] = Counter()
        """How many streams were ended, by what the peer did wrong."""
        self.buffered_bytes = 0
        self._members: frozenset[ServerID] = frozenset()
        self._deliver: Deliver | None = None
        self._streams: set[_ServedStream | ResumableStream] = set()
        self._rates: dict[ServerID, StreamRate] = {}
        self._owed: dict[CallID, tuple[_ServedStream | ResumableStream, Owed]] = {}
        self._last_call = 0
        self._complained_at = -_COMPLAINT_EVERY_S
        self.snapshots = InboundSnapshots()

    def open(self, deliver: Deliver, snapshots: SnapshotExchange | None = None) -> None:
        """Deliver what comes in from now on, and spool snapshots where ``snapshots`` says."""
        self._deliver = deliver
        self.snapshots.exchange = snapshots

    def close(self) -> None:
        """Deliver nothing more, and end every stream."""
        self._deliver = None
        self._owed.clear()
        for stream in self._streams:
            stream.scope.cancel()

    def set_members(self, members: Collection[ServerID]) -> None:
        """Know whose streams get a member's limits."""
        if self._members != frozenset(members):
            self._members = frozenset(members)
            self._rates.clear()  # Who joined or left is counted anew, by other limits.

    def is_member(self, peer: ServerID) -> bool:
        """Tell whether ``peer`` is treated as a member; before any is known, everybody is."""
        return peer in self._members or not self._members

    async def serve(self, dialect: Dialect, stream: RaftStream) -> None:
        """Answer the calls on ``stream`` until it ends. Raises nothing a peer can cause.

        A peer's streams of all protocols count together.
        """
        if self._deliver is None or not self._is_admitted(stream.peer):
            await stream.reset()
            return
        await self._serve(_ServedStream(stream, self, dialect), stream)

    async def serve_resumable(self, stream: RaftStream) -> None:
        """Take in the snapshot that is offered on ``stream``. Raises nothing a peer can cause."""
        if self._deliver is None or not self._is_admitted(stream.peer):
            await stream.reset()
            return
        await self._serve(ResumableStream(stream, self), stream)

    async def _serve(self, served: _ServedStream | ResumableStream, stream: RaftStream) -> None:
        self._streams.add(served)
        try:
            with served.scope:
                await served.run()
        finally:
            self._streams.discard(served)
            served.forget()
            await stream.reset()

    def reply(self, call: CallID, response: Response) -> None:
        """Answer ``call``; silently nothing when its stream is gone."""
        owed = self._owed.pop(call, None)
        if owed is not None:
            self.snapshots.end(call)
            stream, slot = owed
            slot.reply = stream.dialect.encode_response(response, self.local_id)
            stream.flush()

    # -- what the streams use

    def next_call(self) -> CallID:
        """Return a call number never used before."""
        self._last_call += 1
        return CallID(self._last_call)

    def deliver(
        self, stream: _ServedStream | ResumableStream, call: CallID, request: Request
    ) -> Owed:
        """Hand ``request`` to the driver as ``call``."""
        slot = Owed(call)
        self._owed[call] = (stream, slot)
        if self._deliver is not None:
            self._deliver(RequestReceived(call, stream.peer, request))
        return slot

    def forget(self, slots: Iterable[Owed]) -> None:
        """Expect no reply to ``slots`` any more."""
        for slot in slots:
            self._owed.pop(slot.call, None)
            self.snapshots.end(slot.call)

    def charge(self, added_bytes: int) -> None:
        """Account for memory held by unfinished messages, over all streams.

        Raises:
            FrameTooLarge: it is too much; end the stream that asked for more.

        """
        self.buffered_bytes += added_bytes
        if added_bytes > 0 and self.buffered_bytes > limits.MAX_DECODE_BYTES:
            raise FrameTooLarge(
                f"unfinished messages of all peers take {self.buffered_bytes} bytes"
            )

    def complain(self, peer: ServerID, error: Exception) -> None:
        """Count a stream ended by its peer's fault, and log it, at most one in ten seconds."""
        self.refused[type(error).__name__] += 1
        now = trio.current_time()
        if now - self._complained_at >= _COMPLAINT_EVERY_S:
            self._complained_at = now
            _log.warning(
                "closed a Raft stream of %s: %s (streams closed so far: %s)",
                peer,
                error,
                dict(self.refused),
            )

    def _is_admitted(self, peer: ServerID) -> bool:
        of_peer = sum(1 for stream in self._streams if stream.peer == peer)
        limit = (
            limits.MAX_INBOUND_STREAMS_PER_MEMBER
            if self.is_member(peer)
            else limits.MAX_INBOUND_STREAMS_PER_STRANGER
        )
        if not self._is_in_rate(peer):
            self.complain(peer, UnauthorisedPeer("it opens streams too fast"))
            return False
        if of_peer < limit and len(self._streams) < limits.MAX_INBOUND_STREAMS:
            return True
        self.complain(peer, UnauthorisedPeer(f"{of_peer} of its streams are open already"))
        return False

    def _is_in_rate(self, peer: ServerID) -> bool:
        now = trio.current_time()
        rate = self._rates.get(peer)
        if rate is None:
            if len(self._rates) >= limits.MAX_PEERS_COUNTED:
                self._rates = {p: r for p, r in self._rates.items() if not r.is_full(now)}
                if len(self._rates) >= limits.MAX_PEERS_COUNTED:
                    return False  # So many peers at once: a flood by many hands.
            rate = self._rates[peer] = _rate(is_member=self.is_member(peer))
        return rate.allows(now)


def _rate(*, is_member: bool) -> StreamRate:
    per_s = limits.MAX_NEW_STREAMS_PER_S if is_member else limits.MAX_NEW_STREAMS_PER_S_OF_STRANGER
    return StreamRate(per_s=per_s, burst=per_s)


class _ServedStream:
    """One inbound stream: requests read ahead, replies written in their order."""

    def __init__(self, stream: RaftStream, owner: Inbound, dialect: Dialect) -> None:
        self.peer = stream.peer
        self.dialect = dialect
        self.scope = trio.CancelScope()
        self._stream = stream
        self._owner = owner
        self._owed: deque[Owed] = deque()
        self._out: list[bytes] = []
        self._nursery: trio.Nursery | None = None
        self._is_writing = False
        self._wake_reader = trio.Event()
        self._charged_bytes = 0

    async def run(self) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                await self._read_and_answer()
            finally:
                # A reply that comes before this stream is forgotten finds nobody to write it.
                self._nursery = None
            nursery.cancel_scope.cancel()

    async def _read_and_answer(self) -> None:
        try:
            await self._read_requests()
        except StreamBroken as error:
            _log.debug("inbound stream: %s", error)
        except (RemoteProtocolError, UnauthorisedPeer) as error:
            self._owner.complain(self.peer, error)
            if self._owed or self._out or self._is_writing:
                # Requests that came before the bad one are answered, as by a Go peer.
                await self._write_what_is_owed()
        else:
            await self._write_what_is_owed()

    def flush(self) -> None:
        """Queue the replies that nothing earlier holds back."""
        owed = self._owed
        while owed and owed[0].reply is not None:
            self._out.append(owed.popleft().reply or b"")
        if self._out and not self._is_writing and self._nursery is not None:
            # Most streams bring one call, and its reply leaves without a task.
            if self._stream.write_nowait(b"".join(self._out)):
                self._out.clear()
            else:
                self._is_writing = True
                self._nursery.start_soon(self._write_replies, self._nursery.cancel_scope)
        if len(owed) < limits.MAX_PENDING_REPLIES_PER_STREAM:
            self._wake_reader.set()

    def forget(self) -> None:
        """Drop what is owed on this stream, and the memory it was charged."""
        self._owner.forget(self._owed)
        self._charge(0)

    # -- requests

    async def _read_requests(self) -> None:
        """Deliver requests until the peer ends its side.

        Raises:
            RemoteProtocolError: what came is not to be answered; end the stream.
            StreamBroken: it is gone.

        """
        reader = self.dialect.new_request_reader()
        data = b""
        frame_began = 0.0
        while data or (data := await self._read_some(reader.buffered_bytes, frame_began)):
            was_between_frames = not reader.buffered_bytes
            messages = reader.feed(data)
            data = b""
            if messages or was_between_frames:
                frame_began = trio.current_time()
            self._charge(reader.buffered_bytes)
            for message in messages:
                data = await self._take(message, reader)
            if reader.failure is not None:
                # Good requests came before it in the same bytes; nothing after it will.
                raise reader.failure
        if reader.buffered_bytes:
            # Also how the death of a connection looks (trap 9).
            raise MalformedMessage("the stream ended inside a message")

    async def _read_some(self, buffered_bytes: int, frame_began: float) -> bytes:
        """Read with the deadline of the frame that is being received, if one is."""
        if buffered_bytes:
            deadline = (
                frame_began + limits.FIRST_BYTE_TO_FRAME_S + buffered_bytes / _SLOWEST_BYTES_PER_S
            )
        elif self._owner.is_member(self.peer):
            deadline = math.inf
        else:
            deadline = trio.current_time() + limits.STRANGER_IDLE_S
        with trio.move_on_at(deadline):
            return await self._stream.read()
        raise MalformedMessage(
            "a message came slower than allowed" if buffered_bytes else "the stream was silent"
        )

    async def _take(self, message: DecodedRequest, reader: RequestsReader) -> bytes:
        """Deliver ``message``, or refuse it; return what was read beyond its snapshot."""
        request, refusal, beyond = message.request, b"", b""
        is_snapshot = isinstance(request, InstallSnapshotRequest)
        # A snapshot waits until all before it is answered: one at a time.
        while len(self._owed) >= (1 if is_snapshot else limits.MAX_PENDING_REPLIES_PER_STREAM):
            self._wake_reader = trio.Event()
            await self._wake_reader.wait()
        try:
            request = authorise(self.peer, message.header, request)
        except UnsupportedVersion as error:
            # Go's answers to wrong versions; the stream stays of use after them.
            refusal = self.dialect.encode_response(
                ErrorResponse(error=str(error)), self._owner.local_id
            )
        call = self._owner.next_call()
        if isinstance(request, InstallSnapshotRequest) and isinstance(reader, RequestReader):
            refusal = refusal or self._refused_snapshot(request)
            beyond = await self._take_snapshot(call, request, reader, is_wanted=not refusal)
        if refusal:
            self._owed.append(Owed(call, refusal))
            self.flush()
        else:
            self._owed.append(self._owner.deliver(self, call, request))
        return beyond

    def _refused_snapshot(self, request: InstallSnapshotRequest) -> bytes:
        try:
            check_snapshot_version(request)
        except UnsupportedVersion as error:
            response = InstallSnapshotResponse(term=Term(0), success=False)
            return encode_response(response, self._owner.local_id, error=str(error))
        return b""

    async def _take_snapshot(
        self,
        call: CallID,
        request: InstallSnapshotRequest,
        reader: RequestReader,
        *,
        is_wanted: bool,
    ) -> bytes:
        """Read the snapshot's bytes and spool them; return what follows them.

        One that is refused is read away: Go's rule is that the bytes come before the answer.
        """
        if not 0 <= request.size_bytes <= limits.MAX_SNAPSHOT_BYTES:
            raise FrameTooLarge(f"a snapshot of {request.size_bytes} bytes")
        snapshots = self._owner.snapshots
        if is_wanted:
            incoming = snapshots.begin(call, self.peer, request, self.scope)
        else:
            incoming = IncomingSnapshot(call, None, self.scope)
        try:
            beyond = await self._read_body(request.size_bytes, reader.take_remainder(), incoming)
            incoming.is_whole()
        except BaseException:
            snapshots.end(call)
            raise
        return beyond

    async def _read_body(self, size_bytes: int, begun: bytes, into: IncomingSnapshot) -> bytes:
        began = trio.current_time()
        left = size_bytes
        data = begun
        while True:
            if len(data) > left:
                into.write(data[:left])
                return data[left:]
            into.write(data)
            left -= len(data)
            if not left:
                return b""
            data = await self._read_some(size_bytes - left + 1, began)
            if not data:
                raise MalformedMessage("the stream ended inside a snapshot")

    def _charge(self, buffered_bytes: int) -> None:
        added_bytes, self._charged_bytes = buffered_bytes - self._charged_bytes, buffered_bytes
        self._owner.charge(added_bytes)

    # -- replies

    async def _write_replies(self, scope: trio.CancelScope) -> None:
        """Write what could not be written at once, and what comes meanwhile."""
        while self._out:
            data = b"".join(self._out)
            self._out.clear()
            try:
                await self._stream.write(data, _REPLY_WRITE_S)
            except StreamBroken as error:
                _log.debug("inbound stream: %s", error)
                scope.cancel()
                return
        self._is_writing = False
        self._wake_reader.set()

    async def _write_what_is_owed(self) -> None:
        """Nothing more is read: answer what the peer asked, then end our side."""
        with trio.move_on_after(_REPLY_WRITE_S):
            while self._owed or self._out or self._is_writing:
                self._wake_reader = trio.Event()
                await self._wake_reader.wait()
            await self._stream.close()
