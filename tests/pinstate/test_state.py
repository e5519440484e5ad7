"""The pinset: applying, merging, restoring, and one digest for equal contents."""

from __future__ import annotations

import hashlib
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinstate import LogOp, LogOpType, MalformedSnapshot, Pin, PinState, UnstorablePin
from pinstate.cid import raw_sha256_cid
from tests.pinstate.cluster_vectors import FIXTURES, PINS, VECTORS, cases, pins

A, B = (Pin.of(raw_sha256_cid(text), name=text.decode()) for text in (b"a", b"b"))
STATES = VECTORS["states"]
SNAPSHOT = bytes.fromhex(STATES[3]["snapshot_bytes"])
# Few CIDs, so that operations meet one another.
op_lists = st.lists(
    st.builds(LogOp, st.integers(0, 4), st.sampled_from(list(PINS.values()))), max_size=8
)


def snapshot_of(state: PinState) -> bytes:
    return b"".join(state.snapshot_chunks())


def folder_snapshot(name: str) -> bytes:
    (path,) = (FIXTURES / name / "snapshots").glob("*/state.bin")
    return path.read_bytes()


def test_a_pin_is_there_after_it_was_applied() -> None:
    state = PinState().apply([LogOp.pin(A)])
    assert (True, A, 1) == (
        A.cid in state,
        replace(state.get(A.cid) or B, origins=None),
        len(state),
    )


def test_an_unpin_removes_by_cid_alone() -> None:
    state = PinState([A, B]).apply([LogOp.unpin(Pin(cid=A.cid))])
    assert PinState([B]) == state


def test_an_unpin_of_what_is_not_there_changes_nothing() -> None:
    assert PinState([A]) == PinState([A]).apply([LogOp.unpin(B)])


def test_a_second_pin_replaces_the_first() -> None:
    state = PinState([A]).apply([LogOp.pin(replace(A, name="new"))])
    assert ["new"] == [pin.name for pin in state.list()]


def test_the_older_state_does_not_change() -> None:
    old = PinState([A])
    old.apply([LogOp.unpin(A), LogOp.pin(B)])
    assert [A.cid] == [pin.cid for pin in old.list()]


@pytest.mark.parametrize("number", [0, LogOpType.ADD_PEER, LogOpType.RM_PEER, 9, -1])
def test_operations_of_other_types_leave_the_state(number: int) -> None:
    assert PinState([A]) == PinState([A]).apply([LogOp(number, B)])


def test_the_undefined_cid_is_never_kept() -> None:
    assert PinState() == PinState().apply([LogOp.pin(Pin(name="nothing"))])


def test_a_pin_that_cannot_be_stored_changes_nothing() -> None:
    state = PinState([A])
    with pytest.raises(UnstorablePin):
        state.apply([LogOp.pin(B), LogOp.pin(replace(B, name="\udcff"))])
    assert PinState([A]) == state


def test_an_unpin_of_a_pin_that_cannot_be_stored_is_applied() -> None:
    assert PinState() == PinState([A]).apply([LogOp.unpin(replace(A, name="\udcff"))])


def test_what_is_not_there_is_none() -> None:
    assert PinState([A]).get(B.cid) is None


@given(st.lists(pins, max_size=4))
def test_the_list_is_in_the_order_of_cids(found: list[Pin]) -> None:
    listed = [pin.cid for pin in PinState(found).list()]
    assert sorted({pin.cid for pin in found}) == listed


@given(op_lists, st.integers(0, 8))
def test_batches_do_not_matter(found: list[LogOp], cut: int) -> None:
    whole = PinState().apply(found)
    assert whole == PinState().apply(found[:cut]).apply(found[cut:])


@given(op_lists)
def test_a_state_built_by_replay_equals_the_one_from_its_snapshot(found: list[LogOp]) -> None:
    state = PinState().apply(found)
    restored = PinState([A]).restore(state.snapshot_chunks(chunk_bytes=50))
    assert (state, state.digest()) == (restored, restored.digest())


@given(op_lists, op_lists)
def test_digests_are_equal_for_equal_states_and_only_for_them(
    one: list[LogOp], two: list[LogOp]
) -> None:
    a, b = PinState().apply(one), PinState().apply(two)
    assert (a == b) == (a.digest() == b.digest())


def test_the_digest_is_of_cids_and_values_with_their_lengths() -> None:
    value = PinState([A])._pins[A.cid]
    parts = [len(A.cid).to_bytes(8, "big"), A.cid, len(value).to_bytes(8, "big"), value]
    assert hashlib.sha256(b"".join(parts)).hexdigest() == PinState([A]).digest()


def test_the_digest_of_the_empty_state_is_that_of_nothing() -> None:
    assert PinState().digest().startswith("e3b0c44298fc1c14")


def test_the_digest_does_not_depend_on_the_order_of_operations() -> None:
    one, two = PinState().apply([LogOp.pin(A), LogOp.pin(B)]), PinState([B, A])
    assert one.digest() == two.digest()


@cases(STATES)
def test_gos_snapshot_is_read_as_its_pins(vector: dict) -> None:
    state = PinState().restore([bytes.fromhex(vector["snapshot_bytes"])])
    assert PinState(PINS[name] for name in vector["pins"]) == state


@cases(STATES)
def test_our_snapshot_holds_gos_records(vector: dict) -> None:
    state = PinState(PINS[name] for name in vector["pins"])
    go = bytes.fromhex(vector["snapshot_bytes"])
    records = sorted(b"\x82\xa1k" + part for part in go.split(b"\x82\xa1k")[1:])
    assert records == sorted(state.snapshot_chunks(chunk_bytes=1))


@pytest.mark.parametrize("size", [0, 1, 3])
def test_the_snapshot_files_go_wrote_are_read(size: int) -> None:
    name = {0: "snapshot-empty", 1: "snapshot-one", 3: "snapshot-three"}[size]
    data = folder_snapshot(name)
    state = PinState().restore([data])
    assert (size, len(data)) == (len(state), len(snapshot_of(state)))


def test_the_snapshot_of_a_real_daemon_is_read() -> None:
    state = PinState().restore([folder_snapshot("raft-folder-removed-peer")])
    assert {"hello"} == {pin.name for pin in state.list()}


@pytest.mark.parametrize("size", [1, 2, 7, 64, 1000])
def test_a_snapshot_may_arrive_in_pieces_of_any_size(size: int) -> None:
    pieces = [SNAPSHOT[i : i + size] for i in range(0, len(SNAPSHOT), size)]
    assert PinState().restore([SNAPSHOT]) == PinState().restore(pieces)


def test_a_restore_replaces_and_a_merge_adds() -> None:
    data = snapshot_of(PinState([B]))
    assert (PinState([B]), PinState([A, B])) == (
        PinState([A]).restore([data]),
        PinState([A]).merge(data),
    )


def test_a_merge_replaces_the_pin_of_the_same_cid() -> None:
    data = snapshot_of(PinState([replace(A, name="new")]))
    assert ["new"] == [pin.name for pin in PinState([A]).merge(data).list()]


def test_an_empty_rollback_entry_changes_nothing() -> None:
    assert PinState([A]) == PinState([A]).merge(b"")


def test_an_operation_with_an_unknown_field_is_an_empty_rollback_as_in_go() -> None:
    (vector,) = (v for v in VECTORS["decode_tolerance"] if v["name"] == "unknown_in_pin")
    assert PinState([A]) == PinState([A]).merge(bytes.fromhex(vector["msgpack"]))


def test_a_snapshot_cut_short_anywhere_but_between_records_is_refused() -> None:
    ends = {0}
    for part in SNAPSHOT.split(b"\x82\xa1k")[1:]:
        ends.add(max(ends) + len(part) + 3)
    for end in set(range(len(SNAPSHOT))) - ends:
        with pytest.raises(MalformedSnapshot):
            PinState().restore([SNAPSHOT[:end]])


def test_a_rollback_entry_cut_short_is_taken_up_to_there_as_in_go() -> None:
    one = snapshot_of(PinState([A]))
    for end in range(len(one)):
        assert PinState([B]) == PinState([B]).merge(one[:end])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\xc1", "no record"),
        (b"\x05", "a int where a map"),
        (b"\x81\xa1k\x05", "a int where a string"),
        (b"\x81\xa1v\x81\xa1a\x01", "a map where a string"),
        (b"\x91" * 2000, "no record"),
        (b"\xdf\xff\xff\xff\xff", "no record"),
    ],
)
def test_bytes_that_are_no_records_are_refused_and_change_nothing(data: bytes, reason: str) -> None:
    state = PinState([A])
    good = snapshot_of(PinState([B]))
    with pytest.raises(MalformedSnapshot, match=reason):
        state.restore([good + data])
    with pytest.raises(MalformedSnapshot, match=reason):
        state.merge(good + data)
    assert PinState([A]) == state


def test_a_record_whose_pin_does_not_parse_is_refused_with_its_place() -> None:
    good = snapshot_of(PinState([A]))
    bad = good[:-4] + b"\xff\xff\xff\xff"
    with pytest.raises(MalformedSnapshot, match=f"ends at byte {len(bad)}: not a pin in protobuf"):
        PinState().restore([bad])


@pytest.mark.parametrize(
    "junk",
    [b"\x80", b"\xc0", b"\x82\xa1k\xa0\xa1v\xc0", b"\x82\xa1k\xa3abc\xa1v\xc0", b"\x92\xa1x\xa0"],
)
def test_a_record_without_a_cid_is_passed_over_as_go_passes_it_over(junk: bytes) -> None:
    data = junk + snapshot_of(PinState([A])) + junk
    assert PinState([A]) == PinState().restore([data])


def test_other_fields_and_extensions_in_a_record_are_passed_over() -> None:
    one = snapshot_of(PinState([A]))
    data = b"\x84\xa1x\xd4\x80\x00\xa1y\x91\x05" + one[1:]
    assert PinState([A]) == PinState().restore([data])


def test_a_record_above_its_limit_is_refused() -> None:
    data = b"\x82\xa1k\xdb" + (3 << 20).to_bytes(4, "big") + bytes(3 << 20)
    with pytest.raises(MalformedSnapshot):
        PinState().restore([data])


def test_a_large_chunk_of_many_records_is_taken() -> None:
    state = PinState(Pin.of(raw_sha256_cid(str(n).encode()), name="n" * 500) for n in range(6200))
    data = snapshot_of(state)
    assert len(data) > 3 << 20
    assert state == PinState().restore([data])


def test_chunks_are_about_as_large_as_asked_for() -> None:
    state = PinState(Pin.of(raw_sha256_cid(str(n).encode())) for n in range(100))
    sizes = [len(chunk) for chunk in state.snapshot_chunks(chunk_bytes=1000)]
    assert all(1000 <= size < 1200 for size in sizes[:-1])


def test_a_snapshot_in_progress_does_not_see_later_operations() -> None:
    state = PinState([A, B])
    chunks = state.snapshot_chunks(chunk_bytes=1)
    first = next(chunks)
    state.apply([LogOp.unpin(A), LogOp.unpin(B)])
    assert state == PinState().restore([first, *chunks])


def test_repr_counts_the_pins() -> None:
    assert repr(PinState([A, B])) == "PinState(2 pins)"


def test_a_state_is_no_dictionary_key() -> None:
    with pytest.raises(TypeError):
        hash(PinState())


def test_a_pin_takes_at_most_400_bytes() -> None:
    count = 1000
    data = snapshot_of(
        PinState(Pin.of(raw_sha256_cid(str(n).encode()), name=f"file {n}") for n in range(count))
    )
    tracemalloc.start()
    state = PinState().restore([data])
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used / len(state) <= 400
