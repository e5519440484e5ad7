"""What the RPC asks of libp2p: streams by peer and protocol. ``node.swarm`` has the real ones."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

from keys.peer_id import PeerID

__all__ = [
    "ProtocolNotServed",
    "Stream",
    "StreamClosed",
    "StreamHandler",
    "StreamHost",
    "StreamUnavailable",
]


class StreamUnavailable(Exception):
    """No stream could be opened; nothing was sent. The text says why, for an operator."""


class StreamClosed(Exception):
    """The stream ended or was reset before what was expected of it."""


class ProtocolNotServed(StreamClosed):
    """The other side does not serve the protocol: nothing that was written was acted on."""


class Stream(Protocol):
    """One libp2p stream; whether the other side serves its protocol may show only in ``read``."""

    async def read(self, max_bytes: int) -> bytes:
        """Return 1 to ``max_bytes`` bytes; cancelling it loses none.

        Raises:
            ProtocolNotServed: the first bytes of the other side say so.
            StreamClosed: the other side sends no more, or is gone.

        """
        ...

    async def write(self, data: bytes) -> None:
        """Send all of ``data``; once begun it is not cancelled half-way.

        Raises:
            StreamClosed: the other side is gone.

        """
        ...

    async def close(self) -> None:
        """Say that no more is sent. Never raises."""
        ...

    async def reset(self) -> None:
        """Drop the stream, both directions. Never raises."""
        ...


StreamHandler: TypeAlias = Callable[[Stream, PeerID], Awaitable[None]]
"""Serves one inbound stream; the peer is whom libp2p authenticated. It must not raise."""


class StreamHost(Protocol):
    """Opens and serves streams."""

    async def open_stream(self, peer: PeerID, protocol_id: str) -> Stream:
        """Open a stream, dialling ``peer`` if need be; bounded by the host's dial timeout.

        Raises:
            StreamUnavailable: it cannot be opened.

        """
        ...

    def serve(self, protocol_id: str, handler: StreamHandler) -> None:
        """Hand each inbound stream of ``protocol_id`` to ``handler``."""
        ...
