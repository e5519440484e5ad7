"""What a crash of the fake may and may not lose."""

from __future__ import annotations

import random

import pytest

from raft_over_libp2p.errors import DiskFull, DurabilityLost
from raft_over_libp2p.testing.fake_filesystem import FakeFileSystem


def _with_file(data: bytes = b"old") -> FakeFileSystem:
    fs = FakeFileSystem()
    file = fs.open_file("/a", create=True)
    file.pwrite(data, 0)
    file.fdatasync()
    fs.sync_directory("/")
    return fs


def _content(fs: FakeFileSystem, path: str = "/a") -> bytes:
    file = fs.open_file(path)
    return file.pread(file.size(), 0)


def _images(fs: FakeFileSystem) -> list[FakeFileSystem]:
    return list(fs.crash_images(10_000))


def test_synced_bytes_and_names_survive_every_crash() -> None:
    assert [b"old"] == [_content(image) for image in _images(_with_file())]


def test_an_unsynced_write_is_lost_kept_or_torn_at_each_byte_from_either_side() -> None:
    fs = _with_file(b"....")
    fs.open_file("/a").pwrite(b"new!", 0)
    heads, rests = {b"n...", b"ne..", b"new."}, {b".ew!", b"..w!", b"...!"}
    assert {b"....", b"new!", *heads, *rests} == {_content(image) for image in _images(fs)}


def test_any_subset_of_unsynced_writes_is_kept() -> None:
    fs = _with_file(b"..")
    fs.open_file("/a").pwrite(b"1", 0)
    fs.open_file("/a").pwrite(b"2", 1)
    assert {b"..", b"1.", b".2", b"12"} == {_content(image) for image in _images(fs)}


def test_an_unsynced_name_may_be_lost_though_the_file_is_synced() -> None:
    fs = FakeFileSystem()
    file = fs.open_file("/a", create=True)
    file.fdatasync()
    assert {False, True} == {image.exists("/a") for image in _images(fs)}


def test_an_unsynced_unlink_may_be_undone() -> None:
    fs = _with_file()
    fs.unlink("/a")
    assert {False, True} == {image.exists("/a") for image in _images(fs)}


def test_a_rename_is_one_step() -> None:
    fs = _with_file()
    fs.rename("/a", "/b")
    assert {("a",), ("b",)} == {tuple(image.listdir("/")) for image in _images(fs)}


def test_a_synced_directory_keeps_its_names() -> None:
    fs = _with_file()
    fs.rename("/a", "/b")
    fs.sync_directory("/")
    assert [["b"]] == [image.listdir("/") for image in _images(fs)]


def test_after_a_failed_sync_the_bytes_are_seen_but_never_reach_the_disk() -> None:
    fs = _with_file()
    file = fs.open_file("/a")
    file.pwrite(b"new", 0)
    fs.failing_syncs = {fs.syncs + 1}
    with pytest.raises(DurabilityLost):
        file.fdatasync()
    file.fdatasync()
    assert (b"new", [b"old"]) == (_content(fs), [_content(image) for image in _images(fs)])


def test_a_random_crash_is_one_of_the_enumerated() -> None:
    fs = _with_file(b"....")
    fs.open_file("/a").pwrite(b"new!", 0)
    possible = {_content(image) for image in _images(fs)}
    found = {_content(fs.crash(random.Random(seed))) for seed in range(200)}
    assert possible == found


def test_enumeration_refuses_rather_than_leaves_out() -> None:
    fs = _with_file()
    fs.open_file("/a").pwrite(b"new", 0)
    with pytest.raises(ValueError, match="6 images, more than 5"):
        next(fs.crash_images(5))


def test_a_crash_leaves_the_crashed_one_as_it_is() -> None:
    fs = _with_file()
    image = _images(fs)[0]
    image.open_file("/a").pwrite(b"xxx", 0)
    assert _content(fs) == b"old"


def test_capacity_bounds_all_files_together() -> None:
    fs = _with_file(bytes(60))
    fs.capacity_bytes = 100
    other = fs.open_file("/b", create=True)
    other.preallocate(40)
    with pytest.raises(DiskFull):
        other.pwrite(b"x", 40)
    assert other.size() == 40


def test_a_full_write_leaves_a_part() -> None:
    fs = _with_file()
    fs.full_writes, fs.partial_bytes = {fs.writes + 1}, 2
    with pytest.raises(DiskFull):
        fs.open_file("/a").pwrite(b"new", 0)
    assert _content(fs) == b"ned"[:2] + b"d"


def test_a_flipped_bit_survives_the_crash() -> None:
    fs = _with_file(b"\x00")
    fs.flip_bit("/a", 0, bit=3)
    assert [b"\x08"] == [_content(image) for image in _images(fs)]
