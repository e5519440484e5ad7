"""Snapshots on disk in the layout of Go's FileSnapshotStore, so that either side can start from it.

::

    snapshots/
      <term>-<index>-<unix ms>/       a finished snapshot
        meta.json                     what it is (see ``snapshot_meta``)
        state.bin                     its bytes, nothing else
      <term>-<index>-<unix ms>.tmp/   being written or removed; nobody reads it

How one is written is in ``snapshot_sink``. It is removed by giving it ``.tmp`` back, in one step
and durably, before its files go: a crash leaves it whole or not at all (Go removes the files
under the final name). What crashes left as ``.tmp`` is removed when the store is opened, before
anything is written.

What is found at start is trusted once its checksum matches: a finished name is given only to
files that were synced without an error. Of the name itself it may not be known whether it
reached the disk, nor, in a snapshot that Go wrote, of the names in it: both are synced before
anything is built on them.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Final

from raft_over_libp2p import limits
from raft_over_libp2p.core.interfaces import SnapshotMeta
from raft_over_libp2p.errors import (
    CorruptSnapshot,
    DiskFull,
    LocalProtocolError,
    MalformedMessage,
    RemoteProtocolError,
    StorageError,
)
from raft_over_libp2p.storage.filesystem import FileSystem
from raft_over_libp2p.storage.interface import SkippedSnapshot, SnapshotInfo
from raft_over_libp2p.storage.snapshot_meta import MAX_META_BYTES, parse_meta
from raft_over_libp2p.storage.snapshot_reader import FileSnapshotReader, check_content
from raft_over_libp2p.storage.snapshot_sink import (
    META_NAME,
    STATE_NAME,
    TMP_SUFFIX,
    FileSnapshotSink,
    remove_files,
)

__all__ = [
    "SNAPSHOTS_RETAINED",
    "FileSnapshotStore",
    "list_snapshots",
    "open_snapshot",
]

SNAPSHOTS_RETAINED: Final = 5
"""IPFS Cluster's ``raft_max_snapshots``."""
_UNFINISHED: Final = re.compile(r"[0-9]+-[0-9]+-[0-9]+\.tmp")


class FileSnapshotStore:
    """The ``SnapshotStore`` on disk, in ``snapshots`` of ``folder``. Used by one thread.

    Opening makes the directory if need be and removes what crashes left unfinished: nobody
    else may be writing there. ``retain`` is how many finished snapshots are kept, at least 1.

    Raises:
        DiskFull: there is no room for the directory.
        DurabilityLost: stop this server.

    """

    def __init__(self, fs: FileSystem, folder: str, *, retain: int = SNAPSHOTS_RETAINED) -> None:
        if retain < 1:
            raise LocalProtocolError(f"{retain} snapshots to retain; keep at least one")
        self._fs = fs
        self._retain = retain
        self._verified: set[str] = set()
        self.path = f"{folder}/snapshots"
        self.skipped: tuple[SkippedSnapshot, ...] = ()
        if not fs.exists(self.path):
            fs.mkdir(self.path)
            fs.sync_directory(folder)
        for name in fs.listdir(self.path):
            if _UNFINISHED.fullmatch(name) and fs.is_directory(f"{self.path}/{name}"):
                remove_files(fs, f"{self.path}/{name}")
        fs.sync_directory(self.path)

    # -- reading

    def list(self) -> tuple[SnapshotInfo, ...]:
        found, self.skipped = list_snapshots(self._fs, self.path)
        return found

    def newest(self) -> SnapshotInfo | None:
        found = self.list()
        return found[0] if found else None

    def newest_restorable(self) -> SnapshotInfo | None:
        """Return the newest snapshot whose bytes match its checksum; None when there is none at all.

        ``skipped`` then tells of all newer ones that were passed over. What this process wrote
        or verified once is not read again, so that starting again after a full disk is quick.

        Raises:
            CorruptSnapshot: there are snapshots, and not one can be used; it names them all.
            DurabilityLost: stop this server.

        """
        for info in self.list():
            path = self._path(info)
            try:
                if info.snapshot_id not in self._verified:
                    self.open(info).close()
            except StorageError as error:
                self.skipped += (SkippedSnapshot(path, str(error)),)
                continue
            self._verified.add(info.snapshot_id)
            self._fs.sync_directory(path)
            return info
        if self.skipped:
            reasons = "; ".join(f"{each.path}: {each.why}" for each in self.skipped)
            raise CorruptSnapshot(
                f"no snapshot can be used ({reasons}). Nothing was changed. Restore this folder "
                "from a backup, or remove this peer from the cluster and add it again with an "
                "empty one."
            )
        return None

    def open(self, info: SnapshotInfo) -> FileSnapshotReader:
        return open_snapshot(self._fs, self.path, info)

    # -- writing

    def create(self, meta: SnapshotMeta, unix_ms: int) -> FileSnapshotSink:
        while True:
            snapshot_id = f"{meta.term}-{meta.index}-{unix_ms}"
            path = f"{self.path}/{snapshot_id}"
            if not self._fs.exists(path) and not self._fs.exists(path + TMP_SUFFIX):
                break
            unix_ms += 1
        return FileSnapshotSink(self._fs, self.path, snapshot_id, meta, self._finished)

    # -- inside

    def _finished(self, info: SnapshotInfo) -> None:
        """Remove the oldest snapshots beyond ``retain``, now that ``info`` is durable."""
        self._verified.add(info.snapshot_id)
        # No space for a name must not fail a snapshot that is there: the next one tries again.
        with suppress(DiskFull):
            for old in self.list()[self._retain :]:
                if old != info:  # one that was installed may stand before those it replaces
                    self.remove(old)

    def remove(self, info: SnapshotInfo) -> None:
        path = self._path(info)
        self._fs.rename(path, path + TMP_SUFFIX)
        self._fs.sync_directory(self.path)
        remove_files(self._fs, path + TMP_SUFFIX)
        self._verified.discard(info.snapshot_id)

    def _path(self, info: SnapshotInfo) -> str:
        return f"{self.path}/{info.snapshot_id}"


def _age(info: SnapshotInfo) -> tuple[int, int, str]:
    return (info.meta.term, info.meta.index, info.snapshot_id)


def list_snapshots(
    fs: FileSystem, directory: str
) -> tuple[tuple[SnapshotInfo, ...], tuple[SkippedSnapshot, ...]]:
    """Return the finished snapshots in ``directory``, newest first, and those that cannot be read.

    Changes nothing, so it may look into a folder of Go's, too.
    """
    found: list[SnapshotInfo] = []
    skipped: list[SkippedSnapshot] = []
    for name in fs.listdir(directory):
        path = f"{directory}/{name}"
        if name.endswith(TMP_SUFFIX) or not fs.is_directory(path):
            continue
        try:
            found.append(_read_info(fs, path, name))
        except (StorageError, RemoteProtocolError) as error:
            skipped.append(SkippedSnapshot(path, str(error)))
    found.sort(key=_age, reverse=True)
    return tuple(found), tuple(skipped)


def open_snapshot(fs: FileSystem, directory: str, info: SnapshotInfo) -> FileSnapshotReader:
    """Read the snapshot in ``directory`` once to verify it, then open it for reading.

    Raises:
        CorruptSnapshot: wrong size or checksum.
        StorageError: it is gone.

    """
    file = fs.open_file(f"{directory}/{info.snapshot_id}/{STATE_NAME}")
    try:
        check_content(file, info)
    except BaseException:
        file.close()
        raise
    return FileSnapshotReader(info, file)


def _read_info(fs: FileSystem, path: str, name: str) -> SnapshotInfo:
    file = fs.open_file(f"{path}/{META_NAME}")
    try:
        data = file.pread(MAX_META_BYTES + 1, 0)
    finally:
        file.close()
    if len(data) > MAX_META_BYTES:
        raise MalformedMessage(f"its {META_NAME} is over {MAX_META_BYTES} bytes")
    info = parse_meta(data)
    if info.snapshot_id != name:
        raise MalformedMessage(f"its {META_NAME} is that of snapshot {info.snapshot_id}")
    if not name.startswith(f"{info.meta.term}-{info.meta.index}-"):
        # Both are in every name, Go's too; Go's meta.json itself has no checksum.
        raise MalformedMessage(
            f"its {META_NAME} names entry {info.meta.index} of term {info.meta.term}"
        )
    if info.size_bytes > limits.MAX_SNAPSHOT_BYTES:
        raise MalformedMessage(
            f"its {info.size_bytes} bytes are over the limit of {limits.MAX_SNAPSHOT_BYTES}"
        )
    return info
