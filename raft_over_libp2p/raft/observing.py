"""Following what happens to a server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import trio

from raft_over_libp2p import limits
from raft_over_libp2p.core.ready import Observation
from raft_over_libp2p.raft.inspecting import Inspecting
from raft_over_libp2p.types import ServerID

__all__ = ["Observing"]


class Observing(Inspecting):
    """The part of ``Raft`` that tells of events."""

    async def wait_for_leader(self, *, timeout_s: float) -> ServerID:
        """Return who leads as soon as this server knows.

        Raises:
            NoLeader: nobody within ``timeout_s``; names the voters it cannot reach, and why.

        """
        with trio.move_on_after(timeout_s):
            while (leader := self._driver.leader) is None:
                await self.changed()
            return leader
        raise self.no_leader(f"no leader was elected within {timeout_s:g} s")

    @contextmanager
    def observe(self) -> Iterator[trio.MemoryReceiveChannel[Observation]]:
        """Give a channel of what the core observes (hashicorp/raft ``Observer``).

        Raft never waits for an observer: beyond ``MAX_OBSERVATIONS_QUEUED`` new ones are lost
        to it until it reads.
        """
        send, receive = trio.open_memory_channel[Observation](limits.MAX_OBSERVATIONS_QUEUED)
        self._driver.observers.append(send)
        try:
            with receive:
                yield receive
        finally:
            self._driver.observers.remove(send)
            send.close()
