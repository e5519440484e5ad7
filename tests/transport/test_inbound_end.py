"""A stream's last moments: a reply that comes then is dropped, and harms nobody."""

from __future__ import annotations

import trio
import trio.testing

from raft_over_libp2p.transport.inbound import Inbound, Owed, _ServedStream
from raft_over_libp2p.transport.streams import StreamBroken
from raft_over_libp2p.types import CallID, ServerID
from raft_over_libp2p.wire.dialects import GO

TICKS = 30
"""More than a stream takes to end: its nursery is closed for one of them."""


class Breaking:
    """A stream that takes nothing at once, and breaks when it is told to."""

    peer = ServerID("peer")

    def __init__(self) -> None:
        self.broken = trio.Event()

    async def read(self) -> bytes:
        await self.broken.wait()
        raise StreamBroken("gone")

    def write_nowait(self, data: bytes) -> bool:
        return False

    async def write(self, data: bytes, timeout_s: float) -> None:
        raise StreamBroken("gone")


async def test_a_reply_at_any_moment_of_a_streams_end_is_dropped() -> None:
    for moment in range(TICKS):
        stream = Breaking()
        served = _ServedStream(stream, Inbound(ServerID("own")), GO)  # type: ignore[arg-type]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(served.run)
            await trio.testing.wait_all_tasks_blocked()
            stream.broken.set()
            for _ in range(moment):
                await trio.lowlevel.cancel_shielded_checkpoint()
            served._owed.append(Owed(CallID(1), b"late"))
            served.flush()
