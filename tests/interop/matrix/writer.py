"""A client that goes on writing while peers come and go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import trio

from tests.interop.peer_process import PeerError, PeerProcess

__all__ = ["Writer"]

_PAUSE_S: Final = 0.02
_PATIENCE_S: Final = 5.0
"""For one write: a leader that was removed or cut off may never answer."""


class Writer:
    """Writes one entry after another, each with words of its own, to whoever leads."""

    def __init__(self, members: Callable[[], Sequence[PeerProcess]]) -> None:
        """Ask ``members`` before each write who there is."""
        self._members = members
        self.acknowledged: list[bytes] = []
        """What is agreed on, as the client was told. What failed may be agreed on, too."""
        self._written = 0
        self._next_acknowledged = trio.Event()
        self._ended = trio.Event()
        self._is_stopping = False

    async def run(self) -> None:
        """Write until :meth:`stop`."""
        leader: PeerProcess | None = None
        while not self._is_stopping:
            if leader is None or leader not in self._members():
                leader = await self._find_leader()
            else:
                leader = leader if await self._write(leader) else None
            await trio.sleep(_PAUSE_S)
        self._ended.set()

    async def stop(self) -> None:
        """Return when nothing more is written."""
        self._is_stopping = True
        await self._ended.wait()

    async def wrote(self, more: int) -> None:
        """Return when ``more`` writes than now are acknowledged."""
        wanted = len(self.acknowledged) + more
        with trio.fail_after(20):
            while len(self.acknowledged) < wanted:
                await self._next_acknowledged.wait()

    async def _write(self, leader: PeerProcess) -> bool:
        self._written += 1
        data = b"write %d" % self._written
        try:
            await leader.ask("apply", _PATIENCE_S, data=[data.hex()], extensions="")
        except PeerError:
            return False
        self.acknowledged.append(data)
        self._next_acknowledged.set()
        self._next_acknowledged = trio.Event()
        return True

    async def _find_leader(self) -> PeerProcess | None:
        for peer in self._members():
            try:
                if (await peer.status()).state == "Leader":
                    return peer
            except PeerError:  # it was killed after it had been removed
                continue
        return None
