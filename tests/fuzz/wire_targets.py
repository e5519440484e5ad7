"""What Raft peers send: requests, responses, entries, configurations, times."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from raft_over_libp2p import limits
from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    ErrorResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    Request,
    RequestPreVoteRequest,
    RequestVoteRequest,
    TimeoutNowRequest,
)
from raft_over_libp2p.errors import (
    FrameTooLarge,
    MalformedMessage,
    PeerIDMismatch,
    RemoteProtocolError,
    UnsupportedVersion,
)
from raft_over_libp2p.transport.authorise import authorise
from raft_over_libp2p.transport.negotiation import Proposal, ProposalRefusedError
from raft_over_libp2p.types import Configuration, Index, ServerID, Term
from raft_over_libp2p.wire import (
    DecodedRequest,
    RequestReader,
    ResponseReader,
    decode_configuration,
    decode_entry,
    encode_configuration,
    encode_entry,
    encode_request,
    encode_response,
    unix_ns,
)
from raft_over_libp2p.wire.go_time import canonical_time
from raft_over_libp2p.wire.legacy_reader import LegacyReader, MoreBytesNeeded
from raft_over_libp2p.wire.snapshot_transfer import (
    AnswerReader,
    ChunkReader,
    OfferReader,
    encode_chunk_header,
    encode_go_on,
    encode_offer,
    encode_outcome,
)
from tests.fuzz.target import Target, cuts
from tests.wire.recorded import recorded

__all__ = ["TARGETS"]

US = ServerID("12D3KooWAakVbvz4AW6iP8ALNsVWQ1Uyx6SWcHJxjXCf5Nwc3PdW")
_BROKEN = (MalformedMessage, FrameTooLarge)
_MOST_SEED_BYTES = 4096
_PREAMBLE_BYTES = len(b"\x13/multistream/1.0.0\n\x10/raft/1.0.0/rpc\n")
_REQUEST_TYPES: tuple[type[Request], ...] = (
    AppendEntriesRequest,
    RequestVoteRequest,
    InstallSnapshotRequest,
    TimeoutNowRequest,
    RequestPreVoteRequest,
)
_NAMES = (
    "AppendEntries",
    "RequestVote",
    "InstallSnapshot",
    "TimeoutNow",
    "RequestPreVote",
)


def _vectors(type_name: str) -> list[bytes]:
    found = [bytes.fromhex(v["hex"]) for v in recorded()["codec_vectors"] if v["type"] == type_name]
    found += [
        bytes.fromhex(v["hex"]) for v in recorded()["decoder_tolerance"] if v["target"] == type_name
    ]
    return [data for data in found if len(data) <= _MOST_SEED_BYTES]


def _requests() -> list[bytes]:
    frames = [
        bytes([number]) + data
        for number, name in enumerate(_NAMES)
        for data in _vectors(name + "Request")
    ]
    streams = [
        bytes.fromhex(stream["initiator_to_responder_hex"])[_PREAMBLE_BYTES:]
        for stream in recorded()["streams"]
    ]
    return frames + [data for data in streams if len(data) <= _MOST_SEED_BYTES]


def _read_requests(
    pieces: Iterable[bytes],
) -> tuple[list[DecodedRequest], RemoteProtocolError | None, int]:
    """Feed a reader as ``transport.inbound`` does; snapshots are taken to be 5 bytes long.

    Return what was read, the failure, and how much of an unfinished frame is held.
    """
    reader, found, to_skip = RequestReader(), [], 0
    try:
        for piece in pieces:
            data = piece[to_skip:]
            to_skip -= len(piece) - len(data)
            while data:
                messages = reader.feed(data)
                found += messages
                assert reader.buffered_bytes <= limits.MAX_FRAME_RECEIVED_BYTES
                data = b""
                if messages and isinstance(messages[-1].request, InstallSnapshotRequest):
                    rest = reader.take_remainder()
                    data, to_skip = rest[5:], max(0, 5 - len(rest))
        if reader.failure is not None:
            return found, reader.failure, 0
    except RemoteProtocolError as error:
        return found, error, 0
    return found, None, reader.buffered_bytes


def requests(data: bytes) -> None:
    """However a stream is cut, the same requests come out, and the same verdict."""
    whole, failure, _ = _read_requests([data])
    pieces, pieces_failure, held_bytes = _read_requests(cuts(data))
    assert whole == pieces
    _same_verdict(failure, pieces_failure, held_bytes)
    for decoded in whole:
        request, sender = _signed(decoded.request)
        again = encode_request(request, sender)
        ((read_again,), none, _) = _read_requests([again])
        assert none is None
        assert request == read_again.request
        assert again == encode_request(read_again.request, sender)
    if failure is not None:
        raise failure


def _same_verdict(
    failure: Exception | None, pieces_failure: Exception | None, held_bytes: int
) -> None:
    """In pieces a bad frame may be refused later: when its structure ends."""
    if failure is None:
        assert pieces_failure is None
    else:
        assert pieces_failure is not None or held_bytes


def _signed(request: Request) -> tuple[Request, ServerID]:
    """Return ``request`` and its sender, which is us where it names none."""
    if isinstance(request, AppendEntriesRequest | InstallSnapshotRequest):
        sender = request.leader or US
        return replace(request, leader=sender), sender
    if isinstance(request, RequestVoteRequest):
        sender = request.candidate or US
        return replace(request, candidate=sender), sender
    return request, US


def authorised(data: bytes) -> None:
    """Whatever is let through names the authenticated peer as its sender."""
    decoded, *_ = _read_requests([data])
    for each in decoded:
        request = authorise(US, each.header, each.request)
        if isinstance(request, AppendEntriesRequest | InstallSnapshotRequest):
            assert request.leader == US
        if isinstance(request, RequestVoteRequest):
            assert request.candidate == US


def _responses_of(name: str) -> list[bytes]:
    header = [b"\xa0", b"\xa6failed"]
    return [error + data for error in header for data in _vectors(name + "Response")] + [
        b"\xa6failed\xc0"
    ]


def _response_seeds() -> list[bytes]:
    return [
        bytes([number]) + data for number, name in enumerate(_NAMES) for data in _responses_of(name)
    ]


def _read_responses(
    request_type: type[Request], pieces: Iterable[bytes]
) -> tuple[list[Any], RemoteProtocolError | None, int]:
    reader, found = ResponseReader(), []
    for _ in range(3):
        reader._expected.append(request_type)
    try:
        for piece in pieces:
            found += [decoded.response for decoded in reader.feed(piece)]
        if reader.failure is not None:
            return found, reader.failure, 0
    except RemoteProtocolError as error:
        return found, error, 0
    return found, None, reader.buffered_bytes


def responses(data: bytes) -> None:
    """The first byte picks the request that is answered; three answers are expected."""
    if not data:
        return
    request_type, data = _REQUEST_TYPES[data[0] % len(_REQUEST_TYPES)], data[1:]
    whole, failure, _ = _read_responses(request_type, [data])
    pieces, pieces_failure, held_bytes = _read_responses(request_type, cuts(data))
    assert whole == pieces
    _same_verdict(failure, pieces_failure, held_bytes)
    for response in whole:
        if isinstance(response, ErrorResponse):
            continue
        again = encode_response(response, US)
        assert ([response], None, 0) == _read_responses(request_type, [again])
    if failure is not None:
        raise failure


def entry(data: bytes) -> None:
    """An entry's canonical bytes are its value's: reading them gives it again, byte for byte."""
    found = decode_entry(data)
    canonical = encode_entry(found)
    again = decode_entry(canonical)
    assert found == again
    assert canonical == encode_entry(again)
    # Not what was kept, but what its value gives.
    again.encoded = None
    assert canonical == encode_entry(again)
    assert isinstance(unix_ns(found.appended_at), int)


def configuration(data: bytes) -> None:
    found = decode_configuration(data)
    canonical = encode_configuration(found)
    assert found == decode_configuration(canonical)
    assert canonical == encode_configuration(decode_configuration(canonical))


def _configurations() -> list[bytes]:
    return _vectors("Configuration") + _vectors("Peers") + _vectors("Peers([][]byte)")


def go_times(data: bytes) -> None:
    reader = LegacyReader(data)
    canonical = canonical_time(reader.read_time())
    assert canonical == canonical_time(canonical)
    assert len(canonical) in {15, 16}
    assert isinstance(unix_ns(canonical), int)


def _times() -> list[bytes]:
    return [
        b"\xc0",
        b"\xaf\x01" + bytes(14),
        b"\xb0\x02" + bytes(15),
        b"\xa4" + b"\xff" * 4,
        b"\xa8" + b"\xff" * 8,
        b"\xac" + b"\x7f" * 12,
        b"\xd6\xff" + bytes(4),
        b"\xd7\xff" + bytes(8),
        b"\xc7\x0c\xff" + bytes(12),
    ]


def negotiation(data: bytes) -> None:
    """However the answer is cut, the agreement and what is behind it are the same."""
    if len(data) > _MOST_SEED_BYTES:
        return

    def taken(pieces: Iterable[bytes]) -> bytes | None:
        proposal, behind, pieces = Proposal("/raft/1.0.0/rpc"), None, iter(pieces)
        for piece in pieces:
            behind = proposal.take(piece)
            if behind is not None:
                return behind + b"".join(pieces)
        return None

    def outcome(take: Callable[[], bytes | None]) -> tuple[object, object]:
        try:
            return take(), None
        except ProposalRefusedError as error:
            return None, error.is_known_refusal

    assert outcome(lambda: taken([data])) == outcome(lambda: taken(cuts(data)))
    taken([data])


def _answers() -> list[bytes]:
    header = b"\x13/multistream/1.0.0\n"
    return [header + b"\x10/raft/1.0.0/rpc\nrest", header + b"\x03na\n", header]


def snapshot_offers(data: bytes) -> None:
    """However an offer is cut, it is the same one."""
    whole, slow = OfferReader(), OfferReader()
    message = whole.feed(data)
    pieces = [slow.feed(piece) for piece in cuts(data)]
    if message is not None:
        assert [message] == [piece for piece in pieces if piece is not None]
        assert whole.sha256 == slow.sha256


def snapshot_chunks(data: bytes) -> None:
    """However they are cut, the chunks are the same, and never much is held."""
    slow, found = ChunkReader(), []
    chunks = ChunkReader().feed(data)
    for piece in cuts(data):
        found += slow.feed(piece)
        assert slow.buffered_bytes < limits.SNAPSHOT_CHUNK_BYTES + 20
    assert chunks == found
    again = b"".join(encode_chunk_header(c.term, c.offset, len(c.data)) + c.data for c in chunks)
    assert data.startswith(again)


def snapshot_answers(data: bytes) -> None:
    """However it is cut, an answer is an offset within the snapshot or a response."""

    def answers(pieces: Iterable[bytes]) -> list[object]:
        reader, found = AnswerReader(_OFFERED), []
        for piece in pieces:
            answer = reader.feed(piece)
            while answer is not None and len(found) < 2:
                found.append(answer)
                answer = reader.feed(b"") if isinstance(answer, int) else None
            if found and not isinstance(found[-1], int):
                break
        return found

    whole = answers([data])
    assert whole == answers(cuts(data))
    assert all(not isinstance(one, int) or one <= _OFFERED.size_bytes for one in whole)


_OFFERED = InstallSnapshotRequest(
    term=Term(3),
    leader=US,
    last_log_index=Index(9),
    last_log_term=Term(2),
    configuration=Configuration.of_voters(US),
    configuration_index=Index(1),
    size_bytes=100_000,
)


def _offers() -> list[bytes]:
    return [encode_offer(bytes(range(32)), encode_request(_OFFERED, US))]


def _chunks() -> list[bytes]:
    return [
        encode_chunk_header(Term(3), 0, 5) + b"hello" + encode_chunk_header(Term(3), 5, 1) + b"x"
    ]


def _snapshot_answers() -> list[bytes]:
    done = InstallSnapshotResponse(term=Term(3), success=True)
    outcome = encode_outcome(encode_response(done, US))
    return [encode_go_on(70_000) + outcome, outcome]


TARGETS = (
    Target("snapshot-offers", snapshot_offers, _offers, _BROKEN),
    Target("snapshot-chunks", snapshot_chunks, _chunks, _BROKEN),
    Target("snapshot-answers", snapshot_answers, _snapshot_answers, _BROKEN),
    Target("wire-requests", requests, _requests, _BROKEN),
    Target("wire-authorise", authorised, _requests, (PeerIDMismatch, UnsupportedVersion)),
    Target("wire-responses", responses, _response_seeds, _BROKEN),
    Target("wire-entry", entry, lambda: _vectors("Log"), _BROKEN),
    Target("wire-configuration", configuration, _configurations, _BROKEN),
    Target("wire-go-time", go_times, _times, (*_BROKEN, MoreBytesNeeded)),
    Target("negotiation", negotiation, _answers, (ProposalRefusedError,)),
)
