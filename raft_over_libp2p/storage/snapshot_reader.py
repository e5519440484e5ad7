"""Reading a snapshot's file, finished or not."""

from __future__ import annotations

from typing import Final

from fastcrc import crc64

from raft_over_libp2p import limits
from raft_over_libp2p.errors import CorruptSnapshot, LocalProtocolError
from raft_over_libp2p.storage.filesystem import File
from raft_over_libp2p.storage.interface import SnapshotInfo

__all__ = ["FileSnapshotReader", "check_content"]

_CHECKSUM_BYTES: Final = 8
_CHECK_CHUNK_BYTES: Final = limits.MIB


class FileSnapshotReader:
    """The ``SnapshotReader`` of a file."""

    def __init__(self, info: SnapshotInfo, file: File) -> None:
        self.info = info
        self._file = file
        self._position = 0

    @property
    def size_bytes(self) -> int:
        return self.info.size_bytes

    def read(self, max_bytes: int) -> bytes:
        wanted = min(max_bytes, self.info.size_bytes - self._position)
        data = self._file.pread(wanted, self._position)
        if len(data) < wanted:
            raise CorruptSnapshot(
                f"{self._file.path} ends after {self._position + len(data)} bytes; it had "
                f"{self.info.size_bytes} when it was opened"
            )
        self._position += len(data)
        return data

    def seek(self, offset: int) -> None:
        if not 0 <= offset <= self.info.size_bytes:
            raise LocalProtocolError(f"byte {offset} of a snapshot of {self.info.size_bytes} bytes")
        self._position = offset

    def close(self) -> None:
        self._file.close()


def check_content(file: File, info: SnapshotInfo) -> None:
    """Compare a snapshot's bytes with its description.

    Raises:
        CorruptSnapshot: wrong size or checksum.

    """
    size = file.size()
    if size != info.size_bytes:
        raise CorruptSnapshot(f"{file.path} has {size} bytes and should have {info.size_bytes}")
    crc = 0
    for offset in range(0, size, _CHECK_CHUNK_BYTES):
        crc = crc64.xz(file.pread(_CHECK_CHUNK_BYTES, offset), crc)
    if crc.to_bytes(_CHECKSUM_BYTES, "big") != info.checksum:
        raise CorruptSnapshot(
            f"{file.path} has the CRC-64 {crc:016x} and should have {info.checksum.hex() or 'one'}"
        )
