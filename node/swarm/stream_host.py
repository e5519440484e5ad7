"""Streams of the peer's own protocols over a libp2p host: what ``node.rpc`` asks for."""

from __future__ import annotations

from typing import Final

from libp2p.abc import IHost
from libp2p.custom_types import TProtocol

from keys.peer_id import PeerID
from node.rpc.streams import (
    ProtocolNotServed,
    Stream,
    StreamClosed,
    StreamHandler,
    StreamUnavailable,
)
from raft_over_libp2p.transport.streams import (
    Dial,
    Door,
    PeerUnreachable,
    RaftStream,
    StreamBroken,
    StreamRefused,
)
from raft_over_libp2p.types import ServerID

__all__ = ["SwarmStreams"]

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
        except StreamRefused as error:
            raise ProtocolNotServed(str(error)) from error
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
        self._door = Door(host, dial)

    async def open_stream(self, peer: PeerID, protocol_id: str) -> Stream:
        """Open a stream of ``protocol_id``, connecting first if need be.

        Raises:
            StreamUnavailable: none within some seconds; says why.

        """
        try:
            stream = await self._door.open_stream(
                ServerID(str(peer)), _OPEN_S, TProtocol(protocol_id)
            )
        except PeerUnreachable as error:
            raise StreamUnavailable(str(error)) from error
        return _SwarmStream(stream)

    def serve(self, protocol_id: str, handler: StreamHandler) -> None:
        """Hand each inbound stream of ``protocol_id`` to ``handler``."""

        async def serve_stream(stream: RaftStream) -> None:
            await handler(_SwarmStream(stream), PeerID.parse(stream.peer))

        self._door.serve(serve_stream, TProtocol(protocol_id))
