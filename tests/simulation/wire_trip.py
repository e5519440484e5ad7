"""Messages by way of their bytes, so that what the codec loses is lost in the simulator too."""

from __future__ import annotations

from raft_over_libp2p.core.messages import Request, Response
from raft_over_libp2p.types import ServerID
from raft_over_libp2p.wire.dialects import dialect_of, encode_any_request
from tests.simulation.violation import violated

__all__ = ["request_trip", "response_trip"]


def request_trip(sender: ServerID, request: Request, cut: float) -> Request:
    """Return what a peer reads of ``request``; the bytes come in two pieces, parted at ``cut`` of 1."""
    frame = encode_any_request(request, sender)
    reader = dialect_of(request).new_request_reader()
    middle = int(len(frame) * cut)
    decoded = [*reader.feed(frame[:middle]), *reader.feed(frame[middle:])]
    if len(decoded) != 1 or decoded[0].request != request or reader.buffered_bytes:
        violated("wire", f"{request} is read as {decoded}")
    return decoded[0].request


def response_trip(sender: ServerID, request: Request, response: Response, cut: float) -> Response:
    """Return what the caller reads of ``response`` to its ``request``."""
    dialect = dialect_of(request)
    frame = dialect.encode_response(response, sender)
    reader = dialect.new_response_reader()
    reader.expect(request)
    middle = int(len(frame) * cut)
    decoded = [*reader.feed(frame[:middle]), *reader.feed(frame[middle:])]
    if len(decoded) != 1 or decoded[0].response != response or reader.feed(b""):
        violated("wire", f"{response} is read as {decoded}")
    return decoded[0].response
