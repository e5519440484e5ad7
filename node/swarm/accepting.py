"""Streams of our own protocols, agreed on by the muxer and served without py-libp2p's wrapping.

For each stream a peer opens, py-libp2p takes some eighty scheduler steps and writes its half
of the negotiation twice; a Go leader opens a stream for every heartbeat. Here the first bytes
are looked at: what proposes a protocol registered here, as all Go peers do in their first
write, is served at once, and anything else goes to py-libp2p as it came.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import trio
from libp2p.stream_muxer.exceptions import MuxedStreamError

from node.swarm import limits
from node.swarm.yamux_stream import YamuxStream
from raft_over_libp2p.transport.negotiation import preamble

__all__ = ["BareHandler", "BareProtocols"]

BareHandler: TypeAlias = Callable[[YamuxStream], Awaitable[None]]
"""Serves one stream on which the protocol is agreed."""


class BareProtocols:
    """The protocols of one host that are accepted so."""

    def __init__(self) -> None:
        self._handlers: dict[bytes, BareHandler] = {}
        self.members: frozenset[str] = frozenset()
        """Whose streams are wanted: others may open fewer. Nobody's, while it is not known."""

    def set(self, protocol: str, handler: BareHandler) -> None:
        """Have ``handler`` serve ``protocol``."""
        self._handlers[preamble(protocol)] = handler

    def remove(self, protocol: str) -> None:
        """Leave ``protocol`` to py-libp2p."""
        self._handlers.pop(preamble(protocol), None)

    def is_member(self, peer: str) -> bool:
        """Tell whether ``peer`` gets a member's rate; before any is known, everybody does."""
        return peer in self.members or not self.members

    async def accept(self, stream: YamuxStream) -> BareHandler | None:
        """Return who serves ``stream``; None leaves it as it came, for py-libp2p."""
        data = b""
        try:
            with trio.move_on_after(limits.FIRST_BYTES_S):
                while self._may_become_ours(data):
                    data += await stream.read()
        except MuxedStreamError:
            pass  # What came before its end is there; whoever reads on sees the end.
        for proposal, handler in self._handlers.items():
            if data.startswith(proposal):
                stream.unread(data[len(proposal) :])
                # At once, whatever came along with it: the peer may wait for this.
                await stream.write(proposal)
                return handler
        stream.unread(data)
        return None

    def _may_become_ours(self, data: bytes) -> bool:
        return any(
            len(data) < len(proposal) and proposal.startswith(data) for proposal in self._handlers
        )
