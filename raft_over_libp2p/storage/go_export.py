"""Makes a Go peer's ``raft`` folder from a data folder of ours, and checks that it holds the same.

Both halves are always written: ``snapshots`` and ``raft.db`` with term, vote and log. A Go peer
that starts from a snapshot alone starts at term 0 and may vote again in a term in which this
peer has voted (mixed-cluster rule 2).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest

from raft_over_libp2p.core.interfaces import InitialState
from raft_over_libp2p.core.ready import HardState
from raft_over_libp2p.errors import StorageError, invariant
from raft_over_libp2p.storage.bolt_writer import write_bolt_file
from raft_over_libp2p.storage.data_folder import DataFolder
from raft_over_libp2p.storage.filesystem import FileSystem
from raft_over_libp2p.storage.go_folder import GO_STORE_NAME, GoFolder
from raft_over_libp2p.storage.go_import import copy_snapshot, stored_entries
from raft_over_libp2p.storage.go_store import (
    CONF_BUCKET,
    CURRENT_TERM,
    LAST_VOTE_CANDIDATE,
    LAST_VOTE_TERM,
    LOGS_BUCKET,
    uint64_key,
)
from raft_over_libp2p.storage.recovery import load_initial_state
from raft_over_libp2p.storage.snapshot_store import FileSnapshotStore
from raft_over_libp2p.types import Index
from raft_over_libp2p.wire.configuration import GoConfigurationCodec

__all__ = ["export_to_go"]


def export_to_go(fs: FileSystem, folder: DataFolder, path: str) -> None:
    """Make ``path``, which must not exist, a folder that Go starts from where ``folder`` ends.

    ``folder`` is first made fit to start from (``recovery``), as at every start. Durable on
    return, but for the name ``path`` itself.

    Raises:
        CorruptLog, CorruptSnapshot: ``folder`` is damaged.
        StorageError: what was written does not read back as what ``folder`` has.
        DiskFull, DurabilityLost: what was written is useless; remove it.

    """
    initial = load_initial_state(folder, GoConfigurationCodec())
    fs.mkdir(path)
    snapshots = FileSnapshotStore(fs, path)
    newest = folder.snapshots.newest_restorable()
    if newest is not None:
        copy_snapshot(folder.snapshots.open(newest), snapshots)
    buckets = {
        CONF_BUCKET: _conf(initial.hard_state),
        LOGS_BUCKET: _logs(folder),
    }
    write_bolt_file(fs, f"{path}/{GO_STORE_NAME}", buckets)
    fs.sync_directory(path)
    _compare(fs, folder, initial, path)


def _conf(state: HardState) -> list[tuple[bytes, bytes]]:
    items = [(CURRENT_TERM, uint64_key(state.term))]
    if state.vote is not None:
        items.append((LAST_VOTE_CANDIDATE, state.vote.encode()))
        items.append((LAST_VOTE_TERM, uint64_key(state.term)))
    return items


def _logs(folder: DataFolder) -> Iterator[tuple[bytes, bytes]]:
    for entry in stored_entries(folder, folder.log.first_index()):
        invariant(entry.encoded is not None, "an entry from the log has its bytes")
        yield uint64_key(entry.index), entry.encoded or b""


def _compare(fs: FileSystem, folder: DataFolder, initial: InitialState, path: str) -> None:
    """Raise StorageError unless a take-over of ``path`` would find all that ``folder`` has."""
    log = folder.log
    with GoFolder(fs, path) as go:
        state = go.state
        snapshot = state.snapshot.meta if state.snapshot else None
        last = max(log.last_index(), initial.applied_index)
        expected = (initial.hard_state, initial.snapshot, last)
        found = (state.hard_state, snapshot, state.last_index)
        if expected != found or state.notes:
            raise StorageError(f"{path} should hold {expected}, and holds {found} {state.notes}")
        ours = stored_entries(folder, Index(max(state.first_index, log.first_index())))
        for kept, written in zip_longest(ours, go.entries()):
            if kept is None or written is None or kept.encoded != written.encoded:
                raise StorageError(f"{path}: {kept} was written, and {written} is read")
