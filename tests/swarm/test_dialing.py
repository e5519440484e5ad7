"""Dialling ends in time, does not wait out old failures, and says why it failed."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import trio
import trio.lowlevel
from multiaddr import Multiaddr

from keys.identity import Identity
from node.swarm.dialing import MAX_ADDRESSES_PER_PEER, AddressBook, DialFailed
from node.swarm.host import open_swarm
from tests.swarm.pipes import peer_id

LOOPBACK = Multiaddr("/ip4/127.0.0.1/tcp/0")


@pytest.fixture
def silent() -> Iterator[Multiaddr]:
    """An address that accepts connections and never says a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield Multiaddr(f"/ip4/127.0.0.1/tcp/{listener.getsockname()[1]}")


def refusing() -> Multiaddr:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return Multiaddr(f"/ip4/127.0.0.1/tcp/{listener.getsockname()[1]}")


async def test_a_peer_is_reached_at_once_after_a_failed_dial() -> None:
    """Trap 3: py-libp2p refuses to dial it again for 60 s."""
    two = Identity.generate()
    async with open_swarm(Identity.generate()) as one:
        address = refusing()
        with pytest.raises(DialFailed, match="refused"):
            await one.connect(two.peer_id, [address])
        async with open_swarm(two, None, [address]):
            started = trio.current_time()
            await one.connect(two.peer_id)

            assert trio.current_time() - started < 2.0


async def test_a_dial_to_a_silent_address_ends_in_its_time(silent: Multiaddr) -> None:
    """Trap 4: py-libp2p's dial_timeout does not bound it; it hangs for minutes."""
    async with open_swarm(Identity.generate()) as one:
        started = trio.current_time()
        with pytest.raises(DialFailed, match="no answer in time"):
            await one.connect(Identity.generate().peer_id, [silent], timeout_s=0.3)

        assert trio.current_time() - started < 2.0


async def test_a_silent_address_does_not_keep_a_good_one_waiting(silent: Multiaddr) -> None:
    two = Identity.generate()
    async with open_swarm(Identity.generate()) as one, open_swarm(two, None, [LOOPBACK]) as other:
        await one.connect(two.peer_id, [silent, *other.listen_addrs], timeout_s=5.0)

        assert one.dialler.is_connected(other.host.get_id())


async def test_several_dials_of_one_peer_make_one_connection() -> None:
    two = Identity.generate()
    async with open_swarm(Identity.generate()) as one, open_swarm(two, None, [LOOPBACK]) as other:
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(one.connect, two.peer_id, other.listen_addrs)

        assert len(one.host.get_network().get_connections(other.host.get_id())) == 1


async def test_a_peer_that_restarts_is_reached_at_once() -> None:
    """Trap 16: for 100 ms py-libp2p takes the dead connection for a live one."""
    two = Identity.generate()
    async with open_swarm(Identity.generate()) as one:
        address = refusing()
        for _ in range(3):
            async with open_swarm(two, None, [address]) as other:
                with trio.fail_after(2):
                    await one.connect(two.peer_id, [address])
                    stream = await one.host.new_stream(other.host.get_id(), ["/ipfs/ping/1.0.0"])
                    await stream.write(bytes(32))

                    assert await stream.read(32) == bytes(32)
            with trio.fail_after(1):
                while one.dialler.is_connected(other.host.get_id()):
                    await trio.lowlevel.checkpoint()


async def test_another_peer_at_the_address_is_named_as_such() -> None:
    async with (
        open_swarm(Identity.generate()) as one,
        open_swarm(Identity.generate(), None, [LOOPBACK]) as other,
    ):
        wanted = Identity.generate().peer_id
        with pytest.raises(DialFailed, match="another peer answers there"):
            await one.connect(wanted, other.listen_addrs)


async def test_names_are_resolved_by_the_system() -> None:
    """py-libp2p's resolver asks DNS only, so /dns4/localhost fails with it."""
    two = Identity.generate()
    async with open_swarm(Identity.generate()) as one, open_swarm(two, None, [LOOPBACK]) as other:
        port = other.listen_addrs[0].value_for_protocol("tcp")
        await one.connect(two.peer_id, [Multiaddr(f"/dns4/localhost/tcp/{port}")])

        assert one.dialler.is_connected(other.host.get_id())


async def test_a_peer_without_addresses_is_an_error() -> None:
    async with open_swarm(Identity.generate()) as one:
        with pytest.raises(DialFailed, match="no addresses known"):
            await one.connect(Identity.generate().peer_id)


def test_the_address_book_keeps_new_addresses_first_without_peer_ids() -> None:
    book = AddressBook()
    one, two = Multiaddr("/ip4/10.0.0.1/tcp/1"), Multiaddr("/ip4/10.0.0.2/tcp/2")
    book.add(peer_id(1), [Multiaddr(f"{one}/p2p/{peer_id(1)}")])
    book.add(peer_id(1), [two, one])

    assert book.addresses(peer_id(1)) == (two, one)


def test_the_address_book_is_bounded() -> None:
    book = AddressBook()
    book.set(peer_id(1), [Multiaddr(f"/ip4/10.0.0.1/tcp/{port}") for port in range(1, 100)])

    assert len(book.addresses(peer_id(1))) == MAX_ADDRESSES_PER_PEER


def test_setting_no_addresses_removes_a_peer() -> None:
    book = AddressBook()
    book.set(peer_id(1), [LOOPBACK])
    book.set(peer_id(1), [])

    assert book.peers() == ()
