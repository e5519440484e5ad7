"""Writing one snapshot, step by step; a crash before step 5 leaves at most a ``.tmp``.

1. ``state.bin`` is written and synced;
2. it is read back, and must have the checksum of what was handed in;
3. ``meta.json`` is written and synced;
4. the directory is synced, so that both names are in it wherever it is found (Go leaves this out);
5. the directory loses its ``.tmp``;
6. ``snapshots`` is synced: from here on the snapshot survives power loss;
7. the oldest snapshots beyond the limit are removed.

Go writes ``meta.json`` once more before step 1, without size and checksum; nobody reads that one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fastcrc import crc64

from raft_over_libp2p import limits
from raft_over_libp2p.core.interfaces import SnapshotMeta
from raft_over_libp2p.errors import CorruptSnapshot, DiskFull, LocalProtocolError, StorageError
from raft_over_libp2p.storage.filesystem import FileSystem
from raft_over_libp2p.storage.interface import SnapshotInfo
from raft_over_libp2p.storage.snapshot_meta import encode_meta, with_checksum
from raft_over_libp2p.storage.snapshot_reader import FileSnapshotReader, check_content

__all__ = [
    "META_NAME",
    "STATE_NAME",
    "TMP_SUFFIX",
    "FileSnapshotSink",
    "remove_files",
]

META_NAME: Final = "meta.json"
STATE_NAME: Final = "state.bin"
TMP_SUFFIX: Final = ".tmp"
_CHECKSUM_BYTES: Final = 8


class FileSnapshotSink:
    """The ``SnapshotSink`` of a directory; made by ``FileSnapshotStore.create``.

    ``finished`` is called when the snapshot is durable.
    """

    def __init__(
        self,
        fs: FileSystem,
        directory: str,
        snapshot_id: str,
        meta: SnapshotMeta,
        finished: Callable[[SnapshotInfo], None],
    ) -> None:
        self._fs = fs
        self._directory = directory
        self._id = snapshot_id
        self._meta = meta
        self._finished = finished
        self._crc = 0
        self._size = 0
        self._is_sealed = False
        self._is_over = False
        self._path = f"{directory}/{snapshot_id}{TMP_SUFFIX}"
        fs.mkdir(self._path)
        try:
            self._file = fs.open_file(f"{self._path}/{STATE_NAME}", create=True)
        except DiskFull:
            remove_files(fs, self._path)
            raise

    @property
    def size_bytes(self) -> int:
        return self._size

    def write(self, chunk: bytes) -> None:
        self._check_open()
        if self._is_sealed:
            raise LocalProtocolError(f"snapshot {self._id} is sealed")
        if self._size + len(chunk) > limits.MAX_SNAPSHOT_BYTES:
            self.cancel()
            raise StorageError(
                f"a snapshot over {limits.MAX_SNAPSHOT_BYTES} bytes is not written: {self._path}"
            )
        try:
            self._file.pwrite(chunk, self._size)
        except DiskFull:
            self.cancel()
            raise
        self._crc = crc64.xz(chunk, self._crc)
        self._size += len(chunk)

    def read_back(self) -> FileSnapshotReader:
        self._check_open()
        info = self._info()
        file = self._fs.open_file(f"{self._path}/{STATE_NAME}")
        try:
            check_content(file, info)
        except BaseException:
            file.close()
            raise
        return FileSnapshotReader(info, file)

    def seal(self) -> None:
        self._check_open()
        info = self._info()
        self._file.fdatasync()
        try:
            check_content(self._file, info)
            self._write_meta(info)
            self._fs.sync_directory(self._path)
        except (DiskFull, CorruptSnapshot):
            self.cancel()
            raise
        self._is_sealed = True

    def finish(self) -> SnapshotInfo:
        if not self._is_sealed:
            self.seal()
        self._check_open()
        info = self._info()
        try:
            self._fs.rename(self._path, f"{self._directory}/{self._id}")
        except DiskFull:
            self.cancel()
            raise
        self._is_over = True
        self._file.close()
        self._fs.sync_directory(self._directory)
        self._finished(info)
        return info

    def cancel(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._file.close()
        remove_files(self._fs, self._path)

    def _info(self) -> SnapshotInfo:
        return SnapshotInfo(
            snapshot_id=self._id,
            meta=self._meta,
            size_bytes=self._size,
            checksum=self._crc.to_bytes(_CHECKSUM_BYTES, "big"),
        )

    def _write_meta(self, info: SnapshotInfo) -> None:
        file = self._fs.open_file(f"{self._path}/{META_NAME}", create=True)
        try:
            file.pwrite(with_checksum(encode_meta(info)), 0)
            file.fdatasync()
        finally:
            file.close()

    def _check_open(self) -> None:
        if self._is_over:
            raise LocalProtocolError(f"snapshot {self._id} is finished or gone")


def remove_files(fs: FileSystem, path: str) -> None:
    """Remove an unfinished snapshot. What is no plain file in it was put there by others: it stays."""
    names = fs.listdir(path)
    files = [name for name in names if not fs.is_directory(f"{path}/{name}")]
    for name in files:
        fs.unlink(f"{path}/{name}")
    if files == names:
        fs.rmdir(path)
