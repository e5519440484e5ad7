"""One file of the log: its name, its header, and how it comes to be.

::

    header   magic 8 | format version u16 | 6 zero bytes | segment number u64
             | folder ID 16 | CRC-32 of the header u32
    then     batches (see ``batch``), then zeros to the end

The name is the segment's number in 16 hexadecimal digits and ``.segment``. Numbers grow by one
and are never used again. A segment is written under ``.tmp``, synced, renamed, and its
directory synced, so a file with the final name has a valid header whenever the power fails,
and writing to it later needs no further directory sync.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final
from zlib import crc32

from raft_over_libp2p.errors import CorruptLog, DiskFull, StorageError
from raft_over_libp2p.storage.filesystem import File, FileSystem

__all__ = [
    "FOLDER_ID_BYTES",
    "SEGMENT_HEADER_BYTES",
    "Segment",
    "create_segment",
    "open_segment",
    "segment_number",
]

_MAGIC: Final = b"RAFTLOG\xb7"
_FORMAT_VERSION: Final = 1
_HEADER: Final = struct.Struct("<8sH6xQ16s")
_CRC: Final = struct.Struct("<I")
_SUFFIX: Final = ".segment"
_DIGITS: Final = 16
FOLDER_ID_BYTES: Final = 16
SEGMENT_HEADER_BYTES: Final = _HEADER.size + _CRC.size


@dataclass(slots=True, eq=False)
class Segment:
    """An open segment. ``end`` is where its last whole batch ends; the next one begins there.

    ``capacity`` is the size it was preallocated to; only the last segment's matters.
    """

    number: int
    file: File
    seed: int
    end: int = SEGMENT_HEADER_BYTES
    capacity: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether it holds no batch."""
        return self.end == SEGMENT_HEADER_BYTES


def segment_number(name: str) -> int | None:
    """Return the number in a segment's file name; None for any other name."""
    digits = name.removesuffix(_SUFFIX)
    if len(digits) != _DIGITS or len(name) != _DIGITS + len(_SUFFIX):
        return None
    return int(digits, 16) if set(digits) <= set("0123456789abcdef") else None


def create_segment(
    fs: FileSystem,
    directory: str,
    number: int,
    folder_id: bytes,
    size: int,
    batches: bytes = b"",
) -> Segment:
    """Make segment ``number`` holding ``batches``, preallocated to ``size`` bytes, durably.

    It replaces a file of that number in one step; on return the new one survives power loss.

    Raises:
        DiskFull: nothing is left behind.
        DurabilityLost: stop this server.

    """
    path = f"{directory}/{number:016x}{_SUFFIX}"
    temporary = path + ".tmp"
    file = fs.open_file(temporary, create=True)
    header = _HEADER.pack(_MAGIC, _FORMAT_VERSION, number, folder_id)
    end = SEGMENT_HEADER_BYTES + len(batches)
    capacity = max(size, end)
    try:
        file.preallocate(capacity)
        file.pwrite(header + _CRC.pack(crc32(header)) + batches, 0)
        file.fdatasync()
        fs.rename(temporary, path)
    except DiskFull:
        fs.unlink(temporary)
        raise
    finally:
        file.close()
    fs.sync_directory(directory)
    return Segment(number, fs.open_file(path), _seed(folder_id, number), end, capacity)


def open_segment(fs: FileSystem, directory: str, name: str, folder_id: bytes) -> Segment:
    """Open a segment and check its header; ``end`` is for the caller to find.

    Raises:
        CorruptLog: the header is damaged, or of another folder or number.
        StorageError: a newer program wrote it.

    """
    path = f"{directory}/{name}"
    file = fs.open_file(path)
    data = file.pread(SEGMENT_HEADER_BYTES, 0)
    if len(data) < SEGMENT_HEADER_BYTES or data[-_CRC.size :] != _CRC.pack(
        crc32(data[: _HEADER.size])
    ):
        raise CorruptLog(path, 0, "the segment's header does not match its checksum")
    magic, version, number, stored_folder_id = _HEADER.unpack_from(data)
    if magic != _MAGIC:
        raise CorruptLog(path, 0, "this is not a segment of a log")
    if version > _FORMAT_VERSION:
        raise StorageError(
            f"{path} has format {version}; this program knows up to {_FORMAT_VERSION}. "
            "Use the newer program that wrote it."
        )
    if stored_folder_id != folder_id or number != segment_number(name):
        raise CorruptLog(path, 0, "the segment belongs to another folder or another place in it")
    return Segment(number, file, _seed(folder_id, number))


def _seed(folder_id: bytes, number: int) -> int:
    return crc32(number.to_bytes(8, "little"), crc32(folder_id))
