"""The demo's clients: several connections to each peer, pinning until everything is acknowledged.

A request whose outcome is "not done" is repeated on another peer, and so is one whose outcome
is unknown: a pin is the same when it is pinned twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import httpx
import trio

from node.cli.demo_cluster import DemoCluster, DemoFailed, DemoPeer
from node.cli.demo_files import File, files_with_cids

__all__ = ["PinLoad"]

_REQUEST_TIMEOUT = "10s"
_GIVE_UP_S = 45.0
"""One pin that no peer takes for this long fails the demo."""
_RETRY_S = 0.05
_HASHED_AHEAD = 64
_UNKNOWN_STATUS = 504


@dataclass(slots=True)
class PinLoad:
    """Pins files through every running peer, and keeps count."""

    cluster: DemoCluster
    connections: int
    """To each peer."""
    on_file: Callable[[], None]
    """Called for every file that is done with: acknowledged, or the same content as one before."""
    acknowledged: set[str] = field(default_factory=set)
    duplicates: int = 0
    repeated_not_done: int = 0
    repeated_unknown: int = 0
    ack_times_s: list[float] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)
    _progress: trio.Event = field(default_factory=trio.Event)

    async def run(self, root: Path, paths: list[Path]) -> None:
        """Pin all files; returns when each is acknowledged.

        Raises:
            DemoFailed: a pin is refused, or is not taken in time.

        """
        send, receive = trio.open_memory_channel[File](_HASHED_AHEAD)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._hash, root, paths, send)
            for first in range(len(self.cluster.peers)):
                for _ in range(self.connections):
                    nursery.start_soon(self._work, receive.clone(), first)
            receive.close()

    async def wait_acknowledged(self, count: int) -> None:
        """Return once ``count`` pins are acknowledged."""
        while len(self.acknowledged) < count:
            await self._progress.wait()

    def longest_gap_s(self, since_s: float) -> float:
        """Return the longest time without an acknowledgement after ``since_s``."""
        times = [since_s, *(t for t in self.ack_times_s if t > since_s)]
        return max((b - a for a, b in pairwise(times)), default=math.inf)

    async def _hash(
        self, root: Path, paths: list[Path], send: trio.MemorySendChannel[File]
    ) -> None:
        """Read and hash in a thread of its own, a little ahead of the pinning."""

        def read() -> None:
            for file in files_with_cids(root, paths):
                trio.from_thread.run(send.send, file)

        async with send:
            await trio.to_thread.run_sync(read, abandon_on_cancel=True)

    async def _work(self, files: trio.MemoryReceiveChannel[File], first: int) -> None:
        """One connection's worth of work: one pin after another, on its own peer while that runs."""
        peers = self.cluster.peers
        async with files:
            async for file in files:
                if file.cid in self._seen:
                    self.duplicates += 1
                else:
                    self._seen.add(file.cid)
                    await self._pin(file, peers[first:] + peers[:first])
                self.on_file()

    async def _pin(self, file: File, peers: list[DemoPeer]) -> None:
        deadline = trio.current_time() + _GIVE_UP_S
        attempt = 0
        while trio.current_time() < deadline:
            peer = peers[attempt % len(peers)]
            attempt += 1
            if peer.is_running and await self._pin_once(file, peer):
                self.acknowledged.add(file.cid)
                self.ack_times_s.append(trio.current_time())
                self._progress.set()
                self._progress = trio.Event()
                return
            await trio.sleep(_RETRY_S)
        raise DemoFailed(f"no peer took the pin of {file.name} within {_GIVE_UP_S:g} s")

    async def _pin_once(self, file: File, peer: DemoPeer) -> bool:
        try:
            answer = await peer.http.post(
                f"/pins/{file.cid}", params={"name": file.name, "timeout": _REQUEST_TIMEOUT}
            )
        except (httpx.ConnectError, httpx.ConnectTimeout):
            self.repeated_not_done += 1
            return False
        except httpx.TransportError:
            self.repeated_unknown += 1
            return False
        if answer.is_success:
            return True
        if not answer.is_server_error:
            raise DemoFailed(f"{peer.name} refused the pin of {file.name}: {answer.text.strip()}")
        if answer.status_code == _UNKNOWN_STATUS:
            self.repeated_unknown += 1
        else:
            self.repeated_not_done += 1
        return False
