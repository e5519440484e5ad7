"""Peers' components in one process: a network, streams, disks and address books in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath

import trio

from keys.identity import Identity
from keys.peer_id import PeerID
from node.consensus import Consensus
from node.consensus_config import ConsensusConfig
from node.peer_addresses import PeerNotReached
from node.rpc.client import RpcClient
from node.rpc.server import RpcServer
from node.rpc.services import consensus_methods
from node.rpc.wire import PROTOCOL_ID
from pinstate.cid import raw_sha256_cid
from pinstate.pin import Pin
from raft_over_libp2p.testing.fake_filesystem import FakeFileSystem
from raft_over_libp2p.transport.memory import MemoryNetwork
from raft_over_libp2p.types import ServerID
from tests.node.memory_streams import MemorySwarm

PEERS = [Identity.from_seed(bytes([n]) * 32).peer_id for n in (1, 2, 3)]


def pin(text: str) -> Pin:
    return Pin(cid=raw_sha256_cid(text.encode()))


class Addresses:
    """One peer's address book; a peer answers at any address while it runs and is not cut off."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.book: dict[PeerID, bytes] = {}

    async def reach(self, peer: PeerID, multiaddr: bytes | None, *, timeout_s: float) -> None:
        await trio.lowlevel.checkpoint()
        if peer not in self.world.peers or peer in self.world.swarm.down:
            raise PeerNotReached(f"{peer} does not answer")

    def remember(self, peer: PeerID, multiaddr: bytes) -> None:
        self.book[peer] = multiaddr

    def forget(self, peer: PeerID) -> None:
        self.book.pop(peer, None)

    def known(self, peer: PeerID) -> bytes | None:
        return self.book.get(peer)


@dataclass
class World:
    network: MemoryNetwork
    swarm: MemorySwarm
    disks: dict[PeerID, FakeFileSystem]
    peers: dict[PeerID, Consensus]
    addresses: dict[PeerID, Addresses]

    @asynccontextmanager
    async def peer(
        self, peer: PeerID, first: Sequence[PeerID] | None = PEERS, **knobs: object
    ) -> AsyncIterator[Consensus]:
        """Run ``peer``; ``first`` are the first voters if its disk is empty, None to wait."""
        async with Consensus.open_on(
            self.network.transport(ServerID(str(peer))),
            first,
            peer,
            PurePosixPath("/peer/raft"),
            config=ConsensusConfig(**knobs),
            addresses=self.addresses[peer],
            fs=self.disks[peer],
            sync_inline=True,
        ) as consensus:
            host = self.swarm.host(peer)
            consensus.set_client(RpcClient(host))
            host.serve(PROTOCOL_ID, RpcServer(consensus_methods(consensus)).handle)
            self.peers[peer] = consensus
            yield consensus

    def wipe(self, peer: PeerID) -> None:
        """Give ``peer``, which does not run, an empty disk."""
        self.disks[peer] = FakeFileSystem()
        self.disks[peer].mkdir("/peer")

    def cut_off(self, peer: PeerID) -> None:
        self.network.isolate(ServerID(str(peer)))
        self.swarm.down.add(peer)

    @property
    def leader(self) -> Consensus:
        """The running peer that leads, in the newest term if one does not know better yet."""
        running = [peer for peer in self.peers.values() if not peer._stop.is_set()]
        leading = [peer for peer in running if peer.raft.is_leader]
        return max(leading, key=lambda peer: peer.status().core.term)

    @property
    def followers(self) -> list[Consensus]:
        return [peer for peer in self.peers.values() if peer is not self.leader]


@asynccontextmanager
async def a_world() -> AsyncIterator[World]:
    disks = {peer: FakeFileSystem() for peer in PEERS}
    for disk in disks.values():
        disk.mkdir("/peer")
    async with trio.open_nursery() as nursery:
        world = World(MemoryNetwork(delay_s=0.001), MemorySwarm(nursery), disks, {}, {})
        world.addresses.update((peer, Addresses(world)) for peer in PEERS)
        yield world


@asynccontextmanager
async def three_peers() -> AsyncIterator[World]:
    """Three peers that are ready."""
    async with a_world() as world, AsyncExitStack() as stack:
        for peer in PEERS:
            await stack.enter_async_context(world.peer(peer))
        for consensus in world.peers.values():
            await consensus.ready(timeout_s=30)
        yield world
