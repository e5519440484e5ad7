"""The disk as storage sees it: a few calls, so that a fake can stand in and lose what was not synced.

Durability, as both implementations keep it:

- ``File.fdatasync`` makes the file's bytes and size survive power loss, but not its name.
- ``FileSystem.sync_directory`` makes the names in one directory (created, renamed, unlinked)
  survive. Until then any of those changes may be undone, each by itself.
- Everything else may be lost, in part or whole, in any order.

Errors: no space (ENOSPC, EDQUOT, EFBIG) while writing is ``DiskFull``; any other failed write,
and every failed sync, is ``DurabilityLost``: after a failed fsync the kernel may call the lost
pages clean, so a second try proves nothing. That holds for a sync that ran out of space too.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import sys
from pathlib import Path
from typing import Final, Protocol

from raft_over_libp2p.errors import DataDirLocked, DiskFull, DurabilityLost, StorageError

__all__ = ["File", "FileSystem", "Lock", "RealFileSystem"]

_NO_SPACE: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_LOCKED: Final = frozenset({errno.EACCES, errno.EAGAIN})
_NO_FALLOCATE: Final = frozenset({errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS})
_ZEROS_AT_ONCE: Final = 1 << 20


class File(Protocol):
    """One open file, read and written by position."""

    @property
    def path(self) -> str: ...

    def pread(self, size: int, offset: int) -> bytes:
        """Return ``size`` bytes from ``offset``; fewer only at the end of the file."""
        ...

    def pwrite(self, data: bytes, offset: int) -> None:
        """Write all of ``data``. When this raises, any part of it may have been written.

        Raises:
            DiskFull: no space; not all of ``data`` was written.
            DurabilityLost: the write failed.

        """
        ...

    def fdatasync(self) -> None:
        """Make all bytes written so far, and the size, survive power loss.

        Raises:
            DurabilityLost: for whatever reason; never try again.

        """
        ...

    def truncate(self, size: int) -> None:
        """Cut or extend the file to ``size`` bytes; new bytes are zero and take no space."""
        ...

    def preallocate(self, size: int) -> None:
        """Reserve space up to ``size`` bytes, new ones zero; never shrinks the file.

        Raises:
            DiskFull: there is no such space.

        """
        ...

    def size(self) -> int:
        """Return the file's length in bytes."""
        ...

    def close(self) -> None:
        """Close without syncing; idempotent."""
        ...


class Lock(Protocol):
    """A held lock."""

    def close(self) -> None:
        """Let go; idempotent."""
        ...


class FileSystem(Protocol):
    """Paths are absolute text. Files are made 0600, directories 0700; no symbolic link is followed.

    Missing files and the like raise ``StorageError`` naming the path.
    """

    def open_file(self, path: str, *, create: bool = False) -> File:
        """Open for reading and writing; with ``create`` the file must not exist yet."""
        ...

    def rename(self, old: str, new: str) -> None:
        """Move ``old`` over ``new`` in one step; both in one directory.

        A directory moves with what is in it, to a name that is free.
        """
        ...

    def unlink(self, path: str) -> None: ...

    def mkdir(self, path: str) -> None:
        """Make one directory; its parent exists."""
        ...

    def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        ...

    def listdir(self, path: str) -> list[str]:
        """Return the names in a directory, sorted."""
        ...

    def exists(self, path: str) -> bool: ...

    def is_directory(self, path: str) -> bool: ...

    def permissions(self, path: str) -> int:
        """Return the nine permission bits of ``path``."""
        ...

    def sync_directory(self, path: str) -> None:
        """Make the names in ``path`` survive power loss; see the module's text for the errors."""
        ...

    def lock(self, path: str, *, across_programs: bool = False) -> Lock:
        """Create ``path`` if need be and lock it, without waiting.

        The plain lock (flock) excludes every other opener, in this process too. With
        ``across_programs`` it is a POSIX lock (lockf), the kind Go's IPFS Cluster takes:
        that kind does not exclude the same process, and the process loses it when it
        closes any descriptor of the file, so it is taken while a plain lock is held.

        Raises:
            DataDirLocked: somebody holds it.

        """
        ...


class RealFileSystem:
    """The operating system's files: Linux, and macOS by F_FULLFSYNC."""

    def open_file(self, path: str, *, create: bool = False) -> File:
        flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
        if create:
            flags |= os.O_CREAT | os.O_EXCL
        try:
            return _RealFile(path, os.open(path, flags, 0o600))
        except OSError as error:
            if create and error.errno in _NO_SPACE:
                raise _write_error(error, path, "create") from error
            raise _plain_error(error, path, "open") from error

    def rename(self, old: str, new: str) -> None:
        try:
            os.rename(old, new)  # noqa: PTH104 - paths are text all through this protocol
        except OSError as error:
            raise _write_error(error, new, "rename a file to") from error

    def unlink(self, path: str) -> None:
        try:
            Path(path).unlink()
        except FileNotFoundError as error:
            raise _plain_error(error, path, "remove") from error
        except OSError as error:
            raise _write_error(error, path, "remove") from error

    def mkdir(self, path: str) -> None:
        try:
            Path(path).mkdir(mode=0o700)
        except OSError as error:
            if error.errno in _NO_SPACE:
                raise _write_error(error, path, "make directory") from error
            raise _plain_error(error, path, "make directory") from error

    def rmdir(self, path: str) -> None:
        try:
            Path(path).rmdir()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise _plain_error(error, path, "remove") from error
        except OSError as error:
            raise _write_error(error, path, "remove") from error

    def listdir(self, path: str) -> list[str]:
        try:
            return sorted(os.listdir(path))  # noqa: PTH208
        except OSError as error:
            raise _plain_error(error, path, "list") from error

    def exists(self, path: str) -> bool:
        return os.path.lexists(path)

    def is_directory(self, path: str) -> bool:
        return self.exists(path) and stat.S_ISDIR(os.lstat(path).st_mode)

    def permissions(self, path: str) -> int:
        try:
            return stat.S_IMODE(os.lstat(path).st_mode) & 0o777
        except OSError as error:
            raise _plain_error(error, path, "inspect") from error

    def sync_directory(self, path: str) -> None:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                _sync(descriptor, os.fsync)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise _sync_error(error, path) from error

    def lock(self, path: str, *, across_programs: bool = False) -> Lock:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            file = _RealFile(path, os.open(path, flags, 0o600))
        except OSError as error:
            raise _plain_error(error, path, "open the lock file") from error
        take = fcntl.lockf if across_programs else fcntl.flock
        try:
            take(file.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            if error.errno in _LOCKED:
                raise DataDirLocked(
                    f"{path} is locked: another peer, Python or Go, is running on this folder. "
                    "Stop it first."
                ) from error
            raise _plain_error(error, path, "lock") from error
        return file


class _RealFile:
    """A descriptor and its path. Python itself repeats calls that a signal interrupted (PEP 475)."""

    __slots__ = ("descriptor", "path")

    def __init__(self, path: str, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    def pread(self, size: int, offset: int) -> bytes:
        try:
            data = os.pread(self.descriptor, size, offset)
            if len(data) in {0, size}:
                return data
            parts = [data]
            done = len(data)
            while done < size and (more := os.pread(self.descriptor, size - done, offset + done)):
                parts.append(more)
                done += len(more)
        except OSError as error:
            raise _plain_error(error, self.path, "read") from error
        return b"".join(parts)

    def pwrite(self, data: bytes, offset: int) -> None:
        try:
            done = os.pwrite(self.descriptor, data, offset)
            if done != len(data):
                rest = memoryview(data)
                while done < len(data):
                    done += os.pwrite(self.descriptor, rest[done:], offset + done)
        except OSError as error:
            raise _write_error(error, self.path, "write") from error

    def fdatasync(self) -> None:
        try:
            _sync(self.descriptor, getattr(os, "fdatasync", os.fsync))
        except OSError as error:
            raise _sync_error(error, self.path) from error

    def truncate(self, size: int) -> None:
        try:
            os.ftruncate(self.descriptor, size)
        except OSError as error:
            raise _write_error(error, self.path, "truncate") from error

    def preallocate(self, size: int) -> None:
        length = self.size()
        if size <= length:
            return
        if sys.platform == "linux":
            try:
                os.posix_fallocate(self.descriptor, length, size - length)
            except OSError as error:
                if error.errno not in _NO_FALLOCATE:
                    raise _write_error(error, self.path, "reserve space in") from error
            else:
                return
        # macOS has no such call, some file systems refuse it: writing zeros reserves as well.
        for offset in range(length, size, _ZEROS_AT_ONCE):
            self.pwrite(bytes(min(_ZEROS_AT_ONCE, size - offset)), offset)

    def size(self) -> int:
        try:
            return os.fstat(self.descriptor).st_size
        except OSError as error:
            raise _plain_error(error, self.path, "inspect") from error

    def close(self) -> None:
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


class _Sync(Protocol):
    def __call__(self, descriptor: int, /) -> None: ...


def _sync(descriptor: int, sync: _Sync) -> None:
    # On macOS fsync leaves the bytes in the drive's cache; F_FULLFSYNC does not.
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is None:
        sync(descriptor)
    else:
        fcntl.fcntl(descriptor, full)


def _write_error(error: OSError, path: str, doing: str) -> StorageError:
    if error.errno in _NO_SPACE:
        return DiskFull(f"no space to {doing} {path}: {error.strerror}. Free some and try again.")
    return DurabilityLost(f"cannot {doing} {path}: {error.strerror}. Check the disk.")


def _sync_error(error: OSError, path: str) -> StorageError:
    return DurabilityLost(
        f"cannot make {path} durable: {error.strerror}. What was written may be lost; check the disk."
    )


def _plain_error(error: OSError, path: str, doing: str) -> StorageError:
    return StorageError(f"cannot {doing} {path}: {error.strerror}")
