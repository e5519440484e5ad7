"""The log as this server sees it: what is in memory, what is on the disk, what is on its way.

Invariants, in the order of the log::

    first_index <= snapshot_index + 1
    first_index <= ... <= durable_index <= last_index, and snapshot_index <= last_index
    _recent holds _recent_from .. last_index, and everything after durable_index is in it
    entries from _unwritten_from on belong to no write yet
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from raft_over_libp2p import limits
from raft_over_libp2p.core.interfaces import LogReader, SnapshotMeta
from raft_over_libp2p.errors import invariant
from raft_over_libp2p.types import NO_INDEX, NO_TERM, BatchID, Index, LogEntry, Term

__all__ = ["LogChange", "LogView"]


@dataclass(frozen=True, slots=True)
class LogChange:
    """What the disk must be told of the log; see ``core.ready.Write``."""

    truncate_from: Index | None = None
    append: tuple[LogEntry, ...] = ()
    reset_to: Index | None = None
    remove_prefix: Index | None = None


@dataclass(slots=True)
class _Written:
    """What is left in the log of the entries one write carries."""

    batch: BatchID
    last_index: Index


class LogView:
    """Entries, terms and durability over a :class:`LogReader` and recent entries in memory."""

    def __init__(self, reader: LogReader, snapshot: SnapshotMeta | None) -> None:
        """Start with a log that is all durable, and that ``snapshot`` fits (rule 12)."""
        self._reader = reader
        self._snapshot_index = snapshot.index if snapshot else NO_INDEX
        self._snapshot_term = snapshot.term if snapshot else NO_TERM
        self.first_index = reader.first_index()
        """Index of the oldest entry kept; the reader may hold older ones."""
        self.last_index = reader.last_index()
        invariant(
            self.first_index <= self._snapshot_index + 1 <= self.last_index + 1,
            "the log must reach back to the snapshot, and at least up to it",
        )
        self.durable_index = self.last_index
        self._recent: list[LogEntry] = []
        self._recent_from = Index(self.last_index + 1)
        self._ends: list[int] = []
        """Charged size of everything up to and with each recent entry, since the start."""
        self._bytes_before = 0
        """Charged size of what was in ``_recent`` before its first entry."""
        self._unwritten_from = self._recent_from
        self._truncate_from: Index | None = None
        self._reset_to: Index | None = None
        self._remove_prefix: Index | None = None
        self._written: deque[_Written] = deque()
        self._slice_key = (0, 0, 0)
        self._slice: tuple[tuple[LogEntry, ...], int] = ((), 0)
        self.last_term = self.term(self.last_index) or NO_TERM

    # -- reading

    def has(self, index: Index) -> bool:
        """Tell whether the entry ``index`` is kept."""
        return self.first_index <= index <= self.last_index

    @property
    def snapshot_index(self) -> Index:
        """Index the newest snapshot stands at; 0 without one."""
        return self._snapshot_index

    @property
    def snapshot_term(self) -> Term:
        """Term of the entry the newest snapshot stands at; 0 without one."""
        return self._snapshot_term

    def term(self, index: Index) -> Term | None:
        """Return the term at ``index``, 0 at index 0, None where it is not known (any more)."""
        if index >= self._recent_from:
            offset = index - self._recent_from
            return self._recent[offset].term if offset < len(self._recent) else None
        if index == self._snapshot_index:
            return self._snapshot_term
        if index == NO_INDEX:
            return NO_TERM
        return self._reader.term(index) if index >= self.first_index else None

    def entries(self, low: Index, count: int, max_bytes: int) -> tuple[tuple[LogEntry, ...], int]:
        """Return up to ``count`` entries from ``low`` on and their charged size.

        Cut at ``max_bytes``, but at least one entry; ``low`` must be kept. The last answer is
        remembered, because a leader asks the same for each of its followers.
        """
        high = min(low + count - 1, self.last_index)
        key = (low, high, max_bytes)
        if key == self._slice_key:
            return self._slice
        if low >= self._recent_from:
            start = low - self._recent_from
            before = self._bytes_up_to(start)
            fitting = bisect_right(self._ends, before + max_bytes, start)
            stop = min(max(fitting, start + 1), high - self._recent_from + 1)
            found = tuple(self._recent[start:stop])
            size = self._ends[stop - 1] - before
        else:
            high = min(high, self._recent_from - 1)
            found = tuple(self._reader.entries(low, Index(high), max_bytes))
            size = sum([entry.size for entry in found])
        self._slice_key, self._slice = key, (found, size)
        return self._slice

    def _bytes_up_to(self, position: int) -> int:
        """Return the charged size of all before ``_recent[position]``."""
        return self._ends[position - 1] if position else self._bytes_before

    @property
    def undurable_bytes(self) -> int:
        """Charged size of the entries after ``durable_index``."""
        if self.durable_index == self.last_index:
            return 0
        return self._ends[-1] - self._bytes_up_to(self.durable_index + 1 - self._recent_from)

    def last_with_term_at_most(self, term: Term, before: Index) -> Index:
        """Return the last index below ``before`` whose term is at most ``term``; 0 if none.

        Terms never fall along a log, so this is a binary search. Entries behind the snapshot
        count as having a lower term.
        """
        low = max(self.first_index - 1, self._snapshot_index)
        high = min(before - 1, self.last_index)
        if high <= low:
            return Index(max(high, NO_INDEX))
        while low < high:
            middle = (low + high + 1) // 2
            found = self.term(Index(middle))
            if found is not None and found <= term:
                low = middle
            else:
                high = middle - 1
        return Index(low)

    # -- changing

    def append(self, entries: Sequence[LogEntry]) -> None:
        """Add entries that follow the last one; they are durable when their write is."""
        invariant(entries[0].index == self.last_index + 1, "an append must follow the last entry")
        size = self._bytes_up_to(len(self._recent))
        for entry in entries:
            size += entry.size
            self._ends.append(size)
        self._recent.extend(entries)
        self.last_index, self.last_term = entries[-1].index, entries[-1].term

    def truncate(self, first_removed: Index) -> None:
        """Remove ``first_removed`` and all after it; what writes on their way carry counts no more."""
        invariant(
            self._snapshot_index < first_removed <= self.last_index,
            "a truncation must remove entries, and none that a snapshot covers",
        )
        keep = max(first_removed - self._recent_from, 0)
        del self._recent[keep:]
        del self._ends[keep:]
        self._recent_from = min(self._recent_from, first_removed)
        self.last_index = Index(first_removed - 1)
        self.durable_index = min(self.durable_index, self.last_index)
        self.last_term = self.term(self.last_index) or NO_TERM
        for written in self._written:
            written.last_index = min(written.last_index, self.last_index)
        if first_removed < self._unwritten_from:
            self._unwritten_from = first_removed
            if self._truncate_from is None or first_removed < self._truncate_from:
                self._truncate_from = first_removed
        self._slice_key, self._slice = (0, 0, 0), ((), 0)

    def cover(self, index: Index, term: Term) -> None:
        """Take note of a durable snapshot at an entry that the log has."""
        invariant(self.term(index) == term, "a snapshot must agree with the log")
        self._snapshot_index, self._snapshot_term = index, term

    def remove_prefix(self, upto: Index) -> None:
        """Let go of the entries up to ``upto``, which are durable and which the snapshot covers."""
        invariant(
            self.first_index <= upto <= min(self._snapshot_index, self.durable_index),
            "only durable entries behind the snapshot may go",
        )
        self.first_index = Index(upto + 1)
        self._remove_prefix = upto
        self._slice_key, self._slice = (0, 0, 0), ((), 0)

    def reset(self, index: Index, term: Term) -> None:
        """Discard the whole log for a durable snapshot that it does not agree with.

        What the snapshot covers counts as durable at once: after a crash it is found, and
        whatever is left of the log is discarded then.
        """
        self._snapshot_index, self._snapshot_term = index, term
        self._recent.clear()
        self._ends.clear()
        self._bytes_before = 0
        self.last_index = self.durable_index = index
        self.last_term = term
        self.first_index = self._recent_from = self._unwritten_from = Index(index + 1)
        self._reset_to, self._truncate_from, self._remove_prefix = self.first_index, None, None
        for written in self._written:
            written.last_index = NO_INDEX
        self._slice_key, self._slice = (0, 0, 0), ((), 0)

    # -- durability

    @property
    def has_unwritten(self) -> bool:
        """Whether the disk must still be told of a change."""
        return (
            self._unwritten_from <= self.last_index
            or self._truncate_from is not None
            or self._reset_to is not None
            or self._remove_prefix is not None
        )

    def take_unwritten(self, batch: BatchID) -> LogChange:
        """Return what the write ``batch`` must tell the disk."""
        start = self._unwritten_from - self._recent_from
        change = LogChange(
            self._truncate_from, tuple(self._recent[start:]), self._reset_to, self._remove_prefix
        )
        self._truncate_from = self._reset_to = self._remove_prefix = None
        self._unwritten_from = Index(self.last_index + 1)
        self._written.append(_Written(batch, self.last_index))
        return change

    def persisted(self, batch: BatchID) -> None:
        """Raise ``durable_index`` over what the writes up to ``batch`` carried and is still there.

        Entries that were truncated since were taken out of their write's account by
        ``truncate`` (mixed-cluster rule 8).
        """
        while self._written and self._written[0].batch <= batch:
            self.durable_index = max(self.durable_index, self._written.popleft().last_index)
        cached = self._bytes_up_to(len(self._recent)) - self._bytes_before
        if cached > limits.MAX_LOG_CACHE_BYTES:
            self._evict(cached - limits.MAX_LOG_CACHE_BYTES * 3 // 4)

    def _evict(self, size: int) -> None:
        """Forget the oldest ``size`` bytes of entries, but only durable ones."""
        durable = self.durable_index - self._recent_from + 1
        count = min(bisect_right(self._ends, self._bytes_before + size), durable)
        if count > 0:
            self._bytes_before = self._ends[count - 1]
            del self._recent[:count]
            del self._ends[:count]
            self._recent_from = Index(self._recent_from + count)
