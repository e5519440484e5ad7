"""What peers agree on: operations and pins in every form, snapshots, rollbacks, CIDs."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from pinstate import (
    InvalidCid,
    LogOp,
    MalformedOperation,
    MalformedPin,
    MalformedSnapshot,
    legacy_2017,
    pin_msgpack,
    pin_protobuf,
)
from pinstate.cid import cid_text, parse_cid, raw_sha256_cid
from pinstate.errors import UnstorablePin
from pinstate.log_op import OpCodec
from pinstate.pin_json import pin_from_json, pin_to_json
from pinstate.state import PinState
from tests.fuzz.target import Target, cuts
from tests.pinstate.cluster_vectors import FIXTURES, VECTORS

__all__ = ["TARGETS"]

_CID = raw_sha256_cid(b"a")
_2017 = VECTORS["seed_era"]


def operation(data: bytes) -> None:
    op = LogOp.decode(data)
    for encoded in (op.go_form(), op.explicit_form()):
        assert op == LogOp.decode(encoded)
    assert op.explicit_form() == LogOp.decode(op.explicit_form()).explicit_form()
    for read in (lambda: op.multiaddr, lambda: op.peer):
        with suppress(ValueError):
            read()
    # Agreed on already: whatever it is, applying it does what it documents.
    state = PinState().apply([op])
    assert state == PinState().restore(state.snapshot_chunks())
    OpCodec().encode(op)
    list(state.list())


def _operations() -> list[bytes]:
    found = [bytes.fromhex(v["msgpack"]) for v in VECTORS["logops"]]
    return found + [bytes.fromhex(v["msgpack"]) for v in VECTORS["decode_tolerance"]]


def msgpack_pin(data: bytes) -> None:
    pin = pin_msgpack.decode_pin(data)
    for encoded in (pin_msgpack.go_form(pin), pin_msgpack.explicit_form(pin)):
        assert pin == pin_msgpack.decode_pin(encoded)
    value = pin_protobuf.encode_pin(pin)
    assert value == pin_protobuf.canonical(value, pin.cid)


def protobuf_pin(data: bytes) -> None:
    """The quick way to canonical bytes and the one through a pin agree."""
    pin = pin_protobuf.decode_pin(data, _CID)
    value = pin_protobuf.encode_pin(pin)
    assert value == pin_protobuf.canonical(data, _CID)
    assert value == pin_protobuf.canonical(value, _CID)
    assert value == pin_protobuf.encode_pin(pin_protobuf.decode_pin(value, _CID))


def json_pin(data: bytes) -> None:
    try:
        fields: Any = json.loads(data)
    except (ValueError, RecursionError):
        return
    pin = pin_from_json(fields)
    try:
        shown = pin_to_json(pin)
    except ValueError:
        return  # A time before the year 1, by its zone: documented.
    assert shown == pin_to_json(pin_from_json(json.loads(json.dumps(shown))))


def _json_pins() -> list[bytes]:
    return [json.dumps(v["json"]).encode() for v in VECTORS["pins"]]


def snapshot(data: bytes) -> None:
    """A pinset is the same however its bytes are cut, and so is the refusal."""
    try:
        whole = PinState().restore([data])
    except MalformedSnapshot:
        whole = None
    try:
        pieces = PinState().restore(cuts(data))
    except MalformedSnapshot:
        pieces = None
    assert whole == pieces
    if whole is None:
        raise MalformedSnapshot
    again = PinState().restore(whole.snapshot_chunks(chunk_bytes=64))
    assert whole == again
    assert whole.digest() == again.digest()
    list(whole.list())


def _snapshots() -> list[bytes]:
    return [bytes.fromhex(v["snapshot_bytes"]) for v in VECTORS["states"]] + [
        path.read_bytes() for path in sorted(FIXTURES.rglob("state.bin"))
    ]


def rollback(data: bytes) -> None:
    state = PinState().merge(data)
    assert state == PinState().merge(b"".join(state.snapshot_chunks()))


def operation_of_2017(data: bytes) -> None:
    op = legacy_2017.read_log_op(data)
    assert op == LogOp.decode(op.explicit_form())


def snapshot_of_2017(data: bytes) -> None:
    for pin in legacy_2017.read_snapshot(data):
        assert pin == pin_msgpack.decode_pin(pin_msgpack.explicit_form(pin))


def rollback_of_2017(data: bytes) -> None:
    legacy_2017.read_rollback(data)


def cid(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    found = parse_cid(text)
    assert found == parse_cid(cid_text(found))


def _cids() -> list[bytes]:
    return [
        b"QmXZrtE5jQwXNqCJMfHUTQkvhQ4ZAnqMnmzFMJfLewur2n",
        b"bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi",
        b"k2jmtxw8rjh1z69c6not3wtdxb0u3urbzhyll1t9jg6ox26dhi5sfi1m",
        b"f01551220" + b"ab" * 32,
        b"uAVUSI" + b"A" * 43,
        b"zb2rhe5P4gXftAwvA4eXQ5HJwsER2owDyS9sKaQRRVQPn93bA",
    ]


def _of_2017(key: str) -> list[bytes]:
    found = _2017[key]
    return [bytes.fromhex(v["bytes"]) for v in (found if isinstance(found, list) else [found])]


TARGETS = (
    Target("pin-operation", operation, _operations, (MalformedOperation, UnstorablePin)),
    Target(
        "pin-msgpack",
        msgpack_pin,
        lambda: [bytes.fromhex(v["msgpack"]) for v in VECTORS["pins"]],
        (MalformedPin, UnstorablePin),
    ),
    Target(
        "pin-protobuf",
        protobuf_pin,
        lambda: [bytes.fromhex(v["protobuf"]) for v in VECTORS["pins"] if v.get("protobuf")],
        (MalformedPin,),
    ),
    Target("pin-json", json_pin, _json_pins, (MalformedPin,)),
    Target("pin-snapshot", snapshot, _snapshots, (MalformedSnapshot,)),
    Target("pin-rollback", rollback, _snapshots, (MalformedSnapshot,)),
    Target(
        "pin-2017-operation", operation_of_2017, lambda: _of_2017("logops"), (MalformedOperation,)
    ),
    Target(
        "pin-2017-snapshot",
        snapshot_of_2017,
        lambda: _of_2017("snapshot_mapstate"),
        (MalformedSnapshot,),
    ),
    Target(
        "pin-2017-rollback",
        rollback_of_2017,
        lambda: _of_2017("rollback_stateop"),
        (MalformedSnapshot,),
    ),
    Target("cid", cid, _cids, (InvalidCid,)),
)
