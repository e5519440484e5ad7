"""One batch of log entries as bytes: what a single ``pwrite`` puts at the end of a segment.

::

    batch header   magic 4 | CRC-32 of the payload u32 | count u31, reset u1 | payload length u32
                   | batch number u64 | first index u64 | CRC-32 of the header u32
    payload        count records, then 4 bytes of trailer
    record         CRC-32 u32 | length u32 | index u64 | term u64 | type u8 | length bytes

All little-endian. A record's bytes are the entry's own msgpack form. Header and record CRCs
start from the segment's seed (folder ID and segment number), so bytes of another segment or
folder do not validate, nor can an entry's data imitate a header without knowing the seed.

The payload's CRC ties the records of one attempt together: without it, records of an earlier
attempt that ran out of space could stand in for lost ones. The trailer is not zero at its last
byte: without it, a batch that lacks only zeros at its end would be whole on a zeroed file, and
a msgpack entry of type COMMAND does end in a zero.

A batch says from which index on it replaces the log: entries at ``first_index`` and after are
void, whether it brings new ones or not. That is how a suffix is truncated (see ``log_store``).
With the reset bit all entries before it are void, too, and ``first_index`` need not follow them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from zlib import crc32

from raft_over_libp2p.errors import LocalProtocolError
from raft_over_libp2p.types import Index, LogEntry

__all__ = [
    "BATCH_HEADER_BYTES",
    "RECORD_HEADER_BYTES",
    "Batch",
    "batch_bytes",
    "encode_batch",
    "find_batch_header",
    "has_record",
    "parse_batch",
    "records",
]

_MAGIC: Final = b"\xb7LB1"
_TRAILER: Final = b"end\xb7"
_HEADER: Final = struct.Struct("<4sIIIQQ")
_CRC: Final = struct.Struct("<I")
_RECORD: Final = struct.Struct("<IQQB")
BATCH_HEADER_BYTES: Final = _HEADER.size + _CRC.size
RECORD_HEADER_BYTES: Final = _CRC.size + _RECORD.size
_RESET: Final = 1 << 31
_MAX_PAYLOAD_BYTES: Final = 1 << 30
"""Far above any batch (64 MiB of uncommitted entries), far below what a u32 holds."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A whole batch found at ``offset`` of its file; ``end`` is where the next one begins."""

    offset: int
    end: int
    number: int
    first_index: Index
    count: int
    is_reset: bool


def batch_bytes(entries: Sequence[LogEntry]) -> int:
    """Return how long a batch of ``entries`` is."""
    data = sum([len(entry.encoded or b"") for entry in entries])
    return BATCH_HEADER_BYTES + len(entries) * RECORD_HEADER_BYTES + data + len(_TRAILER)


def encode_batch(
    seed: int,
    number: int,
    first_index: Index,
    entries: Sequence[LogEntry],
    *,
    is_reset: bool = False,
) -> tuple[bytes, list[int]]:
    """Return the batch's bytes and, for each entry, where its record begins in them.

    Raises:
        LocalProtocolError: an entry has no ``encoded`` form, is not at its place, or all of
            them are over 1 GiB.

    """
    parts: list[bytes] = []
    offsets: list[int] = []
    position = BATCH_HEADER_BYTES
    expected: int = first_index
    for entry in entries:
        encoded = entry.encoded
        if encoded is None or entry.index != expected:
            raise LocalProtocolError(f"{entry!r} was to be written as encoded entry {expected}")
        expected += 1
        head = _RECORD.pack(len(encoded), entry.index, entry.term, entry.type)
        parts += (_CRC.pack(crc32(encoded, crc32(head, seed))), head, encoded)
        offsets.append(position)
        position += RECORD_HEADER_BYTES + len(encoded)
    parts.append(_TRAILER)
    payload = b"".join(parts)
    if len(payload) > _MAX_PAYLOAD_BYTES:
        raise LocalProtocolError(f"a batch of {len(payload)} bytes is over {_MAX_PAYLOAD_BYTES}")
    count = len(entries) | (_RESET if is_reset else 0)
    header = _HEADER.pack(_MAGIC, crc32(payload), count, len(payload), number, first_index)
    return b"".join((header, _CRC.pack(crc32(header, seed)), payload)), offsets


def parse_batch(data: bytes, offset: int, seed: int) -> Batch | None:
    """Return the batch at ``offset`` of ``data``; None unless every byte of it is as written."""
    if not _is_header(data, offset, seed):
        return None
    _, payload_crc, count, length, number, first_index = _HEADER.unpack_from(data, offset)
    start = offset + BATCH_HEADER_BYTES
    end = start + length
    if end > len(data) or crc32(memoryview(data)[start:end]) != payload_crc:
        return None
    if data[end - len(_TRAILER) : end] != _TRAILER:
        return None
    return Batch(offset, end, number, first_index, count & ~_RESET, bool(count & _RESET))


def records(data: bytes, batch: Batch) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield offset, length, index, term and type of each record of a batch found in ``data``.

    ``offset`` is the record's; ``length`` that of the entry's bytes in it. In order.
    """
    offset = batch.offset + BATCH_HEADER_BYTES
    unpack = _RECORD.unpack_from
    for _ in range(batch.count):
        length, index, term, entry_type = unpack(data, offset + 4)  # behind the CRC
        yield offset, length, index, term, entry_type
        offset += RECORD_HEADER_BYTES + length


def find_batch_header(data: bytes, start: int, seed: int) -> int | None:
    """Return where a valid batch header begins at or after ``start``; None where there is none."""
    position = data.find(_MAGIC, start)
    while position >= 0:
        if _is_header(data, position, seed):
            return position
        position = data.find(_MAGIC, position + 1)
    return None


def has_record(data: bytes, offset: int, seed: int, index: int, term: int, length: int) -> bool:
    """Tell whether the record at ``offset`` is that entry, and undamaged."""
    start = offset + _CRC.size
    end = offset + RECORD_HEADER_BYTES + length
    if end > len(data):
        return False
    (crc,) = _CRC.unpack_from(data, offset)
    found = _RECORD.unpack_from(data, start)[:3]
    return found == (length, index, term) and crc == crc32(memoryview(data)[start:end], seed)


def _is_header(data: bytes, offset: int, seed: int) -> bool:
    end = offset + _HEADER.size
    if data[offset : offset + len(_MAGIC)] != _MAGIC or end + _CRC.size > len(data):
        return False
    (crc,) = _CRC.unpack_from(data, end)
    return bool(crc == crc32(data[offset:end], seed))
