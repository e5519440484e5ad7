"""A new peer that asks its way into a cluster, and the addresses that are told on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest
import trio
from multiaddr import Multiaddr

from keys.peer_id import PeerID
from node.address_announcing import AddressAnnouncer
from node.joining import Joiner, JoinFailed
from node.peer_description import PeerDescription, encode_description
from node.rpc.client import RemoteError, RpcClient
from node.rpc.server import Method, RpcServer
from node.rpc.services import consensus_methods
from node.rpc.wire import PROTOCOL_ID, ServiceID, encode_bytes
from node.standing import Standing
from node.swarm.dialing import DialFailed
from raft_over_libp2p.raft.single_error import single_error
from tests.node.world import PEERS, Addresses, World, a_world, pin

A, B, C = PEERS


def line(peer: PeerID, port: int = 9096) -> str:
    return f"/ip4/127.0.0.1/tcp/{port}/p2p/{peer}"


@dataclass
class FakeSwarm:
    """Connects to whoever runs; keeps what it is told to remember."""

    world: World
    peer_id: PeerID
    known: dict[PeerID, list[str]] = field(default_factory=dict)
    connected: list[PeerID] = field(default_factory=list)

    async def connect(
        self, peer: PeerID, addresses: Sequence[Multiaddr] = (), *, timeout_s: float
    ) -> None:
        await trio.lowlevel.checkpoint()
        if peer not in self.world.peers or peer in self.world.swarm.down:
            raise DialFailed("connection refused")
        self.connected.append(peer)

    def remember(self, peer: PeerID, addresses: Sequence[Multiaddr]) -> None:
        self.known.setdefault(peer, []).extend(map(str, addresses))


class OwnAddresses(Addresses):
    """An address book that also knows where its peer is, and is said to be."""

    def __init__(self, world: World, peer: PeerID, own: str) -> None:
        super().__init__(world)
        self.peer = peer
        self.own = (own.partition("/p2p/")[0],)

    @property
    def agreed_own(self) -> str | None:
        found = self.book.get(self.peer)
        return None if found is None else str(Multiaddr(found)).partition("/p2p/")[0]


def serve(world: World, peer: PeerID, *others: dict[str, Method], lacks: str = "") -> None:
    """Have ``peer`` say who it is, and offer its Consensus methods but ``lacks``."""
    consensus = world.peers[peer]

    async def cluster_id(_caller: PeerID, _argument: bytes) -> bytes:
        members = consensus.peers()
        return encode_description(
            PeerDescription(
                id=str(peer),
                addresses=(line(peer),),
                cluster_peers=tuple(map(str, members)),
                cluster_peers_addresses=tuple(line(m) for m in members if m != peer),
            )
        )

    methods: dict[str, Method] = {"Cluster.ID": cluster_id}
    for more in (consensus_methods(consensus), *others):
        methods |= more
    methods.pop(lacks, None)
    world.swarm.host(peer).serve(PROTOCOL_ID, RpcServer(methods).handle)


@asynccontextmanager
async def a_cluster_and_a_newcomer(told: list[str]) -> AsyncIterator[tuple[World, Joiner]]:
    """A leads A and B; C runs, belongs to no cluster, and is to ask B first and then A."""
    async with a_world() as world, AsyncExitStack() as stack:
        for peer in (A, B):
            await stack.enter_async_context(world.peer(peer, [A, B]))
            serve(world, peer)
        newcomer = await stack.enter_async_context(world.peer(C, None))
        for peer in (A, B):
            await world.peers[peer].ready(timeout_s=30)
        swarm = FakeSwarm(world, C)
        client = RpcClient(world.swarm.host(C))
        yield (
            world,
            Joiner(
                swarm,  # type: ignore[arg-type]
                client,
                [line(B), line(A)],
                [line(C).partition("/p2p/")[0]],
                newcomer.status,
                told.append,
            ),
        )


async def test_a_peer_that_asks_a_member_votes_and_its_address_is_agreed_on(
    autojump_clock,
) -> None:
    told: list[str] = []
    async with a_cluster_and_a_newcomer(told) as (world, joiner):
        await world.peers[A].log_pin(pin("before"))

        await joiner.join()

        assert C in world.peers[A].peers()
        assert Multiaddr(line(C)).to_bytes() == world.addresses[A].known(C)
        assert told[0] == f"asking {B} to add {line(C)}"
        assert told[-1].startswith("votes after ")


async def test_a_member_that_is_down_is_passed_over(autojump_clock) -> None:
    told: list[str] = []
    async with a_cluster_and_a_newcomer(told) as (world, joiner):
        follower = B if world.peers[A].leader() == A else A
        world.swarm.handlers.pop((follower, PROTOCOL_ID))

        await joiner.join()

        assert C in world.peers[A].peers()


async def test_nobody_to_ask_is_told_with_the_reason_and_given_up_in_the_end(
    autojump_clock,
) -> None:
    told: list[str] = []
    async with a_cluster_and_a_newcomer(told) as (world, joiner):
        world.swarm.down.update({A, B})
        started = trio.current_time()

        with pytest.raises(JoinFailed, match="connection refused"), single_error():
            await joiner.join()

        assert 600 < trio.current_time() - started < 700
        assert f"not added yet: {line(B)} is not reached: connection refused" in told[0]
        assert len(told) < 60


async def test_a_go_member_is_asked_as_cluster_asks_once_all_members_are_connected(
    autojump_clock,
) -> None:
    told: list[str] = []
    async with a_cluster_and_a_newcomer(told) as (world, joiner):

        async def peer_add(_caller: PeerID, argument: bytes) -> bytes:
            assert argument == encode_bytes(C.multihash)
            assert {A, B} <= set(joiner._swarm.connected)  # type: ignore[attr-defined]
            await world.peers[A].add_peer(C, timeout_s=10)
            return b"\x80"

        for peer in (A, B):
            serve(world, peer, {"Cluster.PeerAdd": peer_add}, lacks="Consensus.LogAddPeer")

        await joiner.join()

        assert C in world.peers[A].peers()


async def test_a_removed_peer_hears_of_it_and_of_its_return(autojump_clock) -> None:
    told: list[str] = []
    said: list[str] = []
    async with a_cluster_and_a_newcomer(told) as (world, joiner), trio.open_nursery() as nursery:
        await joiner.join()
        standing = Standing()
        nursery.start_soon(standing.follow, world.peers[C].raft, said.append)
        await trio.sleep(1)

        await world.peers[A].log_rm_peer(C)
        await trio.sleep(10)
        was_removed = standing.is_removed
        await world.peers[A].log_add_peer(line(C))
        await trio.sleep(10)
        nursery.cancel_scope.cancel()

    assert was_removed
    assert not standing.is_removed
    assert ["this peer was removed", "this peer is a member"] == [
        " ".join(text.split()[:4]) if "removed" in text else " ".join(text.split()[:5])
        for text in said
    ]


@asynccontextmanager
async def an_announcer(world: World, peer: PeerID, own: str) -> AsyncIterator[list[str]]:
    """Run the announcer of ``peer``; its leader takes announcements."""
    book = OwnAddresses(world, peer, own)
    book.book = world.addresses[peer].book
    client = RpcClient(world.swarm.host(peer))
    told: list[str] = []
    async with trio.open_nursery() as nursery:
        announcer = AddressAnnouncer(world.peers[peer], book, client)  # type: ignore[arg-type]
        nursery.start_soon(lambda: announcer.keep_agreed(is_explicit=False, told=told.append))
        yield told
        nursery.cancel_scope.cancel()


def take_announcements(world: World, peer: PeerID) -> None:
    announcer = AddressAnnouncer(
        world.peers[peer],
        world.addresses[peer],  # type: ignore[arg-type]
        RpcClient(world.swarm.host(peer)),
    )
    serve(world, peer, announcer.methods())


async def test_a_peer_that_moved_tells_the_cluster_where_it_is(autojump_clock) -> None:
    async with a_cluster_and_a_newcomer([]) as (world, joiner):
        await joiner.join()
        take_announcements(world, A)
        take_announcements(world, B)

        async with an_announcer(world, C, line(C, 1234)) as told:
            await trio.sleep(10)

        expected = Multiaddr(line(C, 1234)).to_bytes()
        assert [f"the cluster knows this peer at {line(C, 1234)}"] == told
        assert {expected} == {world.addresses[peer].known(C) for peer in PEERS}


async def test_a_removed_peer_that_announces_itself_is_not_added_again(autojump_clock) -> None:
    async with a_cluster_and_a_newcomer([]) as (world, joiner):
        await joiner.join()
        leader = world.peers[A].leader()
        take_announcements(world, leader)
        await world.peers[A].log_rm_peer(C)

        with pytest.raises(RemoteError, match="is not a member of this cluster"):
            await RpcClient(world.swarm.host(C)).call(
                leader,
                ServiceID("Consensus", "LogPeerAddress"),
                encode_bytes(Multiaddr(line(C, 1234)).to_bytes()),
                timeout_s=10,
            )

        assert C not in world.peers[A].peers()


@pytest.mark.parametrize(
    ("argument", "named"),
    [
        (encode_bytes(Multiaddr(line(A, 1234)).to_bytes()), "may announce no address but its own"),
        (encode_bytes(b"\xff"), "not applied"),
        (encode_bytes(Multiaddr("/ip4/127.0.0.1/tcp/1").to_bytes()), "not applied"),
        (b"\x05", "not applied"),
    ],
)
async def test_a_malformed_announcement_is_refused(
    autojump_clock, argument: bytes, named: str
) -> None:
    async with a_cluster_and_a_newcomer([]) as (world, _):
        leader = world.peers[A].leader()
        take_announcements(world, leader)

        with pytest.raises(RemoteError, match=named):
            await RpcClient(world.swarm.host(C)).call(
                leader, ServiceID("Consensus", "LogPeerAddress"), argument, timeout_s=10
            )


async def test_a_peer_that_came_by_a_snapshot_learns_where_the_others_are(autojump_clock) -> None:
    async with a_cluster_and_a_newcomer([]) as (world, joiner):
        await joiner.join()
        world.addresses[C].book.clear()

        async with an_announcer(world, C, line(C)):
            await trio.sleep(10)

        assert Multiaddr(line(A)).to_bytes() == world.addresses[C].known(A)
        assert Multiaddr(line(B)).to_bytes() == world.addresses[C].known(B)
