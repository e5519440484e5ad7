"""A snapshot that a Python leader sends: one stream, which may go on where an earlier one broke.

What is wrong with it ends the stream, as everywhere, and drops what was spooled. A stream
that breaks, or is too slow, leaves its part behind for the next one (mixed-cluster rule 25).
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import trio

from raft_over_libp2p import limits
from raft_over_libp2p.core.messages import (
    ErrorResponse,
    GoResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
)
from raft_over_libp2p.errors import (
    FrameTooLarge,
    MalformedMessage,
    RemoteProtocolError,
    UnauthorisedPeer,
    UnsupportedVersion,
)
from raft_over_libp2p.transport.authorise import authorise
from raft_over_libp2p.transport.inbound_snapshots import ResumedSnapshot
from raft_over_libp2p.transport.streams import RaftStream, StreamBroken
from raft_over_libp2p.types import CallID, Term
from raft_over_libp2p.wire.dialects import GO
from raft_over_libp2p.wire.framing import DecodedRequest
from raft_over_libp2p.wire.header import check_snapshot_version
from raft_over_libp2p.wire.responses import encode_response
from raft_over_libp2p.wire.snapshot_transfer import (
    Chunk,
    ChunkReader,
    OfferReader,
    encode_go_on,
    encode_outcome,
)

if TYPE_CHECKING:
    from raft_over_libp2p.transport.inbound import Inbound, Owed

__all__ = ["ResumableStream"]

_log = logging.getLogger(__name__)

_SLOWEST_BYTES_PER_S: Final = 16 * 1024
_WRITE_S: Final = 10.0


class ResumableStream:
    """One inbound stream of the snapshot protocol: one offer, its bytes, one answer."""

    def __init__(self, stream: RaftStream, owner: Inbound) -> None:
        self.peer = stream.peer
        self.dialect = GO
        """Its answers are Go's."""
        self.scope = trio.CancelScope()
        self._stream = stream
        self._owner = owner
        self._owed: Owed | None = None
        self._answered = trio.Event()
        self._charged_bytes = 0

    async def run(self) -> None:
        """Take in the snapshot, and answer; raises nothing that a peer can cause."""
        try:
            answer = await self._answer()
            await self._stream.write(encode_outcome(answer), _WRITE_S)
            await self._stream.close()
        except StreamBroken as error:
            _log.debug("inbound snapshot: %s", error)
        except (RemoteProtocolError, UnauthorisedPeer) as error:
            self._owner.complain(self.peer, error)

    def flush(self) -> None:
        """Hear that the driver replied."""
        self._answered.set()

    def forget(self) -> None:
        """Expect no reply any more."""
        if self._owed is not None:
            self._owner.forget([self._owed])

    async def _answer(self) -> bytes:
        sha256, message = await self._read_offer()
        try:
            request = authorise(self.peer, message.header, message.request)
        except UnsupportedVersion as error:
            return self._encoded(ErrorResponse(error=str(error)))
        if not isinstance(request, InstallSnapshotRequest):
            raise MalformedMessage("an offer of something else than a snapshot")
        if not 0 <= request.size_bytes <= limits.MAX_SNAPSHOT_BYTES:
            raise FrameTooLarge(f"a snapshot of {request.size_bytes} bytes")
        try:
            check_snapshot_version(request)
        except UnsupportedVersion as error:
            declined = InstallSnapshotResponse(term=Term(0), success=False)
            return self._encoded(declined, error=str(error))
        return await self._take(self._owner.next_call(), request, sha256)

    async def _take(self, call: CallID, request: InstallSnapshotRequest, sha256: bytes) -> bytes:
        """Spool what is missing, have the driver answer, and return its answer."""
        snapshots = self._owner.snapshots
        resumed = snapshots.resume(call, self.peer, request, sha256, self.scope)
        try:
            await self._read_rest(request, resumed)
            if resumed.is_whole_but_wrong(request.size_bytes, sha256):
                # Nothing of it can be trusted: the next offer begins at the first byte.
                resumed.discard()
                why = f"the bytes of the snapshot at {request.last_log_index} have another SHA-256"
                return self._encoded(ErrorResponse(error=why))
            resumed.is_whole()
        except RemoteProtocolError:
            resumed.discard()
            raise
        finally:
            if not resumed.was_handed_over:
                snapshots.end(call)
        self._owed = self._owner.deliver(self, call, request)
        await self._answered.wait()
        return self._owed.reply or b""

    async def _read_rest(self, request: InstallSnapshotRequest, resumed: ResumedSnapshot) -> None:
        """Spool chunk after chunk, until all is here or no more is wanted."""
        if not resumed.is_of_use:
            return
        await self._stream.write(encode_go_on(resumed.size_bytes), _WRITE_S)
        reader = ChunkReader()
        began, first = trio.current_time(), resumed.size_bytes
        while resumed.is_of_use and resumed.size_bytes < request.size_bytes:
            came = resumed.size_bytes - first + reader.buffered_bytes
            deadline = began + limits.FIRST_BYTE_TO_FRAME_S + came / _SLOWEST_BYTES_PER_S
            for chunk in reader.feed(await self._read_by(deadline)):
                _check(chunk, request, resumed.size_bytes)
                resumed.write(chunk.data)
        if reader.buffered_bytes and resumed.size_bytes == request.size_bytes:
            raise MalformedMessage("bytes behind the end of a snapshot")

    async def _read_offer(self) -> tuple[bytes, DecodedRequest]:
        reader = OfferReader()
        deadline = trio.current_time() + limits.FIRST_BYTE_TO_FRAME_S
        try:
            while (message := reader.feed(await self._read_by(deadline))) is None:
                self._charge(reader.buffered_bytes)
        finally:
            self._charge(0)
        return reader.sha256, message

    def _charge(self, buffered_bytes: int) -> None:
        added_bytes, self._charged_bytes = buffered_bytes - self._charged_bytes, buffered_bytes
        self._owner.charge(added_bytes)

    async def _read_by(self, deadline: float) -> bytes:
        with trio.move_on_at(deadline):
            if data := await self._stream.read():
                return data
            # Also how the death of a connection looks (trap 9).
            raise StreamBroken("the stream ended inside a snapshot")
        raise StreamBroken("a snapshot came slower than allowed")

    def _encoded(self, response: GoResponse, *, error: str = "") -> bytes:
        return encode_response(response, self._owner.local_id, error=error)


def _check(chunk: Chunk, request: InstallSnapshotRequest, size_bytes: int) -> None:
    """Refuse a chunk that is not the next one of ``request``.

    Raises:
        MalformedMessage: says what is wrong with it.

    """
    if chunk.term != request.term:
        raise MalformedMessage(f"a chunk of term {chunk.term} in a snapshot of {request.term}")
    if chunk.offset != size_bytes:
        raise MalformedMessage(f"a chunk at byte {chunk.offset}, not {size_bytes}")
    if size_bytes + len(chunk.data) > request.size_bytes:
        raise MalformedMessage(f"a snapshot of more than {request.size_bytes} bytes")
