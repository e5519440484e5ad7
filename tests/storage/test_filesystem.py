"""One contract, kept by the operating system's files and by the fake that can lose writes."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from raft_over_libp2p.errors import DataDirLocked, DiskFull, DurabilityLost, StorageError
from raft_over_libp2p.storage.filesystem import RealFileSystem
from tests.storage.conftest import Disk


def test_what_is_written_is_read_back(disk: Disk) -> None:
    file = disk.fs.open_file(f"{disk.root}/a", create=True)
    file.pwrite(b"hello", 3)
    assert file.pread(5, 3) == b"hello"


def test_bytes_before_a_first_write_are_zero(disk: Disk) -> None:
    file = disk.fs.open_file(f"{disk.root}/a", create=True)
    file.pwrite(b"x", 3)
    assert file.pread(10, 0) == b"\0\0\0x"


def test_a_read_at_the_end_is_short(disk: Disk) -> None:
    file = disk.fs.open_file(f"{disk.root}/a", create=True)
    file.pwrite(b"abc", 0)
    assert (b"c", b"") == (file.pread(9, 2), file.pread(9, 3))


def test_preallocated_bytes_are_zero_and_counted(disk: Disk) -> None:
    file = disk.fs.open_file(f"{disk.root}/a", create=True)
    file.preallocate(100)
    assert (100, bytes(100)) == (file.size(), file.pread(200, 0))


def test_preallocation_keeps_what_is_there(disk: Disk) -> None:
    file = disk.fs.open_file(f"{disk.root}/a", create=True)
    file.pwrite(b"abcdef", 0)
    file.preallocate(4)
    file.preallocate(8)
    assert file.pread(9, 0) == b"abcdef\0\0"


def test_truncation_cuts_and_extends_with_zeros(disk: Disk) -> None:
    file = disk.fs.open_file(f"{disk.root}/a", create=True)
    file.pwrite(b"abcdef", 0)
    file.truncate(2)
    file.truncate(4)
    assert file.pread(9, 0) == b"ab\0\0"


def test_a_file_is_created_once(disk: Disk) -> None:
    disk.fs.open_file(f"{disk.root}/a", create=True).close()
    with pytest.raises(StorageError, match=f"{disk.root}/a: File exists"):
        disk.fs.open_file(f"{disk.root}/a", create=True)


def test_a_missing_file_is_named(disk: Disk) -> None:
    with pytest.raises(StorageError, match=f"{disk.root}/a: No such file"):
        disk.fs.open_file(f"{disk.root}/a")


def test_a_missing_file_cannot_be_removed(disk: Disk) -> None:
    with pytest.raises(StorageError, match=f"{disk.root}/a: No such file"):
        disk.fs.unlink(f"{disk.root}/a")


def test_a_rename_replaces(disk: Disk) -> None:
    for name, data in (("a", b"new"), ("b", b"old")):
        disk.fs.open_file(f"{disk.root}/{name}", create=True).pwrite(data, 0)
    disk.fs.rename(f"{disk.root}/a", f"{disk.root}/b")
    assert ["b"] == disk.fs.listdir(disk.root)
    assert disk.fs.open_file(f"{disk.root}/b").pread(9, 0) == b"new"


def test_a_directory_is_made_private_and_listed(disk: Disk) -> None:
    disk.fs.mkdir(f"{disk.root}/d")
    disk.fs.open_file(f"{disk.root}/d/y", create=True)
    disk.fs.open_file(f"{disk.root}/d/x", create=True)
    assert ["x", "y"] == disk.fs.listdir(f"{disk.root}/d")
    assert disk.fs.permissions(f"{disk.root}/d") == 0o700
    assert disk.fs.permissions(f"{disk.root}/d/x") == 0o600


def test_a_directory_is_made_once(disk: Disk) -> None:
    disk.fs.mkdir(f"{disk.root}/d")
    with pytest.raises(StorageError, match=f"{disk.root}/d: File exists"):
        disk.fs.mkdir(f"{disk.root}/d")


def test_an_empty_directory_is_removed(disk: Disk) -> None:
    disk.fs.mkdir(f"{disk.root}/d")
    disk.fs.rmdir(f"{disk.root}/d")
    assert [] == disk.fs.listdir(disk.root)


def test_a_directory_with_a_file_in_it_is_not_removed(disk: Disk) -> None:
    disk.fs.mkdir(f"{disk.root}/d")
    disk.fs.open_file(f"{disk.root}/d/f", create=True)
    with pytest.raises(DurabilityLost, match=f"{disk.root}/d: Directory not empty"):
        disk.fs.rmdir(f"{disk.root}/d")


@pytest.mark.parametrize("name", ["none", "f"])
def test_what_is_no_directory_is_not_removed_as_one(disk: Disk, name: str) -> None:
    disk.fs.open_file(f"{disk.root}/f", create=True)
    with pytest.raises(StorageError, match=f"cannot remove {disk.root}/{name}"):
        disk.fs.rmdir(f"{disk.root}/{name}")


def test_a_directory_is_renamed_with_what_is_in_it(disk: Disk) -> None:
    disk.fs.mkdir(f"{disk.root}/d")
    disk.fs.open_file(f"{disk.root}/d/f", create=True)
    disk.fs.rename(f"{disk.root}/d", f"{disk.root}/e")
    assert (["e"], ["f"]) == (disk.fs.listdir(disk.root), disk.fs.listdir(f"{disk.root}/e"))


def test_existence_and_kind_are_told(disk: Disk) -> None:
    disk.fs.mkdir(f"{disk.root}/d")
    disk.fs.open_file(f"{disk.root}/f", create=True)
    names = ("d", "f", "none")
    assert [True, True, False] == [disk.fs.exists(f"{disk.root}/{n}") for n in names]
    assert [True, False, False] == [disk.fs.is_directory(f"{disk.root}/{n}") for n in names]


def test_an_unlinked_file_is_gone(disk: Disk) -> None:
    disk.fs.open_file(f"{disk.root}/a", create=True).close()
    disk.fs.unlink(f"{disk.root}/a")
    assert [] == disk.fs.listdir(disk.root)


def test_syncs_return(disk: Disk) -> None:
    file = disk.fs.open_file(f"{disk.root}/a", create=True)
    file.pwrite(b"abc", 0)
    file.fdatasync()
    disk.fs.sync_directory(disk.root)
    assert file.pread(3, 0) == b"abc"


def test_a_closed_file_may_be_closed_again(disk: Disk) -> None:
    file = disk.fs.open_file(f"{disk.root}/a", create=True)
    file.close()
    file.close()
    with pytest.raises(StorageError, match=f"{disk.root}/a"):
        file.pread(1, 0)


def test_a_plain_lock_excludes_the_same_process_until_closed(disk: Disk) -> None:
    lock = disk.fs.lock(f"{disk.root}/LOCK")
    with pytest.raises(DataDirLocked, match=f"{disk.root}/LOCK"):
        disk.fs.lock(f"{disk.root}/LOCK")
    lock.close()
    lock.close()
    disk.fs.lock(f"{disk.root}/LOCK").close()


def _failing(monkeypatch: pytest.MonkeyPatch, name: str, code: int) -> None:
    def fail(*_: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, name, fail)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("call", ["pwrite", "posix_fallocate"])
def test_no_space_is_disk_full(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, call: str, code: int
) -> None:
    file = RealFileSystem().open_file(f"{tmp_path}/a", create=True)
    _failing(monkeypatch, call, code)
    with pytest.raises(DiskFull, match=f"{tmp_path}/a"):
        file.pwrite(b"x", 0) if call == "pwrite" else file.preallocate(9)


@pytest.mark.parametrize("call", ["pwrite", "ftruncate"])
def test_any_other_failed_write_loses_durability(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, call: str
) -> None:
    file = RealFileSystem().open_file(f"{tmp_path}/a", create=True)
    _failing(monkeypatch, call, errno.EIO)
    with pytest.raises(DurabilityLost, match="Input/output error"):
        file.pwrite(b"x", 0) if call == "pwrite" else file.truncate(9)


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("call", ["fdatasync", "fsync"])
def test_every_failed_sync_loses_durability(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, call: str, code: int
) -> None:
    fs = RealFileSystem()
    file = fs.open_file(f"{tmp_path}/a", create=True)
    _failing(monkeypatch, call, code)
    with pytest.raises(DurabilityLost, match=r"cannot make .* durable"):
        file.fdatasync() if call == "fdatasync" else fs.sync_directory(str(tmp_path))


def test_a_failed_read_names_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = RealFileSystem().open_file(f"{tmp_path}/a", create=True)
    _failing(monkeypatch, "pread", errno.EIO)
    with pytest.raises(StorageError, match=f"cannot read {tmp_path}/a"):
        file.pread(1, 0)


def test_short_reads_and_writes_are_continued(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pread, pwrite = os.pread, os.pwrite
    monkeypatch.setattr(os, "pread", lambda fd, size, at: pread(fd, min(size, 3), at))
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: pwrite(fd, bytes(data)[:3], at))
    file = RealFileSystem().open_file(f"{tmp_path}/a", create=True)
    file.pwrite(b"ten bytes!", 1)
    assert file.pread(99, 1) == b"ten bytes!"


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").touch(0o600)
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with pytest.raises(StorageError, match=f"cannot open {tmp_path}/link"):
        RealFileSystem().open_file(f"{tmp_path}/link")


def test_space_is_reserved_by_zeros_where_the_file_system_knows_no_other_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = RealFileSystem().open_file(f"{tmp_path}/a", create=True)
    file.pwrite(b"abc", 0)
    _failing(monkeypatch, "posix_fallocate", errno.EOPNOTSUPP)
    file.preallocate(3_000_000)
    assert (3_000_000, b"abc\0") == (file.size(), file.pread(4, 0))
