"""What only this project's peers say: reads of followers, leases, request IDs; and peers.json."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from raft_over_libp2p.core.messages import (
    ErrorResponse,
    LeaseRequest,
    LeaseResponse,
    OwnRequest,
    ReadIndexRequest,
    ReadIndexResponse,
    Response,
)
from raft_over_libp2p.errors import MalformedMessage, ProposalRefused, RemoteProtocolError
from raft_over_libp2p.raft.request_id import (
    RequestID,
    frame_request,
    is_framed,
    split_extensions,
)
from raft_over_libp2p.storage.peers_json import parse_peers_json
from raft_over_libp2p.types import Index, ServerID, Term
from raft_over_libp2p.wire.dialects import Dialect, dialect_of
from raft_over_libp2p.wire.own_messages import encode_own_request, encode_own_response
from tests.fuzz.target import Target, cuts

__all__ = ["TARGETS"]

_US = ServerID("12D3KooWAakVbvz4AW6iP8ALNsVWQ1Uyx6SWcHJxjXCf5Nwc3PdW")
_REQUESTS: tuple[OwnRequest, ...] = (
    ReadIndexRequest(term=Term(3)),
    LeaseRequest(term=Term(3), round=7, duration_ms=400),
)
_MOST_HELD_BYTES = 3 + 4096


def _read_requests(
    dialect: Dialect, pieces: Iterable[bytes]
) -> tuple[list[Any], RemoteProtocolError | None, int]:
    reader, found = dialect.new_request_reader(), list[Any]()
    try:
        for piece in pieces:
            found += [decoded.request for decoded in reader.feed(piece)]
            assert reader.buffered_bytes <= _MOST_HELD_BYTES
            if reader.failure is not None:
                return found, reader.failure, 0
    except RemoteProtocolError as error:
        return found, error, 0
    return found, None, reader.buffered_bytes


def requests(data: bytes) -> None:
    """The first byte picks the protocol. However a stream is cut, the same comes out."""
    dialect, data = dialect_of(_REQUESTS[data[:1] > b"\x7f"]), data[1:]
    whole, failure, held = _read_requests(dialect, [data])
    pieces, pieces_failure, pieces_held = _read_requests(dialect, cuts(data))
    assert (whole, held, str(failure)) == (pieces, pieces_held, str(pieces_failure))
    read = b"".join(encode_own_request(request) for request in whole)
    assert data.startswith(read)
    assert failure is not None or len(data) == len(read) + held
    if failure is not None:
        raise failure


def _request_seeds() -> list[bytes]:
    frames = [encode_own_request(request) for request in _REQUESTS]
    return [b"\x00" + frames[0] * 2, b"\xff" + frames[1] * 2, b"\x00" + bytes(8), b"\xff"]


def _read_responses(
    request: OwnRequest, pieces: Iterable[bytes]
) -> tuple[list[Response], str | None, int]:
    """Return at most the three responses that are expected, and the failure."""
    reader, found = dialect_of(request).new_response_reader(), list[Response]()
    for _ in range(3):
        reader.expect(request)
    try:
        for piece in pieces:
            found += [decoded.response for decoded in reader.feed(piece)]
            assert reader.buffered_bytes <= _MOST_HELD_BYTES
    except RemoteProtocolError as error:
        return found, str(error), 0
    return found, None, reader.buffered_bytes


def responses(data: bytes) -> None:
    """As for requests; a response that fails takes those in the same piece with it."""
    request, data = _REQUESTS[data[:1] > b"\x7f"], data[1:]
    whole, failure, held = _read_responses(request, [data])
    pieces, pieces_failure, pieces_held = _read_responses(request, cuts(data))
    assert (failure is None) == (pieces_failure is None)
    for response in pieces:
        encoded = encode_own_response(response, _US)
        again, none, _ = _read_responses(request, [encoded])
        assert none is None
        assert [response] == again
    if failure is not None:
        raise MalformedMessage(failure)
    assert (whole, held) == (pieces, pieces_held)


def _response_seeds() -> list[bytes]:
    error = encode_own_response(ErrorResponse(error="not the leader"), _US)
    index = encode_own_response(ReadIndexResponse(term=Term(3), index=Index(9)), _US)
    lease = encode_own_response(LeaseResponse(term=Term(3), granted=True), _US)
    return [b"\x00" + index + error + index, b"\xff" + lease + error + lease]


def request_id(data: bytes) -> None:
    """Extensions are an ID and the caller's own, or the caller's own; nothing is lost of them."""
    request, rest = split_extensions(data)
    assert is_framed(data) == (request is not None)
    if request is None:
        assert data == rest
        return
    assert data == frame_request(request, rest)
    assert request == RequestID.parse(str(request))


def peers_json(data: bytes) -> None:
    configuration = parse_peers_json(data)
    assert any(server.suffrage == 0 for server in configuration.servers)
    assert len({server.id for server in configuration.servers}) == len(configuration.servers)


def _peers_files() -> list[bytes]:
    return [
        b'[{"id": "a", "address": "b"}, {"id": "c", "address": "d", "non_voter": true}]',
        b'["12D3KooWa", "12D3KooWb"]\n',
    ]


TARGETS = (
    Target("own-requests", requests, _request_seeds, (MalformedMessage,)),
    Target("own-responses", responses, _response_seeds, (MalformedMessage,)),
    Target(
        "request-id",
        request_id,
        lambda: [frame_request(RequestID(bytes(range(16)), Index(77)), b"rest"), b"", b"own"],
        (),
    ),
    Target("peers-json", peers_json, _peers_files, (ProposalRefused,)),
)
