"""The stores in memory (hashicorp/raft ``InmemStore``, ``InmemSnapshotStore``).

For tests, and for servers that may forget: what is here is gone with the process. A server that
lost its memory must not come back under its old ID, for it could vote twice in a term.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Final

from fastcrc import crc64

from raft_over_libp2p import limits
from raft_over_libp2p.core.interfaces import SnapshotMeta
from raft_over_libp2p.core.ready import HardState
from raft_over_libp2p.errors import LocalProtocolError, StorageError
from raft_over_libp2p.storage.interface import SkippedSnapshot, SnapshotInfo
from raft_over_libp2p.types import CONFIGURATION_TYPES, NO_TERM, Index, LogEntry, ServerID, Term

__all__ = ["MemoryLog", "MemorySnapshots", "MemoryStable", "MemoryStores"]

_PATH: Final = "memory"
_SNAPSHOTS_RETAINED: Final = 2
"""The newest, and one that may still be read; each is a whole state in memory."""


class MemoryLog:
    """The ``LogStore`` in memory; a durable one only as long as the process lives."""

    def __init__(self) -> None:
        self._entries: list[LogEntry] = []
        self._first = 1
        # Another thread may read while one removes the entries before.
        self._lock = threading.Lock()

    def first_index(self) -> Index:
        return Index(self._first)

    def last_index(self) -> Index:
        with self._lock:
            return Index(self._first + len(self._entries) - 1)

    def term(self, index: Index) -> Term:
        with self._lock:
            return self._entries[self._place(index)].term

    def entries(self, low: Index, high: Index, max_bytes: int) -> Sequence[LogEntry]:
        if high < low:
            return ()
        with self._lock:
            kept = self._entries[self._place(low) : self._place(high) + 1]
        found: list[LogEntry] = []
        total = 0
        for entry in kept:
            total += len(entry.encoded or b"")
            if found and total > max_bytes:
                break
            found.append(entry)
        return found

    def configuration_entries(self) -> tuple[LogEntry, ...]:
        with self._lock:
            return tuple(e for e in self._entries if e.type in CONFIGURATION_TYPES)

    def place(self, index: Index) -> tuple[str, int]:
        with self._lock:
            return _PATH, self._place(index)

    def write(self, truncate_from: Index | None, entries: Sequence[LogEntry]) -> None:
        with self._lock:
            end = self._first + len(self._entries)
            first = end if truncate_from is None else truncate_from
            if not self._first <= first <= end:
                raise LocalProtocolError(
                    f"the log holds {self._first} to {end - 1}; it cannot be truncated from {first}"
                )
            for expected, entry in enumerate(entries, first):
                if entry.encoded is None or entry.index != expected:
                    raise LocalProtocolError(
                        f"{entry!r} was to be written as encoded entry {expected}"
                    )
            self._entries[first - self._first :] = entries

    def remove_prefix(self, upto: Index) -> Index:
        with self._lock:
            count = min(max(upto + 1 - self._first, 0), len(self._entries))
            del self._entries[:count]
            self._first += count
            return Index(self._first)

    def reset(self, next_index: Index) -> None:
        if next_index < 1:
            raise LocalProtocolError(f"a log cannot begin at entry {next_index}")
        with self._lock:
            self._entries = []
            self._first = next_index

    def close(self) -> None:
        """Keep everything: who opens it again finds it."""

    def _place(self, index: Index) -> int:
        place = index - self._first
        if not 0 <= place < len(self._entries):
            last = self._first + len(self._entries) - 1
            raise LocalProtocolError(
                f"entry {index} is not in the log, which holds {self._first} to {last}"
            )
        return place


class MemoryStable:
    """The ``StableStore`` in memory."""

    def __init__(self) -> None:
        self._state = HardState(NO_TERM)

    @property
    def path(self) -> str:
        return _PATH

    def load(self) -> HardState:
        return self._state

    def save(self, state: HardState) -> None:
        if state.term < self._state.term:
            raise LocalProtocolError(f"term {self._state.term} cannot become {state.term}")
        self._state = state

    def close(self) -> None:
        """Keep it."""


class MemorySnapshots:
    """The ``SnapshotStore`` in memory: ``retain`` whole snapshots, and those being written."""

    skipped: tuple[SkippedSnapshot, ...] = ()

    def __init__(self, *, retain: int = _SNAPSHOTS_RETAINED) -> None:
        if retain < 1:
            raise LocalProtocolError(f"{retain} snapshots to retain; keep at least one")
        self._retain = retain
        self._kept: dict[str, tuple[SnapshotInfo, bytes]] = {}
        self._names: set[str] = set()
        """Those kept, and those being written."""

    def create(self, meta: SnapshotMeta, unix_ms: int) -> MemorySnapshotSink:
        while (snapshot_id := f"{meta.term}-{meta.index}-{unix_ms}") in self._names:
            unix_ms += 1
        self._names.add(snapshot_id)
        return MemorySnapshotSink(snapshot_id, meta, self._finished, self._names.discard)

    def list(self) -> tuple[SnapshotInfo, ...]:
        infos = [info for info, _ in tuple(self._kept.values())]
        infos.sort(key=lambda i: (i.meta.term, i.meta.index, i.snapshot_id), reverse=True)
        return tuple(infos)

    def newest(self) -> SnapshotInfo | None:
        found = self.list()
        return found[0] if found else None

    def newest_restorable(self) -> SnapshotInfo | None:
        return self.newest()

    def open(self, info: SnapshotInfo) -> MemorySnapshotReader:
        kept = self._kept.get(info.snapshot_id)
        if kept is None:
            raise StorageError(f"snapshot {info.snapshot_id} is not in {_PATH}")
        return MemorySnapshotReader(*kept)

    def remove(self, info: SnapshotInfo) -> None:
        if self._kept.pop(info.snapshot_id, None) is None:
            raise StorageError(f"snapshot {info.snapshot_id} is not in {_PATH}")
        self._names.discard(info.snapshot_id)

    def _finished(self, info: SnapshotInfo, data: bytes) -> None:
        self._kept[info.snapshot_id] = (info, data)
        for old in self.list()[self._retain :]:
            if old != info:  # one that was installed may stand before those it replaces
                self.remove(old)


class MemorySnapshotSink:
    """The ``SnapshotSink`` in memory."""

    def __init__(
        self,
        snapshot_id: str,
        meta: SnapshotMeta,
        finished: Callable[[SnapshotInfo, bytes], None],
        cancelled: Callable[[str], None],
    ) -> None:
        self._id = snapshot_id
        self._meta = meta
        self._finished = finished
        self._cancelled = cancelled
        self._data = bytearray()
        self._is_sealed = False
        self._is_over = False

    @property
    def size_bytes(self) -> int:
        return len(self._data)

    def write(self, chunk: bytes) -> None:
        self._check_open()
        if self._is_sealed:
            raise LocalProtocolError(f"snapshot {self._id} is sealed")
        if len(self._data) + len(chunk) > limits.MAX_SNAPSHOT_BYTES:
            self.cancel()
            raise StorageError(f"a snapshot over {limits.MAX_SNAPSHOT_BYTES} bytes is not written")
        self._data += chunk

    def read_back(self) -> MemorySnapshotReader:
        self._check_open()
        return MemorySnapshotReader(self._info(), bytes(self._data))

    def seal(self) -> None:
        self._check_open()
        self._is_sealed = True

    def finish(self) -> SnapshotInfo:
        self._check_open()
        self._is_over = True
        info = self._info()
        self._finished(info, bytes(self._data))
        return info

    def cancel(self) -> None:
        if not self._is_over:
            self._is_over = True
            self._cancelled(self._id)

    def _info(self) -> SnapshotInfo:
        return SnapshotInfo(
            snapshot_id=self._id,
            meta=self._meta,
            size_bytes=len(self._data),
            checksum=crc64.xz(bytes(self._data)).to_bytes(8, "big"),
        )

    def _check_open(self) -> None:
        if self._is_over:
            raise LocalProtocolError(f"snapshot {self._id} is finished or gone")


class MemorySnapshotReader:
    """The ``SnapshotReader`` of bytes; they stay when the snapshot is reaped."""

    def __init__(self, info: SnapshotInfo, data: bytes) -> None:
        self.info = info
        self._data = data
        self._position = 0

    @property
    def size_bytes(self) -> int:
        return self.info.size_bytes

    def read(self, max_bytes: int) -> bytes:
        chunk = self._data[self._position : self._position + max_bytes]
        self._position += len(chunk)
        return chunk

    def seek(self, offset: int) -> None:
        if not 0 <= offset <= self.info.size_bytes:
            raise LocalProtocolError(f"byte {offset} of a snapshot of {self.info.size_bytes} bytes")
        self._position = offset

    def close(self) -> None:
        """Do nothing: there is no file."""


class MemoryStores:
    """The ``Stores`` of one server in memory: hand the same object in to start it again."""

    path = _PATH

    def __init__(
        self, server_id: ServerID, *, snapshots_retained: int = _SNAPSHOTS_RETAINED
    ) -> None:
        self.server_id = server_id
        self.log = MemoryLog()
        self.stable = MemoryStable()
        self.snapshots = MemorySnapshots(retain=snapshots_retained)
