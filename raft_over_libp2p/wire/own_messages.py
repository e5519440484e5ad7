"""What this project's peers say to each other beside Go's protocol: reads of followers, and leases.

Each kind has a protocol ID of its own, so that a peer without it says so when the stream is
negotiated. All numbers are big-endian and unsigned. A request is one frame of fixed size, a
response a byte and what it announces::

    /raft-over-libp2p/1.0.0/read-index    request   term:64
                                          response  00 term:64 index:64
    /raft-over-libp2p/1.0.0/lease         request   term:64 round:64 duration_ms:64
                                          response  00 term:64 granted:8 (0 or 1)
    both                                  response  01 size:16 error, UTF-8

They come in order on a stream, answered in order, as on Go's. Nothing in them names a sender:
it is who libp2p authenticated.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from raft_over_libp2p.core.messages import (
    ErrorResponse,
    LeaseRequest,
    LeaseResponse,
    OwnRequest,
    ReadIndexRequest,
    ReadIndexResponse,
    Request,
    Response,
)
from raft_over_libp2p.errors import LocalProtocolError, MalformedMessage, RemoteProtocolError
from raft_over_libp2p.limits import MAX_SMALL_FIELD_BYTES
from raft_over_libp2p.types import Index, ServerID, Term
from raft_over_libp2p.wire.framing import DecodedRequest, DecodedResponse
from raft_over_libp2p.wire.header import PROTOCOL_VERSION, RPCHeader

__all__ = [
    "LEASE",
    "READ_INDEX",
    "OwnMessages",
    "OwnRequestReader",
    "OwnResponseReader",
    "encode_own_request",
    "encode_own_response",
]

_ANSWER: Final = b"\x00"
_ERROR: Final = b"\x01"
_ERROR_SIZE: Final = struct.Struct(">H")
_NO_CLAIM: Final = RPCHeader(PROTOCOL_VERSION, "", "")


@dataclass(frozen=True, slots=True)
class OwnMessages:
    """One kind of request and its response."""

    protocol_id: str
    request_type: type[OwnRequest]
    request_form: struct.Struct
    response_form: struct.Struct
    request_of: Callable[..., OwnRequest]
    response_of: Callable[..., Response]


def _read_index_request(term: int) -> OwnRequest:
    if term == 0:
        raise MalformedMessage("a read asked of the leader of term 0")
    return ReadIndexRequest(term=Term(term))


def _read_index_response(term: int, index: int) -> Response:
    if term == 0 or index == 0:
        raise MalformedMessage(f"a read confirmed in term {term} at index {index}")
    return ReadIndexResponse(term=Term(term), index=Index(index))


def _lease_request(term: int, round_: int, duration_ms: int) -> OwnRequest:
    if term == 0 or round_ == 0:
        raise MalformedMessage(f"a lease of term {term} and round {round_}")
    return LeaseRequest(term=Term(term), round=round_, duration_ms=duration_ms)


def _lease_response(term: int, granted: int) -> Response:
    if granted > 1:
        raise MalformedMessage(f"a lease granted by {granted}")
    return LeaseResponse(term=Term(term), granted=bool(granted))


READ_INDEX: Final = OwnMessages(
    "/raft-over-libp2p/1.0.0/read-index",
    ReadIndexRequest,
    struct.Struct(">Q"),
    struct.Struct(">QQ"),
    _read_index_request,
    _read_index_response,
)
LEASE: Final = OwnMessages(
    "/raft-over-libp2p/1.0.0/lease",
    LeaseRequest,
    struct.Struct(">QQQ"),
    struct.Struct(">QB"),
    _lease_request,
    _lease_response,
)


def encode_own_request(request: OwnRequest) -> bytes:
    """Return the bytes of ``request``, for its protocol."""
    if isinstance(request, ReadIndexRequest):
        return READ_INDEX.request_form.pack(request.term)
    return LEASE.request_form.pack(request.term, request.round, request.duration_ms)


def encode_own_response(response: Response, local_id: ServerID) -> bytes:
    """Return the bytes of ``response``; an error's text is cut at ``MAX_SMALL_FIELD_BYTES``.

    Raises:
        LocalProtocolError: it answers no request of these protocols.

    """
    del local_id  # nothing names its sender
    if isinstance(response, ReadIndexResponse):
        return _ANSWER + READ_INDEX.response_form.pack(response.term, response.index)
    if isinstance(response, LeaseResponse):
        return _ANSWER + LEASE.response_form.pack(response.term, response.granted)
    if isinstance(response, ErrorResponse):
        text = response.error.encode(errors="replace")[:MAX_SMALL_FIELD_BYTES]
        return _ERROR + _ERROR_SIZE.pack(len(text)) + text
    raise LocalProtocolError(f"{type(response).__name__} is no answer of this protocol")


class OwnRequestReader:
    """Requests of one inbound stream, as ``framing.RequestReader`` reads Go's."""

    def __init__(self, messages: OwnMessages) -> None:
        self._messages = messages
        self._partial = b""
        self._failure: RemoteProtocolError | None = None

    @property
    def buffered_bytes(self) -> int:
        """Bytes of an unfinished frame that are held."""
        return len(self._partial)

    @property
    def failure(self) -> RemoteProtocolError | None:
        """Why no more frames will come; set when :meth:`feed` had frames to return before it."""
        return self._failure

    def feed(self, data: bytes) -> list[DecodedRequest]:
        """Take in the next bytes and return the requests they complete.

        Raises:
            MalformedMessage: no such request; end the stream.

        """
        if self._failure is not None:
            raise self._failure
        data = self._partial + data
        form, decoded = self._messages.request_form, list[DecodedRequest]()
        end = len(data) - len(data) % form.size
        self._partial = data[end:]
        for values in form.iter_unpack(data[:end]):
            try:
                request = self._messages.request_of(*values)
            except MalformedMessage as failure:
                self._failure, self._partial = failure, b""
                if not decoded:
                    raise
                break
            decoded.append(DecodedRequest(_NO_CLAIM, request, form.size))
        return decoded


class OwnResponseReader:
    """Responses of one outbound stream, as ``framing.ResponseReader`` reads Go's."""

    def __init__(self, messages: OwnMessages) -> None:
        self._messages = messages
        self._partial = b""
        self._expected: deque[type[Request]] = deque()

    @property
    def buffered_bytes(self) -> int:
        """Bytes of an unfinished frame that are held."""
        return len(self._partial)

    def expect(self, request: Request) -> None:
        """Note that ``request`` was sent: the next unexpected response answers it."""
        self._expected.append(type(request))

    def feed(self, data: bytes) -> list[DecodedResponse]:
        """Take in the next bytes and return the responses they complete.

        Raises:
            MalformedMessage: no such response, or one to no request; reset the stream.

        """
        data, position = self._partial + data, 0
        decoded: list[DecodedResponse] = []
        while position < len(data) and (end := self._end(data, position)) <= len(data):
            decoded.append(DecodedResponse(self._response(data[position:end]), end - position))
            position = end
        self._partial = data[position:]
        return decoded

    def _end(self, data: bytes, position: int) -> int:
        """Return where the response at ``position`` ends, or a place beyond ``data``."""
        if not self._expected:
            raise MalformedMessage("a response that answers no request")
        kind = data[position : position + 1]
        body = position + 1
        if kind == _ANSWER:
            return body + self._messages.response_form.size
        if kind != _ERROR:
            raise MalformedMessage(f"a response that begins with {kind.hex()}")
        text = body + _ERROR_SIZE.size
        if len(data) < text:
            return text
        (size,) = _ERROR_SIZE.unpack_from(data, body)
        if size > MAX_SMALL_FIELD_BYTES:
            raise MalformedMessage(f"an error of {size} bytes")
        return text + int(size)

    def _response(self, frame: bytes) -> Response:
        self._expected.popleft()
        if frame[:1] == _ERROR:
            return ErrorResponse(error=frame[1 + _ERROR_SIZE.size :].decode(errors="replace"))
        return self._messages.response_of(*self._messages.response_form.unpack_from(frame, 1))
