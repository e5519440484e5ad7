"""``Raft`` on stores in memory: the driver asks for no more than the Protocols."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.raft import Raft
from raft_over_libp2p.storage.bootstrap import bootstrap_cluster
from raft_over_libp2p.storage.memory import MemoryStores
from raft_over_libp2p.transport.memory import MemoryNetwork
from raft_over_libp2p.types import Configuration
from tests.raft.cluster import IDS, ListFSM


@asynccontextmanager
async def leading(stores: MemoryStores, fsm: ListFSM) -> AsyncIterator[Raft[bytes, int]]:
    async with Raft.open_fsm(
        folder=stores,
        transport=MemoryNetwork().transport(stores.server_id),
        fsm=fsm,
        config=RaftConfig(snapshot_threshold=1, trailing_logs=0),
        rng=random.Random(1),
        sync_inline=True,
    ) as raft:
        while not raft.is_leader:
            await raft.changed()
        yield raft


async def test_a_server_on_memory_snapshots_compacts_and_starts_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    stores = MemoryStores(IDS[0])
    bootstrap_cluster(stores, Configuration.of_voters(IDS[0]))
    async with leading(stores, ListFSM()) as raft:
        await raft.apply_many([b"a", b"b"], timeout_s=5)
        index = await raft.snapshot(timeout_s=5)
        await raft.apply(b"c", timeout_s=5)
    assert index == stores.log.first_index() - 1
    fsm = ListFSM()
    async with leading(stores, fsm) as raft:
        await raft.barrier(timeout_s=5)
        assert [b"a", b"b", b"c"] == fsm.applied
