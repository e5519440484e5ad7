"""The SnapshotStore contract on real files and the fake; Go's snapshots; bad ones; faults."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_over_libp2p import limits
from raft_over_libp2p.errors import (
    CorruptSnapshot,
    DiskFull,
    DurabilityLost,
    LocalProtocolError,
    StorageError,
)
from raft_over_libp2p.storage import snapshot_sink
from raft_over_libp2p.storage.filesystem import RealFileSystem
from raft_over_libp2p.storage.interface import SnapshotStore
from raft_over_libp2p.storage.snapshot_meta import encode_meta, parse_meta, with_checksum
from raft_over_libp2p.storage.snapshot_store import FileSnapshotStore
from raft_over_libp2p.testing.fake_filesystem import FakeFileSystem
from raft_over_libp2p.types import Index
from tests.storage.conftest import Disk
from tests.storage.snapshots import (
    FIXTURES,
    GO_FOLDERS,
    GO_LIST,
    GO_SNAPSHOTS,
    get,
    meta,
    open_store,
    put,
    put_go_folder,
    read_all,
    take,
)


@pytest.fixture
def store(disk: Disk) -> FileSnapshotStore:
    return open_store(disk)


def names(disk: Disk) -> list[str]:
    return disk.fs.listdir(f"{disk.root}/snapshots")


class TestSnapshotStoreContract:
    def test_there_is_none_at_first(self, store: SnapshotStore) -> None:
        assert ((), None, ()) == (store.list(), store.newest(), store.skipped)

    def test_a_finished_one_is_listed_and_read_as_written(self, store: SnapshotStore) -> None:
        sink = store.create(meta(7, 2), 1000)
        for chunk in (b"one ", b"", b"two"):
            sink.write(chunk)
        assert sink.size_bytes == 7
        info = sink.finish()
        assert (meta(7, 2), 7, "2-7-1000") == (info.meta, info.size_bytes, info.snapshot_id)
        assert (info,) == store.list()
        assert b"one two" == read_all(store, info)

    def test_an_empty_one_is_a_snapshot_too(self, store: SnapshotStore) -> None:
        info = store.create(meta(7), 1000).finish()
        assert (b"", bytes(8)) == (read_all(store, info), info.checksum)

    def test_it_is_there_after_reopening(self, disk: Disk, store: SnapshotStore) -> None:
        info = take(store, 7, data=b"kept")
        again = open_store(disk)
        assert info == again.newest()
        assert b"kept" == read_all(again, info)

    def test_an_unfinished_one_is_not_seen(self, store: SnapshotStore) -> None:
        store.create(meta(7), 1000).write(b"half")
        assert ((), ()) == (store.list(), store.skipped)

    def test_a_cancelled_one_leaves_nothing(self, disk: Disk, store: SnapshotStore) -> None:
        sink = store.create(meta(7), 1000)
        sink.write(b"half")
        sink.cancel()
        sink.cancel()
        assert [] == names(disk)

    def test_cancelling_a_finished_one_changes_nothing(self, store: SnapshotStore) -> None:
        sink = store.create(meta(7), 1000)
        info = sink.finish()
        sink.cancel()
        assert (info,) == store.list()

    def test_a_finished_or_cancelled_one_takes_no_more(self, store: SnapshotStore) -> None:
        finished, cancelled = store.create(meta(7), 1000), store.create(meta(8), 1000)
        finished.finish()
        cancelled.cancel()
        for sink in (finished, cancelled):
            with pytest.raises(LocalProtocolError, match="finished or gone"):
                sink.write(b"more")
            with pytest.raises(LocalProtocolError, match="finished or gone"):
                sink.finish()

    def test_two_may_be_written_at_once_and_in_one_millisecond(self, store: SnapshotStore) -> None:
        first, second = store.create(meta(7), 1000), store.create(meta(7), 1000)
        first.write(b"first")
        second.write(b"second")
        infos = (second.finish(), first.finish())
        assert ["1-7-1001", "1-7-1000"] == [info.snapshot_id for info in infos]
        assert [b"second", b"first"] == [read_all(store, info) for info in infos]
        third = store.create(meta(7), 1000).finish()
        assert third.snapshot_id == "1-7-1002"

    def test_the_order_is_by_term_then_index_then_text_of_the_id(
        self, store: SnapshotStore
    ) -> None:
        for index, term, unix_ms in ((10, 2, 5), (9, 2, 7), (50, 1, 9), (10, 2, 11), (10, 2, 12)):
            take(store, index, term, unix_ms=unix_ms)
        expected = ["2-10-5", "2-10-12", "2-10-11", "2-9-7", "1-50-9"]
        assert expected == [info.snapshot_id for info in store.list()]

    def test_reads_are_cut_at_max_bytes_and_end_empty(self, store: SnapshotStore) -> None:
        reader = store.open(take(store, 7, data=b"abcde"))
        assert (5, [b"abc", b"de", b""]) == (reader.size_bytes, [reader.read(3) for _ in range(3)])
        reader.close()
        reader.close()

    def test_the_oldest_beyond_the_limit_go(self, disk: Disk) -> None:
        store = open_store(disk, retain=2)
        for index in (1, 2, 3, 4):
            take(store, index)
        assert ["1-3-1000", "1-4-1000"] == names(disk)

    def test_one_for_a_lower_index_is_not_removed_by_its_own_finish(self, disk: Disk) -> None:
        store = open_store(disk, retain=1)
        take(store, 20)
        take(store, 10)
        assert ["1-10-1000", "1-20-1000"] == names(disk)
        take(store, 30)
        assert ["1-30-1000"] == names(disk)

    def test_one_that_is_being_read_may_be_reaped(self, disk: Disk) -> None:
        store = open_store(disk, retain=1)
        reader = store.open(take(store, 7, data=b"still here"))
        take(store, 8)
        assert ["1-8-1000"] == names(disk)
        assert b"still here" == reader.read(100)
        reader.close()

    def test_reading_one_that_is_gone_is_an_error_that_names_it(self, disk: Disk) -> None:
        store = open_store(disk, retain=1)
        old = take(store, 7)
        take(store, 8)
        with pytest.raises(StorageError, match="snapshots/1-7-1000"):
            store.open(old)

    def test_at_least_one_is_retained(self, disk: Disk) -> None:
        with pytest.raises(LocalProtocolError, match="0 snapshots to retain"):
            open_store(disk, retain=0)

    @given(chunks=st.lists(st.binary(max_size=300), max_size=6), max_bytes=st.integers(1, 400))
    def test_however_it_is_cut_it_is_the_same_snapshot(
        self, chunks: list[bytes], max_bytes: int
    ) -> None:
        fs = FakeFileSystem()
        fs.mkdir("/root")
        store = open_store(Disk(fs, "/root"))
        sink = store.create(meta(7), 1000)
        for chunk in chunks:
            sink.write(chunk)
        info = sink.finish()
        whole = b"".join(chunks)
        assert whole == read_all(store, info, max_bytes)
        assert replace(info, snapshot_id="") == replace(
            take(store, 7, data=whole, unix_ms=2), snapshot_id=""
        )


class TestGosSnapshots:
    @pytest.mark.parametrize("folder", GO_FOLDERS, ids=lambda path: path.name)
    def test_all_are_listed_and_restore(self, disk: Disk, folder: Path) -> None:
        put_go_folder(disk, folder)
        store = open_store(disk)
        found = {info.snapshot_id: read_all(store, info) for info in store.list()}
        expected = [path for path in GO_SNAPSHOTS if folder in path.parents]
        assert {path.name: (path / "state.bin").read_bytes() for path in expected} == found
        assert store.skipped == ()

    def test_the_order_is_gos(self, disk: Disk) -> None:
        put_go_folder(disk, FIXTURES / "raft" / "snapshot-dir")
        listed = open_store(disk).list()
        assert [each["ID"] for each in GO_LIST] == [info.snapshot_id for info in listed]
        for expected, info in zip(GO_LIST, listed, strict=True):
            assert (expected["Index"], expected["Term"], expected["Size"]) == (
                info.meta.index, info.meta.term, info.size_bytes,
            )  # fmt: skip
            assert expected["Configuration"]["Servers"] == [
                {"Suffrage": s.suffrage, "ID": s.id, "Address": s.address}
                for s in info.meta.configuration.servers
            ]

    @pytest.mark.parametrize("path", GO_SNAPSHOTS, ids=lambda path: path.name)
    def test_the_same_snapshot_written_here_has_the_same_names_and_bytes(
        self, disk: Disk, path: Path
    ) -> None:
        """But for the one key behind the others, which Go ignores."""
        info = parse_meta((path / "meta.json").read_bytes())
        sink = open_store(disk).create(info.meta, int(path.name.rpartition("-")[2]))
        data = (path / "state.bin").read_bytes()
        for start in range(0, len(data), 999):
            sink.write(data[start : start + 999])
        sink.finish()
        assert [path.name] == names(disk)
        files = sorted(disk.fs.listdir(f"{disk.root}/snapshots/{path.name}"))
        assert files == sorted(each.name for each in path.iterdir())
        assert data == get(disk, f"snapshots/{path.name}/state.bin")
        expected = with_checksum((path / "meta.json").read_bytes())
        assert expected == get(disk, f"snapshots/{path.name}/meta.json")

    def test_gos_abandoned_tmp_is_ignored_and_removed(self, disk: Disk) -> None:
        put_go_folder(disk, FIXTURES / "raft" / "snapshot-dir")
        assert any(name.endswith(".tmp") for name in names(disk))
        open_store(disk)
        assert not any(name.endswith(".tmp") for name in names(disk))


class TestBadSnapshots:
    @pytest.fixture
    def good(self, store: FileSnapshotStore) -> str:
        return take(store, 5).snapshot_id

    def check_skipped(self, disk: Disk, good: str, name: str, why: str) -> None:
        store = open_store(disk)
        assert [good] == [info.snapshot_id for info in store.list()]
        (skipped,) = store.skipped
        assert f"{disk.root}/snapshots/{name}" == skipped.path
        assert why in skipped.why

    def test_one_without_meta_is_skipped_and_told(self, disk: Disk, good: str) -> None:
        put(disk, "snapshots/9-9-9/state.bin", b"state")
        self.check_skipped(disk, good, "9-9-9", "No such file")

    @pytest.mark.parametrize("data", [b"", b"{", b"null"])
    def test_one_with_a_damaged_meta_is_skipped_and_told(
        self, disk: Disk, good: str, data: bytes
    ) -> None:
        put(disk, "snapshots/9-9-9/meta.json", data)
        self.check_skipped(disk, good, "9-9-9", "it is not")

    def test_a_newer_version_is_skipped_and_told(self, disk: Disk, good: str) -> None:
        ours = get(disk, f"snapshots/{good}/meta.json").replace(b'"Version":1', b'"Version":2')
        data = with_checksum(ours.rpartition(b',"MetaCRC"')[0])
        put(disk, "snapshots/9-9-9/meta.json", data)
        self.check_skipped(disk, good, "9-9-9", "version 2")

    def test_when_all_are_of_a_newer_version_the_path_is_named(self, disk: Disk, good: str) -> None:
        ours = get(disk, f"snapshots/{good}/meta.json").replace(b'"Version":1', b'"Version":2')
        put(disk, f"snapshots/{good}/meta.json", with_checksum(ours.rpartition(b',"MetaCRC"')[0]))
        why = f"{disk.root}/snapshots/{good}: it has version 2; this program knows up to 1"
        with pytest.raises(CorruptSnapshot, match=why):
            open_store(disk).newest_restorable()

    def test_a_copy_under_another_name_is_skipped_and_told(self, disk: Disk, good: str) -> None:
        put(disk, "snapshots/backup/meta.json", get(disk, f"snapshots/{good}/meta.json"))
        self.check_skipped(disk, good, "backup", f"that of snapshot {good}")

    @pytest.mark.parametrize("bit", [0, 1, 2])
    def test_an_index_with_a_flipped_bit_is_skipped_and_told(
        self, disk: Disk, good: str, bit: int
    ) -> None:
        """Go's meta.json has no checksum; the name says index and term too."""
        info = parse_meta(get(disk, f"snapshots/{good}/meta.json"))
        flipped = replace(info.meta, index=Index(info.meta.index ^ (1 << bit)))
        name = f"{info.meta.term}-{info.meta.index}-5000"
        put(disk, f"snapshots/{name}/state.bin", get(disk, f"snapshots/{good}/state.bin"))
        damaged = replace(info, snapshot_id=name, meta=flipped)
        put(disk, f"snapshots/{name}/meta.json", encode_meta(damaged))

        self.check_skipped(disk, good, name, f"names entry {flipped.index}")

    def test_one_over_the_limit_is_skipped_and_told(self, disk: Disk, good: str) -> None:
        info = replace(parse_meta(get(disk, f"snapshots/{good}/meta.json")), snapshot_id="1-5-9")
        data = encode_meta(replace(info, size_bytes=limits.MAX_SNAPSHOT_BYTES + 1))
        put(disk, "snapshots/1-5-9/meta.json", data)
        self.check_skipped(disk, good, "1-5-9", "1073741825 bytes are over the limit")

    def test_an_endless_meta_is_skipped_and_told(self, disk: Disk, good: str) -> None:
        put(disk, "snapshots/9-9-9/meta.json", bytes(limits.MIB * 4 + 1))
        self.check_skipped(disk, good, "9-9-9", "over 4194304 bytes")

    def test_files_beside_the_snapshots_are_left_alone(self, disk: Disk, good: str) -> None:
        put(disk, "snapshots/permTest", b"")
        put(disk, "snapshots/notes.tmp/why/text", b"mine")
        store = open_store(disk)
        assert ([good], ()) == ([info.snapshot_id for info in store.list()], store.skipped)
        assert [good, "notes.tmp", "permTest"] == names(disk)

    def test_what_others_put_into_an_abandoned_one_stays(self, disk: Disk, good: str) -> None:
        put(disk, "snapshots/9-9-9.tmp/mine/text", b"mine")
        put(disk, "snapshots/9-9-9.tmp/state.bin", b"")
        open_store(disk)
        assert ["mine"] == disk.fs.listdir(f"{disk.root}/snapshots/9-9-9.tmp")

    @pytest.mark.parametrize(
        ("data", "why"),
        [
            (b"", "has 0 bytes and should have 5"),
            (b"stat", "has 4 bytes and should have 5"),
            (b"state.", "has 6 bytes and should have 5"),
            (b"State", "has the CRC-64 .* and should have"),
        ],
    )
    def test_wrong_bytes_are_not_opened_and_the_path_is_named(
        self, disk: Disk, store: FileSnapshotStore, data: bytes, why: str
    ) -> None:
        info = take(store, 5)
        put(disk, "snapshots/1-5-1000/state.bin", data)
        with pytest.raises(CorruptSnapshot, match=rf"snapshots/1-5-1000/state\.bin {why}"):
            store.open(info)

    def test_a_snapshot_that_go_left_without_a_checksum_is_not_opened(self, disk: Disk) -> None:
        name = "9-999-1795392494448"
        source = FIXTURES / "raft" / "snapshot-dir" / "snapshots" / f"{name}.tmp"
        for file in source.iterdir():
            put(disk, f"snapshots/{name}/{file.name}", file.read_bytes())
        store = open_store(disk)
        (info,) = store.list()
        with pytest.raises(CorruptSnapshot, match=f"{name}.* should have one"):
            store.open(info)

    def test_one_that_becomes_shorter_while_it_is_read_is_told(
        self, disk: Disk, store: FileSnapshotStore
    ) -> None:
        reader = store.open(take(store, 5))
        disk.fs.open_file(f"{disk.root}/snapshots/1-5-1000/state.bin").truncate(3)
        with pytest.raises(CorruptSnapshot, match=r"state\.bin ends after 3 bytes; it had 5"):
            reader.read(100)


class TestNewestRestorable:
    def test_without_snapshots_there_is_none(self, store: FileSnapshotStore) -> None:
        assert store.newest_restorable() is None

    def test_damaged_newer_ones_are_passed_over_and_told(
        self, disk: Disk, store: FileSnapshotStore
    ) -> None:
        good = take(store, 5)
        for index in (6, 7):
            take(store, index)
        put(disk, "snapshots/1-6-1000/state.bin", b"other")
        disk.fs.unlink(f"{disk.root}/snapshots/1-7-1000/state.bin")
        put(disk, "snapshots/1-8-1000/meta.json", b"{")
        again = open_store(disk)
        assert good == again.newest_restorable()
        assert ["1-8-1000", "1-7-1000", "1-6-1000"] == [
            Path(each.path).name for each in again.skipped
        ]

    def test_when_none_restores_all_are_named(self, disk: Disk, store: FileSnapshotStore) -> None:
        take(store, 5)
        put(disk, "snapshots/1-5-1000/state.bin", b"other")
        put(disk, "snapshots/1-6-1000/meta.json", b"{")
        paths = f"{disk.root}/snapshots/1-6-1000: .*{disk.root}/snapshots/1-5-1000: .*CRC-64"
        with pytest.raises(CorruptSnapshot, match=paths):
            open_store(disk).newest_restorable()

    def test_what_was_verified_is_not_read_again(
        self, disk: Disk, store: FileSnapshotStore
    ) -> None:
        info = take(store, 5)
        put(disk, "snapshots/1-5-1000/state.bin", b"other")
        assert info == store.newest_restorable()


class TestFaults:
    """Only the fake fails on demand."""

    @pytest.fixture
    def fs(self) -> FakeFileSystem:
        fs = FakeFileSystem()
        fs.mkdir("/root")
        return fs

    @pytest.fixture
    def disk(self, fs: FakeFileSystem) -> Disk:
        return Disk(fs, "/root")

    @pytest.fixture
    def old(self, store: FileSnapshotStore) -> str:
        return take(store, 5).snapshot_id

    def test_a_full_disk_while_writing_leaves_what_was_there(
        self, fs: FakeFileSystem, disk: Disk, store: FileSnapshotStore, old: str
    ) -> None:
        sink = store.create(meta(9), 1000)
        sink.write(b"begun")
        fs.full_writes, fs.partial_bytes = {fs.writes + 1}, 3
        with pytest.raises(DiskFull):
            sink.write(b"and no space")
        sink.cancel()
        assert [old] == names(disk)
        assert b"state" == read_all(store, take(store, 9))

    def test_a_full_disk_while_finishing_leaves_what_was_there(
        self, fs: FakeFileSystem, disk: Disk, store: FileSnapshotStore, old: str
    ) -> None:
        sink = store.create(meta(9), 1000)
        sink.write(b"all of it")
        fs.full_writes, fs.partial_bytes = {fs.writes + 1}, 30
        with pytest.raises(DiskFull):
            sink.finish()
        assert [old] == names(disk)

    def test_a_full_disk_before_the_first_byte_leaves_nothing(
        self, fs: FakeFileSystem, disk: Disk, store: FileSnapshotStore,
        old: str, monkeypatch: pytest.MonkeyPatch,
    ) -> None:  # fmt: skip
        def full(path: str, *, create: bool = False) -> None:
            raise DiskFull(f"no space to create {path}")

        monkeypatch.setattr(fs, "open_file", full)
        with pytest.raises(DiskFull):
            store.create(meta(9), 1000)
        assert [old] == names(disk)

    @pytest.mark.parametrize("step", ["rename", "reap"])
    def test_no_space_for_a_name(
        self, fs: FakeFileSystem, disk: Disk, monkeypatch: pytest.MonkeyPatch, step: str
    ) -> None:
        """To finish it is an error; to remove an older one is left to the next time."""
        store = open_store(disk, retain=1)
        take(store, 5)
        rename = fs.rename

        def full(old: str, new: str) -> None:
            if new.endswith(".tmp") == (step == "reap"):
                raise DiskFull(f"no space to rename to {new}")
            rename(old, new)

        sink = store.create(meta(9), 1000)
        monkeypatch.setattr(fs, "rename", full)
        if step == "rename":
            with pytest.raises(DiskFull):
                sink.finish()
            assert ["1-5-1000"] == names(disk)
        else:
            sink.finish()
            assert ["1-5-1000", "1-9-1000"] == names(disk)

    def test_a_failed_sync_is_fatal_and_the_snapshot_is_not_seen(
        self, fs: FakeFileSystem, disk: Disk, store: FileSnapshotStore, old: str
    ) -> None:
        sink = store.create(meta(9), 1000)
        fs.failing_syncs = {fs.syncs + 1}
        with pytest.raises(DurabilityLost):
            sink.finish()
        assert [old] == [info.snapshot_id for info in store.list()]

    def test_what_is_read_back_otherwise_than_written_is_not_finished(
        self, fs: FakeFileSystem, disk: Disk, store: FileSnapshotStore, old: str
    ) -> None:
        sink = store.create(meta(9), 1000)
        sink.write(b"state")
        fs.flip_bit("/root/snapshots/1-9-1000.tmp/state.bin", 2)
        with pytest.raises(CorruptSnapshot, match="1-9-1000"):
            sink.finish()
        assert [old] == names(disk)

    def test_a_snapshot_over_the_limit_is_not_written(
        self, disk: Disk, store: FileSnapshotStore, old: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(snapshot_sink.limits, "MAX_SNAPSHOT_BYTES", 10)
        sink = store.create(meta(9), 1000)
        sink.write(b"0123456789")
        with pytest.raises(StorageError, match="over 10 bytes"):
            sink.write(b"x")
        assert [old] == names(disk)


def test_everything_is_private(tmp_path: Path) -> None:
    take(FileSnapshotStore(RealFileSystem(), str(tmp_path)), 7)
    assert [] == [each for each in tmp_path.rglob("*") if each.stat().st_mode & 0o077]


def test_a_checksum_is_told_in_gos_form(store: FileSnapshotStore) -> None:
    assert "mV3Ju98ZOfo=" == base64.b64encode(take(store, 1, data=b"123456789").checksum).decode()
