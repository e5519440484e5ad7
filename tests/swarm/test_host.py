"""The host: it opens what it is asked to, outlives its peers' faults, and ends clean."""

from __future__ import annotations

import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from libp2p.abc import IMuxedStream, INetStream
from libp2p.custom_types import TProtocol
from libp2p.host.ping import PingService
from libp2p.network.stream.exceptions import StreamReset
from libp2p.peer.peerstore import PeerStoreError
from libp2p.stream_muxer.exceptions import MuxedStreamReset
from multiaddr import Multiaddr

from keys.cluster_secret import ClusterSecret
from keys.identity import Identity
from node.swarm.dialing import DialFailed
from node.swarm.host import ListenFailed, PeerSwarm, open_swarm

LOOPBACK = Multiaddr("/ip4/127.0.0.1/tcp/0")
ECHO = TProtocol("/test/echo")


@asynccontextmanager
async def swarm_pair(
    secret_one: ClusterSecret | None = None, secret_two: ClusterSecret | None = None
) -> AsyncIterator[tuple[PeerSwarm, PeerSwarm]]:
    async with (
        open_swarm(Identity.generate(), secret_one, [LOOPBACK]) as one,
        open_swarm(Identity.generate(), secret_two, [LOOPBACK]) as two,
    ):
        yield one, two


async def echo(stream: INetStream) -> None:
    await stream.write(await stream.read(100))
    await stream.close()


async def _read_to_the_end(stream: IMuxedStream) -> None:
    while True:
        await stream.read(100)


async def echoed(one: PeerSwarm, two: PeerSwarm) -> bytes:
    stream = await one.host.new_stream(two.host.get_id(), [ECHO])
    await stream.write(b"echo")
    data = await stream.read(100)
    await stream.close()
    return data


async def test_two_hosts_of_one_cluster_talk_both_ways() -> None:
    secret = ClusterSecret.generate()
    async with swarm_pair(secret, secret) as (one, two):
        for swarm in (one, two):
            swarm.host.set_stream_handler(ECHO, echo)
        await one.connect(two.peer_id, two.listen_addrs)

        assert await echoed(one, two) == b"echo"
        assert await echoed(two, one) == b"echo"


async def test_identify_tells_the_protocols_and_ping_answers() -> None:
    async with swarm_pair() as (one, two):
        two.host.set_stream_handler(ECHO, echo)
        await one.connect(two.peer_id, two.listen_addrs)
        await PingService(one.host).ping(two.host.get_id(), 2)
        with trio.fail_after(5):
            while ECHO not in _protocols(one, two):
                await trio.lowlevel.checkpoint()


def _protocols(one: PeerSwarm, two: PeerSwarm) -> list[str]:
    store = one.host.get_peerstore()
    return store.get_protocols(two.host.get_id()) if two.host.get_id() in store.peer_ids() else []


async def test_a_handler_that_raises_ends_its_stream_and_not_the_host() -> None:
    """Trap 1: on the stock host it cancels every task of the swarm."""

    async def broken(stream: INetStream) -> None:
        await stream.read(1)
        raise RuntimeError("a bug in a handler")

    async with swarm_pair() as (one, two):
        two.host.set_stream_handler(TProtocol("/test/broken"), broken)
        two.host.set_stream_handler(ECHO, echo)
        await one.connect(two.peer_id, two.listen_addrs)
        stream = await one.host.new_stream(two.host.get_id(), [TProtocol("/test/broken")])
        await stream.write(b"?")
        with pytest.raises(StreamReset):
            await stream.read(1)

        assert await echoed(one, two) == b"echo"


async def test_a_malformed_protocol_name_does_not_end_the_host() -> None:
    """Trap 1, from afar: py-libp2p's own negotiation raises on a name that is not UTF-8."""
    async with swarm_pair() as (one, two):
        two.host.set_stream_handler(ECHO, echo)
        await one.connect(two.peer_id, two.listen_addrs)
        [connection] = one.host.get_network().get_connections(two.host.get_id())
        muxed = await connection.muxed_conn.open_stream()
        await muxed.write(b"\x13/multistream/1.0.0\n\x03\xff\xfe\n")
        with trio.fail_after(2), pytest.raises(MuxedStreamReset):
            await _read_to_the_end(muxed)

        assert await echoed(one, two) == b"echo"


async def test_a_busy_port_is_an_error_that_names_the_address() -> None:
    """Trap 14: py-libp2p reports nothing, and shares the port with a program of ours."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = Multiaddr(f"/ip4/127.0.0.1/tcp/{other.getsockname()[1]}")
        with pytest.raises(ListenFailed, match=f"cannot listen on {address}: the port is in use"):
            async with open_swarm(Identity.generate(), None, [address]):
                pass


async def test_two_swarms_cannot_share_a_port() -> None:
    """Trap 14: the stock listener sets SO_REUSEPORT, so both would seem to work."""
    async with open_swarm(Identity.generate(), None, [LOOPBACK]) as one:
        with pytest.raises(ListenFailed, match="in use"):
            async with open_swarm(Identity.generate(), None, one.listen_addrs):
                pass


async def test_an_address_that_is_no_tcp_address_is_refused() -> None:
    with pytest.raises(ListenFailed, match="udp/1/quic-v1: it is not"):
        async with open_swarm(
            Identity.generate(), None, [Multiaddr("/ip4/127.0.0.1/udp/1/quic-v1")]
        ):
            pass


@pytest.mark.parametrize("theirs", [None, ClusterSecret.generate()])
async def test_a_wrong_secret_is_a_clear_error_at_once(theirs: ClusterSecret | None) -> None:
    async with swarm_pair(ClusterSecret.generate(), theirs) as (one, two):
        with trio.fail_after(3), pytest.raises(DialFailed, match="same cluster secret"):
            await one.connect(two.peer_id, two.listen_addrs, timeout_s=3.0)


async def test_no_secret_against_a_private_network_fails_in_time() -> None:
    async with swarm_pair(None, ClusterSecret.generate()) as (one, two):
        with trio.fail_after(3), pytest.raises(DialFailed):
            await one.connect(two.peer_id, two.listen_addrs, timeout_s=1.0)


async def test_an_error_in_the_block_comes_out_plain() -> None:
    with pytest.raises(KeyError, match="mine"):
        async with open_swarm(Identity.generate(), None, [LOOPBACK]):
            raise KeyError("mine")


async def test_the_root_logger_is_left_alone() -> None:
    """Trap 17: py-libp2p calls logging.debug(), which installs a handler."""
    before = list(logging.getLogger().handlers)
    handlers, logging.getLogger().handlers = logging.getLogger().handlers, []
    try:
        async with swarm_pair() as (one, two):
            await one.connect(two.peer_id, two.listen_addrs)
        added = list(logging.getLogger().handlers)
    finally:
        logging.getLogger().handlers = handlers

    assert added == []
    assert before == handlers


async def test_reconnecting_does_not_use_up_the_listener() -> None:
    """The stock swarm counts each accepted connection against its limit for ever."""
    async with swarm_pair() as (one, two):
        limiter = two.host.get_network()._inbound_limiter
        for _ in range(5):
            await one.connect(two.peer_id, two.listen_addrs)
            await one.host.disconnect(two.host.get_id())
        with trio.fail_after(5):
            while limiter.borrowed_tokens:
                await trio.lowlevel.checkpoint()


async def test_a_swarm_listens_when_it_is_told_to() -> None:
    async with open_swarm(Identity.generate()) as one, open_swarm(Identity.generate()) as two:
        assert two.listen_addrs == ()
        two.host.set_stream_handler(ECHO, echo)
        await two.listen([LOOPBACK])
        await one.connect(two.peer_id, two.listen_addrs)

        assert await echoed(one, two) == b"echo"


async def test_when_one_address_cannot_be_listened_on_none_is() -> None:
    async with open_swarm(Identity.generate()) as one, open_swarm(Identity.generate()) as two:
        await one.listen([LOOPBACK])
        with pytest.raises(ListenFailed, match="in use"):
            await two.listen([LOOPBACK, *one.listen_addrs])

        assert two.listen_addrs == ()


@pytest.mark.parametrize("change", ["handler", "address"])
async def test_a_peer_that_is_connected_is_told_what_is_new(change: str) -> None:
    """A Go peer asks once, on connecting; py-libp2p tells it of addresses only."""
    async with (
        open_swarm(Identity.generate(), None, [LOOPBACK]) as one,
        open_swarm(Identity.generate()) as two,
    ):
        await two.connect(one.peer_id, one.listen_addrs)
        await _until(lambda: bool(_protocols(one, two)))
        assert ECHO not in _protocols(one, two)
        if change == "handler":
            two.host.set_stream_handler(ECHO, echo)
            await _until(lambda: ECHO in _protocols(one, two))
        else:
            await two.listen([LOOPBACK])
            await _until(lambda: bool(_addresses(one, two)))


async def _until(is_so: Callable[[], bool]) -> None:
    with trio.fail_after(5):
        while not is_so():
            await trio.lowlevel.checkpoint()


def _addresses(one: PeerSwarm, two: PeerSwarm) -> list[Multiaddr]:
    try:
        return one.host.get_peerstore().addrs(two.host.get_id())
    except PeerStoreError:
        return []
