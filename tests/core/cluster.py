"""Several machines in memory, on one heap of events: the same run for the same seed.

Disks are instant and safe unless told otherwise, the network takes a millisecond, and a
call over a cut link fails after ``CALL_TIMEOUT_S``.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core.events import (
    Applied,
    CallFailed,
    Event,
    Persisted,
    RequestReceived,
    ResponseReceived,
    SnapshotStored,
    SnapshotTaken,
)
from raft_over_libp2p.core.interfaces import InitialState
from raft_over_libp2p.core.machine import Machine
from raft_over_libp2p.core.membership_change import ChangeKind, MembershipChange
from raft_over_libp2p.core.messages import InstallSnapshotRequest, Request, Response
from raft_over_libp2p.core.ready import (
    Call,
    HardState,
    Observation,
    ReadRefused,
    ReadState,
    Ready,
    Reply,
    Role,
    SnapshotMeta,
    StoreSnapshot,
    Write,
)
from raft_over_libp2p.types import CallID, Index, LogEntry, LogType, ServerID, Term
from tests.core.logs import CODEC, MemoryLog, configuration_entry

__all__ = ["Cluster", "Node", "Snapshot"]

CALL_TIMEOUT_S = 0.3


@dataclass
class Snapshot:
    """Where it stands, and the state: all that was applied."""

    meta: SnapshotMeta
    state: list[LogEntry]


@dataclass
class Node:
    """One server: its machine, its disk, and what it told its caller."""

    server_id: ServerID
    config: RaftConfig
    log: MemoryLog
    hard_state: HardState
    rng: random.Random
    machine: Machine
    is_up: bool = True
    is_disk_stalled: bool = False
    unwritten: list[Write] = field(default_factory=list)
    applied: list[LogEntry] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)
    reads: list[ReadState | ReadRefused] = field(default_factory=list)
    incarnation: int = 0
    snapshots: dict[tuple[Term, Index], Snapshot] = field(default_factory=dict)
    spooled: dict[CallID, Snapshot] = field(default_factory=dict)

    def has_own_term_commit(self) -> bool:
        leadership = self.machine._server.leadership
        return leadership is not None and leadership.has_own_term_commit()


class _Exchange:
    """One call on its way there, and its answer on its way back."""

    def __init__(self, cluster: Cluster, caller: Node, call: Call) -> None:
        self.cluster = cluster
        self.caller = caller
        self.call = call
        self.receiver = cluster.nodes.get(call.peer)
        self.incarnation = caller.incarnation

    def arrive(self) -> None:
        receiver, caller = self.receiver, self.caller
        is_cut = (caller.server_id, self.call.peer) in self.cluster.cut
        if receiver is None or is_cut or not receiver.is_up:
            self.cluster._at(CALL_TIMEOUT_S, self.fail)
        else:
            self.deliver(receiver, self.answer)

    def arrive_again(self) -> None:
        if self.receiver is not None and self.receiver.is_up:
            self.deliver(self.receiver, lambda _: None)

    def deliver(self, receiver: Node, answer: Callable[[Response], None]) -> None:
        request = self.call.request
        number = self.cluster.receive(receiver, self.caller.server_id, request, answer)
        self.cluster._failures[number] = self.fail
        if isinstance(request, InstallSnapshotRequest):
            place = (request.last_log_term, request.last_log_index)
            receiver.spooled[number] = self.caller.snapshots[place]

    def answer(self, response: Response) -> None:
        def come_back() -> None:
            if (self.call.peer, self.caller.server_id) in self.cluster.cut:
                self.cluster._at(CALL_TIMEOUT_S, self.fail)
            else:
                self.give(ResponseReceived(self.call.call, response))

        self.cluster._at(self.cluster._delay(), come_back)

    def fail(self) -> None:
        self.give(CallFailed(self.call.call, "no answer"))

    def give(self, event: Event) -> None:
        if self.caller.is_up and self.caller.incarnation == self.incarnation:
            self.caller.machine.handle(event, self.cluster.now)


class Cluster:
    """A world of nodes; ``now`` is in seconds."""

    def __init__(
        self,
        voters: Sequence[str],
        *,
        blank: Sequence[str] = (),
        nonvoters: Sequence[str] = (),
        logs: dict[str, list[LogEntry]] | None = None,
        terms: dict[str, int] | None = None,
        seed: int = 1,
        config: RaftConfig | None = None,
    ) -> None:
        """Start ``voters`` and ``nonvoters`` with one configuration at entry 1, ``blank`` without."""
        self.now = 0.0
        self.rng = random.Random(seed)
        self.latency_s = 0.001
        self.jitter_s = 0.0
        """Each message takes up to this much longer, so they overtake one another."""
        self.disk_s = 0.0
        """Each write takes up to this long."""
        self.snapshot_s = 0.0
        """Taking or storing a snapshot takes this long."""
        self.duplicated = 0.0
        """Share of the requests that arrive twice; the second answer is dropped."""
        self.config = config or RaftConfig()
        self.cut: set[tuple[ServerID, ServerID]] = set()
        self.sent: list[tuple[float, ServerID, Call | Reply]] = []
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._sequence = 0
        self._inbound = 0
        self._receivers: dict[CallID, Node] = {}
        self._failures: dict[CallID, Callable[[], None]] = {}
        self.nodes: dict[ServerID, Node] = {}
        first = configuration_entry(1, 1, *voters, nonvoters=nonvoters)
        for name in [*voters, *nonvoters]:
            kept = [first, *(logs or {}).get(name, [])]
            term = max((terms or {}).get(name, 1), kept[-1].term)
            self._add(ServerID(name), MemoryLog(kept), HardState(Term(term)))
        for name in blank:
            self._add(ServerID(name), MemoryLog(), HardState(Term(0)))

    def _add(self, server_id: ServerID, log: MemoryLog, hard_state: HardState) -> None:
        rng = random.Random(self.rng.random())
        machine = self._machine(server_id, log, hard_state, rng)
        self.nodes[server_id] = Node(server_id, self.config, log, hard_state, rng, machine)

    def _machine(
        self,
        server_id: ServerID,
        log: MemoryLog,
        hard_state: HardState,
        rng: random.Random,
        snapshot: SnapshotMeta | None = None,
    ) -> Machine:
        return Machine(
            server_id=server_id,
            config=self.config,
            log=log,
            initial=InitialState(
                hard_state=hard_state,
                snapshot=snapshot,
                configuration_entries=tuple(e for e in log.kept if e.type is LogType.CONFIGURATION),
            ),
            rng=rng,
            codec=CODEC,
            now=self.now,
        )

    def __getitem__(self, name: str) -> Node:
        return self.nodes[ServerID(name)]

    # -- faults

    def partition(self, *sides: Sequence[str]) -> None:
        """Cut every link between different sides, both ways."""
        for side in sides:
            for other in sides:
                if side is not other:
                    self.cut |= {(ServerID(a), ServerID(b)) for a in side for b in other}

    def isolate(self, name: str) -> None:
        self.partition([name], [n for n in self.nodes if n != name])

    def heal(self) -> None:
        self.cut.clear()

    def crash(self, name: str) -> None:
        """Stop a node; what it had not written is lost."""
        node = self[name]
        node.is_up = False
        node.unwritten.clear()
        node.incarnation += 1
        for number in [n for n, receiver in self._receivers.items() if receiver is node]:
            del self._receivers[number]
            self._at(CALL_TIMEOUT_S, self._failures.pop(number, lambda: None))

    def restart(self, name: str) -> None:
        node = self[name]
        newest = node.snapshots[max(node.snapshots)] if node.snapshots else None
        if newest:
            self._fit(node.log, newest.meta)
        node.machine = self._machine(
            node.server_id, node.log, node.hard_state, node.rng, newest.meta if newest else None
        )
        node.applied = list(newest.state) if newest else []
        node.spooled.clear()
        node.is_disk_stalled = False
        node.is_up = True

    @staticmethod
    def _fit(log: MemoryLog, meta: SnapshotMeta) -> None:
        """Discard a log that does not agree with the snapshot (rule 12)."""
        if log.last_index() < meta.index or (
            log.first <= meta.index and log.term(meta.index) != meta.term
        ):
            log.kept, log.first = [], meta.index + 1

    # -- the loop

    def run(self, seconds: float = math.inf, until: Callable[[], bool] | None = None) -> bool:
        """Let time pass; return whether ``until`` came true (True at once if it is already)."""
        end = self.now + min(seconds, 60.0)
        self.settle()
        while until is None or not until():
            upcoming = [n.machine.next_timer() for n in self.nodes.values() if n.is_up]
            due = min([*upcoming, self._heap[0][0] if self._heap else math.inf])
            if due > end:
                self.now = end
                return False
            self.now = max(self.now, due)
            while self._heap and self._heap[0][0] <= self.now:
                heapq.heappop(self._heap)[2]()
            for node in self.nodes.values():
                if node.is_up and node.machine.next_timer() <= self.now:
                    node.machine.handle_timer(self.now)
            self.settle()
        return True

    def settle(self) -> None:
        """Take every node's outputs."""
        for node in self.nodes.values():
            while node.is_up and self._turn(node):
                pass

    def _turn(self, node: Node) -> bool:
        ready = node.machine.take_ready()
        node.observations.extend(ready.observations)
        node.reads.extend(ready.read_states)
        for output in ready.send:
            self.sent.append((self.now, node.server_id, output))
            if isinstance(output, Call):
                self._carry(node, output)
            else:
                self._receivers.pop(output.call)
                self._failures.pop(output.call, None)
                self._answers.pop(output.call)(output.response)
        self._snapshots(node, ready)
        if ready.committed:
            node.applied.extend(ready.committed)
            node.machine.handle(Applied(ready.committed[-1].index), self.now)
        if ready.write:
            node.unwritten.append(ready.write)
        if self.disk_s:
            if ready.write:
                self._write_later(node)
            return ready != Ready()
        is_writing = bool(node.unwritten) and not node.is_disk_stalled
        if is_writing:
            self.write(node)
        return is_writing or ready != Ready()

    def _snapshots(self, node: Node, ready: Ready) -> None:
        if ready.adopt_snapshot:
            node.applied = list(node.spooled.pop(ready.adopt_snapshot.call).state)
        if ready.take_snapshot:
            meta = ready.take_snapshot
            assert meta.index == len(node.applied)
            taken = Snapshot(meta, list(node.applied))
            self._later(node, lambda: self._keep(node, taken, SnapshotTaken(meta.index)))
        for store in ready.store_snapshot:
            self._later(node, self._storing(node, store))
        for call in ready.drop_snapshot:
            del node.spooled[call]

    def _storing(self, node: Node, store: StoreSnapshot) -> Callable[[], None]:
        def do() -> None:
            kept = node.spooled[store.call]
            self._keep(node, kept, SnapshotStored(store.call, store.meta))

        return do

    def _keep(self, node: Node, snapshot: Snapshot, event: Event) -> None:
        node.snapshots[snapshot.meta.term, snapshot.meta.index] = snapshot
        node.machine.handle(event, self.now)

    def _later(self, node: Node, do: Callable[[], None]) -> None:
        incarnation = node.incarnation
        self._at(self.snapshot_s, lambda: do() if node.incarnation == incarnation else None)

    def _write_later(self, node: Node) -> None:
        incarnation = node.incarnation

        def write() -> None:
            if node.incarnation == incarnation and node.unwritten:
                self.write(node, 1 + self.rng.randrange(len(node.unwritten)))

        self._at(self.rng.uniform(0, self.disk_s), write)

    def write(self, node: Node, count: int = -1) -> None:
        """Make ``count`` (default: all) of a node's waiting writes durable."""
        done, node.unwritten = (
            (node.unwritten, []) if count < 0 else (node.unwritten[:count], node.unwritten[count:])
        )
        for write in done:
            node.hard_state = write.hard_state or node.hard_state
            node.log.write(write)
        node.machine.handle(Persisted(done[-1].batch), self.now)

    @property
    def _answers(self) -> dict[CallID, Callable[[Response], None]]:
        return self.__dict__.setdefault("_answers_by_call", {})

    def _at(self, delay_s: float, do: Callable[[], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._heap, (self.now + delay_s, self._sequence, do))

    def _carry(self, caller: Node, call: Call) -> None:
        exchange = _Exchange(self, caller, call)
        self._at(self._delay(), exchange.arrive)
        if self.rng.random() < self.duplicated:
            self._at(self._delay() * 3, exchange.arrive_again)

    def receive(
        self, receiver: Node, sender: ServerID, request: Request, answer: Callable[[Response], None]
    ) -> CallID:
        """Hand a request to ``receiver``; ``answer`` gets its reply, if one ever comes."""
        self._inbound += 1
        number = CallID(self._inbound)
        self._answers[number] = answer
        self._receivers[number] = receiver
        receiver.machine.handle(RequestReceived(number, sender, request), self.now)
        return number

    def _delay(self) -> float:
        return self.latency_s + (self.rng.uniform(0, self.jitter_s) if self.jitter_s else 0)

    # -- what tests ask

    def leaders(self) -> list[ServerID]:
        return [
            n.server_id
            for n in self.nodes.values()
            if n.is_up and n.machine.status(self.now).role is Role.LEADER
        ]

    def leader(self, seconds: float = 20.0) -> Node:
        """Run until exactly one live node leads and some majority's latest term is its term."""
        assert self.run(seconds, lambda: len(self.leaders()) == 1), "no leader was elected"
        return self.nodes[self.leaders()[0]]

    def propose(self, node: Node, *data: bytes) -> Index:
        index, _ = node.machine.propose(data, self.now)
        return index

    def change(self, kind: ChangeKind, name: str) -> Index:
        """Have the leader change one member; return the entry's index."""
        leader = self.leader()
        assert self.run(5, leader.has_own_term_commit)
        return self.change_at(leader, kind, name)

    def change_at(self, node: Node, kind: ChangeKind, name: str) -> Index:
        change = MembershipChange(kind, ServerID(name), name)
        index, _ = node.machine.change_membership(change, self.now)
        return index

    def agree(self, kind: ChangeKind, name: str, seconds: float = 20.0) -> Index:
        """Change one member, and run until the leader knows that it is agreed on."""
        index = self.change(kind, name)
        leader = self.leader()
        assert self.run(seconds, lambda: self.commit_index(leader) >= index)
        return index

    def commit_index(self, node: Node) -> Index:
        return node.machine.status(self.now).commit_index

    def commit(self, *data: bytes, seconds: float = 20.0) -> Index:
        """Propose to the leader and run until all live members applied it."""
        node = self.leader()
        members = node.machine.status(self.now).configuration.ids
        last = Index(self.propose(node, *data) + len(data) - 1)
        live = [n for n in self.nodes.values() if n.is_up and n.server_id in members]
        assert self.run(seconds, lambda: all(len(n.applied) >= last for n in live))
        return last

    def requests(self, kind: type[Request], sender: str | None = None) -> list[Call]:
        """Return the calls of one kind that left so far."""
        return [
            output
            for _, who, output in self.sent
            if isinstance(output, Call)
            and isinstance(output.request, kind)
            and sender in {None, who}
        ]
