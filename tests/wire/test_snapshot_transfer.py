"""The protocol on which Python peers send each other snapshots, as bytes."""

from __future__ import annotations

import hashlib

import pytest

from raft_over_libp2p import limits
from raft_over_libp2p.core.messages import (
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    TimeoutNowRequest,
)
from raft_over_libp2p.errors import FrameTooLarge, LocalProtocolError, MalformedMessage
from raft_over_libp2p.types import Configuration, Index, ServerID, Term
from raft_over_libp2p.wire.requests import encode_request
from raft_over_libp2p.wire.responses import encode_response
from raft_over_libp2p.wire.snapshot_transfer import (
    AnswerReader,
    Chunk,
    ChunkReader,
    OfferReader,
    encode_chunk_header,
    encode_go_on,
    encode_offer,
    encode_outcome,
)

US = ServerID("n1")
HASH = hashlib.sha256(b"the snapshot").digest()
REQUEST = InstallSnapshotRequest(
    term=Term(3),
    leader=US,
    last_log_index=Index(9),
    last_log_term=Term(2),
    configuration=Configuration.of_voters(US),
    configuration_index=Index(1),
    size_bytes=12,
)
OFFER = encode_offer(HASH, encode_request(REQUEST, US))
DONE = InstallSnapshotResponse(term=Term(3), success=True)
OUTCOME = encode_outcome(encode_response(DONE, US))


def test_an_offer_reads_the_same_in_one_piece_and_byte_by_byte() -> None:
    whole, slow = OfferReader(), OfferReader()
    message = whole.feed(OFFER)
    pieces = [slow.feed(OFFER[n : n + 1]) for n in range(len(OFFER))]

    assert message is not None
    assert (REQUEST, HASH) == (message.request, whole.sha256)
    assert [None] * (len(OFFER) - 1) == pieces[:-1]
    assert (message, HASH) == (pieces[-1], slow.sha256)


@pytest.mark.parametrize(
    ("offer", "why"),
    [
        (OFFER + b"x", "before it was said"),
        (encode_offer(HASH, encode_request(TimeoutNowRequest(), US)), "RPC type 3"),
        (HASH + b"\x02\xc1", "neither a map"),
    ],
)
def test_what_is_no_offer_is_refused(offer: bytes, why: str) -> None:
    with pytest.raises(MalformedMessage, match=why):
        OfferReader().feed(offer)


def test_a_hash_of_another_length_is_not_offered() -> None:
    with pytest.raises(LocalProtocolError, match="31 bytes"):
        encode_offer(HASH[1:], b"")


def test_chunks_read_the_same_in_one_piece_and_byte_by_byte() -> None:
    chunks = [Chunk(Term(3), 0, b"hello "), Chunk(Term(3), 6, b"x" * limits.SNAPSHOT_CHUNK_BYTES)]
    data = b"".join(encode_chunk_header(c.term, c.offset, len(c.data)) + c.data for c in chunks)
    slow = ChunkReader()
    pieces = [slow.feed(data[n : n + 1]) for n in range(len(data))]

    assert chunks == ChunkReader().feed(data)
    assert chunks == [chunk for piece in pieces for chunk in piece]
    assert slow.buffered_bytes == 0


def test_a_chunk_that_is_too_large_is_refused_by_its_header() -> None:
    with pytest.raises(FrameTooLarge):
        ChunkReader().feed(encode_chunk_header(Term(3), 0, limits.SNAPSHOT_CHUNK_BYTES + 1))


def test_a_chunk_without_bytes_is_refused() -> None:
    with pytest.raises(MalformedMessage):
        ChunkReader().feed(encode_chunk_header(Term(3), 0, 0))


def test_an_offset_and_then_the_outcome_are_read() -> None:
    together, slow = AnswerReader(REQUEST), AnswerReader(REQUEST)
    data = encode_go_on(5) + OUTCOME
    pieces = [slow.feed(data[n : n + 1]) for n in range(len(data))]

    assert (5, DONE) == (together.feed(data), together.feed(b""))
    assert [5, DONE] == [piece for piece in pieces if piece is not None]


def test_the_outcome_may_come_instead_of_an_offset() -> None:
    assert DONE == AnswerReader(REQUEST).feed(OUTCOME)


@pytest.mark.parametrize("answer", [encode_go_on(13), b"\x00", b"\x03rest"])
def test_what_is_no_answer_is_refused(answer: bytes) -> None:
    with pytest.raises(MalformedMessage):
        AnswerReader(REQUEST).feed(answer)


def test_a_second_offset_is_refused() -> None:
    reader = AnswerReader(REQUEST)
    reader.feed(encode_go_on(5))
    with pytest.raises(MalformedMessage):
        reader.feed(encode_go_on(6))
