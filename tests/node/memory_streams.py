"""Streams of a peer's own protocols in memory: a fake of ``node.swarm.stream_host``."""

from __future__ import annotations

import trio

from keys.peer_id import PeerID
from node.rpc.streams import Stream, StreamClosed, StreamHandler, StreamUnavailable


class MemoryStream:
    def __init__(self, out: trio.MemorySendChannel[bytes], into: trio.MemoryReceiveChannel[bytes]):
        self._out = out
        self._into = into
        self._ahead = b""

    async def read(self, max_bytes: int) -> bytes:
        if not self._ahead:
            try:
                self._ahead = await self._into.receive()
            except (trio.EndOfChannel, trio.ClosedResourceError) as error:
                raise StreamClosed("the other side ended the stream") from error
        data, self._ahead = self._ahead[:max_bytes], self._ahead[max_bytes:]
        return data

    async def write(self, data: bytes) -> None:
        try:
            await self._out.send(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise StreamClosed("the other side is gone") from error

    async def close(self) -> None:
        self._out.close()

    async def reset(self) -> None:
        self._out.close()
        self._into.close()


def pair() -> tuple[MemoryStream, MemoryStream]:
    """Return both ends of one stream."""
    there_send, there_receive = trio.open_memory_channel[bytes](64)
    back_send, back_receive = trio.open_memory_channel[bytes](64)
    return MemoryStream(there_send, back_receive), MemoryStream(back_send, there_receive)


class MemorySwarm:
    """Hosts that reach one another; a test takes a host down by putting it into ``down``."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.down: set[PeerID] = set()
        self.handlers: dict[tuple[PeerID, str], StreamHandler] = {}

    def host(self, peer: PeerID) -> MemoryStreamHost:
        return MemoryStreamHost(self, peer)


class MemoryStreamHost:
    def __init__(self, swarm: MemorySwarm, peer: PeerID) -> None:
        self._swarm = swarm
        self._peer = peer

    async def open_stream(self, peer: PeerID, protocol_id: str) -> Stream:
        await trio.lowlevel.checkpoint()
        handler = self._swarm.handlers.get((peer, protocol_id))
        if handler is None or peer in self._swarm.down:
            raise StreamUnavailable("connection refused")
        near, far = pair()
        self._swarm.nursery.start_soon(handler, far, self._peer)
        return near

    def serve(self, protocol_id: str, handler: StreamHandler) -> None:
        self._swarm.handlers[self._peer, protocol_id] = handler
