"""The transport over real libp2p streams on loopback keeps the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from multiaddr import Multiaddr

from keys.cluster_secret import ClusterSecret
from keys.identity import Identity
from node.swarm.host import PeerSwarm, open_swarm
from raft_over_libp2p.transport.libp2p_transport import Libp2pTransport
from raft_over_libp2p.transport.timing import TransportTiming
from raft_over_libp2p.types import ServerID
from tests.transport.contract import Server, TransportContract, serving

LOOPBACK = Multiaddr("/ip4/127.0.0.1/tcp/0")


@asynccontextmanager
async def server(swarm: PeerSwarm, timing: TransportTiming) -> AsyncIterator[Server]:
    transport = Libp2pTransport(swarm.host, timing, dial=swarm.dial)
    async with serving(transport.server_id, transport) as running:
        yield running


@asynccontextmanager
async def pair(timing: TransportTiming) -> AsyncIterator[tuple[Server, Server]]:
    secret = ClusterSecret.generate()
    async with (
        open_swarm(Identity.generate(), secret, [LOOPBACK]) as one,
        open_swarm(Identity.generate(), secret, [LOOPBACK]) as two,
    ):
        introduce(one, two)
        async with server(one, timing) as a, server(two, timing) as b:
            yield a, b


def introduce(*swarms: PeerSwarm) -> None:
    for swarm in swarms:
        for other in swarms:
            if other is not swarm:
                swarm.book.set(other.host.get_id(), other.listen_addrs)


class TestLibp2pTransport(TransportContract):
    @asynccontextmanager
    async def world(self, timing: TransportTiming) -> AsyncIterator[tuple[Server, Server]]:
        async with pair(timing) as servers:
            yield servers

    def a_stranger(self) -> ServerID:
        return ServerID("12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA")
