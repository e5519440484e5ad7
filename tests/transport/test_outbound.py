"""Calls to peers that are slow, silent, wrong or gone; on our host and on a stock one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
from libp2p import new_host
from libp2p.abc import IHost, INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo

from keys.cluster_secret import ClusterSecret
from keys.identity import Identity
from node.swarm.host import PeerSwarm, open_swarm
from node.swarm.muxer import YamuxConnection
from raft_over_libp2p import limits
from raft_over_libp2p.core.events import (
    CallFailed,
    PeerConnected,
    RequestReceived,
    ResponseReceived,
)
from raft_over_libp2p.core.messages import LeaseRequest, ReadIndexRequest, Request
from raft_over_libp2p.transport import outbound
from raft_over_libp2p.transport.libp2p_transport import Libp2pTransport
from raft_over_libp2p.transport.streams import RAFT_PROTOCOL, Door, StreamBroken
from raft_over_libp2p.transport.timing import TransportTiming
from raft_over_libp2p.types import CallID, ServerID, Term
from raft_over_libp2p.wire.responses import encode_response
from tests.transport.contract import (
    PATIENT,
    SHORT,
    Server,
    accepted,
    append,
    heartbeat,
    serving,
    vote,
)
from tests.transport.test_libp2p_transport import LOOPBACK, pair, server


@asynccontextmanager
async def against(
    handler: Callable[[INetStream], object] | None, timing: TransportTiming
) -> AsyncIterator[tuple[Server, PeerSwarm]]:
    """A server that calls a peer whose streams ``handler`` serves."""
    async with (
        open_swarm(Identity.generate(), None, [LOOPBACK]) as calling,
        open_swarm(Identity.generate(), None, [LOOPBACK]) as called,
    ):
        if handler is not None:
            called.host.set_stream_handler(RAFT_PROTOCOL, handler)
        calling.book.set(called.host.get_id(), called.listen_addrs)
        async with server(calling, timing) as a:
            yield a, called


def id_of(swarm: PeerSwarm) -> ServerID:
    return ServerID(str(swarm.peer_id))


async def test_an_answer_that_is_none_fails_the_call() -> None:
    async def talk_nonsense(stream: INetStream) -> None:
        await stream.read(1)
        await stream.write(b"\xc1\xc1\xc1")
        await stream.read(1)

    async with against(talk_nonsense, PATIENT) as (a, called):
        a.call(1, id_of(called), vote(a))
        failed = await a.inbox.outcome()

        assert isinstance(failed, CallFailed)
        assert "answer is not one" in failed.reason


async def test_a_stream_closed_without_an_answer_fails_the_call() -> None:
    """How a Go peer without pre-vote answers one."""

    async def hang_up(stream: INetStream) -> None:
        await stream.read(1)
        await stream.close()

    async with against(hang_up, PATIENT) as (a, called):
        a.call(1, id_of(called), vote(a))
        failed = await a.inbox.outcome()

        why = "the peer closed the stream without an answer"
        assert CallFailed(CallID(1), why, is_hung_up=True) == failed


async def test_a_stream_closed_inside_an_answer_is_no_hanging_up() -> None:
    async def break_off(stream: INetStream) -> None:
        await stream.read(1)
        await stream.write(b"\xa0")
        await stream.close()

    async with against(break_off, PATIENT) as (a, called):
        a.call(1, id_of(called), vote(a))
        failed = await a.inbox.outcome()

        assert isinstance(failed, CallFailed)
        assert not failed.is_hung_up


async def test_a_peer_without_raft_is_named_as_such() -> None:
    async with against(None, PATIENT) as (a, called):
        a.call(1, id_of(called), vote(a))
        failed = await a.inbox.outcome()

        assert isinstance(failed, CallFailed)
        assert "no Raft stream" in failed.reason


@pytest.mark.parametrize(
    "request_",
    [ReadIndexRequest(term=Term(1)), LeaseRequest(term=Term(1), round=1, duration_ms=9)],
    ids=["read", "lease"],
)
async def test_a_peer_that_speaks_go_s_protocol_only_is_known_by_that(request_: Request) -> None:
    async with against(say_nothing, PATIENT) as (a, called):
        a.call(1, id_of(called), request_)
        failed = await a.inbox.outcome()

        assert isinstance(failed, CallFailed)
        assert failed.is_unsupported


async def say_nothing(stream: INetStream) -> None:
    await trio.sleep_forever()


async def test_a_frozen_peer_is_disconnected() -> None:
    """Trap 8: py-libp2p keeps a frozen peer's connection for ever."""
    timing = replace(SHORT, silence_s=0.3)
    async with against(say_nothing, timing) as (a, called):
        a.transport.set_members([a.id, id_of(called)])
        await a.inbox.next(PeerConnected)
        [connection] = called.host.get_network().get_connections(ID.from_base58(a.id))
        frozen = connection.muxed_conn
        assert isinstance(frozen, YamuxConnection)
        frozen.queue = lambda *_: None  # type: ignore[method-assign]
        a.call(1, id_of(called), vote(a))

        assert isinstance(await a.inbox.outcome(), CallFailed)
        # It redials a peer that accepts connections, and says so.
        assert await a.inbox.next(PeerConnected) == PeerConnected(id_of(called))


async def test_a_call_to_a_peer_known_to_speak_raft_waits_for_no_negotiation() -> None:
    arrived = trio.Event()

    async def take(stream: INetStream) -> None:
        request = b""
        while len(request) < len(b"\x00\x89"):
            request += await stream.read(4096)
        if request.startswith(b"\x00\x89"):
            arrived.set()

    async with against(take, PATIENT) as (a, called):
        a.transport.set_members([a.id, id_of(called)])
        await a.inbox.next(PeerConnected)
        await trio.testing.wait_all_tasks_blocked(0.2)  # identify
        [connection] = called.host.get_network().get_connections(ID.from_base58(a.id))
        mute = connection.muxed_conn
        assert isinstance(mute, YamuxConnection)
        mute.queue = lambda *_: None  # type: ignore[method-assign]
        a.call(1, id_of(called), append(a))
        with trio.fail_after(3):
            await arrived.wait()


async def test_a_peer_that_refuses_a_stream_it_was_known_to_serve_fails_the_call() -> None:
    async with pair(PATIENT) as (a, b):
        a.transport.set_members([a.id, b.id])
        a.call(1, b, vote(a))
        b.reply((await b.inbox.next(RequestReceived)).call, accepted())
        await a.inbox.outcome()
        await trio.testing.wait_all_tasks_blocked(0.1)
        b.scope.cancel()
        failures = []
        for number in range(2, 5):
            await trio.testing.wait_all_tasks_blocked(0.05)
            a.call(number, b, append(a))
            failures.append(await a.inbox.outcome())

        assert all(isinstance(failure, CallFailed) for failure in failures)
        assert "no Raft stream" in failures[-1].reason


async def test_a_live_peer_that_leaves_calls_unanswered_stays_connected() -> None:
    """As one does whose disk stalls: its muxer answers."""
    timing = replace(SHORT, silence_s=0.1)
    async with against(say_nothing, timing) as (a, called):
        a.transport.set_members([a.id, id_of(called)])
        await a.inbox.next(PeerConnected)
        connections = called.host.get_network().get_connections(ID.from_base58(a.id))
        for number in range(4):
            a.call(number, id_of(called), vote(a))
            assert isinstance(await a.inbox.outcome(), CallFailed)

        assert called.host.get_network().get_connections(ID.from_base58(a.id)) == connections
        assert [e for e in a.inbox.rest() if isinstance(e, PeerConnected)] == []


async def test_a_silent_peer_is_disconnected_from_a_stock_host() -> None:
    """There nobody can be asked for a sign of life."""
    async with stock_host() as one, stock_host() as two:
        two.set_stream_handler(RAFT_PROTOCOL, say_nothing)
        one.get_peerstore().add_addrs(two.get_id(), two.get_addrs(), 3600)
        transport = Libp2pTransport(one, replace(SHORT, silence_s=0.1))
        async with serving(transport.server_id, transport) as a:
            peer = ServerID(str(two.get_id()))
            a.transport.set_members([a.id, peer])
            await a.inbox.next(PeerConnected)
            a.call(1, peer, vote(a))

            assert isinstance(await a.inbox.outcome(), CallFailed)
            assert await a.inbox.next(PeerConnected) == PeerConnected(peer)


async def test_a_peer_that_does_not_read_holds_neither_the_caller_nor_its_heartbeats() -> None:
    """Mixed-cluster rule 17, as caller: a jammed append stream and a heartbeat beside it."""
    jammed = trio.Event()

    async def serve(stream: INetStream) -> None:
        if len(await stream.read(4096)) > 1000:
            jammed.set()
            await trio.sleep_forever()
        await stream.write(encode_response(accepted(), ServerID("x")))
        await stream.read(1)

    async with against(serve, PATIENT) as (a, called):
        a.call(1, id_of(called), append(a, size=limits.MAX_ENTRY_DATA_BYTES))
        await jammed.wait()
        with trio.fail_after(3):
            a.call(2, id_of(called), heartbeat(a))

            assert (await a.inbox.outcome()).call == 2


async def test_a_full_queue_fails_calls_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "MAX_WRITER_QUEUE_BYTES", 1000)
    async with pair(PATIENT) as (a, b):
        a.call(1, b, append(a, size=500))
        a.call(2, b, append(a, size=600))

        failed = a.inbox.rest()
        assert [CallID(2)] == [event.call for event in failed if isinstance(event, CallFailed)]
        assert (await b.inbox.next(RequestReceived)).request == append(a, size=500)


async def test_an_unreachable_member_is_shown_with_the_reason() -> None:
    async with open_swarm(Identity.generate(), None, [LOOPBACK]) as swarm:
        gone = Identity.generate()
        async with open_swarm(gone, None, [LOOPBACK]) as other:
            swarm.book.set(other.host.get_id(), other.listen_addrs)
        async with server(swarm, SHORT) as a:
            peer = ServerID(str(gone.peer_id))
            a.transport.set_members([a.id, peer])
            with trio.fail_after(5):
                while "refused" not in a.transport.links()[peer].last_error:
                    await trio.lowlevel.checkpoint()

            assert not a.transport.links()[peer].is_connected


async def test_a_member_with_another_secret_is_shown_with_the_reason() -> None:
    async with (
        open_swarm(Identity.generate(), ClusterSecret.generate(), [LOOPBACK]) as one,
        open_swarm(Identity.generate(), ClusterSecret.generate(), [LOOPBACK]) as two,
    ):
        one.book.set(two.host.get_id(), two.listen_addrs)
        async with server(one, SHORT) as a:
            a.call(1, id_of(two), vote(a))
            failed = await a.inbox.outcome()

            assert isinstance(failed, CallFailed)
            assert "same cluster secret" in failed.reason


async def test_a_member_that_comes_back_is_connected_to_again() -> None:
    identity = Identity.generate()
    async with open_swarm(Identity.generate(), None, [LOOPBACK]) as one:
        async with open_swarm(identity, None, [LOOPBACK]) as two:
            address = two.listen_addrs
            one.book.set(two.host.get_id(), address)
            async with server(one, SHORT) as a:
                a.transport.set_members([a.id, id_of(two)])
                await a.inbox.next(PeerConnected)
        async with server(one, SHORT) as a:
            a.transport.set_members([a.id, id_of(two)])
            async with open_swarm(identity, None, address) as again, server(again, SHORT) as b:
                await a.inbox.next(PeerConnected)
                a.call(1, b, vote(a))

                assert await b.inbox.next(RequestReceived)


@asynccontextmanager
async def stock_host() -> AsyncIterator[IHost]:
    host = new_host(key_pair=create_new_key_pair(), listen_addrs=[LOOPBACK])
    async with host.run(listen_addrs=[LOOPBACK]):
        try:
            yield host
        finally:
            # A stock host that is cancelled leaves the sockets it dialled open.
            with trio.CancelScope(shield=True):
                for peer in list(host.get_connected_peers()):
                    await host.disconnect(peer)


async def test_an_embedders_own_host_serves_and_calls() -> None:
    """Any py-libp2p host will do; the addresses are in its peerstore."""
    async with stock_host() as one, stock_host() as two:
        one.get_peerstore().add_addrs(two.get_id(), two.get_addrs(), 3600)
        transports = Libp2pTransport(one, PATIENT), Libp2pTransport(two, PATIENT)
        async with (
            serving(transports[0].server_id, transports[0]) as a,
            serving(transports[1].server_id, transports[1]) as b,
        ):
            a.call(1, b, append(a))
            received = await b.inbox.next(RequestReceived)
            b.reply(received.call, accepted())

            assert await a.inbox.outcome() == ResponseReceived(CallID(1), accepted())


async def test_on_a_stock_host_a_stuck_write_ends_the_connection() -> None:
    """Trap 2: what a cancelled write leaves there poisons all streams of the connection."""

    async def never_read(stream: INetStream) -> None:
        await trio.sleep_forever()

    async with stock_host() as one, stock_host() as two, trio.open_nursery() as nursery:
        two.set_stream_handler(RAFT_PROTOCOL, never_read)
        await one.connect(PeerInfo(two.get_id(), two.get_addrs()))
        door = Door(one)
        door.open_to(nursery, lambda _peer, _came: None)
        stream = await door.open_stream(ServerID(str(two.get_id())), 5)
        with pytest.raises(StreamBroken, match="took no bytes"):
            await stream.write(bytes(8 * limits.MIB), 0.2)
        with trio.fail_after(5):
            while one.get_network().get_connections(two.get_id()):
                await trio.lowlevel.checkpoint()
        door.close()
        nursery.cancel_scope.cancel()
