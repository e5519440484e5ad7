"""The door on an embedder's own, stock host: its traps do not reach the transport."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
import trio
from libp2p import new_host
from libp2p.abc import IHost
from libp2p.crypto.ed25519 import create_new_key_pair
from multiaddr import Multiaddr

from raft_over_libp2p.transport.streams import Door, PeerUnreachable, RaftStream, StreamBroken
from raft_over_libp2p.types import ServerID
from tests.transport.test_outbound import stock_host

NOBODY = ServerID("12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA")


def id_of(host: IHost) -> ServerID:
    return ServerID(str(host.get_id()))


def know(host: IHost, peer: ServerID, *addresses: Multiaddr) -> None:
    from libp2p.peer.id import ID

    host.get_peerstore().add_addrs(ID.from_base58(peer), addresses, 3600)


@asynccontextmanager
async def door_pair() -> AsyncIterator[tuple[Door, Door, IHost, IHost]]:
    async with stock_host() as one, stock_host() as two, trio.open_nursery() as nursery:
        doors = Door(one), Door(two)
        for door in doors:
            door.open_to(nursery, lambda _peer, _came: None)
        know(one, id_of(two), *two.get_transport_addrs())
        yield *doors, one, two
        for door in doors:
            door.close()
        nursery.cancel_scope.cancel()


@pytest.fixture
def silent() -> Iterator[Multiaddr]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Multiaddr(f"/ip4/127.0.0.1/tcp/{listener.getsockname()[1]}")


def refusing() -> Multiaddr:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return Multiaddr(f"/ip4/127.0.0.1/tcp/{listener.getsockname()[1]}")


async def test_a_handler_that_raises_does_not_end_the_host() -> None:
    """Trap 1."""

    async def broken(stream: RaftStream) -> None:
        await stream.read()
        raise RuntimeError("a bug in the transport")

    async def fine(stream: RaftStream) -> None:
        await stream.write(await stream.read(), 5)
        await stream.close()

    async with door_pair() as (near, far, _, two):
        far.serve(broken)
        stream = await near.open_stream(id_of(two), 5)
        await stream.write(b"?", 5)
        with contextlib.suppress(StreamBroken):
            assert await stream.read() == b""  # how a reset looks on a stock host
        far.serve(fine)
        stream = await near.open_stream(id_of(two), 5)
        await stream.write(b"echo", 5)

        assert await stream.read() == b"echo"
        assert await stream.read() == b""


async def test_a_peer_is_reached_at_once_after_a_failed_dial() -> None:
    """Trap 3, with the host's own dialler."""
    address = refusing()
    key_pair = create_new_key_pair()
    two = new_host(key_pair=key_pair)
    async with stock_host() as one:
        know(one, id_of(two), address)
        door = Door(one)
        with pytest.raises(PeerUnreachable):
            await door.connect(id_of(two), 5)
        async with two.run(listen_addrs=[address]):
            await door.connect(id_of(two), 5)

            assert door.is_connected(id_of(two))
            await one.disconnect(two.get_id())


async def test_a_dial_to_a_silent_address_ends_in_its_time(silent: Multiaddr) -> None:
    """Trap 4, with the host's own dialler."""
    async with stock_host() as one:
        know(one, NOBODY, silent)
        with trio.fail_after(3), pytest.raises(PeerUnreachable, match=r"after 0\.3 s"):
            await Door(one).connect(NOBODY, 0.3)


async def test_a_peer_without_addresses_is_unreachable() -> None:
    async with stock_host() as one:
        with pytest.raises(PeerUnreachable, match="no addresses known"):
            await Door(one).connect(NOBODY, 1)


async def test_what_is_no_peer_id_is_unreachable() -> None:
    async with stock_host() as one:
        door = Door(one)
        with pytest.raises(PeerUnreachable, match="is not a peer ID"):
            await door.connect(ServerID("node-1"), 1)

        assert not door.is_connected(ServerID("node-1"))


async def test_a_stream_after_the_connection_died_is_opened_on_a_new_one() -> None:
    """Trap 16: for 100 ms the dead connection is still listed."""

    async def fine(stream: RaftStream) -> None:
        await stream.write(await stream.read(), 5)
        await stream.close()

    async with door_pair() as (near, far, one, two):
        far.serve(fine)
        await near.connect(id_of(two), 5)
        [connection] = one.get_network().get_connections(two.get_id())
        await connection.muxed_conn.close()
        stream = await near.open_stream(id_of(two), 5)
        await stream.write(b"echo", 5)

        assert await stream.read() == b"echo"


async def test_a_closed_door_serves_no_more() -> None:
    async def fine(stream: RaftStream) -> None:
        await stream.close()

    async with door_pair() as (near, far, _, two):
        far.serve(fine)
        far.stop_serving()
        with pytest.raises(PeerUnreachable, match="no Raft stream"):
            await near.open_stream(id_of(two), 5)
