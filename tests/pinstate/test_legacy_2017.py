"""Pinsets of 2017 are read; every vector was made by the codec of that time."""

from __future__ import annotations

import contextlib

import base58
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinstate import LogOpType, MalformedOperation, MalformedSnapshot, Pin, PinType, parse_cid
from pinstate.legacy_2017 import read_log_op, read_rollback, read_snapshot
from tests.pinstate.cluster_vectors import VECTORS, cases

ERA = VECTORS["seed_era"]
HEADER = b"\x09/msgpack\n"
SNAPSHOT = bytes.fromhex(ERA["snapshot_mapstate"]["bytes"])
ROLLBACK = bytes.fromhex(ERA["rollback_stateop"]["bytes"])
PEER_TEXT = "QmVxomthxuyy6ZYWHofyZd79RNuYHSHzWB2bFmkQcD3SDC"


def pin_of(fields: dict) -> Pin:
    factor = -1 if fields.get("everywhere") else fields["replication_factor"]
    return Pin(
        cid=parse_cid(fields["cid"]),
        type=PinType.DATA,
        allocations=tuple(base58.b58decode(text) for text in fields["allocations"]),
        max_depth=-1,
        replication_factor_min=factor,
        replication_factor_max=factor,
    )


@cases([vector for vector in ERA["logops"] if vector["json"]["Type"] <= 2])
def test_pins_and_unpins_are_read(vector: dict) -> None:
    op = read_log_op(bytes.fromhex(vector["bytes"]))
    assert (vector["json"]["Type"], pin_of(vector["json"]["Cid"])) == (op.type, op.subject)


@cases([vector for vector in ERA["logops"] if vector["json"]["Type"] > 2])
def test_peer_operations_are_read(vector: dict) -> None:
    op = read_log_op(bytes.fromhex(vector["bytes"]))
    assert (vector["json"]["Type"], base58.b58decode(PEER_TEXT)) == (op.type, op.peer)


def test_the_address_of_an_added_peer_is_kept() -> None:
    (vector,) = (v for v in ERA["logops"] if v["name"] == "add_peer")
    op = read_log_op(bytes.fromhex(vector["bytes"]))
    assert (LogOpType.ADD_PEER, bytes.fromhex("047f00000106")) == (op.type, op.multiaddr[:6])


def test_a_snapshot_is_read() -> None:
    expected = tuple(map(pin_of, ERA["snapshot_mapstate"]["json"]["PinMap"].values()))
    assert expected == read_snapshot(SNAPSHOT)


def test_a_rollback_entry_is_read() -> None:
    expected = tuple(map(pin_of, ERA["rollback_stateop"]["json"]["State"]["PinMap"].values()))
    assert expected == read_rollback(ROLLBACK)


@cases(ERA["logops"])
def test_an_operation_cut_short_anywhere_is_malformed(vector: dict) -> None:
    data = bytes.fromhex(vector["bytes"])
    for end in range(len(data)):
        with pytest.raises(MalformedOperation):
            read_log_op(data[:end])


def test_a_snapshot_or_rollback_cut_short_anywhere_is_malformed() -> None:
    for end in range(len(SNAPSHOT)):
        with pytest.raises(MalformedSnapshot):
            read_snapshot(SNAPSHOT[:end])
    for end in range(len(ROLLBACK)):
        with pytest.raises(MalformedSnapshot):
            read_rollback(ROLLBACK[:end])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x81\xa4Type\x01", "does not start with"),
        (HEADER + b"\x81\xa4Type\x09", "type 9|too short"),
        (HEADER + b"\x81\xa4Type\x01", "too short"),
        (HEADER + b"\x82\xa4Peer\xa1x\xa4Type\x03", "multiaddr"),
        (HEADER + b"\x81\xa4Typo\x01", "no field b'Typo'"),
    ],
)
def test_a_bad_operation_says_what_is_wrong(data: bytes, reason: str) -> None:
    with pytest.raises(MalformedOperation, match=reason):
        read_log_op(data)


def test_an_operation_of_an_unknown_type_is_refused() -> None:
    data = bytes.fromhex(ERA["logops"][0]["bytes"])
    with pytest.raises(MalformedOperation, match="type 9"):
        read_log_op(data[:-1] + b"\x09")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (HEADER + b"\x82\xa6PinMap\x80\xa7Version\x01", "version is 1"),
        (HEADER + b"\x82\xa6PinMap\x90\xa7Version\x02", "PinMap is no map"),
        (HEADER + b"\x05", "a int where a map"),
    ],
)
def test_a_bad_snapshot_says_what_is_wrong(data: bytes, reason: str) -> None:
    with pytest.raises(MalformedSnapshot, match=reason):
        read_snapshot(data)


@given(st.binary(max_size=100))
def test_any_bytes_raise_nothing_but_the_documented_errors(data: bytes) -> None:
    with contextlib.suppress(MalformedOperation):
        read_log_op(HEADER + data)
    with contextlib.suppress(MalformedSnapshot):
        read_snapshot(HEADER + data)
