"""The protocols of this project beside Go's: what is written is read, and nothing else is."""

from __future__ import annotations

import pytest

from raft_over_libp2p.core.messages import (
    ErrorResponse,
    LeaseRequest,
    LeaseResponse,
    OwnRequest,
    ReadIndexRequest,
    ReadIndexResponse,
    Response,
    TimeoutNowRequest,
    TimeoutNowResponse,
)
from raft_over_libp2p.errors import LocalProtocolError, MalformedMessage
from raft_over_libp2p.limits import MAX_SMALL_FIELD_BYTES
from raft_over_libp2p.types import Index, ServerID, Term
from raft_over_libp2p.wire.dialects import DIALECTS, GO, dialect_of, encode_any_request
from raft_over_libp2p.wire.own_messages import encode_own_response

US = ServerID("12D3KooWAakVbvz4AW6iP8ALNsVWQ1Uyx6SWcHJxjXCf5Nwc3PdW")
READ = ReadIndexRequest(term=Term(7))
LEASE = LeaseRequest(term=Term(7), round=9, duration_ms=1000)
BOTH = pytest.mark.parametrize("request_", [READ, LEASE], ids=["read", "lease"])
ANSWERS: list[tuple[OwnRequest, Response]] = [
    (READ, ReadIndexResponse(term=Term(8), index=Index(2**64 - 1))),
    (READ, ErrorResponse(error="this server leads no more")),
    (READ, ErrorResponse(error="")),
    (LEASE, LeaseResponse(term=Term(7), granted=True)),
    (LEASE, LeaseResponse(term=Term(7), granted=False)),
]


def test_the_bytes_are_those_that_are_written_down() -> None:
    assert bytes.fromhex("0000000000000007") == encode_any_request(READ, US)
    assert bytes.fromhex(
        "0000000000000007 0000000000000009 00000000000003e8"
    ) == encode_any_request(LEASE, US)
    answer = ReadIndexResponse(term=Term(8), index=Index(3))
    assert bytes.fromhex("00 0000000000000008 0000000000000003") == encode_own_response(answer, US)
    assert b"\x01\x00\x02no" == encode_own_response(ErrorResponse(error="no"), US)


def test_each_has_a_protocol_of_its_own_and_go_s_stays_as_it_was() -> None:
    assert dialect_of(TimeoutNowRequest()) is GO
    assert {
        "/raft/1.0.0/rpc",
        "/raft-over-libp2p/1.0.0/read-index",
        "/raft-over-libp2p/1.0.0/lease",
    } == {dialect.protocol_id for dialect in DIALECTS}


@BOTH
@pytest.mark.parametrize("step", [1, 5, 1000])
def test_a_request_is_read_in_any_pieces(request_: OwnRequest, step: int) -> None:
    reader = dialect_of(request_).new_request_reader()
    data = encode_any_request(request_, US) * 3
    decoded = [d for i in range(0, len(data), step) for d in reader.feed(data[i : i + step])]

    assert [request_] * 3 == [d.request for d in decoded]
    assert reader.buffered_bytes == 0


@BOTH
def test_half_a_request_is_held_and_no_more(request_: OwnRequest) -> None:
    reader = dialect_of(request_).new_request_reader()

    assert reader.feed(encode_any_request(request_, US)[:-1]) == []
    assert reader.buffered_bytes == len(encode_any_request(request_, US)) - 1


@pytest.mark.parametrize("step", [1, 4, 10_000])
@pytest.mark.parametrize(("request_", "response"), ANSWERS)
def test_a_response_is_read_in_any_pieces(
    request_: OwnRequest, response: Response, step: int
) -> None:
    dialect = dialect_of(request_)
    reader = dialect.new_response_reader()
    data = dialect.encode_response(response, US) * 2
    reader.expect(request_)
    reader.expect(request_)
    decoded = [d for i in range(0, len(data), step) for d in reader.feed(data[i : i + step])]

    assert [response] * 2 == [d.response for d in decoded]


@pytest.mark.parametrize(
    "bad",
    [
        ReadIndexRequest(term=Term(0)),
        LeaseRequest(term=Term(0), round=1, duration_ms=1),
        LeaseRequest(term=Term(1), round=0, duration_ms=1),
    ],
)
def test_a_request_of_no_term_or_round_ends_its_stream(bad: OwnRequest) -> None:
    reader = dialect_of(bad).new_request_reader()

    with pytest.raises(MalformedMessage):
        reader.feed(encode_any_request(bad, US))
    with pytest.raises(MalformedMessage):
        reader.feed(b"")


def test_requests_before_a_bad_one_are_returned() -> None:
    reader = dialect_of(READ).new_request_reader()

    decoded = reader.feed(encode_any_request(READ, US) + bytes(8))

    assert [READ] == [d.request for d in decoded]
    assert isinstance(reader.failure, MalformedMessage)


@pytest.mark.parametrize(
    ("request_", "data"),
    [
        (READ, b"\x02"),
        (READ, b"\xff" * 17),
        (READ, bytes(17)),
        (READ, b"\x00" + bytes(7) + b"\x01" + bytes(8)),
        (READ, b"\x01" + (MAX_SMALL_FIELD_BYTES + 1).to_bytes(2, "big")),
        (LEASE, b"\x00" + bytes(7) + b"\x01\x02"),
        (LEASE, b"\x80"),
    ],
)
def test_what_is_no_response_is_refused(request_: OwnRequest, data: bytes) -> None:
    reader = dialect_of(request_).new_response_reader()
    reader.expect(request_)

    with pytest.raises(MalformedMessage):
        reader.feed(data)


@BOTH
def test_a_response_to_no_request_is_refused(request_: OwnRequest) -> None:
    with pytest.raises(MalformedMessage, match="answers no request"):
        dialect_of(request_).new_response_reader().feed(b"\x00")


def test_an_error_s_text_is_cut_and_may_be_no_utf_8() -> None:
    reader = dialect_of(READ).new_response_reader()
    reader.expect(READ)
    reader.expect(READ)
    long = encode_own_response(ErrorResponse(error="x" * 100_000), US)
    first, second = reader.feed(long + b"\x01\x00\x01\xff")

    assert ErrorResponse(error="x" * MAX_SMALL_FIELD_BYTES) == first.response
    assert ErrorResponse(error="\ufffd") == second.response


def test_an_answer_of_another_protocol_is_our_own_fault() -> None:
    with pytest.raises(LocalProtocolError):
        encode_own_response(TimeoutNowResponse(), US)
    with pytest.raises(LocalProtocolError):
        GO.encode_response(LeaseResponse(term=Term(1), granted=True), US)
