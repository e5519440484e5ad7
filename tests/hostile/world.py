"""Three real peers in one process, on real sockets, and attackers who hold the cluster's secret."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import trio
from libp2p.abc import IMuxedStream
from libp2p.peer.id import ID
from libp2p.stream_muxer.exceptions import MuxedConnUnavailable, MuxedStreamError
from multiaddr import Multiaddr

from keys.cluster_secret import ClusterSecret
from keys.identity import Identity
from keys.peer_id import PeerID
from node.consensus import Consensus
from node.consensus_config import ConsensusConfig
from node.rpc.client import RpcClient
from node.rpc.server import RpcServer
from node.rpc.services import cluster_methods, consensus_methods
from node.rpc.wire import PROTOCOL_ID
from node.swarm.host import PeerSwarm, open_swarm
from node.swarm.stream_host import SwarmStreams
from pinstate.cid import raw_sha256_cid
from pinstate.pin import Pin
from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.testing.fake_filesystem import FakeFileSystem
from raft_over_libp2p.transport.libp2p_transport import Libp2pTransport
from raft_over_libp2p.transport.negotiation import preamble

__all__ = [
    "LOOPBACK",
    "RAFT",
    "RPC",
    "Attack",
    "Victim",
    "World",
    "answer",
    "hostile_world",
    "open_raw",
    "open_stream",
]

LOOPBACK = Multiaddr("/ip4/127.0.0.1/tcp/0")
RAFT = preamble("/raft/1.0.0/rpc")
RPC = preamble(PROTOCOL_ID)
_PEERS = [Identity.from_seed(bytes([n]) * 32) for n in (1, 2, 3)]
_REMOVED = Identity.from_seed(bytes([4]) * 32)
_STRANGER = Identity.from_seed(bytes([5]) * 32)
_TIMING = RaftConfig(heartbeat_timeout_s=2.0, election_timeout_s=2.0, leader_lease_timeout_s=1.5)
"""Twice the default: attackers and victims share one event loop here, and that a busy machine."""
_PATIENCE_S = 20.0
"""For a loaded machine; nothing here waits so long otherwise."""
_WRITE_S = 0.5
_SLOWEST_WRITE_S = 1.5
"""A write may always take so long: half of what would start an election, on a busy machine."""
_MOST_MORE_BYTES = 256 * 1024 * 1024
"""By which one attack may raise the process's memory, the attacker's own included."""

Attack = Callable[["World"], Awaitable[None]]


@dataclass
class Victim:
    """One peer of the cluster."""

    swarm: PeerSwarm
    transport: Libp2pTransport
    consensus: Consensus

    @property
    def id(self) -> PeerID:
        return self.swarm.peer_id

    @property
    def open_streams(self) -> int:
        """Streams of all its connections."""
        connections = self.swarm.host.get_network().get_connections()
        return sum(len(connection.muxed_conn._streams) for connection in connections)


@dataclass
class World:
    """The cluster, who attacks it, and what it was like before."""

    victims: list[Victim]
    secret: ClusterSecret
    _numbers: int = field(default=0)

    @property
    def leader(self) -> Victim:
        leader = self.victims[0].consensus.leader()
        [found] = [victim for victim in self.victims if victim.id == leader]
        return found

    @property
    def followers(self) -> list[Victim]:
        return [victim for victim in self.victims if victim is not self.leader]

    @property
    def standing(self) -> tuple[PeerID, int]:
        """Who leads, and the largest term any peer has."""
        terms = [victim.consensus.status().core.term for victim in self.victims]
        return self.leader.id, max(terms)

    @asynccontextmanager
    async def stranger(self) -> AsyncIterator[PeerSwarm]:
        """Yield a host that holds the secret, belongs to nobody, and is connected to all peers."""
        async with self._attacker(_STRANGER) as swarm:
            yield swarm

    @asynccontextmanager
    async def removed_member(self) -> AsyncIterator[PeerSwarm]:
        """Yield the host of the member that was removed."""
        async with self._attacker(_REMOVED) as swarm:
            yield swarm

    @asynccontextmanager
    async def _attacker(self, identity: Identity) -> AsyncIterator[PeerSwarm]:
        async with open_swarm(identity, self.secret, [LOOPBACK]) as swarm:
            for victim in self.victims:
                await swarm.connect(victim.id, victim.swarm.listen_addrs)
            yield swarm

    async def write(self) -> float:
        """Pin something through the leader; return how long that took."""
        self._numbers += 1
        began = time.perf_counter()
        with trio.fail_after(_PATIENCE_S):
            await self.leader.consensus.log_pin(_pin(self._numbers), timeout_s=_PATIENCE_S)
        return time.perf_counter() - began

    async def writes(self, count: int) -> float:
        """Write ``count`` times; return the longest, which with few writes is their p99."""
        return max([await self.write() for _ in range(count)])

    async def endures(self, attack: Attack) -> None:
        """Run ``attack`` while writes go on, and check that nothing of it stays.

        The leader and term are the same, writes were answered within three times of what
        they took before, and memory, tasks and streams are what they were.
        """
        baseline_s = await self.writes(40)
        standing, tasks, streams = self.standing, _tasks(), self.streams
        memory_bytes = _memory_bytes()
        slowest_s = 0.0
        async with trio.open_nursery() as nursery:
            ended = trio.Event()

            async def attacking() -> None:
                await attack(self)
                ended.set()

            nursery.start_soon(attacking)
            while not ended.is_set():
                slowest_s = max(slowest_s, await self.write())
                await trio.sleep(0.02)
        more_bytes = _memory_bytes() - memory_bytes
        slowest_s = max(slowest_s, await self.writes(20))

        assert standing == self.standing
        assert slowest_s <= max(3 * baseline_s, _SLOWEST_WRITE_S), (slowest_s, baseline_s)
        assert more_bytes <= _MOST_MORE_BYTES
        await _wait_until(lambda: self.streams <= streams + 2, lambda: (streams, self.streams))
        await _wait_until(lambda: _tasks() <= tasks + 4, lambda: (tasks, _tasks()))
        await _wait_until(self._agrees, lambda: [len(v.consensus.state()) for v in self.victims])

    @property
    def streams(self) -> int:
        return sum(victim.open_streams for victim in self.victims)

    def _agrees(self) -> bool:
        digests = {victim.consensus.state().digest() for victim in self.victims}
        return len(digests) == 1 and len(self.leader.consensus.state()) == self._numbers


async def open_stream(swarm: PeerSwarm, victim: Victim, first_bytes: bytes) -> IMuxedStream:
    """Open a stream to ``victim`` with ``first_bytes``, its proposal included, and wait for nothing."""
    return await _opened(swarm, victim.id, first_bytes)


async def open_raw(swarm: PeerSwarm, peer: PeerID, first_bytes: bytes) -> None:
    """Open such a stream to ``peer`` and leave it, if it can be had at all."""
    with contextlib.suppress(MuxedStreamError, MuxedConnUnavailable, IndexError, ValueError):
        await _opened(swarm, peer, first_bytes)


async def _opened(swarm: PeerSwarm, peer: PeerID, first_bytes: bytes) -> IMuxedStream:
    network = swarm.host.get_network()
    [connection, *_] = network.get_connections(ID.from_base58(str(peer)))
    stream = await connection.muxed_conn.open_stream()
    with trio.move_on_after(_WRITE_S):  # Who is refused may not be given the window for all.
        await stream.write(first_bytes)
    return stream


async def answer(
    swarm: PeerSwarm, victim: Victim, first_bytes: bytes, within_s: float = 5
) -> bytes:
    """Open a stream with ``first_bytes`` and return what comes until it ends, or until then."""
    received = b""
    with contextlib.suppress(MuxedStreamError, MuxedConnUnavailable):
        stream = await open_stream(swarm, victim, first_bytes)
        with trio.move_on_after(within_s), contextlib.suppress(MuxedStreamError):
            while True:
                received += await stream.read()
        await stream.reset()
    return received


async def _wait_until(holds: Callable[[], bool], shown: Callable[[], object]) -> None:
    deadline = trio.current_time() + _PATIENCE_S
    while not holds():
        assert trio.current_time() < deadline, shown()
        await trio.sleep(0.05)


def _pin(number: int) -> Pin:
    return Pin.of(raw_sha256_cid(b"%d" % number))


def _tasks() -> int:
    return trio.lowlevel.current_statistics().tasks_living


def _memory_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@asynccontextmanager
async def hostile_world() -> AsyncIterator[World]:
    """Run three peers of a cluster from which a fourth, which never ran, was removed."""
    secret = ClusterSecret.generate()
    first = [identity.peer_id for identity in (*_PEERS, _REMOVED)]
    async with AsyncExitStack() as stack:
        swarms = [
            await stack.enter_async_context(open_swarm(identity, secret, [LOOPBACK]))
            for identity in _PEERS
        ]
        for swarm in swarms:
            for other in swarms:
                if other is not swarm:
                    swarm.remember(other.peer_id, other.listen_addrs)
        victims = []
        for swarm in swarms:
            victims.append(await stack.enter_async_context(_victim(swarm, first)))
        world = World(victims, secret)
        for victim in victims:
            await victim.consensus.ready(timeout_s=_PATIENCE_S)
        await world.leader.consensus.rm_peer(_REMOVED.peer_id, timeout_s=_PATIENCE_S)
        yield world


@asynccontextmanager
async def _victim(swarm: PeerSwarm, first: list[PeerID]) -> AsyncIterator[Victim]:
    disk = FakeFileSystem()
    disk.mkdir("/peer")
    transport = Libp2pTransport(swarm.host, dial=swarm.dial)
    async with Consensus.open_on(
        transport,
        first,
        swarm.peer_id,
        PurePosixPath("/peer/raft"),
        config=ConsensusConfig(raft=_TIMING),
        fs=disk,
        sync_inline=True,
    ) as consensus:
        streams = SwarmStreams(swarm.host, swarm.dial)
        consensus.set_client(RpcClient(streams))
        methods = cluster_methods(lambda: b"\x80", b"\x80") | consensus_methods(consensus)
        streams.serve(PROTOCOL_ID, RpcServer(methods).handle)
        yield Victim(swarm, transport, consensus)
