"""What a server has done since it started, counted and timed, as hashicorp/raft's go-metrics do.

Counted are batches, turns and observations, never single entries: an entry costs nothing here.
Memory is bounded by ``_MAX_WAITING``; what is over it is not timed, but counted.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from raft_over_libp2p.core.ready import (
    Alarm,
    HeartbeatFailed,
    LeaderChanged,
    Role,
    RoleChanged,
    Write,
)
from raft_over_libp2p.raft.observers import Observed
from raft_over_libp2p.types import BatchID, Index

__all__ = ["BOUNDS_S", "Durations", "Metrics", "RaftMetrics"]

BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
"""The upper ends of ``Durations.within``: from a fast disk's write to a lost election."""
_MAX_WAITING: Final = 1024
"""Batches whose end is waited for: more than a core has outstanding, unless they are tiny."""


@dataclass(frozen=True, slots=True)
class Durations:
    """How often something was done, and how long it took in seconds."""

    count: int
    total_s: float
    longest_s: float
    within: tuple[int, ...]
    """How many took at most each of ``BOUNDS_S``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftMetrics:
    """Numbers since the server started; they only grow. In brackets: hashicorp/raft's name."""

    turns: Durations
    """Of the task that does everything but the disk's work: its ``total_s``, divided by the time
    that passed, is how busy it is [``raft.thread.main.saturation``]."""
    writes: Durations
    """From a batch's hand-over to the disk until it is durable [``raft.leader.dispatchLog``,
    ``raft.rpc.appendEntries.storeLogs``]."""
    entries_written: int
    bytes_written: int
    commits: Durations
    """While leading: from a batch's hand-over to the disk until its last entry is about to be
    applied [``raft.commitTime``]."""
    applies: Durations
    """The state machine's calls [``raft.fsm.apply``]."""
    entries_applied: int
    snapshots_begun: int
    """[``raft.snapshot.takeSnapshot``]"""
    snapshots_adopted: int
    """[``raft.rpc.installSnapshot``]"""
    campaigns: int
    """[``raft.state.candidate``]"""
    reigns: int
    """[``raft.state.leader``]"""
    leader_changes: int
    heartbeats_failed: int
    """How often a peer fell silent while this server led [``raft.replication.heartbeat``]."""
    alarms: int


class _Histogram:
    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self._total_s = 0.0
        self._longest_s = 0.0

    def add(self, seconds: float) -> None:
        self._counts[bisect_left(BOUNDS_S, seconds)] += 1
        self._total_s += seconds
        self._longest_s = max(self._longest_s, seconds)

    def durations(self) -> Durations:
        *within, count = accumulate(self._counts)
        return Durations(count, self._total_s, self._longest_s, tuple(within))


class Metrics:
    """Is told by the driver what happens; ``now`` is trio's clock."""

    def __init__(self) -> None:
        self._turns = _Histogram()
        self._writes = _Histogram()
        self._commits = _Histogram()
        self._applies = _Histogram()
        self._entries_written = 0
        self._bytes_written = 0
        self._entries_applied = 0
        self.snapshots_begun = 0
        self.snapshots_adopted = 0
        self._campaigns = 0
        self._reigns = 0
        self._leader_changes = 0
        self._heartbeats_failed = 0
        self._alarms = 0
        self._is_leading = False
        self._at_the_disk: deque[tuple[BatchID, float]] = deque()
        self._to_commit: deque[tuple[Index, float]] = deque()

    def turned(self, begun: float, now: float) -> None:
        self._turns.add(now - begun)

    def written(self, write: Write, size_bytes: int, now: float) -> None:
        """Hear that ``write`` is handed to the disk; its entries are of ``size_bytes``."""
        self._entries_written += len(write.append)
        self._bytes_written += size_bytes
        if len(self._at_the_disk) < _MAX_WAITING:
            self._at_the_disk.append((write.batch, now))
        if self._is_leading and write.append and len(self._to_commit) < _MAX_WAITING:
            self._to_commit.append((write.append[-1].index, now))

    def persisted(self, batch: BatchID, now: float) -> None:
        """Hear that ``batch`` and all before it are durable."""
        while self._at_the_disk and self._at_the_disk[0][0] <= batch:
            self._writes.add(now - self._at_the_disk.popleft()[1])

    def write_failed(self) -> None:
        """Forget what waits for the disk: it is not written."""
        self._at_the_disk.clear()

    def applied(self, count: int, last_index: Index, begun: float, now: float) -> None:
        """Hear that ``count`` operations, of the entries up to ``last_index``, were applied."""
        while self._to_commit and self._to_commit[0][0] <= last_index:
            self._commits.add(begun - self._to_commit.popleft()[1])
        if count:
            self._entries_applied += count
            self._applies.add(now - begun)

    def observed(self, observation: Observed) -> None:
        if isinstance(observation, RoleChanged):
            self._is_leading = observation.role is Role.LEADER
            self._reigns += self._is_leading
            self._campaigns += observation.role is Role.CANDIDATE
            self._to_commit.clear()
        elif isinstance(observation, LeaderChanged):
            self._leader_changes += observation.leader is not None
        elif isinstance(observation, HeartbeatFailed):
            self._heartbeats_failed += 1
        elif isinstance(observation, Alarm):
            self._alarms += 1

    def picture(self) -> RaftMetrics:
        return RaftMetrics(
            turns=self._turns.durations(),
            writes=self._writes.durations(),
            entries_written=self._entries_written,
            bytes_written=self._bytes_written,
            commits=self._commits.durations(),
            applies=self._applies.durations(),
            entries_applied=self._entries_applied,
            snapshots_begun=self.snapshots_begun,
            snapshots_adopted=self.snapshots_adopted,
            campaigns=self._campaigns,
            reigns=self._reigns,
            leader_changes=self._leader_changes,
            heartbeats_failed=self._heartbeats_failed,
            alarms=self._alarms,
        )
