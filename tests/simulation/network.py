"""The network between the servers, and what can go wrong on it.

It keeps the promises of ``transport.interface``: each call gets exactly one answer or failure
in bounded time; calls of one kind to one peer arrive in the order they left, and so do their
answers. Everything else is fair: a call may fail although the peer acts on it, now or much
later; a request may arrive a second time (on another stream, so out of order), and then its
answer goes nowhere.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from raft_over_libp2p.core.events import (
    CallFailed,
    PeerConnected,
    RequestReceived,
    ResponseReceived,
)
from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    InstallSnapshotRequest,
    LeaseRequest,
    ReadIndexRequest,
    Request,
    Response,
    TimeoutNowRequest,
)
from raft_over_libp2p.core.ready import Call, Reply
from raft_over_libp2p.limits import MAX_PENDING_REPLIES_PER_STREAM
from raft_over_libp2p.types import CallID, ServerID
from tests.simulation.snapshot_streams import SnapshotStreams
from tests.simulation.violation import violated
from tests.simulation.wire_trip import request_trip, response_trip

if TYPE_CHECKING:
    from tests.simulation.server import Server
    from tests.simulation.snapshot_store import Snapshot
    from tests.simulation.world import World

__all__ = [
    "APPEND",
    "HEARTBEAT",
    "KINDS",
    "LEASE",
    "OTHER",
    "READ",
    "SNAPSHOT",
    "Flight",
    "Network",
]

HEARTBEAT, APPEND, OTHER, SNAPSHOT, READ, LEASE = KINDS = range(6)
"""The kinds of streams a transport keeps to a peer; each snapshot has one of its own."""

_MAX_CALLS_IN_FLIGHT = {HEARTBEAT: 64, APPEND: 8, OTHER: 64, SNAPSHOT: 1, READ: 20, LEASE: 32}
"""What one server may have in flight to one peer, before a checker calls it unbounded."""
_KIND_OF = {InstallSnapshotRequest: SNAPSHOT, ReadIndexRequest: READ, LeaseRequest: LEASE}
_SLOWEST_S = 3.0
"""30 heartbeat intervals."""


class Flight:
    """One call, from the moment it leaves to its answer or failure."""

    __slots__ = (
        "call",
        "core",
        "deadline",
        "is_alone",
        "is_duplicate",
        "is_early",
        "kind",
        "process",
        "request",
        "response",
        "snapshot",
        "source",
        "target",
    )

    def __init__(
        self, source: Server, target: Server, call: CallID, request: Request, deadline: float
    ) -> None:
        self.source = source
        self.process = source.process
        self.core = source.core
        self.target = target
        self.call = call
        self.request = request
        self.kind = _kind_of(request)
        self.deadline = deadline
        self.is_alone = self.kind == SNAPSHOT or source.is_go
        """It has a stream to itself."""
        self.response: Response | None = None
        self.snapshot: Snapshot | None = None
        """What follows an InstallSnapshot on its stream."""
        self.is_duplicate = False
        self.is_early = False
        """Sent by a leader that has nothing of its own term agreed on yet."""


def _same_reign(other: Flight, flight: Flight) -> bool:
    """Tell whether one machine in one term has both in flight, on the same stream."""
    if (other.target, other.kind, other.core) != (flight.target, flight.kind, flight.core):
        return False
    if isinstance(other.request, TimeoutNowRequest) or isinstance(
        flight.request, TimeoutNowRequest
    ):
        return True
    return other.request.term == flight.request.term


def _kind_of(request: Request) -> int:
    if isinstance(request, AppendEntriesRequest):
        return HEARTBEAT if request.is_heartbeat else APPEND
    return _KIND_OF.get(type(request), OTHER)


class Network:
    """Carries calls between the servers of one world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.blocked: set[tuple[ServerID, ServerID]] = set()
        """One-way links that deliver nothing."""
        self.extra_s: dict[tuple[ServerID, ServerID], float] = {}
        """Time that a one-way link adds to each message."""
        self.gone: set[ServerID] = set()
        """Whose machine is off: no reset tells of it, not even to who called before."""
        self.snapshots = SnapshotStreams(self)
        self._next_inbound = 1
        self._broken: dict[tuple[ServerID, ServerID, int], Flight] = {}
        """The first call lost on a stream: until that is noticed, all behind it are lost too."""
        self._last_arrival: dict[tuple[ServerID, ServerID, int, bool], float] = {}

    # -- calls

    def send_call(self, source: Server, output: Call) -> None:
        """Take a call from ``source``'s machine."""
        world = self.world
        target = world.servers[output.peer]
        if target is source:
            violated("calls", f"{source.id} calls itself")
        if output.call in source.outstanding:
            violated("calls", f"{source.id} used call number {output.call} twice")
        request = output.request
        if world.profile.uses_wire:
            request = request_trip(source.id, request, world.dice.random())
        flight = Flight(
            source, target, output.call, request, world.now + world.profile.call_timeout_s
        )
        if flight.kind == SNAPSHOT:
            self.snapshots.give_up_older(flight)
        elif flight.kind == APPEND and source.in_flight.get((target.id, SNAPSHOT)):
            self.snapshots.check_entries(flight)
        source.outstanding[output.call] = flight
        self._bound(source, flight)
        source.arm_sweep()
        if flight.kind == SNAPSHOT:
            self.snapshots.carry(flight)
        else:
            self._carry(flight)

    def send_unasked(self, source: Server, target: Server, request: Request) -> None:
        """Send ``request`` in the name of ``source``, whose machine knows nothing of it."""
        flight = Flight(source, target, CallID(0), request, self.world.now)
        flight.is_duplicate = True
        at = self.world.now + self.world.profile.latency_s[1]
        self.world.push(at, self._arrive_unasked, flight)

    def _arrive_unasked(self, flight: Flight) -> None:
        is_blank = flight.target.is_go and not flight.target.log.latest.index
        if is_blank and flight.source is self.world.stranger:
            return  # it was emptied meanwhile, and a blank Go peer goes to anybody's term
        self._arrive(flight)

    def _carry(self, flight: Flight) -> None:
        world, profile, dice = self.world, self.world.profile, self.world.dice
        if profile.drop and dice.random() < profile.drop:
            world.marks["request dropped"] += 1
            self.lose(flight)
            return
        at = self._arrival(flight, is_answer=False)
        world.push(at, self._arrive, flight)
        if profile.duplicate and dice.random() < profile.duplicate:
            twin = Flight(
                flight.source, flight.target, flight.call, flight.request, flight.deadline
            )
            twin.is_duplicate = True
            world.push(world.now + dice.random() ** 3 * _SLOWEST_S, self._arrive, twin)

    def _arrival(self, flight: Flight, *, is_answer: bool) -> float:
        """Draw when a message arrives: never before one that left earlier on its stream."""
        source, target, kind = flight.source.id, flight.target.id, flight.kind
        if is_answer:
            source, target = target, source
        world, profile = self.world, self.world.profile
        low, high = profile.latency_s
        dice = world.dice
        delay = low + (high - low) * dice.random() + self.extra_s.get((source, target), 0.0)
        if profile.slow_network and dice.random() < profile.slow_network:
            delay += dice.random() * _SLOWEST_S
        if flight.is_alone:
            return world.now + delay
        stream = (source, target, kind, is_answer)
        at = max(world.now + delay, self._last_arrival.get(stream, 0.0))
        self._last_arrival[stream] = at
        return at

    def _arrive(self, flight: Flight) -> None:
        source, target = flight.source, flight.target
        world = self.world
        if (source.id, target.id) in self.blocked:
            world.marks["request blocked"] += 1
            self.lose(flight, is_silent=True)
            return
        if target.machine is None:
            self.lose(flight)
            return
        if self._is_behind_lost(flight):
            return
        stream = target.streams.setdefault((source.id, flight.kind), deque())
        if len(stream) >= MAX_PENDING_REPLIES_PER_STREAM:
            world.marks["stream not read"] += 1
            self.lose(flight, is_silent=True)
            return
        if flight.is_duplicate:
            world.marks["request duplicated"] += 1
        elif not flight.is_alone:
            stream.append(flight)
        self.deliver(flight)

    def deliver(self, flight: Flight) -> CallID:
        """Hand a request over; return the number it got."""
        world, source, target = self.world, flight.source, flight.target
        call = CallID(self._next_inbound)
        self._next_inbound += 1
        target.inbound[call] = flight
        if flight.snapshot is not None and isinstance(flight.request, InstallSnapshotRequest):
            target.keeping.spool(call, flight.snapshot, flight.request.term)
        if world.story is not None:
            twin = " again" if flight.is_duplicate else ""
            world.tell(f"{target.id} gets{twin} from {source.id} #{call}: {flight.request}")
        target.deliver(RequestReceived(call, source.id, flight.request))
        return call

    # -- answers

    def send_reply(self, server: Server, output: Reply, flight: Flight) -> None:
        """Take the answer to ``flight`` from ``server``'s machine."""
        response = output.response
        if self.world.profile.uses_wire:
            response = response_trip(server.id, flight.request, response, self.world.dice.random())
        flight.response = response
        if flight.is_duplicate:
            return
        if flight.is_alone:
            self._carry_back(flight)
            return
        stream = server.streams.get((flight.source.id, flight.kind))
        if stream is None or flight not in stream:
            return
        # Answers leave in the order of the requests.
        while stream and stream[0].response is not None:
            self._carry_back(stream.popleft())

    def _carry_back(self, flight: Flight) -> None:
        world, profile, dice = self.world, self.world.profile, self.world.dice
        if profile.drop and dice.random() < profile.drop:
            world.marks["response dropped"] += 1
            self.lose(flight)
            return
        at = self._arrival(flight, is_answer=True)
        world.push(at, self._answer, flight)

    def _answer(self, flight: Flight) -> None:
        source = flight.source
        if (flight.target.id, source.id) in self.blocked:
            self.lose(flight, is_silent=True)
            return
        if self._is_behind_lost(flight):
            return
        if flight.response is None:
            violated("simulator", "an answer without a response")
        if self._finish(flight):
            if self.world.story is not None:
                self.world.tell(
                    f"{source.id} is answered by {flight.target.id} #{flight.call}: "
                    f"{flight.response}"
                )
            source.deliver(ResponseReceived(flight.call, flight.response))
        else:
            self.world.marks["late response ignored"] += 1

    # -- failures

    def fail(self, flight: Flight) -> None:
        """Tell the caller that no answer will come, if it still waits.

        On a real stream all calls in flight fail together; the interface does not promise it.
        """
        if self.world.profile.fails_alone or flight.is_alone:
            self.fail_one(flight)
        elif self.is_open(flight):
            self.reset_streams(flight.source, flight.target, flight.kind)

    def is_open(self, flight: Flight) -> bool:
        """Tell whether its caller still waits."""
        source = flight.source
        return flight.process == source.process and source.outstanding.get(flight.call) is flight

    def fail_one(self, flight: Flight) -> None:
        """Fail this call alone."""
        if self._finish(flight):
            self.world.marks["call failed"] += 1
            if self.world.story is not None:
                self.world.tell(
                    f"{flight.source.id}'s call #{flight.call} to {flight.target.id} failed"
                )
            flight.source.deliver(CallFailed(flight.call, "the stream was reset"))

    def reset_streams(self, source: Server, target: Server, kind: int) -> None:
        """Break one stream: all its calls fail, its requests may still arrive, no answer leaves."""
        target.streams.pop((source.id, kind), None)
        for flight in list(source.outstanding.values()):
            if flight.target is target and flight.kind == kind:
                self.fail_one(flight)

    def forget_inbound(self, server: Server) -> None:
        """``server``'s machine is gone: what it had not answered, it never will."""
        for flight in list(server.inbound.values()):
            self.lose(flight)
        server.inbound.clear()
        server.streams.clear()

    def connect(self, source: Server, target: Server) -> None:
        """A connection stands again."""
        if source.machine is not None and target.machine is not None:
            source.deliver(PeerConnected(target.id))

    def lose(self, flight: Flight, *, is_silent: bool = False) -> None:
        """A message is lost: this is noticed at once (a reset), or only at the call's time limit."""
        if flight.is_duplicate:
            return
        world = self.world
        stream = (flight.source.id, flight.target.id, flight.kind)
        first = self._broken.get(stream)
        if not flight.is_alone and (first is None or not self.is_open(first)):
            self._broken[stream] = flight
        if flight.target.id in self.gone:
            world.marks["half-open streams"] += 1
            return
        if not is_silent and world.dice.random() < 0.5:
            world.push(world.now + world.dice.random() * 0.1, self.fail, flight)

    def _is_behind_lost(self, flight: Flight) -> bool:
        if flight.is_duplicate or flight.is_alone or self.world.profile.fails_alone:
            return False
        first = self._broken.get((flight.source.id, flight.target.id, flight.kind))
        return first is not None and self.is_open(first) and first.call < flight.call

    def _finish(self, flight: Flight) -> bool:
        source = flight.source
        if not self.is_open(flight):
            return False
        del source.outstanding[flight.call]
        source.in_flight[flight.target.id, flight.kind] -= 1
        return True

    def _bound(self, source: Server, flight: Flight) -> None:
        key = (flight.target.id, flight.kind)
        count = source.in_flight.get(key, 0) + 1
        source.in_flight[key] = count
        limit = _MAX_CALLS_IN_FLIGHT[flight.kind]
        if flight.kind == READ:
            # It asks beside an open call only if its leader was forgotten and found again, which
            # takes a heartbeat timeout; and no call is open for longer than its time limit.
            timeout_s = self.world.profile.call_timeout_s
            limit += int(timeout_s / source.config.heartbeat_timeout_s) + 1
        if flight.kind == APPEND:
            # A refusal gives the window up, and those behind it are refused in their turn.
            limit = 2 * source.config.max_inflight_appends
        if flight.kind != SNAPSHOT and self.world.profile.change_every_s:
            limit *= 4  # who leaves and comes back is a new peer, to whom nothing is on its way
        if count > limit and not self.world.profile.fails_alone and not source.is_go:
            count = sum(1 for other in source.outstanding.values() if _same_reign(other, flight))
            if count <= limit:
                return
            violated(
                "bounded calls",
                f"{source.id} has {count} calls of kind {flight.kind} in flight to "
                f"{flight.target.id}; at most {limit} may be",
            )
