"""Operations of the log: Go's bytes, and what Go takes and refuses."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinstate import LogOp, LogOpType, MalformedOperation, OpCodec, Pin, UnstorablePin, pin_to_json
from pinstate.cid import raw_sha256_cid
from tests.pinstate.cluster_vectors import FIXTURES, LOG_OPS, PINS, VECTORS, cases, ops

CID = raw_sha256_cid(b"content")
PEER_TEXT = "12D3KooWMbbPVGsZYh3ChQjue712NHHGNybRRXwnuSpezYjGbCDS"
PEER = bytes.fromhex(VECTORS["peers"]["a"]["id_bytes"])
TOLERANCE = VECTORS["decode_tolerance"]
REUSABLE = [vector for vector in LOG_OPS if "traced" not in vector["name"]]


@cases(LOG_OPS)
def test_a_go_entry_is_read_as_its_operation(vector: dict) -> None:
    op = LogOp.decode(bytes.fromhex(vector["msgpack"]))
    expected = (vector.get("logop_type", 0), vector.get("json") or pin_to_json(Pin()))
    assert expected == (op.type, pin_to_json(op.subject))


@cases(REUSABLE)
def test_the_go_form_is_gos_byte_for_byte(vector: dict) -> None:
    prefix, _, name = vector["name"].partition("_")
    pin = PINS.get(name, Pin())
    op = {"pin": LogOp.pin(pin), "unpin": LogOp.unpin(pin)}.get(
        prefix, LogOp(vector.get("logop_type", 0), pin)
    )
    assert vector["msgpack"] == op.go_form().hex()


@cases([vector for vector in LOG_OPS if "traced" in vector["name"]])
def test_tracing_is_read_over(vector: dict) -> None:
    op = LogOp.decode(bytes.fromhex(vector["msgpack"]))
    assert LogOp.pin(PINS["pincid_v0"]) == op


@cases([vector for vector in TOLERANCE if vector["ok"]])
def test_what_go_takes_onto_a_fresh_object_is_taken_alike(vector: dict) -> None:
    op = LogOp.decode(bytes.fromhex(vector["msgpack"]))
    expected = (vector["type"], vector["pin"], vector["reencoded"])
    assert expected == (op.type, pin_to_json(op.subject), op.go_form().hex())


@cases([vector for vector in TOLERANCE if not vector["ok"]])
def test_what_go_refuses_is_refused(vector: dict) -> None:
    with pytest.raises(MalformedOperation, match="not an operation on the pinset"):
        LogOp.decode(bytes.fromhex(vector["msgpack"]))


@cases(LOG_OPS)
def test_an_entry_cut_short_anywhere_is_malformed(vector: dict) -> None:
    data = bytes.fromhex(vector["msgpack"])
    for end in range(len(data)):
        with pytest.raises(MalformedOperation):
            LogOp.decode(data[:end])


@cases(LOG_OPS)
def test_any_one_byte_changed_is_an_operation_or_malformed(vector: dict) -> None:
    data = bytes.fromhex(vector["msgpack"])
    for place in range(len(data)):
        for byte in (0x00, 0x80, 0x91, 0xA0, 0xC0, 0xC1, 0xC4, 0xC7, 0xCB, 0xD6, 0xDD, 0xDF, 0xFF):
            with contextlib.suppress(MalformedOperation):
                LogOp.decode(data[:place] + bytes((byte,)) + data[place + 1 :])


@given(st.binary(max_size=200))
def test_any_bytes_are_an_operation_or_malformed(data: bytes) -> None:
    with contextlib.suppress(MalformedOperation):
        LogOp.decode(data)


@given(ops)
def test_both_forms_give_back_every_operation(op: LogOp) -> None:
    assert [op, op] == [LogOp.decode(op.go_form()), LogOp.decode(op.explicit_form())]


@given(ops)
def test_the_codec_writes_the_explicit_form_and_reads_it(op: LogOp) -> None:
    codec = OpCodec()
    assert (op.explicit_form(), op) == (codec.encode(op), codec.decode(codec.encode(op)))


def test_the_codec_refuses_to_write_a_pin_no_state_can_hold() -> None:
    with pytest.raises(UnstorablePin):
        OpCodec().encode(LogOp.pin(Pin.of(CID, name="\udcff")))


def test_the_codec_writes_the_removal_of_any_pin() -> None:
    op = LogOp.unpin(Pin.of(CID, name="\udcff"))
    assert op == OpCodec().decode(OpCodec().encode(op))


def test_the_explicit_form_is_nil_where_the_pin_has_nothing() -> None:
    expected = (
        "84a173c0a174c0a163de0010a2726ec0a27278c0a16ec0a16fc0a173c0a27561c0a165c0a16dc0a27075c0"
        "a167c0a163da00221220891b7fa3052191f91b71a5fa469477bb618d9a97915b71ff243ad8b883dbb4ab"
        "a17400a161c0a16400a172c0a169c0a17001"
    )
    assert expected == LogOp.pin(PINS["cid_only"]).explicit_form().hex()


def test_a_map_or_list_in_the_explicit_form_follows_a_nil_of_its_name() -> None:
    """Go adds a map's items to those of the operation before; nil makes it start afresh."""
    data = LogOp.pin(PINS["all_fields"]).explicit_form()
    for key, header in ((b"\xa1m", b"\x81"), (b"\xa1a", b"\x92"), (b"\xa2ua", b"\x91")):
        assert key + b"\xc0" + key + header in data


def test_later_repeated_fields_win() -> None:
    assert LogOp.decode(b"\x82\xa1p\x01\xa1p\x02").type is LogOpType.UNPIN


def test_a_known_type_is_a_log_op_type_and_another_is_kept() -> None:
    assert (LogOpType.PIN, 9) == (
        LogOp.decode(b"\x81\xa1p\x01").type,
        LogOp.decode(b"\x81\xa1p\x09").type,
    )


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("c1", "not an operation"),
        ("05", "a int where a map"),
        ("95c0c0c0c0c0", "an array of 5 where there are 4"),
        ("81a16101", "no field b'a'"),
        ("81a16391d6c500000000", "a Extension where an integer"),
        ("81a17381a15801", "no field b'X'"),
        ("81a17405", "a int where a string"),
        ("81a163a0", "a string of 0 bytes where a map"),
        ("81a16381a16d90", "metadata"),
        ("81a16381a16105", "where an array"),
        ("81a16381a174ff", "without a sign"),
        ("81a16381a2726ecfffffffffffffffff", "does not fit"),
        ("81a16381a2726ecb3ff8000000000000", "a float"),
        ("81a16381a2726ec3", "a boolean"),
        ("81a16381a16791a0", "multiaddr"),
        ("81a16381a16791a1ff", "multiaddr"),
        ("81a16381a16191a0", "multihash"),
        ("81a16381a165a3616263", "timestamp"),
        ("81a170" + "91" * 2000, "not an operation"),
        ("dfffffffff", "not an operation"),
    ],
)
def test_a_malformed_entry_says_what_is_wrong(entry: str, reason: str) -> None:
    with pytest.raises(MalformedOperation, match=reason):
        LogOp.decode(bytes.fromhex(entry))


@pytest.mark.parametrize(
    ("form", "nanoseconds"),
    [
        ("a4695735a5", 1767323045 * 10**9),
        ("c404695735a5", 1767323045 * 10**9),
        ("d6ff695735a5", 1767323045 * 10**9),
        ("a81d6f3454695735a5", 1767323045_123456789),
        ("d7ff1d6f3454695735a5", 1767323045_123456789),
        ("ac00000001ffffffffffffffff", -999_999_999),
        ("c70cff00000001ffffffffffffffff", -999_999_999),
        ("c0", None),
    ],
)
def test_a_time_is_read_in_every_form(form: str, nanoseconds: int | None) -> None:
    assert nanoseconds == LogOp.decode(bytes.fromhex("81a16381a169" + form)).subject.timestamp


def test_gos_zero_time_written_out_is_no_time() -> None:
    zero = (-62_135_596_800).to_bytes(8, "big", signed=True).hex()
    assert LogOp.decode(bytes.fromhex("81a16381a169ac00000000" + zero)).subject.timestamp is None


def test_a_moment_within_the_second_of_gos_zero_time_is_a_time() -> None:
    zero = (-62_135_596_800).to_bytes(8, "big", signed=True).hex()
    op = LogOp.decode(bytes.fromhex("81a16381a169ac00000001" + zero))
    assert -62_135_596_800 * 10**9 + 1 == op.subject.timestamp


def test_a_string_may_be_an_array_of_small_integers() -> None:
    assert LogOp.decode(bytes.fromhex("81a16381916e9261cc62")).subject.name == "ab"


def test_lists_may_come_as_maps_of_neighbours() -> None:
    assert LogOp.decode(
        b"\x81\xa1c\x81\xa1a\x81\xa3\x00\x01a\xa3\x00\x01b"
    ).subject.allocations == (
        b"\x00\x01a",
        b"\x00\x01b",
    )


def test_an_added_peer_is_carried_in_an_identity_cid() -> None:
    op = LogOp.add_peer(f"/ip4/10.0.0.1/tcp/4001/p2p/{PEER_TEXT}")
    assert (LogOpType.ADD_PEER, b"\x01\x55\x00\x31", PEER) == (op.type, op.subject.cid[:4], op.peer)


def test_an_added_peer_may_be_given_in_bytes() -> None:
    op = LogOp.add_peer(f"/ip4/10.0.0.1/tcp/4001/p2p/{PEER_TEXT}")
    assert op == LogOp.add_peer(op.multiaddr)


def test_a_removed_peer_is_carried_as_a_multiaddr_of_its_id_alone() -> None:
    op = LogOp.rm_peer(PEER)
    assert (LogOpType.RM_PEER, b"\xa5\x03\x26" + PEER, PEER) == (op.type, op.multiaddr, op.peer)


@pytest.mark.parametrize(
    "address", ["", "x", "/ip4/10.0.0.1/tcp/4001", "/ip4/10.0.0.1/tcp/x", b"\xff"]
)
def test_an_address_that_names_no_peer_is_refused(address: str | bytes) -> None:
    with pytest.raises(ValueError, match="multiaddr"):
        LogOp.add_peer(address)


@pytest.mark.parametrize("length", [0, 128])
def test_a_removed_peer_needs_an_id(length: int) -> None:
    with pytest.raises(ValueError, match=f"a peer ID of {length} bytes"):
        LogOp.rm_peer(bytes(length))


def test_a_pin_carries_no_multiaddr() -> None:
    with pytest.raises(ValueError, match="operation 1 carries no multiaddr"):
        LogOp.pin(Pin.of(CID)).peer  # noqa: B018


def test_a_peer_operation_with_another_cid_says_so() -> None:
    with pytest.raises(ValueError, match="carries no multiaddr"):
        LogOp(LogOpType.ADD_PEER, Pin.of(CID)).multiaddr  # noqa: B018


@pytest.mark.parametrize("name", ["raft-folder-removed-peer", "raft-folder-log-only"])
def test_the_entries_of_a_real_daemon_are_read_and_written_byte_for_byte(name: str) -> None:
    logs = json.loads((FIXTURES / f"{name}.json").read_bytes())["raft.db"]["logs"]
    commands = [bytes.fromhex(log["data"]) for log in logs if log["type"] == "LogCommand"]
    assert len(commands) == 3
    assert commands == [LogOp.decode(data).go_form() for data in commands]
