"""Messages out of a stream's bytes, in whatever pieces these come.

Frames have no length prefix. A frame that is wholly in one chunk, as nearly all are, is
decoded at once, in place. Otherwise its bytes are gathered while a
:class:`StructureScanner` walks their structure, each byte once, and it is decoded when the
walk ends: so the cost is linear in the bytes however small the pieces, and no length a peer
announces is believed before its bytes are here and within the frame's budget.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from raft_over_libp2p import limits
from raft_over_libp2p.core.messages import InstallSnapshotRequest, Request, Response
from raft_over_libp2p.errors import LocalProtocolError, MalformedMessage, RemoteProtocolError
from raft_over_libp2p.wire.header import RPCHeader, RPCType
from raft_over_libp2p.wire.legacy_reader import LegacyReader, MoreBytesNeeded
from raft_over_libp2p.wire.requests import read_request
from raft_over_libp2p.wire.responses import read_response
from raft_over_libp2p.wire.structure import StructureScanner

__all__ = [
    "DecodedRequest",
    "DecodedResponse",
    "RequestReader",
    "ResponseReader",
    "UnknownRPCType",
]

_REQUEST_BUDGETS: Final = {
    RPCType.APPEND_ENTRIES: limits.MAX_FRAME_RECEIVED_BYTES,
    RPCType.INSTALL_SNAPSHOT: limits.MAX_SNAPSHOT_HEADER_BYTES,
}
_RPC_TYPES: Final = {int(rpc_type): rpc_type for rpc_type in RPCType}

_Decoded = TypeVar("_Decoded")


class UnknownRPCType(MalformedMessage):
    """A request's first byte is no RPC of ours: close the stream without an answer, as Go does."""


@dataclass(frozen=True, slots=True)
class DecodedRequest:
    """A request and what it came in: ``size_bytes`` counts its type byte, no snapshot contents."""

    header: RPCHeader
    request: Request
    size_bytes: int


@dataclass(frozen=True, slots=True)
class DecodedResponse:
    """The response to one request of ours; ``size_bytes`` counts error text and struct."""

    response: Response
    size_bytes: int


class _FrameReader(Generic[_Decoded]):
    """What both directions share: gathering one frame, and what to do when one is bad."""

    def __init__(self) -> None:
        self._partial = bytearray()
        self._scanner: StructureScanner | None = None
        self._failure: RemoteProtocolError | None = None

    @property
    def buffered_bytes(self) -> int:
        """Bytes of an unfinished frame that are held: what to charge for memory and slowness."""
        return len(self._partial)

    @property
    def failure(self) -> RemoteProtocolError | None:
        """Why no more frames will come; set when :meth:`feed` had frames to return before it."""
        return self._failure

    def feed(self, data: bytes) -> list[_Decoded]:
        """Take in the next bytes of the stream and return the messages they complete, in order.

        A bad frame behind good ones does not hide them: they are returned, ``failure`` is
        set, and the next call raises it. After an error every call raises it again.

        Raises:
            FrameTooLarge: a limit was passed.
            MalformedMessage: no such message; what Go would refuse too, or an unknown entry type.
            UnknownRPCType: the first byte names no RPC.

        """
        if self._failure is not None:
            raise self._failure
        decoded: list[_Decoded] = []
        try:
            if self._partial:
                self._partial += data
                data = self._gathered(decoded)
            position = 0
            while position < len(data) and not self._is_paused():
                end = self._decode(data, position, decoded)
                if end is None:
                    self._gather(data, position)
                    position = len(data)
                else:
                    position = end
            self._keep(data, position)
        except RemoteProtocolError as failure:
            self._failure = failure
            self._partial.clear()
            if not decoded:
                raise
        return decoded

    def _gather(self, data: bytes, position: int) -> None:
        """Begin to gather the unfinished frame at ``position``."""
        self._partial += data[position:] if position else data
        self._scanner = self._new_scanner(self._partial[0])
        self._scanner.advance(self._partial)

    def _gathered(self, decoded: list[_Decoded]) -> bytes:
        """Walk on in the unfinished frame; decode it when it ends and return what follows it."""
        scanner = self._scanner
        if scanner is None or not scanner.advance(self._partial):
            return b""
        end = scanner.position
        frame, rest = bytes(self._partial[:end]), bytes(self._partial[end:])
        self._partial.clear()
        self._scanner = None
        if self._decode(frame, 0, decoded) != end:
            raise MalformedMessage("a frame ends elsewhere than its structure says")
        return rest

    def _is_paused(self) -> bool:
        return False

    def _keep(self, data: bytes, position: int) -> None:
        """Do what must be done with bytes that were not read because reading is paused."""

    def _decode(self, data: bytes, position: int, decoded: list[_Decoded]) -> int | None:
        """Append the frame at ``position`` and return where it ends, or None if it is not whole."""
        raise NotImplementedError

    def _new_scanner(self, first: int) -> StructureScanner:
        raise NotImplementedError


class RequestReader(_FrameReader[DecodedRequest]):
    """Requests of one inbound stream.

    After an InstallSnapshot request it stops: the bytes behind it are the snapshot's. Take
    those that came along with :meth:`take_remainder`, read ``size_bytes`` in all from the
    stream, and feed whatever follows them. How many requests one ``feed`` may return is
    bounded by the size of its argument only.
    """

    def __init__(self) -> None:
        super().__init__()
        self._remainder: bytes | None = None

    def feed(self, data: bytes) -> list[DecodedRequest]:
        if self._remainder is not None:
            raise LocalProtocolError("take_remainder() and the snapshot come before more requests")
        return super().feed(data)

    def take_remainder(self) -> bytes:
        """Return the bytes behind the InstallSnapshot request just returned, and read on after."""
        remainder, self._remainder = self._remainder, None
        return remainder or b""

    def _is_paused(self) -> bool:
        return self._remainder is not None

    def _keep(self, data: bytes, position: int) -> None:
        if self._remainder is not None:
            self._remainder = data[position:]

    def _decode(self, data: bytes, position: int, decoded: list[DecodedRequest]) -> int | None:
        rpc_type = _rpc_type(data[position])
        reader = LegacyReader(data, position + 1, position + _budget(rpc_type))
        try:
            header, request = read_request(rpc_type, reader)
        except MoreBytesNeeded:
            return None
        decoded.append(DecodedRequest(header, request, reader.position - position))
        if isinstance(request, InstallSnapshotRequest):
            self._remainder = b""
        return reader.position

    def _new_scanner(self, first: int) -> StructureScanner:
        return StructureScanner(1, _budget(_rpc_type(first)))


class ResponseReader(_FrameReader[DecodedResponse]):
    """Responses of one outbound stream; they come in the order of the requests sent on it.

    Call :meth:`expect` for each request before its response can arrive; the caller bounds how
    many are in flight.
    """

    def __init__(self) -> None:
        super().__init__()
        self._expected: deque[type[Request]] = deque()

    def expect(self, request: Request) -> None:
        """Note that ``request`` was sent: the next unexpected response answers it."""
        self._expected.append(type(request))

    def _decode(self, data: bytes, position: int, decoded: list[DecodedResponse]) -> int | None:
        if not self._expected:
            raise MalformedMessage("a response that answers no request")
        reader = LegacyReader(data, position, position + limits.MAX_SMALL_FRAME_BYTES)
        try:
            response = read_response(self._expected[0], reader)
        except MoreBytesNeeded:
            return None
        self._expected.popleft()
        decoded.append(DecodedResponse(response, reader.position - position))
        return reader.position

    def _new_scanner(self, first: int) -> StructureScanner:  # noqa: ARG002 - no type byte here
        return StructureScanner(0, limits.MAX_SMALL_FRAME_BYTES, objects=2)


def _rpc_type(first: int) -> RPCType:
    rpc_type = _RPC_TYPES.get(first)
    if rpc_type is None:
        raise UnknownRPCType(f"RPC type {first} is none of {min(_RPC_TYPES)} to {max(_RPC_TYPES)}")
    return rpc_type


def _budget(rpc_type: RPCType) -> int:
    return _REQUEST_BUDGETS.get(rpc_type, limits.MAX_SMALL_FRAME_BYTES)
