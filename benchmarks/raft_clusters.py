"""Three servers of one kind, with hashicorp/raft's default timers.

Go on BoltDB is what IPFS Cluster runs for consensus; ours and theirs are driven by the same
commands, and each runs its own closed loop inside its leader.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

import trio

from benchmarks.contender import Contender, Figures, Load, Measure, Settings
from tests.interop.cluster import agree
from tests.interop.go_build import build_go_peer
from tests.interop.peer_process import PeerOptions, PeerProcess, id_of, introduce

__all__ = ["GO_BOLTDB", "GO_IN_MEMORY", "PYTHON"]

_ANSWER_TIMEOUT_S: Final = 30.0
"""Beyond the load's own time: what is in flight at the end is waited for."""
_OPTIONS: Final = PeerOptions(
    record=False,
    heartbeat_timeout="1s",
    election_timeout="1s",
    leader_lease_timeout="500ms",
    commit_timeout="50ms",
)


def _go_command() -> list[str]:
    return [str(build_go_peer())]


def _python_command() -> list[str]:
    return [sys.executable, "-m", "tests.interop.python_peer"]


def _contender(name: str, command: Callable[[], list[str]], options: PeerOptions) -> Contender:
    @asynccontextmanager
    async def start(settings: Settings) -> AsyncIterator[Measure]:
        argv = await trio.to_thread.run_sync(command)
        names = ("one", "two", "three")
        voters = [id_of(name) for name in names]
        shared = replace(options, voters=voters, secret=settings.secret)
        async with trio.open_nursery() as nursery:
            peers = [
                PeerProcess(name, argv, settings.folder / name, nursery, shared) for name in names
            ]
            try:
                leader = await _elect(peers)
                yield lambda load: _measure(leader, load)
            finally:
                for peer in peers:
                    await peer.kill()
                nursery.cancel_scope.cancel()

    return Contender(name, start)


async def _elect(peers: Sequence[PeerProcess]) -> PeerProcess:
    async with trio.open_nursery() as nursery:
        for peer in peers:
            nursery.start_soon(peer.start)
    await introduce(*peers)
    return (await agree(peers))[0]


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


GO_BOLTDB: Final = _contender(
    "Go, BoltDB", _go_command, replace(_OPTIONS, security="noise", store="bolt")
)
GO_IN_MEMORY: Final = _contender(
    "Go, in memory", _go_command, replace(_OPTIONS, security="noise", store="inmem")
)
PYTHON: Final = _contender("Python", _python_command, _OPTIONS)
