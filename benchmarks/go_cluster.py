"""Three go-libp2p-raft peers on BoltDB, with hashicorp/raft's default timers: what a cluster of
IPFS Cluster peers runs for consensus."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import trio

from benchmarks.contender import Contender, Figures, Load, Measure, Settings
from tests.interop.go_build import build_go_peer
from tests.interop.peer_process import PeerOptions, PeerProcess, id_of, introduce

__all__ = ["GO_BOLTDB", "GO_IN_MEMORY"]

_ANSWER_TIMEOUT_S: Final = 30.0
"""Beyond the load's own time: what is in flight at the end is waited for."""


@asynccontextmanager
async def _start(settings: Settings, store: str) -> AsyncIterator[Measure]:
    binary = await trio.to_thread.run_sync(build_go_peer)
    names = ("go1", "go2", "go3")
    options = PeerOptions(
        voters=[id_of(name) for name in names],
        secret=settings.secret,
        security="noise",
        store=store,
        record=False,
        heartbeat_timeout="1s",
        election_timeout="1s",
        leader_lease_timeout="500ms",
        commit_timeout="50ms",
    )
    async with trio.open_nursery() as nursery:
        peers = [
            PeerProcess(name, [str(binary)], settings.folder / name, nursery, options)
            for name in names
        ]
        try:
            leader = await _elect(peers)
            yield lambda load: _measure(leader, load)
        finally:
            for peer in peers:
                await peer.kill()
            nursery.cancel_scope.cancel()


async def _elect(peers: list[PeerProcess]) -> PeerProcess:
    for peer in peers:
        await peer.start()
    await introduce(*peers)
    leader = (await peers[0].wait(leader=True)).leader
    return next(peer for peer in peers if peer.id == leader)


async def _measure(leader: PeerProcess, load: Load) -> Figures:
    result = await leader.ask(
        "bench",
        load.warm_up_s + load.seconds + _ANSWER_TIMEOUT_S,
        warm_up_s=load.warm_up_s,
        seconds=load.seconds,
        bytes=load.payload_bytes,
        in_flight=load.in_flight,
    )
    return Figures(result["commits_per_s"], result["p50_us"], result["p99_us"])


GO_BOLTDB: Final = Contender("Go, BoltDB", lambda settings: _start(settings, "bolt"))
GO_IN_MEMORY: Final = Contender("Go, in memory", lambda settings: _start(settings, "inmem"))
