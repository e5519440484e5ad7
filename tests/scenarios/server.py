"""One server of a transcript: its machine, its disk, and the duties of ``core.ready``."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core.events import (
    Applied,
    Persisted,
    RestoreKept,
    RestoreWritten,
    SnapshotStored,
    SnapshotTaken,
)
from raft_over_libp2p.core.interfaces import InitialState
from raft_over_libp2p.core.machine import Machine
from raft_over_libp2p.core.ready import (
    OWN_RESTORE,
    HardState,
    Ready,
    SnapshotMeta,
    StoreSnapshot,
    Write,
)
from raft_over_libp2p.types import BatchID, CallID, Index, LogType, ServerID, Term
from tests.core.logs import CODEC, MemoryLog

__all__ = ["Dice", "Disk", "ScenarioServer"]


@dataclass
class Dice:
    """Dice that always fall on one side: how often they are thrown changes no transcript."""

    fraction: float

    def random(self) -> float:
        return self.fraction

    def uniform(self, a: float, b: float) -> float:
        return a + (b - a) * self.fraction


class Disk(Enum):
    """What becomes of a write."""

    GOOD = "good"
    HELD = "held"
    FULL = "full"


@dataclass
class ScenarioServer:
    """``state`` is what a state machine made of the commands; it dies with the process."""

    id: ServerID
    config: RaftConfig
    dice: Dice
    log: MemoryLog
    hard_state: HardState
    machine: Machine = field(init=False)
    is_up: bool = True
    life: int = 0
    disk: Disk = Disk.GOOD
    unsynced: list[Write] = field(default_factory=list)
    unstored: list[StoreSnapshot] = field(default_factory=list)
    state: list[str] = field(default_factory=list)
    snapshots: dict[Index, tuple[SnapshotMeta, list[str]]] = field(default_factory=dict)
    spooled: dict[CallID, list[str]] = field(default_factory=dict)
    to_restore: list[str] = field(default_factory=list)
    """What a caller wants the state to be; it is sent from here until it is kept."""
    restoring: SnapshotMeta | None = None
    seen_term: int = 0
    seen_commit: int = 0

    def start(self, now: float, *, after_full_disk: bool = False) -> None:
        """Build a machine from the disk; in the same process after a full disk (rule 9)."""
        meta, self.state = self.snapshots[max(self.snapshots)] if self.snapshots else (None, [])
        self.state = list(self.state)
        if meta and not self._agrees_with(meta):
            self.log.kept, self.log.first = [], meta.index + 1
        old = self.machine if after_full_disk else None
        self.machine = Machine(
            server_id=self.id,
            config=self.config,
            log=self.log,
            initial=InitialState(
                hard_state=self.hard_state,
                snapshot=meta,
                configuration_entries=tuple(
                    e for e in self.log.kept if e.type is LogType.CONFIGURATION
                ),
                # Entry 1 is the first configuration, which whoever holds it knows is agreed on.
                applied_index=Index(1) if self.log.kept and not meta else Index(0),
                first_call=old.next_call if old else CallID(1),
                first_batch=old.next_batch if old else BatchID(1),
                campaign_after_write=after_full_disk,
            ),
            rng=self.dice,
            codec=CODEC,
            now=now,
        )
        self.unsynced.clear()
        self.unstored.clear()
        self.spooled.clear()
        self.restoring = None
        status = self.machine.status(now)
        self.seen_term, self.seen_commit = status.term, status.commit_index

    def _agrees_with(self, meta: SnapshotMeta) -> bool:
        log = self.log
        return log.last_index() >= meta.index and (
            meta.index < log.first or log.term(meta.index) == meta.term
        )

    def sync(self, now: float, count: int | None = None) -> None:
        """Make the first ``count`` (default: all) of the waiting writes durable."""
        done, self.unsynced = self.unsynced[:count], self.unsynced[len(self.unsynced[:count]) :]
        for write in done:
            self.hard_state = write.hard_state or self.hard_state
            self.log.write(write)
        if done:
            self.machine.handle(Persisted(done[-1].batch), now)

    def work(self, ready: Ready, now: float) -> list[str]:
        """Do all of ``ready`` but its messages; return the commands that were applied."""
        if ready.adopt_snapshot:
            meta, call = ready.adopt_snapshot.meta, ready.adopt_snapshot.call
            self.state = list(self.to_restore if call == OWN_RESTORE else self.spooled.pop(call))
            self.snapshots[meta.index] = (meta, list(self.state))
        if ready.take_snapshot:
            meta = ready.take_snapshot
            self.snapshots[meta.index] = (meta, list(self.state))
            self.machine.handle(SnapshotTaken(meta.index), now)
        commands = [e.data.decode() for e in ready.committed if e.type is LogType.COMMAND]
        self.state.extend(commands)
        if ready.committed:
            self.machine.handle(Applied(ready.committed[-1].index), now)
        self.unstored.extend(ready.store_snapshot)
        if self.disk is not Disk.HELD:
            self.store_snapshots(now)
        for call in ready.drop_snapshot:
            self.spooled.pop(call, None)
        if ready.write:
            self.unsynced.append(ready.write)
        self._restore(ready, now)
        return commands

    def _restore(self, ready: Ready, now: float) -> None:
        if ready.drop_restore:
            self.restoring = None
        if ready.write_restore:
            self.restoring = ready.write_restore
        if ready.keep_restore:
            meta, self.restoring = ready.keep_restore, None
            self.snapshots[meta.index] = (meta, list(self.to_restore))
            self.machine.handle(RestoreKept(meta), now)
        elif ready.write_restore:
            self.machine.handle(RestoreWritten(ready.write_restore), now)

    def snapshot_at(self, index: Index) -> list[str]:
        """Return what a message with the snapshot at ``index`` carries."""
        if self.restoring and self.restoring.index == index:
            return self.to_restore
        return self.snapshots[index][1]

    def store_snapshots(self, now: float) -> None:
        """Make durable what leaders sent."""
        stored, self.unstored = self.unstored, []
        for store in stored:
            self.machine.handle(SnapshotStored(store.call, store.meta), now)

    def replace_disk(self, log: MemoryLog, term: int, now: float) -> None:
        """Begin again with another log and term."""
        self.log, self.hard_state = log, HardState(Term(term))
        self.start(now)
