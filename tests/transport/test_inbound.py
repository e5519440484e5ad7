"""What a peer can do to a server with bytes: lose its stream, and nothing else."""

from __future__ import annotations

import contextlib

import pytest
import trio
from libp2p.stream_muxer.exceptions import MuxedStreamError

from raft_over_libp2p import limits
from raft_over_libp2p.core.events import RequestReceived
from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    RequestVoteRequest,
    TimeoutNowRequest,
)
from raft_over_libp2p.types import Configuration, Index, ServerID, Term
from raft_over_libp2p.wire.requests import encode_request
from raft_over_libp2p.wire.responses import encode_response
from tests.transport.contract import accepted, append, heartbeat, vote
from tests.transport.raw_peer import World, raw_world, rest_of

SOMEBODY = ServerID("12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA")


def snapshot(world: World, size_bytes: int, version: int = 1) -> InstallSnapshotRequest:
    return InstallSnapshotRequest(
        term=Term(3),
        leader=world.peer,
        last_log_index=Index(9),
        last_log_term=Term(3),
        configuration=Configuration.of_voters(world.peer),
        configuration_index=Index(1),
        size_bytes=size_bytes,
        snapshot_version=version,
    )


async def test_many_calls_on_one_stream_are_answered_in_their_order() -> None:
    async with raw_world() as world:
        requests = [append(world.as_server(), n) for n in range(1, 6)]
        stream = await world.open_stream(b"".join(map(world.encoded, requests)))
        received = [await world.server.inbox.next(RequestReceived) for _ in requests]
        for n in (5, 1, 3, 2, 4):
            world.server.reply(received[n - 1].call, accepted(last_log=n))
        await stream.close()

        expected = b"".join(
            encode_response(accepted(last_log=n), world.server.id) for n in range(1, 6)
        )
        assert await rest_of(stream) == expected


async def test_one_call_a_stream_is_answered_and_the_stream_ends_when_the_caller_ends_it() -> None:
    """Go's way: open, write, read the answer, close."""
    async with raw_world() as world:
        for _ in range(20):
            assert await world.is_well()


async def test_a_request_that_comes_byte_by_byte_is_understood() -> None:
    async with raw_world() as world:
        stream = await world.open_stream()
        for byte in world.encoded(vote(world.as_server())):
            await stream.write(bytes([byte]))
        received = await world.server.inbox.next(RequestReceived)

        assert received.request == vote(world.as_server())


@pytest.mark.parametrize(
    ("case", "refused"),
    [
        ("unknown type", {"UnknownRPCType": 1}),
        ("garbage", {"MalformedMessage": 1}),
        ("truncated", {"MalformedMessage": 1}),
        ("too large", {"FrameTooLarge": 1}),
        ("too large announced", {"MalformedMessage": 1}),
        ("nothing", {}),
    ],
)
async def test_what_is_no_request_ends_its_stream_only(case: str, refused: dict[str, int]) -> None:
    async with raw_world() as world:
        request = world.encoded(vote(world.as_server()))
        good = await world.open_stream()
        bad = await world.open_stream(
            {
                "unknown type": b"\x09\x80",
                "garbage": b"\x01\xc1\xff\x00",
                "truncated": request[:-3],
                "too large": b"\x01\x81\xa4Junk\xdb" + (2 * limits.MIB).to_bytes(4, "big"),
                "too large announced": b"\x00\x81\xa7Entries\xdb\xff\xff\xff\xff",
                "nothing": b"",
            }[case]
        )
        if case == "too large":
            with contextlib.suppress(MuxedStreamError):
                for _ in range(33):
                    await bad.write(bytes(64 * limits.KIB))
        if case in ("truncated", "nothing"):
            await bad.close()

        assert await rest_of(bad) == b""
        assert world.transport.refused == refused
        assert await world.is_well()
        await good.write(request)
        received = await world.server.inbox.next(RequestReceived)
        assert received.request == vote(world.as_server())


@pytest.mark.parametrize(
    "forged",
    [
        AppendEntriesRequest(term=Term(9), leader=SOMEBODY),
        RequestVoteRequest(
            term=Term(9), candidate=SOMEBODY, last_log_index=Index(0), last_log_term=Term(0)
        ),
        TimeoutNowRequest(),
    ],
)
async def test_a_request_in_another_peers_name_ends_its_stream(
    forged: AppendEntriesRequest | RequestVoteRequest | TimeoutNowRequest,
) -> None:
    """Mixed-cluster rule 24; hashicorp/raft would believe the header."""
    async with raw_world() as world:
        stream = await world.open_stream(encode_request(forged, SOMEBODY))

        assert await rest_of(stream) == b""
        assert world.transport.refused == {"PeerIDMismatch": 1}
        assert await world.is_well()


async def test_a_stream_that_says_nothing_harms_nobody() -> None:
    async with raw_world() as world:
        for _ in range(limits.MAX_INBOUND_STREAMS_PER_MEMBER - 1):
            await world.open_stream()

        assert await world.is_well()


async def test_a_message_that_stops_half_way_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FIRST_BYTE_TO_FRAME_S", 0.1)
    async with raw_world() as world:
        stream = await world.open_stream(world.encoded(vote(world.as_server()))[:-3])

        assert await rest_of(stream) == b""
        assert world.transport.refused == {"MalformedMessage": 1}
        assert await world.is_well()


async def test_a_silent_stream_of_a_stranger_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "STRANGER_IDLE_S", 0.1)
    async with raw_world() as world:
        world.transport.set_members([world.server.id, SOMEBODY])
        stream = await world.open_stream()

        assert await rest_of(stream) == b""


async def test_a_silent_stream_of_a_member_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Go's pipeline stream idles for ever."""
    monkeypatch.setattr(limits, "STRANGER_IDLE_S", 0.05)
    async with raw_world() as world:
        stream = await world.open_stream()
        await trio.sleep(0.3)
        await stream.write(world.encoded(vote(world.as_server())))

        assert await world.server.inbox.next(RequestReceived)


@pytest.mark.parametrize("is_member", [True, False])
async def test_streams_beyond_a_peers_limit_are_refused(is_member: bool) -> None:
    async with raw_world() as world:
        if not is_member:
            world.transport.set_members([world.server.id, SOMEBODY])
        limit = (
            limits.MAX_INBOUND_STREAMS_PER_MEMBER
            if is_member
            else limits.MAX_INBOUND_STREAMS_PER_STRANGER
        )
        streams = [await world.open_stream() for _ in range(limit)]
        with trio.fail_after(5):
            while len(world.transport._inbound._streams) < limit:
                await trio.lowlevel.checkpoint()
        one_more = await _try_to_open(world)

        assert one_more == b""
        await streams[0].reset()
        with trio.fail_after(5):
            while len(world.transport._inbound._streams) >= limit:
                await trio.lowlevel.checkpoint()
        assert await world.is_well()


@pytest.mark.parametrize("is_member", [True, False])
async def test_streams_opened_too_fast_are_refused_though_few_are_open(is_member: bool) -> None:
    async with raw_world() as world:
        if not is_member:
            world.transport.set_members([world.server.id, SOMEBODY])
        burst = (
            limits.MAX_NEW_STREAMS_PER_S if is_member else limits.MAX_NEW_STREAMS_PER_S_OF_STRANGER
        )
        began = trio.current_time()
        answered = 0
        while world.transport.refused["UnauthorisedPeer"] == 0:
            await _open_and_end(world)
            answered += 1
            assert answered <= burst * (trio.current_time() - began + 1) + 1

        assert answered >= burst


async def test_streams_beyond_the_limit_for_all_peers_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MAX_INBOUND_STREAMS", 3)
    async with raw_world() as world:
        for _ in range(3):
            await world.open_stream()
        with trio.fail_after(5):
            while len(world.transport._inbound._streams) < 3:
                await trio.lowlevel.checkpoint()

        assert await _try_to_open(world) == b""
        assert world.transport.refused == {"UnauthorisedPeer": 1}


async def test_unfinished_messages_of_all_peers_share_one_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MAX_DECODE_BYTES", 1 * limits.MIB)
    entry = b"\x00\x81\xa7Entries\x91\x81\xa4Data\xc6" + (limits.MIB).to_bytes(4, "big")
    async with raw_world() as world:
        one = await world.open_stream(entry + bytes(600 * limits.KIB))
        with trio.fail_after(5):
            while world.transport._inbound.buffered_bytes < 600 * limits.KIB:
                await trio.lowlevel.checkpoint()
        other = await world.open_stream(entry + bytes(600 * limits.KIB))

        assert await rest_of(other) == b""
        assert world.transport.refused == {"FrameTooLarge": 1}
        await one.reset()
        with trio.fail_after(5):
            while world.transport._inbound.buffered_bytes:
                await trio.lowlevel.checkpoint()
        assert await world.is_well()


async def _open_and_end(world: World) -> None:
    stream = await world.open_stream()
    before = len(world.transport._inbound._streams)
    await stream.close()
    with trio.fail_after(5):
        while len(world.transport._inbound._streams) > before:
            await trio.lowlevel.checkpoint()
    with contextlib.suppress(MuxedStreamError):
        await rest_of(stream)


async def _try_to_open(world: World) -> bytes:
    try:
        stream = await world.open_stream(world.encoded(vote(world.as_server())))
    except MuxedStreamError:
        return b""
    return await rest_of(stream)


async def test_an_older_protocol_version_is_answered_as_go_does() -> None:
    async with raw_world() as world:
        request = world.encoded(vote(world.as_server())).replace(
            b"\xafProtocolVersion\x03", b"\xafProtocolVersion\x01"
        )
        stream = await world.open_stream(request + world.encoded(vote(world.as_server())))
        received = await world.server.inbox.next(RequestReceived)
        world.server.reply(received.call, accepted())
        await stream.close()

        text = b"operation not supported with current protocol version"
        expected = b"\xda" + len(text).to_bytes(2, "big") + text + b"\xc0"
        assert (await rest_of(stream)).startswith(expected)
        assert received.request == vote(world.as_server())


@pytest.mark.parametrize("size_bytes", [0, 5, 300_000])
async def test_a_snapshots_bytes_are_read_away_and_the_stream_stays_of_use(
    size_bytes: int,
) -> None:
    async with raw_world() as world:
        request = snapshot(world, size_bytes)
        following = world.encoded(heartbeat(world.as_server()))
        stream = await world.open_stream()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(
                stream.write, world.encoded(request) + b"\x00" * size_bytes + following
            )
            received = [await world.server.inbox.next(RequestReceived) for _ in range(2)]

        assert [r.request for r in received] == [request, heartbeat(world.as_server())]


async def test_a_snapshot_cut_short_is_not_delivered() -> None:
    async with raw_world() as world:
        stream = await world.open_stream(world.encoded(snapshot(world, 1000)) + b"half")
        await stream.close()

        assert await rest_of(stream) == b""
        assert await world.is_well()


@pytest.mark.parametrize("size_bytes", [-1, limits.MAX_SNAPSHOT_BYTES + 1])
async def test_a_snapshot_of_an_impossible_size_ends_its_stream(size_bytes: int) -> None:
    async with raw_world() as world:
        stream = await world.open_stream(world.encoded(snapshot(world, size_bytes)))

        assert await rest_of(stream) == b""
        assert await world.is_well()


async def test_a_snapshot_of_an_unknown_version_is_drained_and_answered_as_go_does() -> None:
    async with raw_world() as world:
        stream = await world.open_stream(world.encoded(snapshot(world, 4, version=7)) + b"1234")
        await stream.close()

        assert await rest_of(stream) == encode_response(
            InstallSnapshotResponse(term=Term(0), success=False),
            world.server.id,
            error="unsupported snapshot version 7",
        )
        assert await world.is_well()


async def test_a_peer_that_asks_far_ahead_is_read_only_so_far() -> None:
    async with raw_world() as world:
        count = 3 * limits.MAX_PENDING_REPLIES_PER_STREAM
        requests = [append(world.as_server(), n) for n in range(1, count + 1)]
        stream = await world.open_stream(b"".join(map(world.encoded, requests)))
        first = [
            await world.server.inbox.next(RequestReceived)
            for _ in range(limits.MAX_PENDING_REPLIES_PER_STREAM)
        ]
        await trio.testing.wait_all_tasks_blocked(0.05)
        assert world.server.inbox.rest() == []
        world.server.reply(first[0].call, accepted())
        following = await world.server.inbox.next(RequestReceived)

        assert following.request == requests[limits.MAX_PENDING_REPLIES_PER_STREAM]
        assert not stream.is_closed


@pytest.mark.parametrize("bad", ["unknown type", "forged", "truncated"])
async def test_requests_before_a_bad_one_are_answered_before_the_stream_ends(bad: str) -> None:
    """As a Go peer answers them: it reads the bad one afterwards."""
    async with raw_world() as world:
        good = [world.encoded(append(world.as_server(), n)) for n in (1, 2)]
        forged = encode_request(AppendEntriesRequest(term=Term(9), leader=SOMEBODY), SOMEBODY)
        last = {"unknown type": b"\x09", "forged": forged, "truncated": good[0][:-1]}[bad]
        stream = await world.open_stream(b"".join(good) + last)
        if bad == "truncated":
            await stream.close()
        received = [await world.server.inbox.next(RequestReceived) for _ in good]
        with trio.fail_after(5):
            while not world.transport.refused:
                await trio.lowlevel.checkpoint()
        for request in received:
            world.server.reply(request.call, accepted())

        assert await rest_of(stream) == 2 * encode_response(accepted(), world.server.id)
