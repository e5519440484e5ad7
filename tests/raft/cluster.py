"""A cluster in memory, on trio's fake clock: real cores, drivers and stores, no network, no disk."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import trio

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.raft import Raft
from raft_over_libp2p.storage.data_folder import DataFolder
from raft_over_libp2p.testing.fake_filesystem import FakeFileSystem
from raft_over_libp2p.transport.memory import MemoryNetwork
from raft_over_libp2p.types import Configuration, LogEntry, ServerID
from raft_over_libp2p.wire.configuration import GoConfigurationCodec

IDS = tuple(ServerID(name) for name in ("n1", "n2", "n3", "n4", "n5"))


class ListFSM:
    """Keeps what was applied; the result of an entry is its place."""

    def __init__(self) -> None:
        self.applied: list[bytes] = []

    def apply(self, entries: Sequence[LogEntry]) -> Sequence[int]:
        start = len(self.applied)
        self.applied.extend(entry.data for entry in entries)
        return list(range(start, len(self.applied)))

    def snapshot(self) -> Iterator[bytes]:
        return iter([json.dumps([data.hex() for data in self.applied]).encode()])

    def restore(self, chunks: Iterable[bytes]) -> list[bytes]:
        return [bytes.fromhex(data) for data in json.loads(b"".join(chunks))]

    def adopt(self, image: list[bytes]) -> None:
        self.applied = image


class Node:
    """One server: its disk and state machine outlive a stop."""

    def __init__(self, server_id: ServerID, voters: Sequence[ServerID]) -> None:
        self.server_id = server_id
        self.voters = voters
        self.fs = FakeFileSystem()
        self.fs.mkdir("/peer")
        self.fsm = ListFSM()
        self.raft: Raft[bytes, int]

    @asynccontextmanager
    async def open(
        self, network: MemoryNetwork, config: RaftConfig, *, sync_inline: bool = True
    ) -> AsyncIterator[Raft[bytes, int]]:
        self.fsm = ListFSM()
        with DataFolder.open(
            "/peer/raft", self.server_id, fs=self.fs, segment_bytes=65536
        ) as folder:
            if folder.is_fresh and self.voters:
                folder.bootstrap(Configuration.of_voters(*self.voters), GoConfigurationCodec())
            async with Raft.open_fsm(
                folder=folder,
                transport=network.transport(self.server_id),
                fsm=self.fsm,
                config=config,
                rng=random.Random(self.server_id),
                sync_inline=sync_inline,
            ) as self.raft:
                yield self.raft


class Cluster:
    def __init__(self, size: int, config: RaftConfig | None = None) -> None:
        self.network = MemoryNetwork(delay_s=0.001)
        self.config = config or RaftConfig()
        ids = IDS[:size]
        self.nodes = {server_id: Node(server_id, ids) for server_id in ids}

    async def leader(self) -> Node:
        """Return the node that all connected servers agree is the leader."""
        for node in self.nodes.values():
            leader = await node.raft.wait_for_leader(timeout_s=30)
        while not self.nodes[leader].raft.is_leader:
            await self.nodes[leader].raft.changed()
        return self.nodes[leader]

    def followers(self, leader: Node) -> list[Node]:
        return [node for node in self.nodes.values() if node is not leader]


@asynccontextmanager
async def running(size: int = 3, config: RaftConfig | None = None) -> AsyncIterator[Cluster]:
    """Run ``size`` voters until the block ends."""
    cluster = Cluster(size, config)
    async with AsyncExitStack() as stack:
        for node in cluster.nodes.values():
            await stack.enter_async_context(node.open(cluster.network, cluster.config))
        yield cluster


async def wait_until_equal(nodes: Sequence[Node], applied: Sequence[bytes]) -> None:
    """Return when all ``nodes`` applied just ``applied``; trio's fake clock bounds the wait."""
    with trio.fail_after(30):
        for node in nodes:
            while node.fsm.applied != list(applied):
                await node.raft.changed()
