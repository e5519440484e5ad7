"""One server's disk: what is durable, what was submitted and not yet synced, and what a crash leaves.

The model of a write is the contract of ``core.ready``: hard state, then truncation, then
entries, then one sync for all of it; several batches may share a sync. Until the sync
returns, a crash may leave any prefix of the batches, the last of them in part. Batches that
share a sync may also reach the disk with the newest hard state first.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence

from raft_over_libp2p.core.ready import HardState, Write
from raft_over_libp2p.types import BatchID, Index, LogEntry, Term
from tests.simulation.violation import violated

__all__ = ["Disk"]


class Disk:
    """Also the ``LogReader`` its machine reads through, which sees only what is durable."""

    __slots__ = ("flushing", "hard_state", "image", "queue", "record")

    def __init__(
        self,
        hard_state: HardState,
        entries: Sequence[LogEntry],
        record: Callable[[HardState], None],
    ) -> None:
        """Call ``record`` with each hard state at the moment it becomes durable."""
        self.hard_state = hard_state
        self.image: list[LogEntry] = list(entries)
        self.queue: deque[Write] = deque()
        """Submitted and not durable, oldest first; the first ``flushing`` are being synced."""
        self.flushing = 0
        self.record = record

    # -- LogReader

    def first_index(self) -> Index:
        return Index(1)

    def last_index(self) -> Index:
        return Index(len(self.image))

    def term(self, index: Index) -> Term:
        self._check_readable(index, index)
        return self.image[index - 1].term

    def entries(self, low: Index, high: Index, max_bytes: int) -> Sequence[LogEntry]:
        self._check_readable(low, high)
        found: list[LogEntry] = []
        budget = max_bytes
        for entry in self.image[low - 1 : high]:
            budget -= entry.size
            if found and budget < 0:
                break
            found.append(entry)
        return found

    def _check_readable(self, low: Index, high: Index) -> None:
        if not 1 <= low <= high <= len(self.image):
            violated("log reader", f"asked for {low}..{high} of a durable log of {len(self.image)}")
        for write in self.queue:
            if write.truncate_from is not None and write.truncate_from <= high:
                violated("log reader", f"asked for {low}..{high}, which a pending write truncates")

    # -- what becomes of writes

    def submit(self, write: Write) -> None:
        self.queue.append(write)

    def complete(self) -> BatchID:
        """The sync returned: its batches are durable. Return the last one's number."""
        for _ in range(self.flushing):
            write = self.queue.popleft()
            self._apply(write)
        self.flushing = 0
        return write.batch

    def complete_all(self) -> None:
        """Every write submitted so far reached the disk, though nobody was told."""
        self.flushing = len(self.queue)
        if self.flushing:
            self.complete()

    def crash(self, dice: random.Random) -> int:
        """Power is lost: some legal part of the unsynced writes survives. Return how many are lost."""
        submitted = len(self.queue)
        candidates, hard_states = submitted, True
        if self.flushing > 1 and dice.random() < 0.3:
            self._newest_hard_state_first()
            candidates, hard_states = self.flushing, False
        whole = dice.randint(0, candidates)
        for _ in range(whole):
            self._apply(self.queue.popleft(), hard_states=hard_states)
        if whole < candidates:
            self._tear(self.queue[0], dice, hard_states=hard_states)
        self._forget()
        return submitted - whole

    def fail_full(self, dice: random.Random) -> None:
        """No space: the log stays as it was; the hard state has its own place, and may be written."""
        if dice.random() < 0.5:
            self._newest_hard_state_first()
        self._forget()

    def _forget(self) -> None:
        self.queue.clear()
        self.flushing = 0

    def _newest_hard_state_first(self) -> None:
        for position in range(self.flushing - 1, -1, -1):
            hard_state = self.queue[position].hard_state
            if hard_state is not None:
                self._set_hard_state(hard_state)
                return

    def _tear(self, write: Write, dice: random.Random, *, hard_states: bool) -> None:
        """Part of ``write`` survives: its hard state first, then its truncation, then some entries."""
        stage = dice.randint(0, 3)
        if stage >= 1 and hard_states and write.hard_state is not None:
            self._set_hard_state(write.hard_state)
        if stage >= 2 and write.truncate_from is not None:
            del self.image[write.truncate_from - 1 :]
        if stage == 3 and write.append:
            self.image.extend(write.append[: dice.randrange(len(write.append))])

    def _apply(self, write: Write, *, hard_states: bool = True) -> None:
        if hard_states and write.hard_state is not None:
            self._set_hard_state(write.hard_state)
        if write.truncate_from is not None:
            del self.image[write.truncate_from - 1 :]
        if write.append:
            if write.append[0].index != len(self.image) + 1:
                violated(
                    "contiguous writes",
                    f"batch {write.batch} appends at {write.append[0].index} to a log of "
                    f"{len(self.image)}",
                )
            self.image.extend(write.append)

    def _set_hard_state(self, hard_state: HardState) -> None:
        self.hard_state = hard_state
        self.record(hard_state)
