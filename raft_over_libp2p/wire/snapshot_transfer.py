"""A snapshot that can be resumed: what Python peers say to each other on a protocol of their own.

::

    leader    SHA-256 of the snapshot (32 bytes), InstallSnapshot request as Go encodes it
    follower  0x01, offset (8)                             go on at this byte
    leader    chunks: term (8), offset (8), length (4), so many bytes
    follower  0x02, InstallSnapshot response as Go encodes it

Numbers are big-endian. The response may come at any time, also instead of the offset: then
no more bytes are wanted. Each chunk follows the one before, names the request's term, and
holds 1 to ``SNAPSHOT_CHUNK_BYTES`` bytes. Mixed-cluster rule 25.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Final

from raft_over_libp2p import limits
from raft_over_libp2p.core.messages import InstallSnapshotRequest, Response
from raft_over_libp2p.errors import FrameTooLarge, LocalProtocolError, MalformedMessage
from raft_over_libp2p.types import Term
from raft_over_libp2p.wire.framing import DecodedRequest, RequestReader, ResponseReader
from raft_over_libp2p.wire.header import RPCType

__all__ = [
    "SHA256_BYTES",
    "AnswerReader",
    "Chunk",
    "ChunkReader",
    "OfferReader",
    "encode_chunk_header",
    "encode_go_on",
    "encode_offer",
    "encode_outcome",
]

SHA256_BYTES: Final = 32
_GO_ON: Final = Struct(">BQ")
_CHUNK: Final = Struct(">QQI")
_IS_GO_ON: Final = 1
_IS_OUTCOME: Final = 2


def encode_offer(sha256: bytes, request: bytes) -> bytes:
    """Return what opens a transfer; ``request`` is the encoded InstallSnapshot request."""
    if len(sha256) != SHA256_BYTES:
        raise LocalProtocolError(f"a SHA-256 of {len(sha256)} bytes")
    return sha256 + request


def encode_go_on(offset: int) -> bytes:
    """Return the follower's word at which byte to go on."""
    return _GO_ON.pack(_IS_GO_ON, offset)


def encode_outcome(response: bytes) -> bytes:
    """Return the follower's last word; ``response`` is the encoded InstallSnapshot response."""
    return bytes([_IS_OUTCOME]) + response


def encode_chunk_header(term: Term, offset: int, size_bytes: int) -> bytes:
    """Return what goes before ``size_bytes`` bytes of the snapshot, from ``offset`` on."""
    return _CHUNK.pack(term, offset, size_bytes)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some bytes of a snapshot, and the term of the leader that sends them."""

    term: Term
    offset: int
    data: bytes


class OfferReader:
    """The offer at the begin of one inbound stream."""

    def __init__(self) -> None:
        self._begun = b""
        self._request = RequestReader()

    @property
    def buffered_bytes(self) -> int:
        """Bytes of the unfinished offer that are held."""
        return len(self._begun) + self._request.buffered_bytes

    @property
    def sha256(self) -> bytes:
        """The hash that was offered, once :meth:`feed` gave the request."""
        return self._begun

    def feed(self, data: bytes) -> DecodedRequest | None:
        """Take in the next bytes; return the request once it is whole.

        Raises:
            FrameTooLarge: a limit was passed.
            MalformedMessage: it is no InstallSnapshot request, or more bytes follow it: the
                leader waits for an answer.

        """
        missing = SHA256_BYTES - len(self._begun)
        self._begun += data[:missing]
        data = data[missing:]
        if not data:
            return None
        if not self._request.buffered_bytes and data[0] != RPCType.INSTALL_SNAPSHOT:
            raise MalformedMessage(f"RPC type {data[0]} where a snapshot is offered")
        for message in self._request.feed(data):
            if self._request.take_remainder():
                raise MalformedMessage("bytes of a snapshot before it was said where to go on")
            return message
        return None


class ChunkReader:
    """The chunks of one inbound stream, in whatever pieces they come; holds at most one."""

    def __init__(self) -> None:
        self._partial = bytearray()

    @property
    def buffered_bytes(self) -> int:
        """Bytes of an unfinished chunk that are held."""
        return len(self._partial)

    def feed(self, data: bytes) -> list[Chunk]:
        """Take in the next bytes and return the chunks they complete, in order.

        Raises:
            FrameTooLarge: a chunk is larger than ``SNAPSHOT_CHUNK_BYTES``.
            MalformedMessage: a chunk is empty.

        """
        held = self._partial
        held += data
        chunks: list[Chunk] = []
        position = 0
        while len(held) - position >= _CHUNK.size:
            term, offset, size_bytes = _CHUNK.unpack_from(held, position)
            if size_bytes > limits.SNAPSHOT_CHUNK_BYTES:
                raise FrameTooLarge(f"a snapshot's chunk of {size_bytes} bytes")
            if not size_bytes:
                raise MalformedMessage("a snapshot's chunk without bytes")
            begin = position + _CHUNK.size
            end = begin + size_bytes
            if len(held) < end:
                break
            chunks.append(Chunk(Term(term), offset, bytes(held[begin:end])))
            position = end
        del held[:position]
        return chunks


class AnswerReader:
    """What a follower answers on one outbound stream."""

    def __init__(self, request: InstallSnapshotRequest) -> None:
        self._partial = b""
        self._has_offset = False
        self._response: ResponseReader | None = None
        self._request = request

    def feed(self, data: bytes) -> int | Response | None:
        """Take in the next bytes; return the offset, later the response, once they are whole.

        Raises:
            FrameTooLarge: a limit was passed.
            MalformedMessage: it is neither, or an offset that is beyond the snapshot or comes
                a second time.

        """
        if self._response is not None:
            return self._outcome(self._response, data)
        held = self._partial = self._partial + data
        if not held:
            return None
        if held[0] == _IS_OUTCOME:
            self._partial = b""
            self._response = ResponseReader()
            self._response.expect(self._request)
            return self._outcome(self._response, held[1:])
        if held[0] != _IS_GO_ON or self._has_offset:
            raise MalformedMessage(f"the answer to an offered snapshot begins with {held[0]}")
        if len(held) < _GO_ON.size:
            return None
        _, offset = _GO_ON.unpack_from(held)
        if offset > self._request.size_bytes:
            raise MalformedMessage(
                f"asked to go on at byte {offset} of a snapshot of {self._request.size_bytes}"
            )
        self._has_offset = True
        self._partial = held[_GO_ON.size :]
        return int(offset)

    @staticmethod
    def _outcome(reader: ResponseReader, data: bytes) -> Response | None:
        for answer in reader.feed(data):
            return answer.response
        return None
