"""Our yamux: cancel-safe, bounded, and it notices the dead."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import trio
from libp2p.stream_muxer.exceptions import (
    MuxedConnUnavailable,
    MuxedStreamClosed,
    MuxedStreamEOF,
    MuxedStreamReset,
)
from trio.testing import MockClock, wait_all_tasks_blocked

from node.swarm import limits
from node.swarm.muxer import YamuxConnection
from tests.swarm.pipes import Pipe, PlainSession, peer_id, pipe_pair

HEADER = struct.Struct("!BBHII")


@dataclass
class Pair:
    one: YamuxConnection
    two: YamuxConnection
    pipe_one: Pipe
    pipe_two: Pipe


@asynccontextmanager
async def muxed_pair() -> AsyncIterator[Pair]:
    pipe_one, pipe_two = pipe_pair()
    id_one, id_two = peer_id(1), peer_id(2)
    one = YamuxConnection(PlainSession(pipe_one, id_one, id_two, is_initiator=True), id_two)
    two = YamuxConnection(PlainSession(pipe_two, id_two, id_one, is_initiator=False), id_one)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.start)
        nursery.start_soon(two.start)
        await one.event_started.wait()
        await two.event_started.wait()
        yield Pair(one, two, pipe_one, pipe_two)
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def against_bytes() -> AsyncIterator[tuple[YamuxConnection, Pipe]]:
    """Our connection, and the bare pipe at its other end."""
    ours, theirs = pipe_pair()
    conn = YamuxConnection(
        PlainSession(ours, peer_id(1), peer_id(2), is_initiator=True), peer_id(2)
    )
    async with trio.open_nursery() as nursery:
        nursery.start_soon(conn.start)
        await conn.event_started.wait()
        yield conn, theirs
        nursery.cancel_scope.cancel()


async def test_bytes_pass_both_ways_and_each_end_is_told_of() -> None:
    async with muxed_pair() as pair:
        ours = await pair.one.open_stream()
        await ours.write(b"question")
        await ours.close()
        theirs = await pair.two.accept_stream()

        assert await theirs.read() == b"question"
        with pytest.raises(MuxedStreamEOF):
            await theirs.read()
        await theirs.write(b"answer")
        await theirs.close()
        assert await ours.read(3) == b"ans"
        assert await ours.read(None) == b"wer"
        with pytest.raises(MuxedStreamEOF):
            await ours.read()
        with pytest.raises(MuxedStreamClosed):
            await ours.write(b"late")


async def test_a_stream_carries_more_than_its_first_window() -> None:
    data = bytes(range(256)) * 4096 * 12  # 12 MiB
    async with muxed_pair() as pair, trio.open_nursery() as nursery:
        ours = await pair.one.open_stream()
        nursery.start_soon(ours.write, data)
        theirs = await pair.two.accept_stream()
        received = bytearray()
        while len(received) < len(data):
            received += await theirs.read(100_000)

        assert bytes(received) == data


async def test_a_cancelled_write_leaves_the_connection_whole() -> None:
    """Trap 2: cancelling a write poisons a stock connection for all its streams."""
    async with muxed_pair() as pair:
        jammed = await pair.one.open_stream()
        other = await pair.one.open_stream()
        with trio.move_on_after(0.05) as scope:
            await jammed.write(bytes(2 * limits.INITIAL_WINDOW_BYTES))
        assert scope.cancelled_caught
        await jammed.reset()
        await other.write(b"still fine")
        await pair.two.accept_stream()
        accepted = await pair.two.accept_stream()

        assert await accepted.read() == b"still fine"


async def test_a_write_cancelled_while_the_socket_is_jammed_leaves_whole_frames() -> None:
    """Trap 2, with the socket and not the window holding the write."""
    async with muxed_pair() as pair:
        streams = [await pair.one.open_stream() for _ in range(3)]
        accepted = [await pair.two.accept_stream() for _ in range(3)]
        pair.pipe_one.stall()
        for stream in streams[:2]:
            with trio.move_on_after(0.02):
                await stream.write(bytes(200_000))
        with trio.move_on_after(0.02) as scope:
            await streams[2].write(bytes(200_000))
        assert scope.cancelled_caught
        pair.pipe_one.resume()
        await streams[1].write(b"after")
        received = bytearray()
        while len(received) < 200_005:
            received += await accepted[1].read()

        assert bytes(received) == bytes(200_000) + b"after"
        assert not pair.one.is_closed


async def test_a_cancelled_read_loses_nothing() -> None:
    async with muxed_pair() as pair:
        ours = await pair.one.open_stream()
        theirs = await pair.two.accept_stream()
        with trio.move_on_after(0.01):
            await theirs.read()
        await ours.write(b"all of it")

        assert await theirs.read() == b"all of it"


async def test_a_silent_peer_is_noticed_and_its_connection_closed(
    autojump_clock: MockClock,
) -> None:
    """Trap 8: the stock stack never detects a frozen peer or a silent partition."""
    async with against_bytes() as (conn, _):
        stream = await conn.open_stream()
        with pytest.raises(MuxedStreamReset, match="silent for"):
            await stream.read()

        assert conn.is_closed
        assert trio.current_time() <= 3 * limits.KEEPALIVE_EVERY_S + 0.1


async def test_an_idle_connection_whose_peer_answers_pings_stays(
    autojump_clock: MockClock,
) -> None:
    async with muxed_pair() as pair:
        await trio.sleep(600)

        assert not pair.one.is_closed
        assert not pair.two.is_closed


@pytest.mark.parametrize("answer_s", [0.001, 1.0, 4.9])
async def test_a_peer_is_not_given_up_before_it_was_asked(
    autojump_clock: MockClock, answer_s: float
) -> None:
    """An answer that comes between two looks makes the next silence look longer than it is."""
    async with against_bytes() as (conn, pipe), trio.open_nursery() as nursery:

        async def answer_late() -> None:
            while True:
                frame = await pipe.read(HEADER.size)
                assert HEADER.unpack(frame)[:3] == (0, 2, 1)
                await trio.sleep(answer_s)
                await pipe.write(HEADER.pack(0, 2, 2, 0, 0))

        nursery.start_soon(answer_late)
        await trio.sleep(300)

        assert not conn.is_closed
        nursery.cancel_scope.cancel()


async def test_the_death_of_a_connection_is_no_end_of_stream() -> None:
    """Trap 9: on the stock stack a blocked read gets EOF when the connection dies."""
    async with muxed_pair() as pair:
        ours = await pair.one.open_stream()
        await pair.two.accept_stream()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pair.pipe_two.close)
            with pytest.raises(MuxedStreamReset, match="connection lost"):
                await ours.read()


async def test_opening_more_than_256_streams_neither_blocks_nor_fails() -> None:
    """Trap 10: the stock muxer blocks for ever at the 257th stream."""
    async with muxed_pair() as pair:
        with trio.fail_after(5):
            streams = [await pair.one.open_stream() for _ in range(300)]

        assert len(streams) == 300


async def test_streams_beyond_the_limit_are_refused_at_once() -> None:
    async with muxed_pair() as pair:
        for _ in range(limits.MAX_STREAMS):
            await pair.one.open_stream()

        with pytest.raises(MuxedConnUnavailable, match="1024 streams are open"):
            await pair.one.open_stream()


async def test_streams_that_nobody_accepts_are_reset() -> None:
    async with muxed_pair() as pair:
        streams = [await pair.one.open_stream() for _ in range(limits.ACCEPT_BACKLOG + 1)]

        with pytest.raises(MuxedStreamReset, match="peer reset"):
            await streams[-1].read()


async def test_streams_opened_too_fast_are_reset_and_later_ones_are_not(
    autojump_clock: MockClock,
) -> None:
    """However soon each of them ends: the number open says nothing of the rate."""
    async with muxed_pair() as pair:
        for _ in range(limits.FOREIGN_STREAMS_BURST):
            await (await pair.one.open_stream()).reset()
            await (await pair.two.accept_stream()).reset()
        one_more = await pair.one.open_stream()
        with pytest.raises(MuxedStreamReset, match="peer reset"):
            await one_more.read()

        await trio.sleep(2 / limits.FOREIGN_STREAMS_PER_S)
        later = await pair.one.open_stream()
        await later.write(b"x")
        assert await (await pair.two.accept_stream()).read() == b"x"


async def test_a_flood_is_reset_before_anything_is_done_for_it(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "NEW_STREAMS_BURST", 3)
    async with muxed_pair() as pair:
        streams = [await pair.one.open_stream() for _ in range(4)]

        with pytest.raises(MuxedStreamReset, match="peer reset"):
            await streams[-1].read()
        assert len(pair.two._streams) == 3


async def test_a_reader_that_pauses_long_keeps_its_stream(autojump_clock: MockClock) -> None:
    """Trap 11: the stock muxer kills the writer after 5 s without window."""
    data = bytes(3 * limits.INITIAL_WINDOW_BYTES)
    async with muxed_pair() as pair, trio.open_nursery() as nursery:
        ours = await pair.one.open_stream()
        nursery.start_soon(ours.write, data)
        theirs = await pair.two.accept_stream()
        await trio.sleep(60)
        received = 0
        while received < len(data):
            received += len(await theirs.read())

        assert received == len(data)


async def test_one_byte_at_a_time_is_understood() -> None:
    frames = (
        HEADER.pack(0, 1, 1, 2, 0)
        + HEADER.pack(0, 0, 0, 2, 5)
        + b"hello"
        + HEADER.pack(0, 0, 4, 2, 1)
        + b"!"
    )
    async with against_bytes() as (conn, pipe):
        for byte in frames:
            await pipe.write(bytes([byte]))
        stream = await conn.accept_stream()
        received = b""
        while len(received) < 6:
            received += await stream.read()

        assert received == b"hello!"
        with pytest.raises(MuxedStreamEOF):
            await stream.read()


async def test_what_was_put_back_is_read_first() -> None:
    async with muxed_pair() as pair:
        ours = await pair.one.open_stream()
        await ours.write(b"abcdef")
        theirs = await pair.two.accept_stream()
        data = await theirs.read(4)
        theirs.unread(data[2:])

        assert await theirs.read() == b"cdef"


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        (HEADER.pack(9, 0, 0, 0, 0), "version 9"),
        (HEADER.pack(0, 7, 0, 0, 0), "type 7"),
        (HEADER.pack(0, 1, 1, 3, 0), "not its to open"),
        (
            HEADER.pack(0, 1, 1, 2, 0)
            + HEADER.pack(0, 0, 0, 2, limits.INITIAL_WINDOW_BYTES + 1)
            + bytes(limits.INITIAL_WINDOW_BYTES + 1),
            "more data than its window",
        ),
        (HEADER.pack(0, 3, 0, 0, 2), "goodbye"),
    ],
)
async def test_a_peer_that_breaks_the_protocol_loses_its_connection(
    frames: bytes, why: str
) -> None:
    async with against_bytes() as (conn, pipe):
        await pipe.write(frames)
        await conn.event_closed.wait()

        assert why in conn.why_closed


async def test_a_peer_that_asks_without_reading_answers_loses_its_connection() -> None:
    async with against_bytes() as (conn, pipe):
        conn.secured_conn.pipe.stall()
        with trio.move_on_after(20):
            while not conn.is_closed:
                await pipe.write(HEADER.pack(0, 2, 1, 0, 7) * 5000)
                await wait_all_tasks_blocked()

        assert conn.why_closed == "the peer asks without reading the answers"


async def test_a_stream_left_half_closed_is_dropped_in_time(autojump_clock: MockClock) -> None:
    async with muxed_pair() as pair:
        ours = await pair.one.open_stream()
        await ours.close()
        theirs = await pair.two.accept_stream()
        await trio.sleep(limits.HALF_CLOSED_S + 2 * limits.KEEPALIVE_EVERY_S)

        assert ours.is_closed
        with pytest.raises(MuxedStreamReset):
            await theirs.read()


async def test_closing_ends_both_sides() -> None:
    async with muxed_pair() as pair:
        ours = await pair.one.open_stream()
        theirs = await pair.two.accept_stream()
        await pair.one.close()

        for stream in (ours, theirs):
            with pytest.raises(MuxedStreamReset):
                await stream.read()
        with pytest.raises(MuxedConnUnavailable):
            await pair.one.open_stream()
