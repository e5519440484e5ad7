"""Which protocol a request travels on, and how that protocol's bytes are written and read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol

from raft_over_libp2p.core.messages import (
    LeaseResponse,
    OwnRequest,
    ReadIndexResponse,
    Request,
    Response,
)
from raft_over_libp2p.errors import LocalProtocolError, RemoteProtocolError
from raft_over_libp2p.types import ServerID
from raft_over_libp2p.wire.framing import (
    DecodedRequest,
    DecodedResponse,
    RequestReader,
    ResponseReader,
)
from raft_over_libp2p.wire.own_messages import (
    LEASE,
    READ_INDEX,
    OwnRequestReader,
    OwnResponseReader,
    encode_own_request,
    encode_own_response,
)
from raft_over_libp2p.wire.requests import encode_request
from raft_over_libp2p.wire.responses import encode_response

__all__ = [
    "DIALECTS",
    "GO",
    "Dialect",
    "RequestsReader",
    "ResponsesReader",
    "dialect_of",
    "encode_any_request",
]


class RequestsReader(Protocol):
    """Takes an inbound stream's bytes in any pieces; see ``framing.RequestReader``."""

    @property
    def buffered_bytes(self) -> int: ...

    @property
    def failure(self) -> RemoteProtocolError | None: ...

    def feed(self, data: bytes) -> list[DecodedRequest]: ...


class ResponsesReader(Protocol):
    """Takes an outbound stream's bytes in any pieces; see ``framing.ResponseReader``."""

    @property
    def buffered_bytes(self) -> int: ...

    def expect(self, request: Request) -> None: ...

    def feed(self, data: bytes) -> list[DecodedResponse]: ...


@dataclass(frozen=True, slots=True)
class Dialect:
    """One protocol ID, and its bytes."""

    protocol_id: str
    new_request_reader: Callable[[], RequestsReader]
    new_response_reader: Callable[[], ResponsesReader]
    encode_response: Callable[[Response, ServerID], bytes]


def _encode_go_response(response: Response, local_id: ServerID) -> bytes:
    if isinstance(response, ReadIndexResponse | LeaseResponse):
        raise LocalProtocolError(f"{type(response).__name__} answers no request of Go's protocol")
    return encode_response(response, local_id)


GO: Final = Dialect("/raft/1.0.0/rpc", RequestReader, ResponseReader, _encode_go_response)
"""go-libp2p-raft's, of which no byte is ours to change."""

_OWN: Final[dict[type[Request], Dialect]] = {
    messages.request_type: Dialect(
        messages.protocol_id,
        partial(OwnRequestReader, messages),
        partial(OwnResponseReader, messages),
        encode_own_response,
    )
    for messages in (READ_INDEX, LEASE)
}
DIALECTS: Final = (GO, *_OWN.values())


def dialect_of(request: Request) -> Dialect:
    """Return what ``request`` is written in."""
    return _OWN.get(type(request), GO)


def encode_any_request(request: Request, local_id: ServerID) -> bytes:
    """Return the bytes of ``request`` in its dialect, from us, ``local_id``."""
    if isinstance(request, OwnRequest):
        return encode_own_request(request)
    return encode_request(request, local_id)
