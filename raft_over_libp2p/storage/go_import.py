"""Makes a data folder of ours from a Go peer's, and checks that it holds the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import zip_longest
from typing import Final

from raft_over_libp2p import limits
from raft_over_libp2p.errors import StorageError
from raft_over_libp2p.storage.data_folder import DataFolder
from raft_over_libp2p.storage.filesystem import FileSystem
from raft_over_libp2p.storage.go_folder import GO_STORE_NAME, GoFolder
from raft_over_libp2p.storage.interface import SnapshotReader
from raft_over_libp2p.storage.recovery import load_initial_state
from raft_over_libp2p.storage.snapshot_store import FileSnapshotStore
from raft_over_libp2p.types import Index, LogEntry, ServerID
from raft_over_libp2p.wire.configuration import GoConfigurationCodec

__all__ = ["batches", "copy_snapshot", "import_go_folder", "stored_entries"]

_BATCH_ENTRIES: Final = 1024
_BATCH_BYTES: Final = 4 * limits.MIB
"""Written with one fdatasync; memory holds a few times this."""
_COPY_BYTES: Final = limits.MIB
_FENCE_TEXT: Final = (
    b"This folder belongs to raft-node, not to ipfs-cluster-service. That raft.db is a\n"
    b"directory keeps the latter from starting here, where it would vote a second time\n"
    b"under this peer's ID. To go back to it run: raft-node migrate to-go\n"
)


def import_go_folder(
    fs: FileSystem,
    go: GoFolder,
    path: str,
    server_id: ServerID,
    *,
    segment_bytes: int = limits.SEGMENT_BYTES,
    entropy: Callable[[int], bytes] = os.urandom,
) -> None:
    """Make ``path``, which must not exist, a data folder that starts where ``go`` ends.

    Holds term, vote, the newest snapshot and the log behind it. A directory ``raft.db`` in it
    keeps Go from starting there. Durable on return, but for the name ``path`` itself.

    Raises:
        StorageError: what was written does not read back as what ``go`` has.
        DiskFull, DurabilityLost: what was written is useless; remove it.

    """
    lock_path = f"{path}.lock"  # not cluster.lock, which the caller holds
    state = go.state
    with DataFolder.open(
        path, server_id, fs=fs, lock_path=lock_path, segment_bytes=segment_bytes, entropy=entropy
    ) as folder:
        folder.stable.save(state.hard_state)
        if (snapshot := go.open_snapshot()) is not None:
            copy_snapshot(snapshot, folder.snapshots)
            folder.log.reset(state.first_index)
        for batch in batches(go.entries()):
            folder.log.write(None, batch)
    _fence(fs, path)
    with DataFolder.open(
        path, server_id, fs=fs, lock_path=lock_path, segment_bytes=segment_bytes
    ) as folder:
        _compare(go, folder)
    fs.unlink(lock_path)


def batches(entries: Iterable[LogEntry]) -> Iterator[list[LogEntry]]:
    """Group entries for writing, by number and size."""
    batch: list[LogEntry] = []
    size = 0
    for entry in entries:
        batch.append(entry)
        size += len(entry.encoded or b"")
        if len(batch) == _BATCH_ENTRIES or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def copy_snapshot(snapshot: SnapshotReader, store: FileSnapshotStore) -> None:
    """Copy a snapshot into ``store`` under its own name, and close it.

    Raises:
        CorruptSnapshot: it is not what it was when it was opened.
        DiskFull, DurabilityLost: it is not there.

    """
    try:
        info = snapshot.info
        sink = store.create(info.meta, int(info.snapshot_id.rpartition("-")[2]))
        while chunk := snapshot.read(_COPY_BYTES):
            sink.write(chunk)
        copied = sink.finish()
    finally:
        snapshot.close()
    if copied != info:
        raise StorageError(f"snapshot {info.snapshot_id} was copied as {copied}, and was {info}")


def stored_entries(folder: DataFolder, first: Index) -> Iterator[LogEntry]:
    """Yield the entries of our log from ``first`` on."""
    last = folder.log.last_index()
    while first <= last:
        high = Index(min(last, first + _BATCH_ENTRIES - 1))
        found = folder.log.entries(first, high, _BATCH_BYTES)
        yield from found
        first = Index(first + len(found))


def _fence(fs: FileSystem, path: str) -> None:
    """Put a directory where Go's BoltDB would make its file."""
    directory = f"{path}/{GO_STORE_NAME}"
    fs.mkdir(directory)
    file = fs.open_file(f"{directory}/README", create=True)
    try:
        file.pwrite(_FENCE_TEXT, 0)
        file.fdatasync()
    finally:
        file.close()
    fs.sync_directory(directory)
    fs.sync_directory(path)


def _compare(go: GoFolder, folder: DataFolder) -> None:
    """Raise StorageError unless a peer started on ``folder`` has all that ``go`` has."""
    state = go.state
    initial = load_initial_state(folder, GoConfigurationCodec())
    log = folder.log
    expected = (
        state.hard_state,
        state.snapshot.meta if state.snapshot else None,
        state.first_index,
        state.last_index,
    )
    found = (initial.hard_state, initial.snapshot, log.first_index(), log.last_index())
    if expected != found:
        raise StorageError(f"{folder.path} should hold {expected}, and holds {found}")
    newest = folder.snapshots.newest()
    if newest != state.snapshot:
        raise StorageError(f"{folder.path} should have {state.snapshot}, and has {newest}")
    for ours, theirs in zip_longest(stored_entries(folder, state.first_index), go.entries()):
        if ours is None or theirs is None or ours.encoded != theirs.encoded:
            raise StorageError(f"{folder.path}: {theirs} was written, and {ours} is read")
