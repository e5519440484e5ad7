"""BoltDB files written: read back whole; Go's own check is in tests/interop/test_migration.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_over_libp2p.errors import DiskFull, LocalProtocolError, StorageError
from raft_over_libp2p.storage.bolt_format import Meta, parse_meta
from raft_over_libp2p.storage.bolt_reader import BoltFile
from raft_over_libp2p.storage.bolt_writer import write_bolt_file
from raft_over_libp2p.testing.fake_filesystem import FakeFileSystem

PATH = "/raft.db"


def read(fs: FakeFileSystem, name: bytes) -> dict[bytes, bytes]:
    with BoltFile.open(fs, PATH) as file:
        bucket = file.bucket(name)
        assert bucket is not None
        return dict(bucket.items())


@given(
    st.dictionaries(st.binary(min_size=1, max_size=40), st.binary(max_size=3000), max_size=60),
    st.dictionaries(st.binary(min_size=1, max_size=8), st.binary(max_size=20), max_size=400),
    st.sampled_from([1024, 4096]),
)
def test_what_is_written_is_read(
    one: dict[bytes, bytes], two: dict[bytes, bytes], page_size: int
) -> None:
    fs = FakeFileSystem()
    buckets = {b"one": sorted(one.items()), b"two": sorted(two.items())}
    write_bolt_file(fs, PATH, buckets, page_size=page_size)
    assert (one, two) == (read(fs, b"one"), read(fs, b"two"))


def test_both_meta_pages_say_the_same_and_belong_to_their_pages() -> None:
    fs = FakeFileSystem()
    write_bolt_file(fs, PATH, {b"logs": [(b"k", b"v")]})
    file = fs.open_file(PATH)
    metas = [parse_meta(file.pread(80, page * 4096)) for page in (0, 1)]
    for page, meta in enumerate(metas):
        assert isinstance(meta, Meta)
        assert page == meta.transaction % 2
        assert file.size() == meta.high_water * 4096
    assert isinstance(metas[0], Meta)
    assert isinstance(metas[1], Meta)
    assert metas[0].root == metas[1].root


def test_the_bytes_are_durable_on_return() -> None:
    fs = FakeFileSystem()
    write_bolt_file(fs, PATH, {b"logs": [(b"k", b"v" * 5000)]})
    fs.sync_directory("/")
    assert not fs.has_unsynced()


@pytest.mark.parametrize("keys", [[b"b", b"a"], [b"a", b"a"]])
def test_keys_out_of_order_are_refused(keys: list[bytes]) -> None:
    with pytest.raises(LocalProtocolError, match=r"key 61 follows key 6[12]"):
        write_bolt_file(FakeFileSystem(), PATH, {b"logs": [(key, b"") for key in keys]})


def test_a_file_that_is_there_is_not_touched() -> None:
    fs = FakeFileSystem()
    fs.open_file(PATH, create=True).pwrite(b"mine", 0)
    with pytest.raises(StorageError, match="File exists"):
        write_bolt_file(fs, PATH, {})
    assert b"mine" == fs.open_file(PATH).pread(10, 0)


def test_no_space_is_told() -> None:
    with pytest.raises(DiskFull):
        write_bolt_file(FakeFileSystem(capacity_bytes=9000), PATH, {b"logs": [(b"k", bytes(9000))]})
