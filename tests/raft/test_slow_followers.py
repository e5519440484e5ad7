"""A follower that is dead and one that takes nothing cost a leader bounded memory."""

from __future__ import annotations

import tracemalloc
from contextlib import AsyncExitStack
from pathlib import Path

import trio
from libp2p.abc import INetStream

from keys.cluster_secret import ClusterSecret
from keys.identity import Identity
from node.swarm.host import open_swarm
from raft_over_libp2p import limits
from raft_over_libp2p.core.messages import AppendEntriesRequest, AppendEntriesResponse
from raft_over_libp2p.transport.streams import RAFT_PROTOCOL
from raft_over_libp2p.types import ServerID
from raft_over_libp2p.wire.framing import RequestReader
from raft_over_libp2p.wire.responses import encode_response
from tests.raft.test_resuming import Blob, Server
from tests.transport.test_libp2p_transport import LOOPBACK, introduce

ENTRY_BYTES = 256 * limits.KIB
ENTRIES = 512
"""128 MiB in all."""
MOST_BYTES = (
    2 * limits.MAX_LOG_CACHE_BYTES
    + 3 * limits.MAX_INFLIGHT_APPEND_BYTES
    + 2 * limits.MAX_FRAME_SENT_BYTES
)
"""64 MiB: recent entries, as data and as encoded; what is in flight to the follower that takes
nothing, as both and as frames; a frame here and at that follower, which is in this process."""


async def stall(stream: INetStream) -> None:
    """Acknowledge entries until the large ones come, and read no more then; answer heartbeats."""
    reader = RequestReader()
    while data := await stream.read(64 * limits.KIB):
        if reader.buffered_bytes > ENTRY_BYTES // 2:
            await trio.sleep_forever()
        for message in reader.feed(data):
            request = message.request
            assert isinstance(request, AppendEntriesRequest)
            last = request.entries[-1].index if request.entries else request.prev_log_index
            answer = AppendEntriesResponse(term=request.term, last_log=last, success=True)
            await stream.write(encode_response(answer, ServerID("stalled")))


async def test_128_mib_of_writes_cost_half_of_it_with_a_dead_and_a_stalled_follower(
    tmp_path: Path,
) -> None:
    secret = ClusterSecret.generate()
    async with AsyncExitStack() as stack:
        one, stalled = [
            await stack.enter_async_context(open_swarm(Identity.generate(), secret, [LOOPBACK]))
            for _ in range(2)
        ]
        stalled.host.set_stream_handler(RAFT_PROTOCOL, stall)
        introduce(one, stalled)
        leader = Server(one, tmp_path / "leader", Blob())
        raft = await stack.enter_async_context(leader.open([leader.id]))
        await raft.wait_for_leader(timeout_s=10)
        slow = ServerID(str(stalled.peer_id))
        dead = ServerID(str(Identity.generate().peer_id))
        for peer in (slow, dead):
            await raft.add_nonvoter(peer, timeout_s=10)
        with trio.fail_after(10):
            while raft.status().peers[slow].lag_entries:
                await trio.lowlevel.checkpoint()
        tracemalloc.start()
        try:
            most_inflight = 0
            for number in range(ENTRIES):
                data = number.to_bytes(4, "big") * (ENTRY_BYTES // 4)
                await raft.apply(data, timeout_s=10)
                inflight = raft.status().peers[slow].inflight_bytes
                assert inflight is not None
                most_inflight = max(most_inflight, inflight)
            _, most_held = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        peers = raft.status().peers

        assert most_held < MOST_BYTES < ENTRIES * ENTRY_BYTES
        assert ENTRY_BYTES < most_inflight
        assert most_inflight <= limits.MAX_INFLIGHT_APPEND_BYTES + limits.MAX_FRAME_SENT_BYTES
        for peer in (slow, dead):
            assert peers[peer].lag_entries is not None
            assert peers[peer].lag_entries >= ENTRIES
            assert peers[peer].last_failure is not None or peer == slow
