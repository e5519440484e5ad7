"""A pin in its four forms (log, store, JSON, value), each against what Go makes of it."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinstate import MalformedPin, Pin, PinMode, PinType, UnstorablePin, pin_from_json, pin_to_json
from pinstate import pin_pb2 as pb
from pinstate.cid import InvalidCid, raw_sha256_cid
from pinstate.pin_msgpack import decode_pin, explicit_form, go_form
from pinstate.pin_protobuf import canonical, encode_pin
from pinstate.pin_protobuf import decode_pin as decode_stored
from tests.pinstate.cluster_vectors import FIXTURES, PINS, VECTORS, cases, pins

CID = raw_sha256_cid(b"content")
pin_vectors = cases(VECTORS["pins"])


def as_stored(pin: Pin) -> Pin:
    return decode_stored(encode_pin(pin), pin.cid)


@pin_vectors
def test_msgpack_is_gos_byte_for_byte(vector: dict) -> None:
    assert vector["msgpack"] == go_form(PINS[vector["name"]]).hex()


@pin_vectors
def test_json_is_gos(vector: dict) -> None:
    found = pin_to_json(PINS[vector["name"]])
    assert (vector["json"], list(vector["json"])) == (found, list(found))


@pin_vectors
def test_json_is_read_as_the_same_pin(vector: dict) -> None:
    assert vector["json"] == pin_to_json(pin_from_json(vector["json"]))


@pin_vectors
def test_protobuf_is_gos_byte_for_byte(vector: dict) -> None:
    assert vector["protobuf"] == encode_pin(PINS[vector["name"]]).hex()


@pin_vectors
def test_protobuf_is_read_as_go_reads_it(vector: dict) -> None:
    cid = PINS[vector["name"]].cid
    found = decode_stored(bytes.fromhex(vector["protobuf"]), cid)
    assert vector["extra"]["pin_after_proto_roundtrip"] == pin_to_json(found)


@pin_vectors
def test_what_go_stores_is_canonical(vector: dict) -> None:
    value = bytes.fromhex(vector["protobuf"])
    assert value == canonical(value, PINS[vector["name"]].cid)


@pin_vectors
def test_the_explicit_form_holds_every_field_and_the_same_pin(vector: dict) -> None:
    pin = PINS[vector["name"]]
    fields = msgpack.unpackb(explicit_form(pin), raw=True)
    assert (16, pin) == (len(fields), decode_pin(explicit_form(pin)))


@pin_vectors
def test_trailing_bytes_are_ignored(vector: dict) -> None:
    data = bytes.fromhex(vector["msgpack"])
    assert PINS[vector["name"]] == decode_pin(data + b"\x01\x02\x03")


@pin_vectors
def test_msgpack_cut_short_anywhere_is_a_malformed_pin(vector: dict) -> None:
    data = bytes.fromhex(vector["msgpack"])
    for end in range(len(data)):
        with pytest.raises(MalformedPin):
            decode_pin(data[:end])


@pin_vectors
def test_protobuf_cut_short_anywhere_is_a_pin_or_malformed(vector: dict) -> None:
    value = bytes.fromhex(vector["protobuf"])
    for end in range(len(value)):
        with contextlib.suppress(MalformedPin):
            assert isinstance(decode_stored(value[:end], CID), Pin)


@given(pins)
def test_msgpack_gives_back_every_pin(pin: Pin) -> None:
    assert [pin, pin] == [decode_pin(go_form(pin)), decode_pin(explicit_form(pin))]


@given(pins)
def test_a_stored_pin_stays_as_it_is(pin: Pin) -> None:
    value = encode_pin(pin)
    stored = decode_stored(value, pin.cid)
    assert [value, value] == [encode_pin(stored), canonical(value, pin.cid)]


@given(pins)
def test_the_store_keeps_all_but_what_it_is_documented_to_lose(pin: Pin) -> None:
    second = 10**9
    expected = replace(
        pin,
        type=1 << max(pin.type.bit_length() - 1, 0),
        allocations=pin.allocations or (),
        timestamp=None if pin.timestamp is None else pin.timestamp // second * second or None,
        mode=PinMode.RECURSIVE if pin.max_depth else PinMode.DIRECT,
        user_allocations=None,
        expire_at=None if pin.expire_at is None else pin.expire_at // second * second or None,
        metadata=pin.metadata or None,
        origins=pin.origins or (),
    )
    assert expected == as_stored(pin)


@given(pins)
def test_json_gives_back_every_pin_with_a_known_type(pin: Pin) -> None:
    known = replace(pin, type=PinType.DATA)
    assert known == pin_from_json(json.loads(json.dumps(pin_to_json(known))))


@pytest.mark.parametrize(
    "data", [b"\x81\xa1m\x90", b"\x81\xa1g\x91\xa0", b"\x81\xa1z\x01", b"\x05"]
)
def test_a_field_of_the_wrong_kind_is_a_malformed_pin(data: bytes) -> None:
    with pytest.raises(MalformedPin):
        decode_pin(data)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_pin_or_malformed(data: bytes) -> None:
    with contextlib.suppress(MalformedPin):
        decode_pin(data)
    with contextlib.suppress(MalformedPin):
        canonical(data, CID)


def test_the_map_of_old_versions_is_rewritten_in_sorted_order() -> None:
    message = pb.Pin(options=pb.PinOptions(metadata={"b": "2", "a": "1"}))
    found = pb.Pin.FromString(canonical(message.SerializeToString(), CID))
    assert (0, ["a", "b"]) == (
        len(found.options.metadata),
        [item.key for item in found.options.sorted_metadata],
    )


def test_sorted_metadata_wins_over_the_old_map() -> None:
    message = pb.Pin(options=pb.PinOptions(metadata={"a": "old", "b": "2"}))
    message.options.sorted_metadata.add(key="a", value="new")
    found = decode_stored(message.SerializeToString(), CID)
    assert {"a": "new", "b": "2"} == dict(found.metadata or {})


def test_the_key_decides_the_cid_of_a_stored_pin() -> None:
    value = encode_pin(Pin.of(raw_sha256_cid(b"other"), name="n"))
    assert encode_pin(Pin.of(CID, name="n")) == canonical(value, CID)


def test_unknown_protobuf_fields_are_dropped() -> None:
    value = encode_pin(Pin.of(CID))
    assert value == canonical(value + b"\x98\x06\x01", CID)


def test_a_stored_pin_without_options_gets_them() -> None:
    assert canonical(b"", CID).endswith(b"\x32\x00")


def test_a_stored_type_beyond_64_bits_is_go_s_zero() -> None:
    message = pb.Pin(type=64)  # type: ignore[arg-type]
    assert decode_stored(message.SerializeToString(), CID).type == 0


def test_a_negative_stored_type_is_refused() -> None:
    message = pb.Pin(type=-1)  # type: ignore[arg-type]
    with pytest.raises(MalformedPin, match="type is -1"):
        decode_stored(message.SerializeToString(), CID)


def test_a_malformed_reference_is_read_as_none() -> None:
    value = pb.Pin(reference=b"\x01\x02").SerializeToString()
    assert decode_stored(value, CID).reference is None


def test_numbers_are_cut_to_32_bits_as_go_cuts_them() -> None:
    pin = replace(Pin.of(CID), replication_factor_min=(1 << 31) + 5)
    assert -(1 << 31) + 5 == as_stored(pin).replication_factor_min


def test_a_name_that_is_not_utf8_survives_the_log_and_is_refused_by_the_store() -> None:
    pin = decode_pin(b"\x81\xa1n\xa2\xff\xfe")
    assert go_form(pin) == b"\x82\xa1n\xa2\xff\xfe\xa1c\xc0"
    with pytest.raises(UnstorablePin, match="cannot be stored"):
        encode_pin(pin)


def test_a_pin_is_immutable_and_hashable() -> None:
    pin = Pin.of(CID, metadata={"k": "v"})
    assert 1 == len({pin, Pin.of(CID, metadata={"k": "v"})})
    with pytest.raises(AttributeError):
        pin.name = "other"  # type: ignore[misc]


def test_changing_the_callers_metadata_does_not_change_the_pin() -> None:
    metadata = {"k": "v"}
    pin = Pin.of(CID, metadata=metadata)
    metadata["k"] = "other"
    assert {"k": "v"} == dict(pin.metadata or {})


def test_a_pin_of_bytes_that_are_no_cid_is_refused() -> None:
    with pytest.raises(InvalidCid):
        Pin.of(b"abc")


def test_a_pin_is_on_every_peer_unless_told_otherwise() -> None:
    assert (True, False) == (
        Pin.of(CID).is_everywhere,
        Pin.of(CID, replication_factor_min=1).is_everywhere,
    )


def test_a_pin_takes_another_timestamp() -> None:
    assert Pin.of(CID, timestamp=5) == Pin.of(CID).with_timestamp(5)


def test_a_pin_knows_its_cid_as_text() -> None:
    assert Pin.of(CID).cid_text.startswith("bafkrei")


@pytest.mark.parametrize("name", ["pin", "pin2", "allocations", "allocation", "unpin"])
def test_what_the_rest_api_answered_is_read_and_written_byte_for_byte(name: str) -> None:
    body = json.loads((FIXTURES / "service" / "rest-examples.json").read_bytes())[name]["body"]
    for line in body.splitlines():
        written = json.dumps(pin_to_json(pin_from_json(json.loads(line))), separators=(",", ":"))
        assert line == written


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ([], "JSON object"),
        ({"cid": 5}, "cid of a pin cannot be 5: text"),
        ({"cid": "x"}, "cid of a pin cannot be 'x'.*too short"),
        ({"mode": "half"}, "mode.*recursive, direct"),
        ({"type": "x"}, "type.*pin, meta-pin"),
        ({"timestamp": "yesterday"}, "timestamp.*RFC 3339"),
        ({"timestamp": "2026-13-01T00:00:00Z"}, "timestamp.*month"),
        ({"expire_at": 5}, "expire_at.*text"),
        ({"replication_factor_min": "1"}, "replication_factor_min.*whole number"),
        ({"replication_factor_max": True}, "replication_factor_max.*whole number"),
        ({"max_depth": 1 << 63}, "max_depth.*whole number"),
        ({"shard_size": -1}, "shard_size.*from 0"),
        ({"allocations": "12D3Koo"}, "allocations.*list"),
        ({"allocations": ["x"]}, "allocations"),
        (
            {"allocations": ["bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"]},
            "libp2p key",
        ),
        ({"user_allocations": ["12D3Koo0"]}, "user_allocations"),
        ({"metadata": {"k": 1}}, "metadata.*text"),
        ({"metadata": []}, "metadata.*object"),
        ({"origins": ["x"]}, "origins.*multiaddr"),
        ({"origins": [5]}, "origins.*text"),
    ],
)
def test_bad_json_is_refused_naming_the_field(fields: object, reason: str) -> None:
    with pytest.raises(MalformedPin, match=reason):
        pin_from_json(fields)


def test_unknown_json_fields_are_ignored() -> None:
    assert Pin() == pin_from_json({"tomorrow": 1})


def test_a_time_in_another_zone_is_the_same_moment() -> None:
    pin = pin_from_json({"timestamp": "2026-01-02T05:04:05.5+02:00"})
    assert pin_to_json(pin)["timestamp"] == "2026-01-02T03:04:05.5Z"


def test_a_peer_is_read_from_the_text_of_its_cid() -> None:
    cid_text = "bafzaajaiaejcblyguprssfyu4tzvnqm4tmk42gkr5rxgmyvko67aovd7fcjygna5"
    pin = pin_from_json({"allocations": [cid_text]})
    assert ["12D3KooWMbbPVGsZYh3ChQjue712NHHGNybRRXwnuSpezYjGbCDS"] == pin_to_json(pin)[
        "allocations"
    ]


def test_a_time_json_cannot_write_is_refused() -> None:
    with pytest.raises(ValueError, match="JSON has no time"):
        pin_to_json(replace(Pin(), timestamp=10**30))


def test_an_origin_that_is_no_multiaddr_is_refused() -> None:
    with pytest.raises(ValueError, match="no multiaddr"):
        pin_to_json(replace(Pin(), origins=(b"\xff",)))


def test_bytes_that_are_not_utf8_are_replaced_in_json() -> None:
    assert "\ufffd" == pin_to_json(decode_pin(b"\x81\xa1n\xa1\xff"))["name"]


@pytest.mark.parametrize(
    "number", [127, 128, 1000, 40000, 1 << 31, -32, -33, -129, -40000, -(1 << 40)]
)
def test_signed_numbers_take_gos_signed_forms(number: int) -> None:
    data = go_form(replace(Pin(), replication_factor_min=number))
    first = {1: None, 2: 0xD0, 3: 0xD1, 5: 0xD2, 9: 0xD3}[len(data) - len(b"\x82\xa2rn\xa1c\xc0")]
    assert first is None or first == data[4]
    assert number == decode_pin(data).replication_factor_min


@pytest.mark.parametrize("number", [127, 128, 256, 65536, 1 << 32, (1 << 64) - 1])
def test_unsigned_numbers_survive(number: int) -> None:
    assert number == decode_pin(go_form(replace(Pin(), shard_size=number))).shard_size


@pytest.mark.parametrize("count", [15, 16, 70000])
def test_long_lists_take_the_wider_headers(count: int) -> None:
    pin = replace(Pin(), allocations=(b"\x00\x01a",) * count)
    assert pin == decode_pin(go_form(pin))


def test_a_long_name_takes_the_widest_raw_form() -> None:
    pin = replace(Pin(), name="n" * 70000)
    assert b"\xdb\x00\x01\x11\x70" in go_form(pin)
    assert pin == decode_pin(go_form(pin))
