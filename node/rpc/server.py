"""Serves calls of other peers, one stream a call, as go-libp2p-gorpc's server does."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import trio

from keys.peer_id import PeerID
from node.rpc.limits import (
    MAX_CONCURRENT_CALLS_SERVED,
    MAX_RPC_ERROR_BYTES,
    MAX_RPC_READ_BYTES,
    REQUEST_ARRIVES_S,
)
from node.rpc.streams import Stream, StreamClosed
from node.rpc.wire import (
    NIL,
    ErrorType,
    ObjectReader,
    ResponseHeader,
    ServiceID,
    decode_service_id,
    encode_response_header,
)
from raft_over_libp2p.errors import RaftError, RemoteProtocolError

__all__ = ["Method", "MethodFailed", "RpcServer"]

logger = logging.getLogger(__name__)

Method: TypeAlias = Callable[[PeerID, bytes], Awaitable[bytes]]
"""Serves one method: the calling peer and its encoded argument in, the encoded reply out.

It fails by ``MethodFailed`` or any ``RaftError``, whose text crosses the wire."""


class MethodFailed(Exception):
    """An application error: only its text crosses the wire."""


class RpcServer:
    """The methods this peer offers, by name; ``handle`` serves one inbound stream.

    A call is answered by the method's reply, by an error with an empty reply, or, where the
    request is malformed, too large or too slow, by a reset stream. Nothing raised in here
    leaves it: in py-libp2p 0.8.1 a failing handler ends the whole host.
    """

    def __init__(self, methods: dict[str, Method]) -> None:
        """Serve ``methods``, keyed ``"Consensus.LogPin"``."""
        self._methods = dict(methods)
        self._services = {name.partition(".")[0] for name in methods}
        self._serving = 0

    async def handle(self, stream: Stream, peer: PeerID) -> None:
        """Serve the call on ``stream``, then close it."""
        if self._serving >= MAX_CONCURRENT_CALLS_SERVED:
            await stream.reset()
            return
        self._serving += 1
        try:
            answer = await self._answer(stream, peer)
            await stream.write(answer)
            await stream.close()
        except (StreamClosed, RemoteProtocolError, trio.TooSlowError) as error:
            logger.debug("RPC stream of %s dropped: %s", peer, error)
            await stream.reset()
        finally:
            self._serving -= 1

    async def _answer(self, stream: Stream, peer: PeerID) -> bytes:
        reader = ObjectReader()
        with trio.fail_after(REQUEST_ARRIVES_S):
            while (header := reader.take()) is None:
                reader.feed(await stream.read(MAX_RPC_READ_BYTES))
            service_id = decode_service_id(header)
            while (argument := reader.take()) is None:
                reader.feed(await stream.read(MAX_RPC_READ_BYTES))
        method = self._methods.get(str(service_id))
        if method is None:
            return self._error(service_id, self._not_found(service_id), ErrorType.SERVER)
        try:
            reply = await method(peer, argument)
        except (MethodFailed, RaftError) as error:
            return self._error(service_id, str(error), ErrorType.APPLICATION)
        return encode_response_header(ResponseHeader(service_id)) + reply

    def _not_found(self, service_id: ServiceID) -> str:
        """Return gorpc's own text, which Go callers compare."""
        if service_id.service in self._services:
            return f"rpc: can't find method {service_id.method}"
        return f"rpc: can't find service {service_id.service}"

    @staticmethod
    def _error(service_id: ServiceID, text: str, error_type: ErrorType) -> bytes:
        text = text.encode()[:MAX_RPC_ERROR_BYTES].decode("utf-8", "ignore")
        header = ResponseHeader(service_id, text or "unknown error", error_type)
        return encode_response_header(header) + NIL
