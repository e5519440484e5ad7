"""Streams captured between Go peers, and requests sent to Go peers with what they answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from raft_over_libp2p.core.messages import ErrorResponse, InstallSnapshotRequest, Request
from raft_over_libp2p.errors import MalformedMessage, UnsupportedVersion
from raft_over_libp2p.types import ServerID
from raft_over_libp2p.wire import (
    DecodedRequest,
    DecodedResponse,
    RequestReader,
    ResponseReader,
    check_protocol_version,
    check_snapshot_version,
    encode_request,
    encode_response,
)
from raft_over_libp2p.wire.legacy_reader import LegacyReader
from raft_over_libp2p.wire.schema import ERROR_TEXT, RPC_HEADER
from tests.wire.recorded import recorded

STREAMS = recorded()["streams"]
PROBES = recorded()["probes"]
Cut = Callable[[bytes], list[bytes]]


def whole(data: bytes) -> list[bytes]:
    return [data]


def byte_by_byte(data: bytes) -> list[bytes]:
    return [data[at : at + 1] for at in range(len(data))]


def in_sevens(data: bytes) -> list[bytes]:
    return [data[at : at + 7] for at in range(0, len(data), 7)]


CUTS = pytest.mark.parametrize("cut", [whole, byte_by_byte, in_sevens])


def read_requests(chunks: list[bytes]) -> tuple[list[DecodedRequest], RequestReader]:
    """Read a stream as a transport does: snapshots are taken out from between the requests."""
    reader = RequestReader()
    requests: list[DecodedRequest] = []
    snapshot_left = 0
    for chunk in chunks:
        rest = chunk
        while rest:
            if snapshot_left:
                taken = min(snapshot_left, len(rest))
                snapshot_left, rest = snapshot_left - taken, rest[taken:]
                continue
            decoded = reader.feed(rest)
            requests += decoded
            rest = b""
            if decoded and isinstance(decoded[-1].request, InstallSnapshotRequest):
                snapshot_left = decoded[-1].request.size_bytes
                rest = reader.take_remainder()
    return requests, reader


def read_responses(
    requests: list[Request], chunks: list[bytes]
) -> tuple[list[DecodedResponse], ResponseReader]:
    reader = ResponseReader()
    for request in requests:
        reader.expect(request)
    return [response for chunk in chunks for response in reader.feed(chunk)], reader


def initiator_bytes(stream: Any) -> bytes:
    data = bytes.fromhex(stream["initiator_to_responder_hex"])
    return data[stream["multistream_preamble_len"]["initiator"] :]


def responder_bytes(stream: Any) -> bytes:
    data = bytes.fromhex(stream["responder_to_initiator_hex"])
    return data[stream["multistream_preamble_len"]["responder"] :]


def stream_name(stream: Any) -> str:
    label: str = stream["label"]
    return label


@pytest.mark.parametrize("stream", STREAMS, ids=stream_name)
@CUTS
def test_requests_of_a_captured_stream_are_written_again_as_go_wrote_them(
    stream: Any, cut: Cut
) -> None:
    data = initiator_bytes(stream)

    requests, _ = read_requests(cut(data))

    at = 0
    for decoded in requests:
        sent = encode_request(decoded.request, ServerID(decoded.header.id))
        assert data[at : at + decoded.size_bytes] == sent
        at += decoded.size_bytes
        if isinstance(decoded.request, InstallSnapshotRequest):
            at += decoded.request.size_bytes
    assert len(data) == at


@pytest.mark.parametrize("stream", STREAMS, ids=stream_name)
@CUTS
def test_responses_of_a_captured_stream_are_written_again_as_go_wrote_them(
    stream: Any, cut: Cut
) -> None:
    requests = [d.request for d in read_requests([initiator_bytes(stream)])[0]]
    data = responder_bytes(stream)
    reader = LegacyReader(data)
    ERROR_TEXT.read(reader)
    responder = ServerID((RPC_HEADER.read(reader)["ID"] or b"").decode())

    responses, _ = read_responses(requests, cut(data))

    assert len(requests) == len(responses)
    assert data == b"".join(encode_response(d.response, responder) for d in responses)


@pytest.mark.parametrize("stream", STREAMS, ids=stream_name)
@CUTS
def test_bytes_behind_the_last_message_are_neither_lost_nor_read(stream: Any, cut: Cut) -> None:
    alone, _ = read_requests([initiator_bytes(stream)])
    data = responder_bytes(stream)
    sent = [d.request for d in alone]

    requests, reader = read_requests(cut(initiator_bytes(stream) + b"\x01\x88\xa4Add"))
    responses, response_reader = read_responses([*sent, sent[-1]], cut(data + b"\xa0\x87"))

    assert alone == requests
    assert len(sent) == len(responses)
    assert 6 == reader.buffered_bytes
    assert 2 == response_reader.buffered_bytes


# What we do otherwise, each with its row in docs/divergences.md.
WE_DIFFER = {
    "heartbeat ProtocolVersion 0 (fast path skips version check)",
}
# Nodes run at another protocol version of their own, and a release without pre-vote.
OTHER_NODES = ("pv1", "pv2")


def probe_name(probe: Any) -> str:
    return f"{probe['target']}: {probe['name']}"


def refusal_of(decoded: DecodedRequest) -> str:
    try:
        check_protocol_version(decoded.header, decoded.request)
        if isinstance(decoded.request, InstallSnapshotRequest):
            check_snapshot_version(decoded.request)
    except UnsupportedVersion as refusal:
        return str(refusal)
    return ""


def is_judged_alike(probe: Any) -> bool:
    return probe["name"] not in WE_DIFFER and not any(n in probe["target"] for n in OTHER_NODES)


ANSWERED = [probe for probe in PROBES if probe["reply_hex"]]
UNANSWERED = [probe for probe in PROBES if not probe["reply_hex"]]


@pytest.mark.parametrize("probe", ANSWERED, ids=probe_name)
@CUTS
def test_what_go_answered_is_decoded_and_so_is_its_answer(probe: Any, cut: Cut) -> None:
    requests, _ = read_requests(cut(bytes.fromhex(probe["request_hex"])))

    sent = [decoded.request for decoded in requests]
    responses, reader = read_responses(sent, cut(bytes.fromhex(probe["reply_hex"])))
    assert len(sent) == len(responses)
    assert 0 == reader.buffered_bytes


@pytest.mark.parametrize("probe", list(filter(is_judged_alike, ANSWERED)), ids=probe_name)
def test_a_version_is_refused_exactly_when_go_refused_it_and_in_the_same_words(probe: Any) -> None:
    requests, _ = read_requests([bytes.fromhex(probe["request_hex"])])
    responses, _ = read_responses(
        [decoded.request for decoded in requests], [bytes.fromhex(probe["reply_hex"])]
    )
    errors = [d.response.error if isinstance(d.response, ErrorResponse) else "" for d in responses]

    # "short read" is about the snapshot's bytes, which are not this package's.
    wanted = ["" if error == "short read" else error for error in errors]
    assert wanted == [refusal_of(decoded) for decoded in requests]


@pytest.mark.parametrize("probe", UNANSWERED, ids=probe_name)
@CUTS
def test_what_go_closed_the_stream_on_gives_no_request(probe: Any, cut: Cut) -> None:
    data = bytes.fromhex(probe["request_hex"])
    if probe["target"] == "1.6.0" and data.startswith(b"\x04"):
        # A release from before pre-vote; we know it, as 1.7 does.
        assert 1 == len(read_requests(cut(data))[0])
    elif probe["close_write"]:
        assert ([], len(data)) == (
            (read := read_requests(cut(data)))[0],
            read[1].buffered_bytes,
        )
    else:
        with pytest.raises(MalformedMessage):
            read_requests(cut(data))
