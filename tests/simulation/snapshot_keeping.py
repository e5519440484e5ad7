"""One process's snapshots: taken, given out, taken in, adopted, one at a time in the background."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from raft_over_libp2p.core.events import (
    SnapshotNotStored,
    SnapshotNotTaken,
    SnapshotStored,
    SnapshotTaken,
)
from raft_over_libp2p.core.ready import SnapshotMeta, StoreSnapshot
from raft_over_libp2p.errors import DurabilityLost
from raft_over_libp2p.limits import MAX_SNAPSHOTS_SPOOLED
from raft_over_libp2p.types import CallID, Term
from tests.simulation.snapshot_store import Snapshot
from tests.simulation.violation import violated

if TYPE_CHECKING:
    from tests.simulation.server import Server

__all__ = ["SnapshotKeeping"]


class SnapshotKeeping:
    """Lives as long as the process: a second machine in it hears of what the first one began."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._process = server.process
        self._jobs: deque[tuple[Snapshot, Callable[[], None], Callable[[str], None]]] = deque()
        self._spooled: dict[CallID, Snapshot] = {}
        self._prepared: dict[CallID, Snapshot] = {}
        self._sent_in: dict[CallID, Term] = {}
        self._judged_in: dict[CallID, Term] = {}

    def crash(self) -> None:
        """The process dies: what it was writing is durable, though nobody knows, or gone."""
        world = self._server.world
        for snapshot, _, _ in self._jobs:
            if not snapshot.is_damaged and world.dice.random() < 0.4:
                world.marks["snapshot durable, nobody told"] += 1
                self._server.disk.snapshots.add(snapshot)
            else:
                world.marks["snapshot lost in a crash"] += 1
                self._server.disk.snapshots.lose(snapshot)

    @property
    def is_busy(self) -> bool:
        """Whether a snapshot is being written."""
        return bool(self._jobs)

    # -- our own

    def take(self, meta: SnapshotMeta) -> None:
        """Take one of the state machine as it is now."""
        server = self._server
        world = server.world
        world.snapshots.taken(server, meta)

        def done() -> None:
            world.marks["snapshot taken"] += 1
            server.deliver(SnapshotTaken(meta.index))

        def failed(reason: str) -> None:
            world.marks["snapshot not taken"] += 1
            server.deliver(SnapshotNotTaken(meta.index, reason))

        self._begin(Snapshot(meta, server.digest), done, failed)

    # -- a leader's

    def spool(self, call: CallID, snapshot: Snapshot, term: Term) -> None:
        """The bytes that came with ``call`` are here, if there is room for them."""
        status = self._server.status()
        if snapshot.meta.index <= status.commit_index:
            return
        if len(self._spooled) < MAX_SNAPSHOTS_SPOOLED:
            self._spooled[call] = snapshot
            self._sent_in[call] = term

    def store(self, stored: StoreSnapshot) -> None:
        """Verify what came with a call and make it durable."""
        server = self._server
        world = server.world
        snapshot = self._spooled.pop(stored.call, None)
        if snapshot is None:
            world.marks["snapshot not spooled"] += 1
            server.deliver_later(SnapshotNotStored(stored.call, "its bytes were dropped"))
            return
        if snapshot.meta != stored.meta:
            violated("snapshots", f"{server.id} is to store {stored}, and {snapshot} came")

        def done() -> None:
            world.marks["snapshot stored"] += 1
            self._prepared[stored.call] = snapshot
            server.deliver(SnapshotStored(stored.call, stored.meta))

        def failed(reason: str) -> None:
            world.marks["snapshot not stored"] += 1
            server.deliver(SnapshotNotStored(stored.call, reason))

        self._begin(snapshot, done, failed)

    def told(self, call: CallID) -> None:
        """The machine hears that the snapshot of ``call`` is stored: note in which term."""
        self._judged_in[call] = self._server.status().term

    def adopt(self, stored: StoreSnapshot) -> None:
        """What was prepared for a call is the state machine now."""
        server = self._server
        snapshot = self._prepared.pop(stored.call, None)
        if snapshot is None or snapshot.meta != stored.meta:
            violated("snapshots", f"{server.id} adopts {stored}, and {snapshot} was prepared")
        sent_in, judged_in = self._sent_in[stored.call], self._judged_in[stored.call]
        server.world.snapshots.adopted(server, snapshot, sent_in, judged_in)
        server.restore(snapshot)

    def drop(self, call: CallID) -> None:
        """What came with ``call`` is not wanted; if it is in the store it may stay there."""
        self._prepared.pop(call, None)
        self._spooled.pop(call, None)

    # -- the background

    def _begin(
        self, snapshot: Snapshot, done: Callable[[], None], failed: Callable[[str], None]
    ) -> None:
        self._jobs.append((snapshot, done, failed))
        if len(self._jobs) == 1:
            self._work()

    def _work(self) -> None:
        world = self._server.world
        low, high = world.profile.flush_s
        latency = low + (high - low) * world.dice.random()
        if world.dice.random() < world.profile.slow_snapshot:
            latency += 3.0 * world.dice.random() ** 2
        world.push(world.now + latency, self._end, None)

    def _end(self, _: object) -> None:
        server = self._server
        world = server.world
        if server.process != self._process or server.machine is None:
            return
        if server.id in world.stuck_disks:
            world.push(world.now + 0.01, self._end, None)
            return
        snapshot, done, failed = self._jobs.popleft()
        if self._jobs:
            self._work()
        if snapshot.is_damaged:
            failed("its checksum is wrong")
        elif server.id in world.full_disks or world.dice.random() < world.profile.snapshot_fails:
            server.disk.snapshots.fail_full(snapshot)
            failed("the disk is full")
        else:
            try:
                server.disk.snapshots.add(snapshot)
            except DurabilityLost:
                world.crash(server)
                return
            done()
