"""Calls other peers' components, one stream a call, as go-libp2p-gorpc's client does."""

from __future__ import annotations

import trio

from keys.peer_id import PeerID
from node.rpc.limits import MAX_CONCURRENT_CALLS_OUT, MAX_RPC_READ_BYTES
from node.rpc.streams import (
    ProtocolNotServed,
    Stream,
    StreamClosed,
    StreamHost,
    StreamUnavailable,
)
from node.rpc.wire import (
    PROTOCOL_ID,
    ErrorType,
    ObjectReader,
    ServiceID,
    decode_response_header,
    encode_service_id,
)
from raft_over_libp2p.errors import RemoteProtocolError

__all__ = ["CallNotSent", "CallOutcomeUnknown", "RemoteError", "RpcClient"]


class CallNotSent(Exception):
    """The call definitely did not reach the peer; the text says why."""


class CallOutcomeUnknown(Exception):
    """The call may have reached the peer, and no answer came."""


class RemoteError(Exception):
    """The peer answered with an error; ``error_type`` says whose."""

    def __init__(self, text: str, error_type: ErrorType) -> None:
        self.error_type = error_type
        super().__init__(text)


class RpcClient:
    """Calls methods of peers. One serves a whole process; it keeps no state but a bound.

    At most ``MAX_CONCURRENT_CALLS_OUT`` calls run at once, further ones wait their turn: a Go
    peer resets streams when hundreds come together.
    """

    def __init__(self, host: StreamHost) -> None:
        self._host = host
        self._turn = trio.Semaphore(MAX_CONCURRENT_CALLS_OUT)

    async def call(
        self, peer: PeerID, service_id: ServiceID, argument: bytes, *, timeout_s: float
    ) -> bytes:
        """Call ``service_id`` with an encoded ``argument`` and return the encoded reply.

        Raises:
            CallNotSent: no turn, connection or stream within ``timeout_s``.
            CallOutcomeUnknown: the request left, and no whole answer came within ``timeout_s``.
            RemoteError: the peer says so.

        """
        deadline = trio.current_time() + timeout_s
        has_turn, stream = False, None
        try:
            # This scope must not reach over the exchange: once a byte may have left, running
            # out of time means "unknown", never "not sent".
            with trio.move_on_at(deadline):
                await self._turn.acquire()
                has_turn = True
                stream = await self._open(peer)
            if stream is None:
                raise CallNotSent(f"no stream to {peer} within {timeout_s:g} s")
            return await self._exchange(stream, peer, service_id, argument, deadline)
        finally:
            if has_turn:
                self._turn.release()

    async def _open(self, peer: PeerID) -> Stream:
        try:
            return await self._host.open_stream(peer, PROTOCOL_ID)
        except StreamUnavailable as error:
            raise CallNotSent(f"{peer} is not reached: {error}") from error

    async def _exchange(
        self,
        stream: Stream,
        peer: PeerID,
        service_id: ServiceID,
        argument: bytes,
        deadline: float,
    ) -> bytes:
        """Send the request and read the answer; a stream once used says "not sent" only if refused."""
        is_answered = False
        try:
            with trio.CancelScope(deadline=deadline):
                await stream.write(encode_service_id(service_id) + argument)
                reply = await self._read_answer(stream)
                is_answered = True
                return reply
        except ProtocolNotServed as error:
            raise CallNotSent(f"{peer} is not reached: {error}") from error
        except (StreamClosed, RemoteProtocolError) as error:
            raise CallOutcomeUnknown(f"{peer} did not answer {service_id}: {error}") from error
        except RemoteError:
            is_answered = True
            raise
        finally:
            with trio.CancelScope(shield=True):
                if is_answered:
                    await stream.close()
                else:
                    await stream.reset()
        raise CallOutcomeUnknown(f"{peer} did not answer {service_id} in time")

    @staticmethod
    async def _read_answer(stream: Stream) -> bytes:
        """Return the reply's bytes; an error in the header wins over whatever follows it."""
        reader = ObjectReader()
        while (header_bytes := reader.take()) is None:
            reader.feed(await stream.read(MAX_RPC_READ_BYTES))
        header = decode_response_header(header_bytes)
        if header.error:
            raise RemoteError(header.error, header.error_type)
        while (reply := reader.take()) is None:
            reader.feed(await stream.read(MAX_RPC_READ_BYTES))
        return reply
