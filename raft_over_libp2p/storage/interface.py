"""What the driver asks of the disk: synchronous calls, each store from one thread of its own.

There is a form in files (``data_folder``) and one in memory (``memory``). An embedder may bring
others: :class:`Stores` is what ``Raft.open`` takes, and ``raft_over_libp2p.testing.store_contract``
checks what is promised here.

The log and the vote belong to the log thread. Snapshots belong to another, so that neither the
log's fsyncs nor the event loop wait for one: the snapshot store shares no state with the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from raft_over_libp2p.core.interfaces import LogReader, SnapshotMeta
from raft_over_libp2p.core.ready import HardState
from raft_over_libp2p.types import Index, LogEntry, ServerID

__all__ = [
    "LogStore",
    "SkippedSnapshot",
    "SnapshotInfo",
    "SnapshotReader",
    "SnapshotSink",
    "SnapshotStore",
    "StableStore",
    "Stores",
]


class LogStore(LogReader, Protocol):
    """The log on disk. Reads may come from another thread than writes, for indexes no write touches."""

    def write(self, truncate_from: Index | None, entries: Sequence[LogEntry]) -> None:
        """Remove ``truncate_from`` and all after it, append ``entries``, and fdatasync once.

        On return all of it survives power loss. ``entries`` are contiguous, follow what is
        left, and carry ``encoded``.

        Raises:
            DiskFull: the log is on disk as it was before the call; it may be called again.
            DurabilityLost: nothing is known about the disk; the store refuses every later call.

        """
        ...

    def remove_prefix(self, upto: Index) -> Index:
        """Give back the space of entries up to ``upto``; return the new first index.

        Durable on return. Some entries up to ``upto`` may stay, so the log may begin before
        ``upto + 1``. Call it only when a durable, verified snapshot covers ``upto``, and do not
        read the entries removed meanwhile.

        Raises:
            DurabilityLost: stop this server.

        """
        ...

    def reset(self, next_index: Index) -> None:
        """Discard the whole log, in one step; the next entry will be ``next_index``.

        On return it is durable: ``first_index`` is ``next_index`` and ``last_index`` the one
        before. A crash leaves the log as it was or empty. Call it when a snapshot at
        ``next_index - 1`` is durable that the log does not agree with (mixed-cluster rule 12).

        Raises:
            DiskFull: the log is on disk as it was before the call; it may be called again.
            DurabilityLost: stop this server.

        """
        ...

    def configuration_entries(self) -> tuple[LogEntry, ...]:
        """Return the kept entries that hold a configuration (``CONFIGURATION_TYPES``), oldest first."""
        ...

    def place(self, index: Index) -> tuple[str, int]:
        """Return where a kept entry stands, as path and offset: for messages."""
        ...

    def close(self) -> None:
        """Release the files; idempotent."""
        ...


class StableStore(Protocol):
    """Term and vote (hashicorp/raft's ``StableStore``, reduced to what Raft needs)."""

    @property
    def path(self) -> str:
        """Where it is: for messages."""
        ...

    def load(self) -> HardState:
        """Return what was last saved; term 0 without a vote on a fresh folder."""
        ...

    def save(self, state: HardState) -> None:
        """Make ``state`` durable, both halves at once.

        Raises:
            LocalProtocolError: its term is lower than the one saved; nothing was changed.
            DiskFull: the older state is intact. (Slots are preallocated: not expected.)
            DurabilityLost: stop this server.

        """
        ...

    def close(self) -> None:
        """Release the file; idempotent."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotInfo:
    """A finished snapshot on disk.

    ``snapshot_id`` is Go's ID, ``<term>-<index>-<unix ms>``, and the name of its directory.
    ``checksum`` is Go's CRC-64 of its bytes, 8 bytes big-endian. Nothing is verified yet.
    """

    snapshot_id: str
    meta: SnapshotMeta
    size_bytes: int
    checksum: bytes


@dataclass(frozen=True, slots=True)
class SkippedSnapshot:
    """A finished snapshot that cannot be used, and why: for the operator to be told."""

    path: str
    why: str


class SnapshotSink(Protocol):
    """A snapshot being written: nobody sees it before ``finish``. Used by one thread."""

    @property
    def size_bytes(self) -> int:
        """How much was written so far."""
        ...

    def write(self, chunk: bytes) -> None:
        """Append ``chunk``; each is one system call, so hand in 64 KiB or more at a time.

        Raises:
            DiskFull: the snapshot is gone, as by ``cancel``; nothing else was changed.
            StorageError: it would be larger than ``MAX_SNAPSHOT_BYTES``; it is gone, too.
            DurabilityLost: stop this server.

        """
        ...

    def read_back(self) -> SnapshotReader:
        """Open what was written so far for reading, after checking it against what was handed in.

        The reader goes on when the snapshot is finished or cancelled meanwhile.

        Raises:
            CorruptSnapshot: what is read back is not what was written; the snapshot is still
                to be finished or cancelled.

        """
        ...

    def seal(self) -> None:
        """Do the slow part of ``finish``: on return all is durable and verified but its name.

        Nothing may be written any more; nobody sees it yet, and a restart finds nothing.

        Raises:
            DiskFull: the snapshot is gone; nothing else was changed.
            CorruptSnapshot: what is read back is not what was written; the snapshot is gone.
            DurabilityLost: stop this server.

        """
        ...

    def finish(self) -> SnapshotInfo:
        """Make it durable, check what was written, and show it; older ones beyond the limit go.

        On return it survives power loss and is verified, so the log may be compacted behind it.

        Raises:
            DiskFull: the snapshot is gone; nothing else was changed.
            CorruptSnapshot: what is read back is not what was written; the snapshot is gone.
            DurabilityLost: stop this server.

        """
        ...

    def cancel(self) -> None:
        """Remove what was written; nothing happens after ``finish`` or a second time."""
        ...


class SnapshotReader(Protocol):
    """The bytes of a verified snapshot, from first to last; they stay when it is reaped meanwhile."""

    @property
    def info(self) -> SnapshotInfo: ...

    @property
    def size_bytes(self) -> int:
        """How many bytes there are in all."""
        ...

    def read(self, max_bytes: int) -> bytes:
        """Return the next bytes, ``max_bytes`` unless the end is nearer; none at the end.

        Raises:
            CorruptSnapshot: the file became shorter since it was opened.

        """
        ...

    def seek(self, offset: int) -> None:
        """Go on reading at byte ``offset``, which is not beyond the end."""
        ...

    def close(self) -> None:
        """Release the file; idempotent."""
        ...


class SnapshotStore(Protocol):
    """Snapshots on disk (hashicorp/raft's ``SnapshotStore``). Never holds a whole one in memory."""

    @property
    def skipped(self) -> tuple[SkippedSnapshot, ...]:
        """What the last listing passed over: unreadable, of a newer version, or too large."""
        ...

    def create(self, meta: SnapshotMeta, unix_ms: int) -> SnapshotSink:
        """Begin a snapshot taken at ``unix_ms``; a later millisecond is used if that one is taken.

        Raises:
            DiskFull: nothing was changed.
            DurabilityLost: stop this server.

        """
        ...

    def list(self) -> tuple[SnapshotInfo, ...]:
        """Return the finished snapshots, newest first: by term, index, ID."""
        ...

    def newest(self) -> SnapshotInfo | None:
        """Return the first of ``list``."""
        ...

    def newest_restorable(self) -> SnapshotInfo | None:
        """Return the newest snapshot whose bytes match its checksum; None when there is none at all.

        On return it is durable, whoever wrote it. ``skipped`` then tells of all newer ones
        that were passed over.

        Raises:
            CorruptSnapshot: there are snapshots, and not one can be used; it names them all.
            DurabilityLost: stop this server.

        """
        ...

    def open(self, info: SnapshotInfo) -> SnapshotReader:
        """Read the whole snapshot once to verify it, then open it for reading.

        Raises:
            CorruptSnapshot: wrong size or checksum; the message names the path.
            StorageError: it is gone.

        """
        ...

    def remove(self, info: SnapshotInfo) -> None:
        """Take a snapshot away for good: one whose bytes are whole and mean nothing.

        In one step: a crash leaves it whole or not at all. Durable on return.

        Raises:
            DiskFull: there is no room for a name; it is still there.
            DurabilityLost: stop this server.

        """
        ...


class Stores(Protocol):
    """All that one server keeps; open, and nobody else's while it is.

    ``path`` names the place in messages.
    """

    @property
    def path(self) -> str: ...

    @property
    def server_id(self) -> ServerID: ...

    @property
    def log(self) -> LogStore: ...

    @property
    def stable(self) -> StableStore: ...

    @property
    def snapshots(self) -> SnapshotStore: ...
