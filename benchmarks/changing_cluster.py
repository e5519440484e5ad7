"""``python -m benchmarks.changing_cluster``: snapshots, installs and transfers, timed.

Two peers in one process on loopback, with the private network and durable logs. The first
fills a pinset and takes a snapshot while writes go on; the second is added with an empty
folder and gets it; then leadership goes to and fro. Stalls are the longest time in which the
event loop, which both peers share, did not run another task.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import trio
from multiaddr import Multiaddr

from benchmarks.machine import describe_machine
from keys.cluster_secret import ClusterSecret
from keys.identity import Identity
from node.consensus import Consensus
from node.consensus_config import ConsensusConfig
from node.swarm.host import PeerSwarm, open_swarm
from pinstate.cid import raw_sha256_cid
from pinstate.log_op import LogOp
from pinstate.pin import Pin
from raft_over_libp2p.config import RaftConfig

_CACHE = Path(__file__).resolve().parents[1] / ".cache"
_BATCH = 512


class StallMeter:
    """Looks at the clock every millisecond; the longest gap beyond that is a stall."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    async def run(self) -> None:
        last = time.perf_counter()
        while True:
            await trio.sleep(0.001)
            now = time.perf_counter()
            self.longest_s = max(self.longest_s, now - last - 0.001)
            last = now

    def restart(self) -> None:
        self.longest_s = 0.0


@asynccontextmanager
async def _peer(
    folder: Path, secret: ClusterSecret, *, is_first: bool
) -> AsyncIterator[tuple[Consensus, PeerSwarm]]:
    config = ConsensusConfig(raft=RaftConfig(trailing_logs=0, max_append_entries=512))
    listen = [Multiaddr("/ip4/127.0.0.1/tcp/0")]
    async with AsyncExitStack() as stack:
        swarm = await stack.enter_async_context(open_swarm(Identity.generate(), secret, listen))
        consensus = await stack.enter_async_context(
            Consensus.open(
                [] if is_first else None,
                swarm.host,
                folder / "raft",
                config=config,
                dial=swarm.dial,
            )
        )
        yield consensus, swarm


async def _fill(consensus: Consensus, count: int) -> None:
    oplog = consensus._open_oplog()  # noqa: SLF001 - several pins a call are not public yet
    for start in range(0, count, _BATCH):
        ops = [
            LogOp.pin(Pin(cid=raw_sha256_cid(b"%d" % number), name=f"pin {number}"))
            for number in range(start, min(start + _BATCH, count))
        ]
        await oplog.commit_ops(ops, timeout_s=30)


async def _write_on(consensus: Consensus, latencies_s: list[float]) -> None:
    number = 0
    while True:
        started = time.perf_counter()
        await consensus.log_pin(Pin(cid=raw_sha256_cid(b"more %d" % number)))
        latencies_s.append(time.perf_counter() - started)
        number += 1


def _p99_ms(latencies_s: list[float]) -> float:
    return sorted(latencies_s)[int(len(latencies_s) * 0.99)] * 1000 if latencies_s else 0.0


async def _run(folder: Path, pins: int, transfers: int) -> None:
    secret = ClusterSecret.generate()
    meter = StallMeter()
    async with AsyncExitStack() as stack:
        nursery = await stack.enter_async_context(trio.open_nursery())
        first, near = await stack.enter_async_context(_peer(folder / "1", secret, is_first=True))
        await first.ready(timeout_s=30)
        await _fill(first, pins)
        nursery.start_soon(meter.run)

        idle_s: list[float] = []
        with trio.move_on_after(2):
            await _write_on(first, idle_s)
        idle_stall_s = meter.longest_s
        meter.restart()
        busy_s: list[float] = []
        async with trio.open_nursery() as writing:
            writing.start_soon(_write_on, first, busy_s)
            started = time.perf_counter()
            await first.raft.snapshot(timeout_s=120)
            snapshot_s = time.perf_counter() - started
            writing.cancel_scope.cancel()
        print(f"snapshot of {pins} pins: {snapshot_s:.2f} s")
        print(
            f"longest stall of the event loop: {meter.longest_s * 1000:.0f} ms while it is taken,"
            f" {idle_stall_s * 1000:.0f} ms before"
        )
        print(
            f"p99 of a write: {_p99_ms(busy_s):.1f} ms meanwhile, {_p99_ms(idle_s):.1f} ms before"
        )

        second, far = await stack.enter_async_context(_peer(folder / "2", secret, is_first=False))
        near.remember(second.peer_id, far.listen_addrs)
        far.remember(first.peer_id, near.listen_addrs)
        meter.restart()
        started = time.perf_counter()
        await first.add_peer(second.peer_id, timeout_s=120)
        await second.ready(timeout_s=120)
        install_s = time.perf_counter() - started
        print(
            f"an empty peer added, by snapshot, until it votes and is in sync: {install_s:.2f} s"
            f" (longest stall {meter.longest_s * 1000:.0f} ms, both peers share the loop)"
        )

        peers = [first, second]
        times_s = []
        for _ in range(transfers):
            (leader,) = [peer for peer in peers if peer.raft.is_leader]
            (other,) = [peer for peer in peers if peer is not leader]
            started = time.perf_counter()
            await leader.transfer_leadership(other.peer_id, timeout_s=10)
            while not other.raft.is_leader:
                await other.raft.changed()
            times_s.append(time.perf_counter() - started)
            await other.log_pin(Pin(cid=raw_sha256_cid(b"leads now")))
        times_s.sort()
        print(
            f"transfer of leadership: median {times_s[len(times_s) // 2] * 1000:.1f} ms,"
            f" slowest {times_s[-1] * 1000:.1f} ms of {transfers}"
        )
        nursery.cancel_scope.cancel()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.changing_cluster", description=__doc__
    )
    parser.add_argument("--pins", type=int, default=100_000)
    parser.add_argument("--transfers", type=int, default=20)
    arguments = parser.parse_args()
    _CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=_CACHE) as text:
        folder = Path(text)
        for name in ("1", "2"):
            (folder / name).mkdir()
        print(describe_machine(folder))
        trio.run(_run, folder, arguments.pins, arguments.transfers)


if __name__ == "__main__":
    main()
