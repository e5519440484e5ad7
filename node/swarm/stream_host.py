"""Streams of the peer's own protocols over a libp2p host: what ``node.rpc`` asks for."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import trio
from libp2p.abc import IHost, INetStream
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.peer.id import ID

from keys.peer_id import PeerID
from node.rpc.streams import Stream, StreamClosed, StreamHandler, StreamUnavailable
from raft_over_libp2p.transport.streams import (
    Dial,
    Door,
    PeerUnreachable,
    RaftStream,
    StreamBroken,
)
from raft_over_libp2p.types import ServerID

__all__ = ["SwarmStreams"]

logger = logging.getLogger(__name__)

_OPEN_S: Final = 5.0
"""To connect and agree on the protocol; a dial alone is given 3 s."""
_WRITE_S: Final = 10.0
"""For the connection to take one message."""


class _SwarmStream:
    """One stream in the words of ``node.rpc.streams.Stream``."""

    def __init__(self, stream: RaftStream) -> None:
        self._stream = stream
        self._ahead = b""

    async def read(self, max_bytes: int) -> bytes:
        try:
            data = self._ahead or await self._stream.read()
        except StreamBroken as error:
            raise StreamClosed(str(error)) from error
        if not data:
            raise StreamClosed("the other side ended the stream")
        self._ahead = data[max_bytes:]
        return data[:max_bytes]

    async def write(self, data: bytes) -> None:
        try:
            await self._stream.write(data, _WRITE_S)
        except StreamBroken as error:
            raise StreamClosed(str(error)) from error

    async def close(self) -> None:
        await self._stream.close()

    async def reset(self) -> None:
        await self._stream.reset()


class SwarmStreams:
    """Opens and serves streams on ``host``; ``dial`` as for ``Libp2pTransport``."""

    def __init__(self, host: IHost, dial: Dial | None = None) -> None:
        self._host = host
        self._door = Door(host, dial)

    async def open_stream(self, peer: PeerID, protocol_id: str) -> Stream:
        """Open a stream of ``protocol_id``, connecting first if need be.

        Raises:
            StreamUnavailable: none within some seconds; says why.

        """
        try:
            await self._door.connect(ServerID(str(peer)), _OPEN_S)
        except PeerUnreachable as error:
            raise StreamUnavailable(str(error)) from error
        with trio.move_on_after(_OPEN_S):
            try:
                stream = await self._host.new_stream(ID(peer.multihash), [TProtocol(protocol_id)])
            except (BaseLibp2pError, OSError, trio.BrokenResourceError) as error:
                raise StreamUnavailable(f"no stream of {protocol_id}: {error}") from error
            return _SwarmStream(RaftStream(stream, self._door))
        raise StreamUnavailable(f"the peer did not agree on {protocol_id} within {_OPEN_S:g} s")

    def serve(self, protocol_id: str, handler: StreamHandler) -> None:
        """Hand each inbound stream of ``protocol_id`` to ``handler``."""
        self._host.set_stream_handler(TProtocol(protocol_id), self._guarded(handler))

    def _guarded(self, handler: StreamHandler) -> Callable[[INetStream], Awaitable[None]]:
        async def serve_stream(net_stream: INetStream) -> None:
            stream = RaftStream(net_stream, self._door)
            try:
                await handler(_SwarmStream(stream), PeerID.parse(stream.peer))
            except Exception:
                # An exception that leaves a stream handler ends the whole host (trap 1).
                logger.exception("serving an RPC stream of %s", stream.peer)
                await stream.reset()

        return serve_stream
