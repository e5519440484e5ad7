"""Who is told of what happens to a server, and what is lost to those who do not listen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import trio

from raft_over_libp2p import limits
from raft_over_libp2p.core.ready import Observation
from raft_over_libp2p.types import Configuration, Server

__all__ = ["Observed", "Observer", "PeerChanged", "peer_changes"]


@dataclass(frozen=True, slots=True)
class PeerChanged:
    """A server was added to, or removed from, the latest configuration (``PeerObservation``).

    hashicorp/raft tells of it on the leader only, and not of the leader itself; this is told
    on every server, of every member.
    """

    peer: Server
    removed: bool


Observed: TypeAlias = Observation | PeerChanged
"""What an observer is told of."""


class Observer:
    """An async iterator over what happens, from its registration on (hashicorp/raft ``Observer``).

    It never holds up Raft (``blocking`` is false): at most ``MAX_OBSERVATIONS_QUEUED`` wait
    here, and what comes on top is dropped and counted. It ends when the server shuts down.
    """

    def __init__(self, is_wanted: Callable[[Observed], bool]) -> None:
        self._send, self._receive = trio.open_memory_channel[Observed](
            limits.MAX_OBSERVATIONS_QUEUED
        )
        self._is_wanted = is_wanted
        self.observed = 0
        """How many were queued for it (``GetNumObserved``)."""
        self.dropped = 0
        """How many were lost to it, because too many waited already (``GetNumDropped``)."""

    def tell(self, observation: Observed) -> None:
        """Queue ``observation`` if it is wanted and there is room."""
        if self._is_wanted(observation):
            try:
                self._send.send_nowait(observation)
            except trio.WouldBlock:
                self.dropped += 1
            else:
                self.observed += 1

    def end(self) -> None:
        """Let the iteration end after what is queued."""
        self._send.close()

    def __aiter__(self) -> Observer:
        return self

    async def __anext__(self) -> Observed:
        try:
            return await self._receive.receive()
        except trio.EndOfChannel:
            raise StopAsyncIteration from None


def peer_changes(before: Configuration, after: Configuration) -> list[PeerChanged]:
    """Return who was added in ``after``, and then who was removed since ``before``."""
    added = [PeerChanged(s, removed=False) for s in after.servers if not before.has(s.id)]
    return added + [PeerChanged(s, removed=True) for s in before.servers if not after.has(s.id)]
