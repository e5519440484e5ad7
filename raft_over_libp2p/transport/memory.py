"""A transport without a network, for tests: the same promises, messages passed as values.

A stream here behaves as one over libp2p: ordered, answered in order, and once a message on
it is lost, nothing after it arrives either, until the calls on it time out or the path
between the peers stands again. Time is trio's clock only, so tests run it under
``autojump_clock``.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

import trio
from trio import TaskStatus

from raft_over_libp2p.core.events import (
    CallFailed,
    Event,
    PeerConnected,
    RequestReceived,
    ResponseReceived,
)
from raft_over_libp2p.core.messages import InstallSnapshotRequest, OwnRequest, Request, Response
from raft_over_libp2p.core.ready import Call, Output, Reply
from raft_over_libp2p.errors import LocalProtocolError, StorageError
from raft_over_libp2p.limits import SNAPSHOT_CHUNK_BYTES
from raft_over_libp2p.transport.interface import Deliver, Link, SnapshotExchange, Spool
from raft_over_libp2p.transport.lanes import Lane, lane_of
from raft_over_libp2p.transport.timing import TransportTiming
from raft_over_libp2p.types import CallID, ServerID

__all__ = ["MemoryNetwork", "MemoryTransport"]


@dataclass(slots=True, eq=False)
class _Answer:
    """A request at the responder; ``response`` waits there for those asked before it."""

    call: CallID
    response: Response | None = None


@dataclass(slots=True, eq=False)
class _Stream:
    """One lane from ``source`` to ``target``: calls unanswered, and answers owed."""

    source: MemoryTransport
    target: ServerID
    in_flight: dict[CallID, None] = field(default_factory=dict)
    owed: deque[_Answer] = field(default_factory=deque)
    is_broken: bool = False
    bytes_sent: int = 0
    bytes_total: int = 0
    incoming: _Incoming | None = None


@dataclass(slots=True, eq=False)
class _Incoming:
    """A snapshot at the responder, until all of its bytes are there."""

    call: CallID
    request: InstallSnapshotRequest
    spool: Spool | None
    bytes_left: int


class MemoryNetwork:
    """Joins :class:`MemoryTransport` objects; tests cut, heal and slow the paths between them."""

    def __init__(self, *, delay_s: float = 0.0, timing: TransportTiming | None = None) -> None:
        """Carry each message in ``delay_s`` seconds, unless :meth:`set_delay` says otherwise."""
        self.timing = timing or TransportTiming()
        self._delay_s = delay_s
        self._delays: dict[tuple[ServerID, ServerID], float] = {}
        self._cut: set[tuple[ServerID, ServerID]] = set()
        self._transports: dict[ServerID, MemoryTransport] = {}
        self._go_only: set[ServerID] = set()

    def transport(self, server_id: ServerID) -> MemoryTransport:
        """Return a new transport of ``server_id``; it replaces an earlier, stopped one.

        Raises:
            LocalProtocolError: the earlier one still runs.

        """
        earlier = self._transports.get(server_id)
        if earlier is not None and earlier.is_running:
            raise LocalProtocolError(f"a transport of {server_id} runs already")
        transport = MemoryTransport(self, server_id)
        self._transports[server_id] = transport
        return transport

    # -- what tests do to the paths

    def set_delay(self, source: ServerID, target: ServerID, delay_s: float) -> None:
        """Let messages from ``source`` to ``target`` take ``delay_s`` seconds from now on."""
        self._delays[source, target] = delay_s

    def cut(self, source: ServerID, target: ServerID) -> None:
        """Lose silently whatever goes from ``source`` to ``target``, also what is on its way."""
        self._cut.add((source, target))

    def partition(self, *groups: Iterable[ServerID]) -> None:
        """Cut every path between two ``groups``, both ways; earlier cuts stay."""
        members = [tuple(group) for group in groups]
        for near in members:
            for far in members:
                if near is not far:
                    self._cut.update((a, b) for a in near for b in far)

    def isolate(self, server_id: ServerID) -> None:
        """Cut every path to and from ``server_id``."""
        self.partition([server_id], [other for other in self._transports if other != server_id])

    def speak_only_go(self, server_id: ServerID) -> None:
        """Let ``server_id`` serve Go's protocol alone from now on, as a Go peer does."""
        self._go_only.add(server_id)

    def heal(self) -> None:
        """Undo every cut: calls on streams that lost a message fail, and connections stand."""
        self._cut.clear()
        for transport in list(self._transports.values()):
            transport.path_stands()

    # -- what transports ask

    def running(self, server_id: ServerID) -> MemoryTransport | None:
        """Return the transport of ``server_id`` if it serves now."""
        transport = self._transports.get(server_id)
        return transport if transport is not None and transport.is_running else None

    def others(self, server_id: ServerID) -> list[MemoryTransport]:
        """Return all transports but that of ``server_id``."""
        return [t for other, t in self._transports.items() if other != server_id]

    def serves(self, server_id: ServerID, request: Request) -> bool:
        """Tell whether ``server_id`` serves the protocol of ``request``."""
        return server_id not in self._go_only or not isinstance(request, OwnRequest)

    def is_cut(self, source: ServerID, target: ServerID) -> bool:
        """Tell whether messages from ``source`` to ``target`` are lost now."""
        return (source, target) in self._cut

    def why_unreachable(self, source: ServerID, target: ServerID) -> str:
        """Return why ``source`` and ``target`` cannot talk; empty when they can."""
        if self.running(target) is None:
            return "connection refused: the peer does not run"
        if self.is_cut(source, target) or self.is_cut(target, source):
            return "timed out: the path is cut"
        return ""

    def delay_s(self, source: ServerID, target: ServerID) -> float:
        """Return how long a message from ``source`` to ``target`` takes."""
        return self._delays.get((source, target), self._delay_s)


class MemoryTransport:
    """One server's end of a :class:`MemoryNetwork`; see :class:`interface.Transport`."""

    def __init__(self, network: MemoryNetwork, server_id: ServerID) -> None:
        """Belong to ``server_id``; :meth:`MemoryNetwork.transport` makes these."""
        self.server_id = server_id
        self.is_running = False
        self._network = network
        self._deliver: Deliver | None = None
        self._members: frozenset[ServerID] = frozenset()
        self._streams: dict[tuple[ServerID, Lane], _Stream] = {}
        self._owed: dict[CallID, tuple[_Stream, _Answer]] = {}
        self._next_call = 1
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._agenda_count = 0
        self._last_due: dict[ServerID, float] = {}
        self._wake = trio.Event()
        self._snapshots: SnapshotExchange | None = None
        self._nursery: trio.Nursery | None = None

    # -- the Transport protocol

    async def run(
        self,
        deliver: Deliver,
        snapshots: SnapshotExchange | None = None,
        *,
        task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        self._deliver = deliver
        self._snapshots = snapshots
        self.is_running = True
        try:
            async with trio.open_nursery() as self._nursery:
                task_status.started()
                self._announce(self._members)
                for other in self._network.others(self.server_id):
                    other.peer_started(self.server_id)
                await self._work_off_agenda()
        finally:
            self.is_running = False
            self._deliver = self._nursery = self._snapshots = None
            for stream in list(self._streams.values()):
                self._abandon(stream)
            for other in self._network.others(self.server_id):
                other.peer_stopped(self.server_id)

    def send(self, outputs: Sequence[Output]) -> None:
        for output in outputs:
            if isinstance(output, Call):
                self._call(output)
            else:
                self._reply(output)

    def set_members(self, members: Collection[ServerID]) -> None:
        added = frozenset(members) - self._members
        for gone in self._members - frozenset(members):
            stream = self._streams.get((gone, Lane.SNAPSHOTS))
            if stream is not None:
                self._reset(stream, "the peer is not a member any more")
        self._members = frozenset(members)
        if self.is_running:
            self._announce(added)

    def links(self) -> Mapping[ServerID, Link]:
        links = {}
        for peer in sorted(self._members - {self.server_id}):
            why = self._network.why_unreachable(self.server_id, peer)
            sending = self._streams.get((peer, Lane.SNAPSHOTS))
            links[peer] = Link(
                peer=peer,
                is_connected=not why,
                last_error=why,
                snapshot_bytes_sent=sending.bytes_sent if sending else 0,
                snapshot_bytes_total=sending.bytes_total if sending else 0,
            )
        return links

    # -- calls

    def _call(self, output: Call) -> None:
        if isinstance(output.request, InstallSnapshotRequest):
            self._call_with_snapshot(output.call, output.peer, output.request)
            return
        lane = lane_of(output.request)
        stream = self._streams.get((output.peer, lane))
        if stream is None:
            stream = self._streams[output.peer, lane] = _Stream(self, output.peer)
        stream.in_flight[output.call] = None
        timeout_s = self._network.timing.call_timeout_s(lane)
        self._at(trio.current_time() + timeout_s, partial(self._time_out, stream, output.call))
        self._carry(
            output.peer, partial(self._take_request_over, stream, output.call, output.request)
        )

    def _take_request_over(self, stream: _Stream, call: CallID, request: Request) -> None:
        if call not in stream.in_flight:
            return
        target = self._network.running(stream.target)
        if target is None:
            self._reset(stream, "connection refused: the peer does not run")
        elif stream.is_broken or self._network.is_cut(self.server_id, stream.target):
            stream.is_broken = True
        elif not self._network.serves(stream.target, request):
            self._reset(stream, "the peer does not serve the protocol", is_unsupported=True)
        else:
            target.request_arrives(stream, call, request)

    def response_arrives(self, stream: _Stream, call: CallID, response: Response | None) -> None:
        """Take in the answer to ``call`` on our ``stream``."""
        if stream.is_broken or self._network.is_cut(stream.target, self.server_id):
            stream.is_broken = True
        elif call in stream.in_flight and response is not None:
            del stream.in_flight[call]
            if self._streams.get((stream.target, Lane.SNAPSHOTS)) is stream:
                self._abandon(stream)
            self._tell(ResponseReceived(call, response))

    def _time_out(self, stream: _Stream, call: CallID) -> None:
        if call in stream.in_flight:
            self._reset(stream, "timed out waiting for an answer")

    def _reset(self, stream: _Stream, reason: str, *, is_unsupported: bool = False) -> None:
        """Fail every call on ``stream``: answers to it are lost from now on."""
        calls = list(stream.in_flight)
        self._abandon(stream)
        for call in calls:
            self._tell(CallFailed(call, reason, is_unsupported=is_unsupported))

    def _abandon(self, stream: _Stream) -> None:
        stream.is_broken = True
        stream.in_flight.clear()
        incoming, stream.incoming = stream.incoming, None
        if incoming is not None and incoming.spool is not None:
            incoming.spool.cancel()
        for key, current in list(self._streams.items()):
            if current is stream:
                del self._streams[key]

    # -- snapshots

    def _call_with_snapshot(
        self, call: CallID, peer: ServerID, request: InstallSnapshotRequest
    ) -> None:
        if self._nursery is None:
            return
        earlier = self._streams.get((peer, Lane.SNAPSHOTS))
        if earlier is not None:
            self._reset(earlier, "another snapshot is sent to the peer")
        stream = _Stream(self, peer, bytes_total=request.size_bytes)
        stream.in_flight[call] = None
        self._streams[peer, Lane.SNAPSHOTS] = stream
        timeout_s = self._network.timing.snapshot_timeout_s(request.size_bytes)
        self._at(trio.current_time() + timeout_s, partial(self._time_out, stream, call))
        self._nursery.start_soon(self._send_snapshot, stream, call, request)

    async def _send_snapshot(
        self, stream: _Stream, call: CallID, request: InstallSnapshotRequest
    ) -> None:
        if self._snapshots is None:
            self._reset(stream, "this server has no snapshots to send")
            return
        try:
            with closing(
                await self._snapshots.open_snapshot(request.last_log_index, request.last_log_term)
            ) as source:
                self._carry(stream.target, partial(self._take_request_over, stream, call, request))
                while call in stream.in_flight and stream.bytes_sent < request.size_bytes:
                    chunk = source.read(SNAPSHOT_CHUNK_BYTES)
                    if not chunk or source.size_bytes != request.size_bytes:
                        self._reset(stream, "the snapshot cannot be read: its size is another")
                        return
                    stream.bytes_sent += len(chunk)
                    self._carry(stream.target, partial(self._take_chunk_over, stream, chunk))
                    await trio.lowlevel.checkpoint()
        except StorageError as error:
            self._reset(stream, f"the snapshot cannot be read: {error}")

    def _take_chunk_over(self, stream: _Stream, chunk: bytes) -> None:
        target = self._network.running(stream.target)
        if target is not None and not stream.is_broken:
            if self._network.is_cut(self.server_id, stream.target):
                stream.is_broken = True
            else:
                target.chunk_arrives(stream, chunk)

    def snapshot_arrives(
        self, stream: _Stream, call: CallID, request: InstallSnapshotRequest
    ) -> None:
        """Take in the request of another transport; its bytes follow on ``stream``."""
        spool = None
        if self._snapshots is not None:
            spool = self._snapshots.spool(call, stream.source.server_id, request)
        stream.incoming = _Incoming(call, request, spool, request.size_bytes)
        self.chunk_arrives(stream, b"")

    def chunk_arrives(self, stream: _Stream, chunk: bytes) -> None:
        """Take in the next bytes of the snapshot on ``stream``; deliver it once it is whole."""
        incoming = stream.incoming
        if incoming is None:
            return
        if incoming.spool is not None and chunk:
            incoming.spool.write(chunk)
        incoming.bytes_left -= len(chunk)
        if incoming.bytes_left == 0:
            stream.incoming = None
            peer = stream.source.server_id
            self._tell(RequestReceived(incoming.call, peer, incoming.request))

    # -- answers

    def request_arrives(self, stream: _Stream, call: CallID, request: Request) -> None:
        """Take in a request of another transport, on its ``stream``."""
        number = CallID(self._next_call)
        self._next_call += 1
        answer = _Answer(call)
        stream.owed.append(answer)
        self._owed[number] = (stream, answer)
        if isinstance(request, InstallSnapshotRequest):
            self.snapshot_arrives(stream, number, request)
        else:
            self._tell(RequestReceived(number, stream.source.server_id, request))

    def _reply(self, output: Reply) -> None:
        owed = self._owed.pop(output.call, None)
        if owed is None:
            return
        stream, answer = owed
        answer.response = output.response
        while stream.owed and stream.owed[0].response is not None:
            first = stream.owed.popleft()
            self._carry(
                stream.source.server_id,
                partial(stream.source.response_arrives, stream, first.call, first.response),
            )

    # -- paths

    def peer_started(self, peer: ServerID) -> None:
        """Hear that the transport of ``peer`` serves now."""
        self._announce({peer} & self._members)

    def peer_stopped(self, peer: ServerID) -> None:
        """Hear that the transport of ``peer`` is gone: what was asked of it fails."""
        for stream in [s for s in self._streams.values() if s.target == peer]:
            self._soon(partial(self._reset, stream, "connection closed by the peer"))

    def path_stands(self) -> None:
        """Hear that cuts were undone: start afresh the streams that lost a message."""
        for stream in [s for s in self._streams.values() if s.is_broken]:
            self._soon(partial(self._reset, stream, "connection lost"))
        self._announce(self._members)

    def _announce(self, peers: Collection[ServerID]) -> None:
        for peer in sorted(set(peers) - {self.server_id}):
            if not self._network.why_unreachable(self.server_id, peer):
                self._soon(partial(self._tell, PeerConnected(peer)))

    # -- time

    def _tell(self, event: Event) -> None:
        if self._deliver is not None:
            self._deliver(event)

    def _carry(self, peer: ServerID, arrive: Callable[[], None]) -> None:
        """Do ``arrive`` after the path's delay, and never before what was sent earlier."""
        due = trio.current_time() + self._network.delay_s(self.server_id, peer)
        due = self._last_due[peer] = max(due, self._last_due.get(peer, 0.0))
        self._at(due, arrive)

    def _soon(self, action: Callable[[], None]) -> None:
        self._at(trio.current_time(), action)

    def _at(self, due: float, action: Callable[[], None]) -> None:
        self._agenda_count += 1
        heapq.heappush(self._agenda, (due, self._agenda_count, action))
        self._wake.set()

    async def _work_off_agenda(self) -> None:
        while True:
            while self._agenda and self._agenda[0][0] <= trio.current_time():
                _, _, action = heapq.heappop(self._agenda)
                action()
            self._wake = trio.Event()
            due = self._agenda[0][0] if self._agenda else math.inf
            with trio.move_on_at(due):
                await self._wake.wait()
