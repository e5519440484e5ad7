"""Every captured RPC of real Go peers, and what is no RPC."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.rpc.wire import (
    ErrorType,
    ObjectReader,
    ResponseHeader,
    ServiceID,
    decode_peer_id,
    decode_response_header,
    decode_service_id,
    encode_peer_id,
    encode_response_header,
    encode_service_id,
)
from raft_over_libp2p.errors import FrameTooLarge, MalformedMessage

VECTORS = Path(__file__).parents[1] / "vectors"
CAPTURES = [
    pytest.param(capture, id=f"{number}-{capture['method']}")
    for number, capture in enumerate(
        json.loads((VECTORS / "fixtures/ipfs-cluster/rpc-captures.json").read_text())
    )
]
PIN_ARGUMENT_MAX = 1 << 20


def objects(data: bytes, step: int) -> list[bytes]:
    """Return the objects that ``data`` is cut into when it arrives ``step`` bytes at a time."""
    reader = ObjectReader(PIN_ARGUMENT_MAX)
    found = []
    for start in range(0, len(data), step):
        reader.feed(data[start : start + step])
        while (whole := reader.take()) is not None:
            found.append(whole)
    assert reader.is_empty
    return found


@pytest.mark.parametrize("capture", CAPTURES)
@pytest.mark.parametrize("direction", ["request", "response"])
def test_a_capture_is_cut_the_same_whole_and_byte_by_byte(capture, direction) -> None:
    data = bytes.fromhex(capture[direction] or "")

    whole = objects(data, max(1, len(data)))

    assert whole == objects(data, 1)
    assert data == b"".join(whole)


@pytest.mark.parametrize("capture", CAPTURES)
def test_a_captured_call_names_its_method_and_is_written_the_same(capture) -> None:
    header = objects(bytes.fromhex(capture["request"]), 1 << 20)[0]

    service_id = decode_service_id(header)

    assert capture["method"] == str(service_id)
    assert header == encode_service_id(service_id)


@pytest.mark.parametrize("capture", [c for c in CAPTURES if c.values[0]["response"]])
def test_a_captured_answer_header_is_written_the_same(capture) -> None:
    header = objects(bytes.fromhex(capture["response"]), 1 << 20)[0]

    assert header == encode_response_header(decode_response_header(header))


@given(
    st.text(max_size=60), st.text(max_size=60), st.text(max_size=300), st.sampled_from(ErrorType)
)
def test_an_answer_header_survives_a_round_trip(service, method, error, error_type) -> None:
    header = ResponseHeader(
        ServiceID(service, method), error, error_type if error else ErrorType.APPLICATION
    )

    assert header == decode_response_header(encode_response_header(header))


@pytest.mark.parametrize(
    "data",
    [b"", b"\xc1", b"\x01", b"\x90", b"\x82\xa4Name\x01\xa6Method\x02", b"\x81\xa4Name"],
)
def test_what_is_no_header_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_service_id(data)


def test_a_service_name_over_the_limit_is_refused() -> None:
    with pytest.raises(MalformedMessage, match="Name"):
        decode_service_id(encode_service_id(ServiceID("x" * 257, "LogPin")))


def test_a_message_over_its_limit_is_refused_before_it_is_kept() -> None:
    reader = ObjectReader(max_bytes=100)

    with pytest.raises(FrameTooLarge):
        reader.feed(bytes(101))


def test_a_giant_length_waits_for_bytes_instead_of_memory() -> None:
    reader = ObjectReader(max_bytes=100)
    reader.feed(b"\xdb\xff\xff\xff\xff")

    assert reader.take() is None


def test_deep_nesting_is_malformed() -> None:
    reader = ObjectReader()
    reader.feed(b"\x91" * 200_000)

    with pytest.raises(MalformedMessage):
        reader.take()


def test_a_peer_id_argument_survives_a_round_trip() -> None:
    multihash = bytes.fromhex("002408011220") + bytes(32)

    assert multihash == decode_peer_id(encode_peer_id(multihash))


@pytest.mark.parametrize("data", [b"\xa0", b"\x01", b"\xc1"])
def test_what_is_no_peer_id_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_peer_id(data)


@pytest.mark.parametrize("key", [b"\x90", b"\x80", b"\x91\x90"])
def test_a_map_with_a_key_that_no_dict_can_have_is_malformed(key: bytes) -> None:
    with pytest.raises(MalformedMessage, match="unhashable"):
        decode_service_id(b"\x81" + key + b"\xc0")
