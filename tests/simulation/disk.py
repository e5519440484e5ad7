"""One server's disk: what is durable, what was submitted and not yet synced, and what a crash leaves.

The model of a write is the contract of ``core.ready``: hard state, then reset or truncation,
then entries, then one sync for all of it, and last the prefix that may go; several batches may
share a sync. Until the sync returns, a crash may leave any prefix of the batches, the last of
them in part. Batches that share a sync may also reach the disk with the newest hard state first.

Snapshots are beside it, in a store of their own: each is durable as a whole or not there.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence

from raft_over_libp2p.core.ready import HardState, Write
from raft_over_libp2p.types import BatchID, Index, LogEntry, Term
from tests.simulation.entry_log import EntryLog
from tests.simulation.snapshot_store import SnapshotStore
from tests.simulation.violation import violated

__all__ = ["Disk"]


class Disk:
    """Also the ``LogReader`` its machine reads through, which sees only what is durable."""

    __slots__ = (
        "agreed",
        "flushing",
        "hard_state",
        "image",
        "queue",
        "record",
        "removed_upto",
        "snapshots",
    )

    def __init__(
        self,
        hard_state: HardState,
        entries: Sequence[LogEntry],
        record: Callable[[HardState], None],
        *,
        agreed: EntryLog | None = None,
        retain: int = 2,
    ) -> None:
        """Call ``record`` with each hard state at the moment it becomes durable.

        ``agreed`` is what the cluster agreed on: it stands for what snapshots cover.
        """
        self.hard_state = hard_state
        self.image = EntryLog(entries)
        self.agreed = agreed if agreed is not None else EntryLog()
        self.snapshots = SnapshotStore(retain)
        self.queue: deque[Write] = deque()
        """Submitted and not durable, oldest first; the first ``flushing`` are being synced."""
        self.flushing = 0
        self.record = record
        self.removed_upto = 0
        """Up to here entries may go at any time: nobody may read them any more."""

    # -- LogReader

    def first_index(self) -> Index:
        return Index(self.image.first)

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
        if not self.image.first <= low <= high <= len(self.image) or low <= self.removed_upto:
            first = max(self.image.first, self.removed_upto + 1)
            violated(
                "log reader",
                f"asked for {low}..{high} of a durable log from {first} to {len(self.image)}",
            )
        for write in self.queue:
            if write.truncate_from is not None and write.truncate_from <= high:
                violated("log reader", f"asked for {low}..{high}, which a pending write truncates")
            if write.reset_to is not None:
                violated("log reader", f"asked for {low}..{high}, which a pending write discards")

    def holds(self, index: int, term: Term) -> bool:
        """Tell whether the entry ``(index, term)`` would be there after a crash now.

        A snapshot that covers it is found then, whatever is left of the log.
        """
        return self.image.holds(index, term) or (
            self.snapshots.covers(index) and self.agreed.holds(index, term)
        )

    # -- what becomes of writes

    def submit(self, write: Write) -> None:
        self.queue.append(write)
        if write.reset_to is not None:
            self.removed_upto = write.reset_to - 1
        if write.remove_prefix is not None:
            self.removed_upto = max(self.removed_upto, write.remove_prefix)

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

    def recover(self) -> None:
        """Make log and snapshots fit together before a machine starts (mixed-cluster rule 12)."""
        image, newest = self.image, self.snapshots.newest
        covered = newest.meta.index if newest is not None else 0
        if image.first > covered + 1:
            violated(
                "no entry is lost",
                f"the log begins at {image.first}, and the newest snapshot ends at {covered}",
            )
        if newest is not None:
            if not self._follows(covered, newest.meta.term):
                image.reset(covered + 1, self.agreed)
            if newest.meta.term > self.hard_state.term:
                self._set_hard_state(HardState(newest.meta.term))
        self.removed_upto = image.first - 1

    def _follows(self, covered: int, term: Term) -> bool:
        image = self.image
        if len(image) < image.first:
            return image.first == covered + 1
        if image.first == covered + 1:
            return image[covered].term >= term
        return image.holds(covered, term)

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
        if stage >= 2:
            self._remove(write)
        if stage == 3 and write.append:
            self.image.add(write.append[: dice.randrange(len(write.append))])

    def _remove(self, write: Write) -> None:
        if write.reset_to is not None:
            if not self.snapshots.covers(write.reset_to - 1):
                violated("reset behind a snapshot", f"the log is reset to {write.reset_to}")
            self.image.reset(write.reset_to, self.agreed)
        if write.truncate_from is not None:
            self.image.cut(write.truncate_from)

    def _apply(self, write: Write, *, hard_states: bool = True) -> None:
        if hard_states and write.hard_state is not None:
            self._set_hard_state(write.hard_state)
        self._remove(write)
        if write.append:
            if write.append[0].index != len(self.image) + 1:
                violated(
                    "contiguous writes",
                    f"batch {write.batch} appends at {write.append[0].index} to a log of "
                    f"{len(self.image)}",
                )
            self.image.add(write.append)
        if write.remove_prefix is not None:
            self.image.remove_prefix(write.remove_prefix)

    def _set_hard_state(self, hard_state: HardState) -> None:
        self.hard_state = hard_state
        self.record(hard_state)
