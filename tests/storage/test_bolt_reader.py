"""BoltDB files read without Go: the recorded ones, made ones of any shape, and damaged ones."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from struct import pack_into, unpack_from

import pytest

from raft_over_libp2p.errors import CorruptLog, StorageError
from raft_over_libp2p.storage.bolt_format import BRANCH_PAGE, Meta, encode_meta, parse_meta
from raft_over_libp2p.storage.bolt_reader import BoltFile
from raft_over_libp2p.storage.bolt_writer import write_bolt_file
from raft_over_libp2p.storage.filesystem import FileSystem, RealFileSystem
from raft_over_libp2p.testing.fake_filesystem import FakeFileSystem
from raft_over_libp2p.wire.log_entry import decode_entry
from tests.storage.go_stores import GO_STORES, of_version
from tests.wire.recorded import recorded

PATH = "/raft.db"
PAGE = 1024
Items = dict[bytes, bytes]


def key(number: int) -> bytes:
    return number.to_bytes(8, "big")


def read_all(fs: FileSystem, path: str) -> dict[bytes, Items]:
    with BoltFile.open(fs, path) as file:
        found = {name: file.bucket(name) for name in (b"conf", b"logs")}
        return {name: dict(bucket.items()) for name, bucket in found.items() if bucket is not None}


def memory(data: bytes) -> FakeFileSystem:
    fs = FakeFileSystem()
    fs.open_file(PATH, create=True).pwrite(data, 0)
    return fs


def made(items: Items, *, page_size: int = PAGE) -> bytearray:
    fs = FakeFileSystem()
    write_bolt_file(fs, PATH, {b"logs": sorted(items.items()), b"conf": ()}, page_size=page_size)
    file = fs.open_file(PATH)
    return bytearray(file.pread(file.size(), 0))


def three_levels() -> tuple[Items, bytearray]:
    items = {key(number): bytes(200) for number in range(1, 1000)}
    return items, made(items)


def pages_of(data: bytes, kind: int) -> list[int]:
    return [
        number
        for number in range(2, len(data) // PAGE)
        if unpack_from("<QH", data, number * PAGE) == (number, kind)
    ]


class TestRecordedFiles:
    def test_there_are_files_of_both_generations(self) -> None:
        assert 8 == len(GO_STORES)

    @pytest.mark.parametrize("path", GO_STORES, ids=lambda path: f"{path.parent.name}/{path.name}")
    def test_each_is_read_whole_and_left_as_it_is(self, path: Path) -> None:
        before = path.read_bytes()
        found = read_all(RealFileSystem(), str(path))
        for index, value in found[b"logs"].items():
            assert int.from_bytes(index) == decode_entry(value).index
        assert b"CurrentTerm" in found[b"conf"]
        assert before == path.read_bytes()

    @pytest.mark.parametrize(
        ("name", "form", "first"),
        [
            ("raft-boltdb-20190605.db", "v05_hex", 1),
            ("raft-boltdb-20190605-compacted.db", "v05_hex", 31),
            ("raft-boltdb-v2.3.1.db", "v2_hex", 1),
        ],
    )
    def test_it_holds_what_go_says_it_wrote(self, name: str, form: str, first: int) -> None:
        fixtures = recorded()["fixtures"]
        (path,) = [path for path in GO_STORES if path.name == name]
        found = read_all(RealFileSystem(), str(path))
        logs = {
            key(index): bytes.fromhex(each[form])
            for index, each in enumerate(fixtures["bolt_logs"], 1)
        }
        assert {k: v for k, v in logs.items() if k >= key(first)} == found[b"logs"]
        stable = {
            name.encode(): bytes.fromhex(value) for name, value in fixtures["bolt_stable"].items()
        }
        assert stable == found[b"conf"]


class TestTrees:
    @pytest.mark.parametrize("count", [0, 1, 4, 5, 1000])
    def test_all_items_come_in_order(self, count: int) -> None:
        items = {key(number): bytes([number % 256]) * (number % 300) for number in range(count)}
        found = read_all(memory(made(items)), PATH)
        assert list(items.items()) == list(found[b"logs"].items())

    @pytest.mark.parametrize("start", [0, 1, 2, 500, 997, 998, 999, 1000])
    def test_iteration_begins_at_any_key(self, start: int) -> None:
        items = {key(number): b"x" * 100 for number in range(1, 1000)}
        with BoltFile.open(memory(made(items)), PATH) as file:
            bucket = file.bucket(b"logs")
            assert bucket is not None
            assert [k for k in items if k >= key(start)] == [k for k, _ in bucket.items(key(start))]
            assert items.get(key(start)) == bucket.get(key(start))
            assert (key(999), b"x" * 100) == bucket.last()

    def test_a_value_may_be_many_pages_long(self) -> None:
        items = {key(1): b"a" * 5000, key(2): b"b", key(3): b"c" * 70_000}
        assert items == read_all(memory(made(items)), PATH)[b"logs"]

    def test_an_absent_bucket_is_none_and_an_empty_one_has_no_last(self) -> None:
        with BoltFile.open(memory(made({})), PATH) as file:
            assert file.bucket(b"else") is None
            assert file.bucket(b"zzz") is None
            logs = file.bucket(b"logs")
            assert logs is not None
            assert logs.last() is None
            assert logs.get(b"") is None

    def test_a_key_that_is_no_bucket_is_not_taken_for_one(self) -> None:
        with BoltFile.open(memory(made({key(1): b"value"})), PATH) as file:
            logs = file.bucket(b"logs")
            assert logs is not None
            with pytest.raises(CorruptLog, match="is not a bucket"):
                logs.bucket(key(1))

    def test_memory_holds_one_page_of_each_level(self) -> None:
        _, data = three_levels()
        fs = memory(data)
        with BoltFile.open(fs, PATH) as file:
            bucket = file.bucket(b"logs")
            assert bucket is not None
            items = bucket.items()
            next(items)
            assert 3 == items.gi_frame.f_locals["page"].place // PAGE  # type: ignore[attr-defined]


class TestMetaPages:
    def test_the_later_transaction_is_read(self) -> None:
        old, new = made({key(1): b"old"}), made({key(1): b"new"})
        data = old + new
        meta = parse_meta(bytes(old))
        assert isinstance(meta, Meta)
        shifted = Meta(
            page_size=PAGE, root=meta.root, freelist=2, high_water=meta.high_water, transaction=3
        )
        data[PAGE : PAGE + 80] = encode_meta(shifted, 1)
        with BoltFile.open(memory(data), PATH) as file:
            assert 3 == file.meta.transaction
            assert file.damaged_meta is None

    @pytest.mark.parametrize("page", [0, 1])
    @pytest.mark.parametrize("page_size", [1024, 4096, 16384, 65536])
    def test_one_damaged_meta_page_is_reported_and_the_other_is_read(
        self, page: int, page_size: int
    ) -> None:
        items = {key(number): b"value" for number in range(100)}
        data = made(items, page_size=page_size)
        data[page * page_size + 40] ^= 1
        with BoltFile.open(memory(data), PATH) as file:
            assert f"page {page}: its checksum is wrong" == file.damaged_meta
            bucket = file.bucket(b"logs")
            assert bucket is not None
            assert items == dict(bucket.items())

    def test_two_damaged_meta_pages_are_refused(self) -> None:
        data = made({key(1): b"value"})
        data[40] ^= 1
        data[PAGE + 40] ^= 1
        with pytest.raises(
            CorruptLog, match=r"/raft.db.*page 0: its checksum is wrong; page 1: its checksum"
        ):
            BoltFile.open(memory(data), PATH)

    def test_another_kind_of_file_is_refused(self) -> None:
        with pytest.raises(
            CorruptLog, match=r"its magic number is [0-9a-f]{8}, not BoltDB's ed0cdaed"
        ):
            BoltFile.open(memory(b"SQLite format 3 almost surely" * 1000), PATH)

    def test_an_empty_file_is_refused(self) -> None:
        with pytest.raises(CorruptLog, match="the file has only 0 bytes there"):
            BoltFile.open(memory(b""), PATH)

    def test_a_newer_version_is_refused_by_name(self) -> None:
        data = of_version(bytes(made({key(1): b"value"})), 3, PAGE)
        assert of_version(data, 2, PAGE) == bytes(made({key(1): b"value"}))
        with pytest.raises(StorageError, match="format version 3; this program knows 2"):
            BoltFile.open(memory(data), PATH)

    def test_pages_of_an_impossible_size_are_refused(self) -> None:
        data = made({})
        strange = Meta(page_size=3000, root=3, freelist=2, high_water=5, transaction=9)
        data[:80], data[PAGE : PAGE + 80] = encode_meta(strange, 0), encode_meta(strange, 1)
        with pytest.raises(CorruptLog, match="page 0: it says pages have 3000 bytes"):
            BoltFile.open(memory(data), PATH)

    def test_meta_pages_that_disagree_on_the_page_size_are_told(self) -> None:
        data = made({key(1): b"value"})
        strange = Meta(page_size=4096, root=3, freelist=2, high_water=5, transaction=9)
        data[PAGE : PAGE + 80] = encode_meta(strange, 1)
        with BoltFile.open(memory(data), PATH) as file:
            assert file.damaged_meta is not None
            assert "it says pages have 4096 bytes, and page 0 1024" in file.damaged_meta

    def test_a_second_meta_page_counts_only_at_its_place(self) -> None:
        data = made({key(1): b"value"})
        strange = Meta(page_size=4096, root=3, freelist=2, high_water=5, transaction=9)
        data[:80], data[PAGE : PAGE + 80] = bytes(80), encode_meta(strange, 1)
        with pytest.raises(CorruptLog, match="not where any page size would put it"):
            BoltFile.open(memory(data), PATH)


def recorded_with(change: Callable[[bytearray, int], None]) -> bytearray:
    """Return a recorded file whose inline bucket ``conf``, which begins at a place, is changed."""
    (path,) = [path for path in GO_STORES if path.name == "raft-boltdb-v2.3.1.db"]
    data = bytearray(path.read_bytes())
    with BoltFile.open(RealFileSystem(), str(path)) as file:
        element = file.meta.root * 4096 + 16
    _, position, key_size, _ = unpack_from("<IIII", data, element)
    assert b"conf" == data[element + position : element + position + key_size]
    change(data, element)
    return data


def _value_of(data: bytearray, element: int) -> int:
    _, position, key_size, _ = unpack_from("<IIII", data, element)
    return int(element + position + key_size)


def _short_header(data: bytearray, element: int) -> None:
    pack_into("<I", data, element + 12, 8)


def _short_page(data: bytearray, element: int) -> None:
    pack_into("<I", data, element + 12, 20)


def _branch_without_children(data: bytearray, element: int) -> None:
    pack_into("<HH", data, _value_of(data, element) + 16 + 8, BRANCH_PAGE, 0)


def _branch_with_a_child(data: bytearray, element: int) -> None:
    page = _value_of(data, element) + 16
    pack_into("<HH", data, page + 8, BRANCH_PAGE, 1)
    pack_into("<II", data, page + 16, 16, 0)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_short_header, "a bucket's header has 8 bytes"),
        (_short_page, "it has only 4 bytes"),
        (_branch_without_children, "a branch with 0 children"),
        (_branch_with_a_child, "an inline bucket is not a leaf"),
    ],
)
def test_an_inline_bucket_that_no_healthy_file_has_is_refused(
    change: Callable[[bytearray, int], None], why: str
) -> None:
    with pytest.raises(CorruptLog, match=why):
        read_all(memory(recorded_with(change)), PATH)


class TestLast:
    def test_a_circle_of_branches_ends(self) -> None:
        _, data = three_levels()
        _circle(data)
        with BoltFile.open(memory(data), PATH) as file:
            bucket = file.bucket(b"logs")
            assert bucket is not None
            with pytest.raises(CorruptLog, match="more than 16 levels"):
                bucket.last()

    def test_a_bucket_is_no_value(self) -> None:
        data = made({key(1): b"value"})
        pack_into("<I", data, 3 * PAGE + 16, 1)
        with BoltFile.open(memory(data), PATH) as file:
            bucket = file.bucket(b"logs")
            assert bucket is not None
            with pytest.raises(CorruptLog, match="key 0000000000000001 is a bucket"):
                bucket.last()


def test_a_file_cut_short_while_it_is_read_is_told() -> None:
    _, data = three_levels()
    fs = memory(data)
    with BoltFile.open(fs, PATH) as file:
        fs.open_file(PATH).truncate(5 * PAGE)
        with pytest.raises(CorruptLog, match="the file ends within it"):
            file.bucket(b"logs")


def _point_at(target: Callable[[int], int]) -> Callable[[bytearray], None]:
    """Let the second child of the top branch be another page."""

    def change(data: bytearray) -> None:
        branch = pages_of(data, BRANCH_PAGE)[-1]
        pack_into("<Q", data, branch * PAGE + 16 + 16 + 8, target(branch))

    return change


def _circle(data: bytearray) -> None:
    """Let the top branch have one child, itself."""
    branch = pages_of(data, BRANCH_PAGE)[-1]
    pack_into("<H", data, branch * PAGE + 10, 1)
    pack_into("<Q", data, branch * PAGE + 16 + 8, branch)


def _in_page(number: int, form: str, offset: int, value: int) -> Callable[[bytearray], None]:
    return lambda data: pack_into(form, data, number * PAGE + offset, value)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (_circle, r"more than 16 levels"),
        (_point_at(lambda branch: branch), r"its keys are not those"),
        (_point_at(lambda _: 3), r"its keys are not those"),
        (_point_at(lambda _: 0), r"refers to page 0"),
        (_point_at(lambda _: 1 << 60), r"refers to page 1152921504606846976"),
        (_in_page(3, "<Q", 0, 4), r"page 3: its header says it is page 4"),
        (_in_page(3, "<H", 8, 7), r"page 3: its kind is 0x7"),
        (_in_page(3, "<H", 10, 0), r"page 3: it is empty, and page \d+ refers to it"),
        (_in_page(3, "<H", 10, 9999), r"page 3: a leaf with 9999 keys"),
        (_in_page(3, "<I", 12, 100_000), r"page 3: its 100001 pages go beyond the last one"),
        (_in_page(3, "<I", 16, 2), r"page 3: a key has the unknown flags 0x2"),
        (_in_page(3, "<I", 16, 1), r"page 3: key 0000000000000001 is a bucket"),
        (_in_page(3, "<I", 20, 1 << 31), r"page 3: a key or value lies outside it"),
        (_in_page(3, "<I", 20, 0), r"page 3: a key or value lies outside it"),
        (_in_page(3, "<I", 20, 272), r"page 3: its keys do not ascend"),
    ],
)
def test_a_tree_that_no_healthy_file_has_is_refused(
    change: Callable[[bytearray], None], why: str
) -> None:
    _, data = three_levels()
    change(data)
    with pytest.raises(CorruptLog, match=why):
        read_all(memory(data), PATH)


def test_a_page_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raft_over_libp2p.storage.bolt_reader.MAX_PAGE_BYTES", 3000)
    with pytest.raises(CorruptLog, match="page 3: it has 5120 bytes, more than 3000"):
        read_all(memory(made({key(1): bytes(5000)})), PATH)


def _damaged(data: bytes, dice: random.Random, page_size: int) -> Iterator[bytes]:
    """Yield variants: each page torn, zeroed, replaced, with flipped bits; the file cut short."""
    pages = len(data) // page_size
    for page in range(pages):
        start, end = page * page_size, (page + 1) * page_size
        yield data[:start]
        yield data[: start + dice.randrange(page_size)]
        yield data[:start] + bytes(page_size) + data[end:]
        middle = start + 512 * dice.randrange(1, page_size // 512)
        yield data[:middle] + bytes(end - middle) + data[end:]
        other = dice.randrange(pages) * page_size
        yield data[:start] + data[other : other + page_size] + data[end:]
        yield data[:start] + dice.randbytes(page_size) + data[end:]
        for _ in range(12):
            changed = bytearray(data)
            for _ in range(dice.choice((1, 1, 4))):
                at = start + dice.choice((dice.randrange(64), dice.randrange(page_size)))
                changed[at] ^= 1 << dice.randrange(8)
            yield bytes(changed)


def why_refused(data: bytes) -> str:
    """Return what the reader says of ``data``; nothing when it reads it."""
    try:
        read_all(memory(data), PATH)
    except StorageError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    "name", ["made", *(path.parent.name + path.name for path in GO_STORES[:4])]
)
def test_damage_anywhere_is_read_over_or_refused_and_never_anything_else(name: str) -> None:
    data, page_size = bytes(made({key(number): bytes(200) for number in range(1, 100)})), PAGE
    if name != "made":
        (path,) = [path for path in GO_STORES if path.parent.name + path.name == name]
        data, page_size = path.read_bytes(), 4096
    told = [why_refused(variant) for variant in _damaged(data, random.Random(name), page_size)]
    refused = [why for why in told if why]
    assert len(refused) > 20
    assert [] == [why for why in refused if PATH not in why]


def test_a_torn_page_of_the_tree_is_refused() -> None:
    """The second half of each page is that of an empty disk: no page of a tree survives that."""
    items, data = three_levels()
    for page in range(3, len(data) // PAGE):
        torn = bytearray(data)
        torn[page * PAGE + 512 : (page + 1) * PAGE] = bytes(512)
        try:
            found = read_all(memory(bytes(torn)), PATH)[b"logs"]
        except CorruptLog:
            continue
        # Only zeros of a value were lost, which are zeros here.
        assert items == found
