"""Streams of our own protocols are served by the muxer, all others by py-libp2p."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from libp2p.abc import IMuxedStream
from libp2p.custom_types import TProtocol
from libp2p.stream_muxer.exceptions import MuxedStreamError, MuxedStreamReset

from node.swarm.announcing import AnnouncingHost
from node.swarm.host import PeerSwarm
from node.swarm.yamux_stream import YamuxStream
from raft_over_libp2p.transport.negotiation import MULTISTREAM_HEADER, preamble
from tests.swarm.test_host import ECHO, echo, echoed, swarm_pair

OURS = TProtocol("/test/ours")
AGREED = preamble(OURS)


class Service:
    """Answers each stream's first four bytes, and remembers what kind of stream each was."""

    def __init__(self) -> None:
        self.kinds: list[str] = []

    async def serve(self, stream: YamuxStream) -> None:
        self.kinds.append(type(stream).__name__)
        data = b""
        while len(data) < 4:
            data += await stream.read(4 - len(data))
        if data == b"bug!":
            raise RuntimeError("a bug in a handler")
        await stream.write(data.upper())
        await stream.close()


@asynccontextmanager
async def served() -> AsyncIterator[tuple[PeerSwarm, PeerSwarm, Service]]:
    service = Service()
    async with swarm_pair() as (one, two):
        assert isinstance(two.host, AnnouncingHost)
        two.host.set_bare_stream_handler(OURS, service.serve)
        two.host.set_stream_handler(ECHO, echo)
        await one.connect(two.peer_id, two.listen_addrs)
        yield one, two, service


async def open_muxed(one: PeerSwarm, two: PeerSwarm) -> IMuxedStream:
    [connection] = one.host.get_network().get_connections(two.host.get_id())
    return await connection.muxed_conn.open_stream()


async def read_all(stream: IMuxedStream) -> bytes:
    data = b""
    with trio.fail_after(5):
        while True:
            try:
                data += await stream.read()
            except MuxedStreamReset:
                raise
            except MuxedStreamError:
                return data


@pytest.mark.parametrize(
    "pieces",
    [
        [AGREED + b"ping"],
        [AGREED, b"ping"],
        [AGREED[:20], AGREED[20:] + b"ping"],
        [bytes([byte]) for byte in AGREED + b"ping"],
    ],
    ids=["at once", "request later", "name later", "byte by byte"],
)
async def test_a_proposal_of_ours_is_served_bare(pieces: list[bytes]) -> None:
    async with served() as (one, two, service):
        stream = await open_muxed(one, two)
        for piece in pieces:
            await stream.write(piece)
            await trio.lowlevel.checkpoint()

        assert await read_all(stream) == AGREED + b"PING"
        assert service.kinds == ["YamuxStream"]


async def test_who_waits_for_our_half_before_proposing_is_served_by_py_libp2p() -> None:
    async with served() as (one, two, service):
        stream = await open_muxed(one, two)
        with trio.fail_after(5):
            assert await stream.read(20) == MULTISTREAM_HEADER
        await stream.write(AGREED + b"ping")

        assert await read_all(stream) == AGREED[20:] + b"PING"
        assert service.kinds == ["NetStream"]


async def test_who_proposes_another_protocol_first_is_refused_that_and_served() -> None:
    async with served() as (one, two, service):
        stream = await open_muxed(one, two)
        await stream.write(preamble("/test/newer") + AGREED[20:] + b"ping")

        assert await read_all(stream) == MULTISTREAM_HEADER + b"\x03na\n" + AGREED[20:] + b"PING"
        assert service.kinds == ["NetStream"]


async def test_other_protocols_are_served_by_py_libp2p() -> None:
    async with served() as (one, two, service):
        assert await echoed(one, two) == b"echo"
        assert service.kinds == []


async def test_a_bare_handler_that_raises_ends_its_stream_only() -> None:
    """Trap 1."""
    async with served() as (one, two, _):
        stream = await open_muxed(one, two)
        await stream.write(AGREED + b"bug!")
        with pytest.raises(MuxedStreamReset):
            await read_all(stream)
        stream = await open_muxed(one, two)
        await stream.write(AGREED + b"ping")

        assert await read_all(stream) == AGREED + b"PING"


async def test_a_protocol_that_is_served_no_more_is_refused() -> None:
    async with served() as (one, two, _):
        two.host.remove_stream_handler(OURS)
        stream = await open_muxed(one, two)
        await stream.write(AGREED)

        with trio.fail_after(5):
            answer = b""
            while len(answer) < 24:
                answer += await stream.read(24 - len(answer))
        assert answer == MULTISTREAM_HEADER + b"\x03na\n"


async def test_a_stream_that_ends_before_it_proposes_harms_nobody() -> None:
    async with served() as (one, two, _):
        for first_bytes in (b"", AGREED[:5]):
            stream = await open_muxed(one, two)
            await stream.write(first_bytes)
            await stream.reset()

        assert await echoed(one, two) == b"echo"
