"""Term and vote, saved with one ``pwrite`` and one ``fdatasync`` into space reserved before.

::

    file     two slots of 1024 bytes
    slot     the same record twice, each copy in a sector (512 bytes) of its own
    record   magic 4 | format version u16 | vote length u16 | sequence u64 | term u64
             | newest durable log batch u64 | vote, zeros to 508 | CRC-32 u32

Little-endian. Saves go to the two slots in turn with a growing sequence; the largest wins. Both
halves of the state are in one record, so that no crash leaves a new term with an old vote
(hashicorp/raft issue 661).

A crash may cut a save short at one byte: then one copy in that slot is still whole, old or
new, and the other slot is untouched. So a slot with no whole copy was damaged, and what it held
may be newer than the other slot: ``CorruptLog``, for a forgotten vote could be given twice. A
single damaged copy is healed by the other one.

The file is written anew at start (new file, sync, rename, directory sync), because what was
read may be a failed fdatasync's bytes that the disk never got.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from zlib import crc32

from raft_over_libp2p.core.ready import HardState
from raft_over_libp2p.errors import (
    CorruptLog,
    DiskFull,
    DurabilityLost,
    LocalProtocolError,
    StorageError,
)
from raft_over_libp2p.storage.filesystem import FileSystem
from raft_over_libp2p.types import NO_TERM, ServerID, Term

__all__ = ["MAX_VOTE_BYTES", "VoteStore"]

MAX_VOTE_BYTES: Final = 128
"""A server ID is a peer ID's text: 52 or 46 bytes, 128 at the very most."""
_MAGIC: Final = b"VOTE"
_FORMAT_VERSION: Final = 1
_RECORD: Final = struct.Struct("<4sHHQQQ")
_CRC: Final = struct.Struct("<I")
_COPY_BYTES: Final = 512
_SLOT_BYTES: Final = 2 * _COPY_BYTES
_FILE_BYTES: Final = 2 * _SLOT_BYTES


@dataclass(frozen=True, slots=True)
class _Saved:
    sequence: int
    state: HardState
    durable_batch: int


class VoteStore:
    """The ``StableStore`` on disk.

    ``durable_batch`` of what was last saved says how far the log had come at least: a log that
    ends before it has lost something.

    Raises:
        CorruptLog: a slot is damaged.
        StorageError: there is no such file, or a newer program wrote it.
        DiskFull: there is no room to write the file anew; nothing was changed.
        DurabilityLost: stop this server.

    """

    def __init__(self, fs: FileSystem, directory: str, newest_batch: Callable[[], int]) -> None:
        self._fs = fs
        self._directory = directory
        self.path = f"{directory}/vote"
        self._newest_batch = newest_batch
        self._is_lost = False
        self._has_torn_slot = False
        self._saved = _read(fs, self.path)
        _write_file(fs, directory, self._saved)
        self._file = fs.open_file(self.path)

    @staticmethod
    def create(fs: FileSystem, directory: str) -> None:
        """Write a vote file with term 0 and no vote, durably, over any older one."""
        _write_file(fs, directory, _Saved(0, HardState(NO_TERM), 0))

    @property
    def durable_batch(self) -> int:
        """Number of the newest log batch that was durable at the last save."""
        return self._saved.durable_batch

    def load(self) -> HardState:
        return self._saved.state

    def save(self, state: HardState) -> None:
        if self._is_lost:
            raise DurabilityLost(f"{self.path} is not used any more: an earlier write failed")
        if state.term < self._saved.state.term:
            raise LocalProtocolError(f"term {self._saved.state.term} cannot become {state.term}")
        saved = _Saved(self._saved.sequence + 1, state, self._newest_batch())
        try:
            self._write(saved)
        except DiskFull:
            self._has_torn_slot = True
            raise
        except DurabilityLost:
            self._is_lost = True
            raise
        self._saved = saved

    def _write(self, saved: _Saved) -> None:
        if self._has_torn_slot:
            # A crash while a half-written slot is written again could leave no whole copy in it.
            _write_file(self._fs, self._directory, saved)
            self._file.close()
            self._file = self._fs.open_file(self.path)
            self._has_torn_slot = False
            return
        self._file.pwrite(_encode(saved), saved.sequence % 2 * _SLOT_BYTES)
        self._file.fdatasync()

    def close(self) -> None:
        self._file.close()


def _encode(saved: _Saved) -> bytes:
    vote = (saved.state.vote or "").encode()
    if len(vote) > MAX_VOTE_BYTES:
        raise LocalProtocolError(f"a vote of {len(vote)} bytes; server IDs have {MAX_VOTE_BYTES}")
    head = _RECORD.pack(
        _MAGIC, _FORMAT_VERSION, len(vote), saved.sequence, saved.state.term, saved.durable_batch
    )
    record = (head + vote).ljust(_COPY_BYTES - _CRC.size, b"\0")
    return (record + _CRC.pack(crc32(record))) * 2


def _decode(data: bytes, path: str) -> _Saved | None:
    """Return the record in one copy, None unless it is whole."""
    record, crc = data[: -_CRC.size], data[-_CRC.size :]
    if len(data) != _COPY_BYTES or crc != _CRC.pack(crc32(record)):
        return None
    magic, version, length, sequence, term, batch = _RECORD.unpack_from(record)
    if magic != _MAGIC:
        return None
    if version > _FORMAT_VERSION:
        raise StorageError(f"{path} has format {version}; use the newer program that wrote it")
    vote = record[_RECORD.size : _RECORD.size + length].decode("ascii", "replace")
    return _Saved(sequence, HardState(Term(term), ServerID(vote) if vote else None), batch)


def _read(fs: FileSystem, path: str) -> _Saved:
    file = fs.open_file(path)
    try:
        data = file.pread(_FILE_BYTES, 0)
    finally:
        file.close()
    newest = _Saved(-1, HardState(NO_TERM), 0)
    for start in range(0, _FILE_BYTES, _SLOT_BYTES):
        slot = data[start : start + _SLOT_BYTES]
        copies = [_decode(slot[:_COPY_BYTES], path), _decode(slot[_COPY_BYTES:], path)]
        whole = [copy for copy in copies if copy is not None]
        if not whole:
            raise CorruptLog(path, start, "both copies of the term and vote in this slot")
        for saved in whole:
            if saved.sequence > newest.sequence:
                newest = saved
    return newest


def _write_file(fs: FileSystem, directory: str, saved: _Saved) -> None:
    path = f"{directory}/vote"
    temporary = path + ".tmp"
    if fs.exists(temporary):
        fs.unlink(temporary)
    file = fs.open_file(temporary, create=True)
    try:
        file.preallocate(_FILE_BYTES)
        # In both slots, so that a save cut short always finds a whole copy in its slot.
        file.pwrite(_encode(saved) * 2, 0)
        file.fdatasync()
        fs.rename(temporary, path)
    except DiskFull:
        fs.unlink(temporary)
        raise
    finally:
        file.close()
    fs.sync_directory(directory)
