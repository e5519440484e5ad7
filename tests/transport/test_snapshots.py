"""Snapshots over libp2p streams: what peers do wrong with them, and who may send how many."""

from __future__ import annotations

from dataclasses import replace

import pytest
import trio
from libp2p.abc import INetStream
from libp2p.network.stream.exceptions import StreamReset

from raft_over_libp2p import limits
from raft_over_libp2p.core.events import CallFailed, RequestReceived, ResponseReceived
from raft_over_libp2p.core.messages import ErrorResponse, InstallSnapshotRequest
from raft_over_libp2p.errors import UnauthorisedPeer
from raft_over_libp2p.transport.inbound_snapshots import InboundSnapshots
from raft_over_libp2p.types import CallID, Configuration, Index, ServerID, Term
from raft_over_libp2p.wire.responses import encode_response
from tests.transport.contract import (
    PATIENT,
    FakeSnapshots,
    ListSpool,
    accepted,
    content,
    heartbeat,
    installed,
    snapshot,
    spools_are_cancelled,
)
from tests.transport.raw_peer import World, raw_world, rest_of
from tests.transport.test_outbound import against, id_of


def request(world: World, size_bytes: int) -> InstallSnapshotRequest:
    return snapshot(world.as_server(), size_bytes)


async def the_spool(world: World) -> ListSpool:
    """Return the spool of the only snapshot begun, once there is one."""
    with trio.fail_after(5):
        while not world.server.snapshots.spools:
            await trio.lowlevel.checkpoint()
    [spool] = world.server.snapshots.spools.values()
    return spool


async def nothing_was_delivered(world: World) -> bool:
    """Tell whether a call on a new stream is the first thing delivered."""
    return await world.is_well()


async def test_a_snapshot_that_comes_byte_by_byte_is_spooled_as_it_comes() -> None:
    async with raw_world() as world:
        stream = await world.open_stream(world.encoded(request(world, 40)))
        spool = await the_spool(world)
        for n in range(40):
            await stream.write(content(40)[n : n + 1])
        with trio.fail_after(5):
            received = await world.server.inbox.next(RequestReceived)

        assert content(40) == bytes(spool.data)
        assert request(world, 40) == received.request


@pytest.mark.parametrize("end", ["close", "reset"])
async def test_a_snapshot_that_ends_early_is_dropped_and_not_delivered(end: str) -> None:
    async with raw_world() as world:
        stream = await world.open_stream(world.encoded(request(world, 1000)) + b"half")
        spool = await the_spool(world)
        await (stream.close() if end == "close" else stream.reset())
        await spools_are_cancelled(world.server)

        assert spool.data == b"half"
        assert await nothing_was_delivered(world)


async def test_a_snapshot_whose_connection_dies_is_dropped() -> None:
    async with raw_world() as world:
        stream = await world.open_stream(world.encoded(request(world, 1000)) + b"half")
        await the_spool(world)
        await stream.muxed_conn.close()

        await spools_are_cancelled(world.server)


async def test_a_snapshot_that_comes_too_slowly_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "FIRST_BYTE_TO_FRAME_S", 0.1)
    async with raw_world() as world:
        stream = await world.open_stream(world.encoded(request(world, 1000)) + b"half")

        assert await rest_of(stream) == b""
        await spools_are_cancelled(world.server)


async def test_bytes_beyond_a_snapshots_size_are_a_request_and_a_bad_one_ends_the_stream() -> None:
    async with raw_world() as world:
        stream = await world.open_stream(world.encoded(request(world, 4)) + b"1234" + b"\xc1")
        received = await world.server.inbox.next(RequestReceived)
        world.server.reply(received.call, installed())

        assert await rest_of(stream) == encode_response(installed(), world.server.id)
        assert world.transport.refused == {"UnknownRPCType": 1}


@pytest.mark.parametrize(
    ("size_bytes", "error"),
    [(-1, "MalformedMessage"), (limits.MAX_SNAPSHOT_BYTES + 1, "FrameTooLarge")],
)
async def test_a_snapshot_of_an_impossible_size_is_not_spooled(size_bytes: int, error: str) -> None:
    async with raw_world() as world:
        impossible = replace(request(world, 1), size_bytes=size_bytes)
        stream = await world.open_stream(world.encoded(impossible))

        assert await rest_of(stream) == b""
        assert world.server.snapshots.spools == {}
        assert world.transport.refused == {error: 1}


async def test_the_second_snapshot_on_one_stream_waits_for_the_reply_to_the_first() -> None:
    async with raw_world() as world:
        one = world.encoded(request(world, 4)) + b"1234"
        stream = await world.open_stream(one + one)
        first = await world.server.inbox.next(RequestReceived)
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert len(world.server.snapshots.spools) == 1
        world.server.reply(first.call, installed())
        second = await world.server.inbox.next(RequestReceived)

        assert not world.server.snapshots.spools[second.call].is_cancelled
        await stream.reset()


async def test_a_second_snapshot_of_a_peer_takes_the_place_of_one_that_hangs() -> None:
    async with raw_world() as world:
        hanging = await world.open_stream(world.encoded(request(world, 1000)) + b"half")
        spool = await the_spool(world)
        await world.open_stream(world.encoded(request(world, 4)) + b"1234")
        received = await world.server.inbox.next(RequestReceived)

        assert spool.is_cancelled
        assert bytes(world.server.snapshots.spools[received.call].data) == b"1234"
        assert await rest_of(hanging) == b""


def test_few_peers_may_send_snapshots_at_a_time() -> None:
    snapshots = InboundSnapshots()
    exchange = snapshots.exchange = FakeSnapshots()
    offered = [_offered(ServerID(f"n{n}")) for n in range(limits.MAX_INBOUND_SNAPSHOTS + 1)]
    for n, one in enumerate(offered[:-1]):
        snapshots.begin(CallID(n), one.leader, one, trio.CancelScope())
    with pytest.raises(UnauthorisedPeer, match="4 other peers"):
        snapshots.begin(CallID(99), offered[-1].leader, offered[-1], trio.CancelScope())
    snapshots.end(CallID(0))
    snapshots.begin(CallID(100), offered[-1].leader, offered[-1], trio.CancelScope())

    assert [True, False, False, False, False] == [s.is_cancelled for s in exchange.spools.values()]


def _offered(leader: ServerID) -> InstallSnapshotRequest:
    return InstallSnapshotRequest(
        term=Term(3),
        leader=leader,
        last_log_index=Index(9),
        last_log_term=Term(1),
        configuration=Configuration.of_voters(leader),
        configuration_index=Index(1),
        size_bytes=4,
    )


# -- as sender


async def test_a_peer_that_does_not_read_its_snapshot_holds_up_no_heartbeat() -> None:
    """Mixed-cluster rule 17, as caller."""
    jammed = trio.Event()

    async def serve(stream: INetStream) -> None:
        if (await stream.read(4096))[0] == 2:
            jammed.set()
            await trio.sleep_forever()
        await stream.write(encode_response(accepted(), ServerID("x")))
        await stream.read(1)

    async with against(serve, PATIENT) as (a, called):
        a.transport.set_members([a.id, id_of(called)])
        a.call(1, id_of(called), snapshot(a, 8 * limits.MIB))
        await jammed.wait()
        with trio.fail_after(3):
            a.call(2, id_of(called), heartbeat(a))
            assert (await a.inbox.outcome()).call == 2
        link = a.transport.links()[id_of(called)]
        assert 0 < link.snapshot_bytes_sent < link.snapshot_bytes_total
        a.transport.set_members([a.id])

        assert isinstance(await a.inbox.outcome(), CallFailed)


async def test_an_answer_before_the_whole_snapshot_was_taken_counts() -> None:
    """As a peer answers that has no room for it."""

    async def refuse(stream: INetStream) -> None:
        await stream.read(4096)
        await stream.write(encode_response(ErrorResponse(error="no space"), ServerID("x")))
        await trio.sleep_forever()

    async with against(refuse, PATIENT) as (a, called):
        a.call(1, id_of(called), snapshot(a, 8 * limits.MIB))

        assert (
            ResponseReceived(CallID(1), ErrorResponse(error="no space")) == await a.inbox.outcome()
        )
        await trio.testing.wait_all_tasks_blocked()
        assert [source.is_closed for source in a.snapshots.opened] == [True]


async def test_a_peer_that_resets_the_stream_fails_the_call() -> None:
    async def hang_up(stream: INetStream) -> None:
        await stream.read(4096)
        await stream.reset()

    async with against(hang_up, PATIENT) as (a, called):
        a.call(1, id_of(called), snapshot(a, 8 * limits.MIB))

        assert isinstance(await a.inbox.outcome(), CallFailed)


async def test_a_call_that_is_given_up_resets_its_stream() -> None:
    read = 0
    ends: list[type[BaseException]] = []

    async def never_answer(stream: INetStream) -> None:
        nonlocal read
        try:
            while True:
                read += len(await stream.read(65536))
        except BaseException as error:
            ends.append(type(error))
            raise

    async with against(never_answer, PATIENT) as (a, called):
        a.transport.set_members([a.id, id_of(called)])
        a.call(1, id_of(called), snapshot(a, 1000))
        with trio.fail_after(5):
            while read < 1000:
                await trio.lowlevel.checkpoint()
            a.transport.set_members([a.id])
            assert isinstance(await a.inbox.outcome(), CallFailed)
            while not ends:
                await trio.lowlevel.checkpoint()

        assert ends == [StreamReset]
