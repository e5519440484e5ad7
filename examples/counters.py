"""A state of your own on three peers in one program. Run it: python examples/counters.py

docs/embedding.md takes this apart, and examples/test_counters.py tests it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio
from multiaddr import Multiaddr

from keys import ClusterSecret, Identity
from node import open_swarm
from node.swarm.host import PeerSwarm
from raft_over_libp2p import (
    Configuration,
    DataFolder,
    Libp2pTransport,
    NotLeader,
    Raft,
    RaftConfig,
    ServerID,
    bootstrap_cluster,
    has_existing_state,
)

LOOPBACK = Multiaddr("/ip4/127.0.0.1/tcp/0")


@dataclass(frozen=True, slots=True)
class Add:
    """Add ``amount`` to the count of ``name``, unless that would make it negative."""

    name: str
    amount: int


class AddCodec:
    """An ``Add`` as a JSON list."""

    def encode(self, op: Add) -> bytes:
        return json.dumps([op.name, op.amount]).encode()

    def decode(self, data: bytes) -> Add:
        match json.loads(data):
            case [str(name), int(amount)]:
                return Add(name, amount)
        raise ValueError(f"{data!r} is no addition")


class Counters:
    """Counts by name; an addition gives the count after it, or None where it was not done."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def apply(self, ops: Sequence[Add]) -> list[int | None]:
        return [self._add(op) for op in ops]

    def _add(self, op: Add) -> int | None:
        count = self.counts.get(op.name, 0) + op.amount
        if count < 0:
            return None
        self.counts[op.name] = count
        return count

    def snapshot(self) -> Iterator[bytes]:
        return iter([json.dumps(self.counts, sort_keys=True).encode()])

    def restore(self, chunks: Iterable[bytes]) -> dict[str, int]:
        counts = json.loads(b"".join(chunks))
        if not isinstance(counts, dict) or not all(type(n) is int for n in counts.values()):
            raise ValueError("this is no snapshot of counters")
        return counts

    def adopt(self, image: dict[str, int]) -> None:
        self.counts = image


@dataclass(frozen=True, slots=True)
class Peer:
    """One peer: its log of additions, and the counts they make."""

    raft: Raft[Add, int | None]
    counters: Counters


@asynccontextmanager
async def open_peer(
    swarm: PeerSwarm, folder: Path, founders: Sequence[ServerID]
) -> AsyncIterator[Peer]:
    """Run a peer on ``swarm`` whose log is in ``folder``."""
    transport = Libp2pTransport(swarm.host, dial=swarm.dial)
    with DataFolder.open(folder, transport.server_id) as stores:
        if founders and not has_existing_state(stores):
            bootstrap_cluster(stores, Configuration.of_voters(*founders))
        counters = Counters()
        async with Raft.open(
            folder=stores,
            transport=transport,
            state_machine=counters,
            codec=AddCodec(),
            config=RaftConfig(snapshot_threshold=10_000),
        ) as raft:
            yield Peer(raft, counters)


async def add(peers: Sequence[Peer], op: Add) -> int | None:
    """Have ``op`` agreed on at whichever of ``peers`` leads."""
    while True:
        leader = await peers[0].raft.wait_for_leader(timeout_s=20)
        for peer in peers:
            if peer.raft.server_id == leader:
                try:
                    return await peer.raft.apply(op, timeout_s=5)
                except NotLeader:
                    await trio.sleep(0.1)  # definitely not done: another one may lead already


async def read(peer: Peer, name: str) -> int:
    """Return the count of ``name`` with every addition that was acknowledged before the call."""
    await peer.raft.read_index(timeout_s=5)
    return peer.counters.counts.get(name, 0)


async def main(folder: Path) -> None:
    """Let three peers agree on some additions."""
    secret = ClusterSecret.generate()
    async with AsyncExitStack() as stack:
        swarms = [
            await stack.enter_async_context(open_swarm(Identity.generate(), secret, [LOOPBACK]))
            for _ in range(3)
        ]
        for swarm in swarms:
            for other in swarms:
                if other is not swarm:
                    swarm.remember(other.peer_id, other.listen_addrs)
        founders = [ServerID(str(swarm.peer_id)) for swarm in swarms]
        peers = []
        for number, swarm in enumerate(swarms):
            home = folder / str(number)
            home.mkdir()
            peer = await stack.enter_async_context(open_peer(swarm, home / "raft", founders))
            peers.append(peer)
        await add(peers, Add("apples", 3))
        print("after 3 more there are", await add(peers, Add("apples", 3)), "apples")
        leader = next(peer for peer in peers if peer.raft.is_leader)
        print("the leader reads", await read(leader, "apples"))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        trio.run(main, Path(name))
