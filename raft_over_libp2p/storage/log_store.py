"""The write-ahead log: segments of batches, appended to and never overwritten.

``write`` is one ``pwrite`` and one ``fdatasync``, whatever it truncates and appends. A batch
that begins at an index the log already has voids the entries from there on; so truncation and
the entries that replace the old ones become durable in one step, or not at all.

Why a truncated entry never comes back. Nothing behind the end of the log is ever valid: the
end only moves forward, into bytes that are zero; what an attempt without space has left there
is zeroed, durably, before the next attempt. Truncation adds a batch behind the voided ones;
reading the log in order meets the voided entries first and the batch that voids them after. For
a voided entry to be read as live, the voiding batch would have to be missing, but it was synced
before ``write`` returned, and if it was the torn last one, nobody was told of the truncation.
A reset is a batch that voids every entry before it, so the same holds of it: the log is as it
was until that batch is whole, and empty from then on, beginning where the batch says. Segments
that it left without a live entry are removed after it is durable, oldest first, so it can
never be missing while an entry that it voids is there.

No byte offset is used twice by two batches that were both acknowledged, and no segment file is
recycled, so no stale record can lie where a new one is expected.

What tells a torn batch from damage is argued in ``log_scan``.

The space of voided entries comes back when their segment is removed by ``remove_prefix``.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from raft_over_libp2p import limits
from raft_over_libp2p.errors import (
    CorruptLog,
    DiskFull,
    DurabilityLost,
    LocalProtocolError,
    MalformedMessage,
)
from raft_over_libp2p.storage.batch import (
    RECORD_HEADER_BYTES,
    batch_bytes,
    encode_batch,
    has_record,
)
from raft_over_libp2p.storage.filesystem import FileSystem
from raft_over_libp2p.storage.log_scan import TornBatch, scan_log
from raft_over_libp2p.storage.segment import SEGMENT_HEADER_BYTES, Segment, create_segment
from raft_over_libp2p.types import Index, LogEntry, Term
from raft_over_libp2p.wire.log_entry import decode_entry

__all__ = ["SegmentedLog"]

_MAX_GAP_BYTES: Final = 64
"""Bytes between two entries that are read over rather than around: a batch's header and trailer."""


@dataclass(slots=True)
class _Run:
    """Entries that lie close together: (offset, index, term, length) of each."""

    segment: Segment
    start: int
    end: int = 0
    records: list[tuple[int, int, int, int]] = field(default_factory=list)


class SegmentedLog:
    """The ``LogStore`` on disk. One thread writes; another may read what no write touches.

    Opening reads the whole log (some µs an entry), drops a torn last batch (``torn`` tells),
    and makes the rest durable. ``segment_bytes`` is the size of new segments; a batch that is
    larger gets a segment of its own size.

    Raises:
        CorruptLog: damage that a crash cannot have done; nothing was changed.
        DiskFull: there is no room to rewrite the last segment; nothing was lost.
        DurabilityLost: stop this server.

    """

    def __init__(
        self,
        fs: FileSystem,
        directory: str,
        folder_id: bytes,
        *,
        segment_bytes: int = limits.SEGMENT_BYTES,
        decode: Callable[[bytes], LogEntry] = decode_entry,
    ) -> None:
        self._fs = fs
        self._directory = directory
        self._folder_id = folder_id
        self._segment_bytes = segment_bytes
        self._decode = decode
        scan = scan_log(fs, directory, folder_id, segment_bytes)
        self.torn: TornBatch | None = scan.torn
        self._segments = {segment.number: segment for segment in scan.segments}
        self._tail = scan.segments[-1]
        self._spare: Segment | None = None
        self._index = scan.index
        self._last_batch = scan.last_batch
        self._remains_bytes = 0
        self._is_lost = False
        # Guards the index and the table of segments, for lookups only, never during I/O.
        self._lock = threading.Lock()
        try:
            self._prepare_spare()
        except DurabilityLost:
            self.close()
            raise

    # -- reading

    @property
    def last_batch(self) -> int:
        """Number of the newest durable batch; grows by one with each write, never goes back."""
        return self._last_batch

    @property
    def end(self) -> tuple[str, int]:
        """Path and offset at which the next batch would begin."""
        return self._tail.file.path, self._tail.end

    def place(self, index: Index) -> tuple[str, int]:
        """Return path and offset of a kept entry's record."""
        with self._lock:
            self._check_kept(index)
            segment = self._segments[self._index.segment(index)]
            return segment.file.path, self._index.offset(index)

    def first_index(self) -> Index:
        return self._index.first

    def last_index(self) -> Index:
        return self._index.last

    def term(self, index: Index) -> Term:
        with self._lock:
            self._check_kept(index)
            return self._index.term(index)

    def entries(self, low: Index, high: Index, max_bytes: int) -> Sequence[LogEntry]:
        if high < low:
            return ()
        with self._lock:
            self._check_usable()
            self._check_kept(low)
            self._check_kept(high)
            runs = self._runs(low, high, max_bytes)
        found: list[LogEntry] = []
        for run in runs:
            self._read_run(run, found)
        return found

    def configuration_entries(self) -> tuple[LogEntry, ...]:
        with self._lock:
            indexes = self._index.configurations
        return tuple(self.entries(index, index, 0)[0] for index in indexes)

    # -- writing

    def write(self, truncate_from: Index | None, entries: Sequence[LogEntry]) -> None:
        self._check_usable()
        first = self._index.last + 1 if truncate_from is None else truncate_from
        if not self._index.first <= first <= self._index.last + 1:
            raise LocalProtocolError(
                f"the log holds {self._index.first} to {self._index.last}; "
                f"it cannot be truncated from {first}"
            )
        if not entries and first == self._index.last + 1:
            return
        try:
            self._append_batch(Index(first), entries)
        except DurabilityLost:
            self._is_lost = True
            raise

    def reset(self, next_index: Index) -> None:
        self._check_usable()
        if next_index < 1:
            raise LocalProtocolError(f"a log cannot begin at entry {next_index}")
        try:
            self._append_batch(next_index, (), is_reset=True)
        except DurabilityLost:
            self._is_lost = True
            raise
        self.remove_prefix(Index(next_index - 1))

    def remove_prefix(self, upto: Index) -> Index:
        """Unlink the segments in which nothing after ``upto`` is kept; return the new first index.

        Durable on return. Entries up to ``upto`` that share a segment with later ones stay, so
        the log may begin before ``upto + 1``. Do not read the entries removed meanwhile.

        Raises:
            DurabilityLost: stop this server.

        """
        self._check_usable()
        try:
            # A segment with a batch always stays: without one the log would look lost.
            newest = self._tail.number - 1 if self._tail.is_empty else self._tail.number
            for number in sorted(self._segments):
                begins_at = self._index.first_in_or_after(number + 1)
                if number >= newest or begins_at > upto + 1:
                    break
                self._remove_segment(number, begins_at)
        except DurabilityLost:
            self._is_lost = True
            raise
        return self._index.first

    def close(self) -> None:
        """Release the files; idempotent. Nothing is waiting to be written."""
        for segment in self._segments.values():
            segment.file.close()
        if self._spare is not None:
            self._spare.file.close()

    # -- inside

    def _append_batch(
        self, first: Index, entries: Sequence[LogEntry], *, is_reset: bool = False
    ) -> None:
        if self._remains_bytes:
            self._clear_remains()
        number = self._last_batch + 1
        size = batch_bytes(entries)
        is_rolling = self._tail.end + size > self._tail.capacity
        if is_rolling:
            self._roll(size)
        tail = self._tail
        data, offsets = encode_batch(tail.seed, number, first, entries, is_reset=is_reset)
        try:
            tail.file.pwrite(data, tail.end)
        except DiskFull:
            self._remains_bytes = size
            raise
        tail.file.fdatasync()
        is_configuration = self._index.is_configuration
        with self._lock:
            if is_reset:
                self._index.reset(first)
            self._index.replace_from(
                first,
                tail.number,
                [tail.end + offset for offset in offsets],
                [entry.term for entry in entries],
                [len(entry.encoded or b"") for entry in entries],
                [entry.index for entry in entries if is_configuration(entry.type)],
            )
        tail.end += size
        self._last_batch = number
        if is_rolling:
            self._prepare_spare()

    def _clear_remains(self) -> None:
        """Zero what an attempt without space left, durably, before anything else is written:
        remains that have a batch behind them, here or in a later segment, would read as damage.
        """
        self._tail.file.pwrite(bytes(self._remains_bytes), self._tail.end)
        self._tail.file.fdatasync()
        self._remains_bytes = 0

    def _roll(self, needed: int) -> None:
        """Go on in the next segment; there is no way back, also when the write there then fails."""
        needed += SEGMENT_HEADER_BYTES
        segment = self._spare
        if segment is None:
            segment = self._create_next(needed)
        elif segment.capacity < needed:
            segment.file.preallocate(needed)
            segment.capacity = needed
        with self._lock:
            self._segments[segment.number] = segment
        self._tail = segment
        self._spare = None

    def _prepare_spare(self) -> None:
        # Without a spare the log goes on until its segment is full, so no space is no error yet.
        with suppress(DiskFull):
            self._spare = self._create_next(self._segment_bytes)

    def _create_next(self, needed: int) -> Segment:
        size = max(self._segment_bytes, needed)
        number = self._tail.number + 1
        return create_segment(self._fs, self._directory, number, self._folder_id, size)

    def _remove_segment(self, number: int, begins_at: Index) -> None:
        with self._lock:
            segment = self._segments.pop(number)
            self._index.drop_before(begins_at)
        segment.file.close()
        self._fs.unlink(segment.file.path)
        # One by one: unlinks that are synced together may survive a crash in any order, and a
        # missing segment with an older one before it is damage.
        self._fs.sync_directory(self._directory)

    def _runs(self, low: Index, high: Index, max_bytes: int) -> list[_Run]:
        """Group the entries into stretches of a file, each read with one ``pread``."""
        runs: list[_Run] = []
        index_of = self._index
        total = 0
        for index in range(low, high + 1):
            length = index_of.length(index)
            total += length
            if total > max_bytes and index > low:
                break
            number, offset = index_of.segment(index), index_of.offset(index)
            run = runs[-1] if runs else None
            if run is None or run.segment.number != number or offset - run.end > _MAX_GAP_BYTES:
                run = _Run(self._segments[number], offset)
                runs.append(run)
            run.records.append((offset, index, index_of.term(index), length))
            run.end = offset + RECORD_HEADER_BYTES + length
        return runs

    def _read_run(self, run: _Run, found: list[LogEntry]) -> None:
        file, seed = run.segment.file, run.segment.seed
        data = file.pread(run.end - run.start, run.start)
        for offset, index, term, length in run.records:
            start = offset - run.start
            if not has_record(data, start, seed, index, term, length):
                raise CorruptLog(file.path, offset, f"entry {index} does not match its checksum")
            start += RECORD_HEADER_BYTES
            try:
                found.append(self._decode(data[start : start + length]))
            except MalformedMessage as error:
                raise CorruptLog(file.path, offset, f"entry {index}: {error}") from error

    def _check_usable(self) -> None:
        if self._is_lost:
            raise DurabilityLost(
                f"{self._directory} is not used any more: an earlier write to it failed"
            )

    def _check_kept(self, index: Index) -> None:
        if not self._index.has(index):
            raise LocalProtocolError(
                f"entry {index} is not in the log, which holds "
                f"{self._index.first} to {self._index.last}"
            )
