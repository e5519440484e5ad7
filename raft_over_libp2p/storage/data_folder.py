"""One server's folder on disk: who owns it, whose it is, and the stores in it.

::

    cluster.lock       beside the folder: IPFS Cluster's lock file, held while open
    raft/ (0700)       the folder
      LOCK             held while open, so that a second opener in this process is refused too
      FORMAT           JSON: the format's version, the peer ID, the folder's random ID
      vote             term and vote (see ``vote_store``)
      log/             segments (see ``segment``)
      snapshots/       in Go's layout (see ``snapshot_store``)

FORMAT is written last: with it, vote file and log directory are there. Without it, a crash cut
the making of the folder short, and making it starts again. ``snapshots`` is made after it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

from raft_over_libp2p import limits
from raft_over_libp2p.core.interfaces import ConfigurationCodec
from raft_over_libp2p.errors import CorruptLog, StorageError
from raft_over_libp2p.storage.bootstrap import (
    bootstrap_cluster,
    finish_bootstrap,
    has_existing_state,
)
from raft_over_libp2p.storage.filesystem import FileSystem, RealFileSystem
from raft_over_libp2p.storage.log_store import SegmentedLog
from raft_over_libp2p.storage.segment import FOLDER_ID_BYTES
from raft_over_libp2p.storage.snapshot_store import SNAPSHOTS_RETAINED, FileSnapshotStore
from raft_over_libp2p.storage.vote_store import VoteStore
from raft_over_libp2p.types import Configuration, ServerID

__all__ = ["FORMAT_VERSION", "DataFolder"]

FORMAT_VERSION: Final = 1
_MAX_FORMAT_BYTES: Final = 4 * limits.KIB
_MADE_BEFORE_FORMAT: Final = frozenset({"LOCK", "FORMAT.tmp", "vote", "vote.tmp", "log"})
_OTHERS_BITS: Final = 0o077


class DataFolder:
    """An open data folder; a context manager. Made by :meth:`open`.

    ``log``, ``stable`` and ``snapshots`` are the stores in it. Log and vote are used from one
    thread, snapshots from another. ``log.torn`` tells of a torn batch that was dropped,
    ``snapshots.skipped`` of snapshots that cannot be used: the caller should say both loudly.
    """

    def __init__(
        self,
        path: str,
        server_id: ServerID,
        log: SegmentedLog,
        stable: VoteStore,
        snapshots: FileSnapshotStore,
        held: ExitStack,
    ) -> None:
        """Take over what :meth:`open` opened."""
        self.path = path
        self.server_id = server_id
        self.log = log
        self.stable = stable
        self.snapshots = snapshots
        self._held = held

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        server_id: ServerID,
        *,
        fs: FileSystem | None = None,
        lock_path: str | None = None,
        segment_bytes: int = limits.SEGMENT_BYTES,
        snapshots_retained: int = SNAPSHOTS_RETAINED,
        entropy: Callable[[int], bytes] = os.urandom,
    ) -> DataFolder:
        """Open the folder of ``server_id`` at ``path``, making it if it is not there.

        Args:
            path: the folder itself, IPFS Cluster's ``raft``; its parent must exist.
            server_id: whose it is: kept in FORMAT, and compared with it.
            fs: the real file system by default.
            lock_path: the lock that a Go daemon on the same configuration takes too; by
                default ``cluster.lock`` in the folder's parent. Two folders open in one
                process must not share it: POSIX locks cannot tell them apart.
            segment_bytes: size of new log segments.
            snapshots_retained: how many finished snapshots are kept (``raft_max_snapshots``).
            entropy: gives the folder its random ID.

        Raises:
            DataDirLocked: another peer runs on this folder.
            CorruptLog: log or vote is damaged; nothing was changed.
            StorageError: not a directory; open to others; another peer ID's; of a newer
                format; a Go peer's; holds something else. Nothing was changed.
            DiskFull: nothing was lost; make room.
            DurabilityLost: the disk failed.

        """
        path = os.path.abspath(path)  # noqa: PTH100 - paths are text in the FileSystem protocol
        fs = fs or RealFileSystem()
        with ExitStack() as held:
            _check_directory(fs, path)
            _read_format(fs, path, server_id)
            # The plain lock comes first: while somebody holds it, cluster.lock must not even be
            # opened, for closing it again would drop the holder's POSIX lock.
            held.callback(fs.lock(f"{path}/LOCK").close)
            lock_path = lock_path or f"{_parent(path)}/cluster.lock"
            held.callback(fs.lock(lock_path, across_programs=True).close)
            folder_id = _read_format(fs, path, server_id)
            if folder_id is None:
                folder_id = entropy(FOLDER_ID_BYTES)
                _make(fs, path, server_id, folder_id)
            log = SegmentedLog(fs, f"{path}/log", folder_id, segment_bytes=segment_bytes)
            held.callback(log.close)
            stable = VoteStore(fs, path, lambda: log.last_batch)
            held.callback(stable.close)
            if log.last_batch < stable.durable_batch:
                raise CorruptLog(
                    *log.end,
                    f"the log ends with batch {log.last_batch}, and batch "
                    f"{stable.durable_batch} was durable",
                )
            finish_bootstrap(log, stable)
            snapshots = FileSnapshotStore(fs, path, retain=snapshots_retained)
            return cls(path, server_id, log, stable, snapshots, held.pop_all())

    @property
    def is_fresh(self) -> bool:
        """Whether this server never took part in any cluster: no entry, term, vote or snapshot."""
        return not has_existing_state(self)

    def bootstrap(self, configuration: Configuration, codec: ConfigurationCodec) -> None:
        """Make ``configuration`` the first entry; see ``storage.bootstrap.bootstrap_cluster``."""
        bootstrap_cluster(self, configuration, codec)

    def close(self) -> None:
        """Close the stores and let go of the locks; idempotent."""
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _check_directory(fs: FileSystem, path: str) -> None:
    """Refuse what this server must not touch; make the directory if it is not there."""
    if not fs.exists(path):
        fs.mkdir(path)
        fs.sync_directory(_parent(path))
    if not fs.is_directory(path):
        raise StorageError(f"{path} is not a directory; name another data folder")
    permissions = fs.permissions(path)
    if permissions & _OTHERS_BITS:
        raise StorageError(
            f"{path} is open to others (mode {permissions:04o}); run: chmod 700 {path}"
        )
    # A directory of that name is ours: it keeps Go from starting here (see go_import).
    if fs.exists(f"{path}/raft.db") and not fs.is_directory(f"{path}/raft.db"):
        raise StorageError(
            f"{path} holds raft.db, a Go peer's log. To take it over, stop the Go peer and run: "
            "raft-node migrate from-go"
        )


def _read_format(fs: FileSystem, path: str, server_id: ServerID) -> bytes | None:
    """Check that the folder is this server's and return its ID; None where it is still to be made."""
    format_path = f"{path}/FORMAT"
    if not fs.exists(format_path):
        strange = sorted(set(fs.listdir(path)) - _MADE_BEFORE_FORMAT)
        if fs.exists(f"{path}/log") and fs.listdir(f"{path}/log"):
            strange.append("log")
        if strange:
            raise StorageError(
                f"{path} has no FORMAT file but holds {', '.join(strange)}: it is not a data "
                "folder of this program, or has lost that file. Name an empty folder, or restore it."
            )
        return None
    file = fs.open_file(format_path)
    try:
        data = file.pread(_MAX_FORMAT_BYTES, 0)
    finally:
        file.close()
    peer_id, folder_id = _parse_format(data, format_path)
    if peer_id != server_id:
        raise StorageError(
            f"{path} belongs to peer {peer_id}, and this is {server_id}. "
            "Use that peer's identity, or another folder."
        )
    return folder_id


def _parse_format(data: bytes, path: str) -> tuple[str, bytes]:
    try:
        values = json.loads(data)
        version, peer_id = values["version"], values["peer_id"]
        folder_id = bytes.fromhex(values["folder_id"])
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"{path} cannot be read ({error!r}); restore it from a backup"
        ) from error
    if not isinstance(version, int) or version > FORMAT_VERSION:
        raise StorageError(
            f"{path} says format {version}; this program knows up to {FORMAT_VERSION}. "
            "Use the newer program that wrote it."
        )
    if not isinstance(peer_id, str) or len(folder_id) != FOLDER_ID_BYTES:
        raise StorageError(f"{path} lacks a peer ID or folder ID; restore it from a backup")
    return peer_id, folder_id


def _make(fs: FileSystem, path: str, server_id: ServerID, folder_id: bytes) -> None:
    """Fill an empty folder; on return it survives power loss, and before FORMAT is in it nothing counts."""
    if not fs.exists(f"{path}/log"):
        fs.mkdir(f"{path}/log")
    VoteStore.create(fs, path)
    temporary = f"{path}/FORMAT.tmp"
    if fs.exists(temporary):
        fs.unlink(temporary)
    values = {"version": FORMAT_VERSION, "peer_id": server_id, "folder_id": folder_id.hex()}
    file = fs.open_file(temporary, create=True)
    try:
        file.pwrite((json.dumps(values) + "\n").encode(), 0)
        file.fdatasync()
    finally:
        file.close()
    fs.sync_directory(path)
    fs.rename(temporary, f"{path}/FORMAT")
    fs.sync_directory(path)


def _parent(path: str) -> str:
    return path.rpartition("/")[0] or "/"
