"""Reading the log at start: what is whole, what a crash tore, and what is damage.

What a crash can leave
----------------------
Batch N+1 is written only after the fdatasync of batch N succeeded, and after a failed one
nothing more is written. So when the power fails, every batch but the last one written is whole
on the disk, and nothing lies behind the last one but zeros, or what is left of one attempt to
write the next which ran out of space (it is zeroed before the next attempt). Hence:

- Bytes that are no whole batch N, with no valid batch header anywhere behind them in their
  segment and nothing in any later segment, are the torn batch N. It was never acknowledged. It
  is dropped and reported.
- The same with something valid behind them cannot come from a crash: ``CorruptLog``. So are a
  gap in the batch numbers, a lost segment, an entry that does not follow the one before it, and
  a log that ends before the batch number that the vote file notes as durable (``data_folder``
  checks that): a crash leaves none of these.
- Damage to the very last batch that leaves nothing valid behind it looks like a torn batch. The
  batch number in the vote file bounds how much can be lost unseen to what was written since the
  term or vote last changed.

What was read must be made durable before it is trusted
-------------------------------------------------------
After a failed fdatasync the kernel may hold bytes that it will never write, and a new process
reads them. So the last segment with batches is written to a new file, synced, and renamed over
the old one before anything in it is used. Earlier segments were synced before the last one
was begun. The new file has zeros behind its last whole batch: whatever was torn is gone, and
the next batch can take the dropped one's number without meeting its remains.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from raft_over_libp2p.errors import CorruptLog
from raft_over_libp2p.storage.batch import Batch, find_batch_header, parse_batch, records
from raft_over_libp2p.storage.filesystem import FileSystem
from raft_over_libp2p.storage.log_index import LogIndex
from raft_over_libp2p.storage.segment import (
    SEGMENT_HEADER_BYTES,
    Segment,
    create_segment,
    open_segment,
    segment_number,
)

__all__ = ["ScannedLog", "TornBatch", "scan_log"]


@dataclass(frozen=True, slots=True)
class TornBatch:
    """A batch that a crash cut short: dropped while opening, never acknowledged to anybody."""

    path: str
    offset: int


@dataclass(slots=True)
class ScannedLog:
    """An opened log. ``segments`` ascend by number, have no gap, and hold at least one."""

    segments: list[Segment] = field(default_factory=list)
    index: LogIndex = field(default_factory=LogIndex)
    last_batch: int = 0
    torn: TornBatch | None = None


def scan_log(fs: FileSystem, directory: str, folder_id: bytes, segment_bytes: int) -> ScannedLog:
    """Read every segment in ``directory``, drop a torn last batch, make the rest durable.

    Raises:
        CorruptLog: damage that no crash leaves. No file was changed.
        DiskFull: the last segment could not be written anew; nothing was lost.
        DurabilityLost: stop this server.

    """
    scan = ScannedLog()
    try:
        _open_segments(fs, directory, folder_id, scan)
        for position, segment in enumerate(scan.segments):
            _scan_segment(scan, segment, is_first=position == 0)
        _check_begins(scan)
        _make_durable(fs, directory, folder_id, segment_bytes, scan)
    except BaseException:
        for segment in scan.segments:
            segment.file.close()
        raise
    return scan


def _open_segments(fs: FileSystem, directory: str, folder_id: bytes, scan: ScannedLog) -> None:
    for name in fs.listdir(directory):
        number = segment_number(name)
        if number is None:
            continue
        segment = open_segment(fs, directory, name, folder_id)
        scan.segments.append(segment)
        expected = scan.segments[0].number + len(scan.segments) - 1
        if number != expected:
            raise CorruptLog(segment.file.path, 0, f"segment {expected:016x} before it is missing")


def _check_begins(scan: ScannedLog) -> None:
    # Segments are removed only while a later one holds a durable batch.
    if scan.last_batch == 0 and scan.segments and scan.segments[0].number > 1:
        path = scan.segments[0].file.path
        raise CorruptLog(path, SEGMENT_HEADER_BYTES, "no batch is left of a log that had some")


def _scan_segment(scan: ScannedLog, segment: Segment, *, is_first: bool) -> None:
    path = segment.file.path
    data = segment.file.pread(segment.file.size(), 0)
    offset = SEGMENT_HEADER_BYTES
    while (batch := parse_batch(data, offset, segment.seed)) is not None:
        if scan.torn is not None:
            raise CorruptLog(scan.torn.path, scan.torn.offset, "a batch behind it is whole")
        _take(scan, segment, data, batch, begins_log=is_first and segment.is_empty)
        offset = segment.end = batch.end
    if data[offset:] == bytes(len(data) - offset):
        return
    if scan.torn is not None:
        raise CorruptLog(scan.torn.path, scan.torn.offset, "a later segment is written to")
    later = find_batch_header(data, offset + 1, segment.seed)
    if later is not None:
        raise CorruptLog(path, offset, f"a batch behind it, at byte {later}, is whole")
    scan.torn = TornBatch(path, offset)


def _take(
    scan: ScannedLog, segment: Segment, data: bytes, batch: Batch, *, begins_log: bool
) -> None:
    index = scan.index
    path = segment.file.path
    # Only the first segment may begin at any batch: those before it were removed with it.
    # Segment 1 is never made again once it was removed, so there the first batch is number 1.
    is_start = begins_log and segment.number > 1
    if not is_start and batch.number != scan.last_batch + 1:
        raise CorruptLog(
            path, batch.offset, f"batch {batch.number} follows batch {scan.last_batch}"
        )
    if batch.is_reset:
        index.reset(batch.first_index)
    elif not is_start and batch.first_index > index.last + 1:
        raise CorruptLog(
            path, batch.offset, f"entry {batch.first_index} follows entry {index.last}"
        )
    offsets, lengths, terms, configurations = [], [], [], []
    expected: int = batch.first_index
    for offset, length, entry_index, term, entry_type in records(data, batch):
        if entry_index != expected:
            raise CorruptLog(path, offset, f"entry {entry_index} stands where {expected} belongs")
        expected += 1
        offsets.append(offset)
        lengths.append(length)
        terms.append(term)
        if index.is_configuration(entry_type):
            configurations.append(entry_index)
    index.replace_from(batch.first_index, segment.number, offsets, terms, lengths, configurations)
    scan.last_batch = batch.number


def _make_durable(
    fs: FileSystem, directory: str, folder_id: bytes, segment_bytes: int, scan: ScannedLog
) -> None:
    for name in fs.listdir(directory):
        if name.endswith(".tmp"):
            fs.unlink(f"{directory}/{name}")
    # Empty segments at the end are spares, or hold the torn batch alone. They go first, which
    # also frees the space that the new file needs.
    while len(scan.segments) > 1 and scan.segments[-1].is_empty:
        empty = scan.segments.pop()
        empty.file.close()
        fs.unlink(empty.file.path)
        fs.sync_directory(directory)
    if not scan.segments:
        scan.segments.append(create_segment(fs, directory, 1, folder_id, segment_bytes))
        return
    tail = scan.segments[-1]
    batches = tail.file.pread(tail.end - SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES)
    tail.file.close()
    scan.segments[-1] = create_segment(
        fs, directory, tail.number, folder_id, segment_bytes, batches
    )
