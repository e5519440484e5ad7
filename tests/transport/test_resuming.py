"""A snapshot that goes on where a broken stream left it (mixed-cluster rule 25)."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
import trio
from libp2p.abc import IMuxedStream
from libp2p.peer.id import ID

from raft_over_libp2p import limits
from raft_over_libp2p.core.events import CallFailed, RequestReceived, ResponseReceived
from raft_over_libp2p.core.messages import ErrorResponse, InstallSnapshotRequest
from raft_over_libp2p.transport.libp2p_transport import Libp2pTransport
from raft_over_libp2p.transport.negotiation import preamble
from raft_over_libp2p.transport.streams import RAFT_PROTOCOL, SNAPSHOT_PROTOCOL, PeerUnreachable
from raft_over_libp2p.types import CallID, ServerID, Term
from raft_over_libp2p.wire.requests import encode_request
from raft_over_libp2p.wire.responses import encode_response
from raft_over_libp2p.wire.snapshot_transfer import (
    encode_chunk_header,
    encode_go_on,
    encode_offer,
    encode_outcome,
)
from tests.transport.contract import PATIENT, Server, content, installed, snapshot
from tests.transport.raw_peer import World, raw_world, rest_of
from tests.transport.test_libp2p_transport import pair

SIZE = 8 * limits.MIB
OURS = preamble(SNAPSHOT_PROTOCOL)


async def cut(server: Server) -> None:
    """End every connection of ``server`` at once, as a broken network does."""
    assert isinstance(server.transport, Libp2pTransport)
    network = server.transport._door._host.get_network()
    for connections in list(network.connections.values()):
        for connection in list(connections):
            await connection.muxed_conn.close()


async def until_spooled(server: Server, size_bytes: int) -> None:
    with trio.fail_after(10):
        while sum(len(s.data) for s in server.snapshots.spools.values()) < size_bytes:
            await trio.lowlevel.checkpoint()


def taken_in(server: Server) -> int:
    """Return how many bytes of snapshots came, those of broken streams too."""
    total = kept = 0
    for spool in server.snapshots.spools.values():
        total += len(spool.data) - getattr(spool, "began_at", 0)
        kept = max(kept, len(spool.data))
    return total


async def test_a_snapshot_whose_connection_is_cut_at_half_goes_on_from_there() -> None:
    async with pair(PATIENT) as (a, b):
        a.transport.set_members([a.id, b.id])
        b.transport.set_members([a.id, b.id])
        request = snapshot(a, SIZE)
        a.call(1, b, request)
        await until_spooled(b, SIZE // 2)
        await cut(b)
        received = await b.inbox.next(RequestReceived)
        b.reply(received.call, installed())

        assert ResponseReceived(CallID(1), installed()) == await a.inbox.outcome()
        assert content(SIZE) == bytes(b.snapshots.spools[received.call].data)
        assert [hashlib.sha256(content(SIZE)).digest()] * 2 == b.snapshots.offers
        assert taken_in(b) == SIZE
        [source] = a.snapshots.opened
        assert source.bytes_read - SIZE < 1.2 * SIZE  # the first time it was read to hash it


async def test_a_snapshot_goes_on_after_the_receiver_lost_its_part() -> None:
    async with pair(PATIENT) as (a, b):
        a.call(1, b, snapshot(a, SIZE))
        await until_spooled(b, SIZE // 2)
        b.snapshots.keeps_parts = False
        await cut(b)
        received = await b.inbox.next(RequestReceived)
        b.reply(received.call, installed())

        assert ResponseReceived(CallID(1), installed()) == await a.inbox.outcome()
        assert content(SIZE) == bytes(b.snapshots.spools[received.call].data)


async def test_a_call_fails_when_no_stream_gets_any_further(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MAX_FRUITLESS_SNAPSHOT_STREAMS", 2)
    async with pair(PATIENT) as (a, b):
        b.snapshots.keeps_parts = False
        a.call(1, b, snapshot(a, SIZE))
        for number in range(1, 4):
            with trio.fail_after(10):
                while len(b.snapshots.spools) < number:
                    await trio.lowlevel.checkpoint()
            await cut(b)

        assert isinstance(await a.inbox.outcome(), CallFailed)
        assert len(b.snapshots.spools) == 3


async def unreachable(peer: ServerID, timeout_s: float) -> None:
    del peer, timeout_s
    await trio.lowlevel.checkpoint()
    raise PeerUnreachable("gone")


async def test_a_peer_that_is_not_reached_again_in_time_fails_the_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "SNAPSHOT_REOPEN_S", 0.3)
    async with pair(PATIENT) as (a, b):
        a.call(1, b, snapshot(a, SIZE))
        await until_spooled(b, 1)
        assert isinstance(a.transport, Libp2pTransport)
        monkeypatch.setattr(a.transport._door, "_dial", unreachable)
        await cut(b)
        failed = await a.inbox.outcome()

        assert CallFailed(CallID(1), "no new stream in 0.3 s: gone") == failed


async def test_a_snapshot_that_is_wanted_no_more_is_answered_before_its_end() -> None:
    """As when the receiver hears of a newer term: the core says what becomes of it."""
    async with pair(PATIENT) as (a, b):
        a.call(1, b, snapshot(a, SIZE))
        await until_spooled(b, 1)
        b.snapshots.is_wanted = False
        received = await b.inbox.next(RequestReceived)
        b.reply(received.call, installed(success=False))

        assert ResponseReceived(CallID(1), installed(success=False)) == await a.inbox.outcome()
        assert len(b.snapshots.spools[received.call].data) < SIZE


async def test_a_peer_that_only_serves_gos_protocol_gets_gos_snapshot() -> None:
    async with pair(PATIENT) as (a, b):
        assert isinstance(b.transport, Libp2pTransport)
        b.transport._door._host.remove_stream_handler(SNAPSHOT_PROTOCOL)
        a.call(1, b, snapshot(a, 300_000))
        received = await b.inbox.next(RequestReceived)
        b.reply(received.call, installed())

        assert ResponseReceived(CallID(1), installed()) == await a.inbox.outcome()
        assert [] == b.snapshots.offers
        assert content(300_000) == bytes(b.snapshots.spools[received.call].data)


async def test_a_peer_that_denies_the_protocol_it_named_gets_gos_snapshot() -> None:
    async with pair(PATIENT) as (a, b):
        a.transport.set_members([a.id, b.id])
        assert isinstance(a.transport, Libp2pTransport)
        assert isinstance(b.transport, Libp2pTransport)
        store = a.transport._door._host.get_peerstore()
        b.transport._door._host.remove_stream_handler(SNAPSHOT_PROTOCOL)
        store.add_protocols(ID.from_base58(b.id), [RAFT_PROTOCOL, SNAPSHOT_PROTOCOL])
        a.call(1, b, snapshot(a, 300_000))
        received = await b.inbox.next(RequestReceived)
        b.reply(received.call, installed())

        assert ResponseReceived(CallID(1), installed()) == await a.inbox.outcome()
        assert SNAPSHOT_PROTOCOL not in store.get_protocols(ID.from_base58(b.id))


# -- what a leader does wrong


def offer(world: World, size_bytes: int, data: bytes | None = None) -> tuple[bytes, Term]:
    request = snapshot(world.as_server(), size_bytes)
    digest = hashlib.sha256(content(size_bytes) if data is None else data).digest()
    return encode_offer(digest, world.encoded(request)), request.term


async def open_ours(world: World, first_bytes: bytes) -> IMuxedStream:
    [connection, *_] = world.swarm.host.get_network().get_connections(
        ID.from_base58(world.server.id)
    )
    stream = await connection.muxed_conn.open_stream()
    await stream.write(OURS + first_bytes)
    return stream


async def answer_of(stream: IMuxedStream, size_bytes: int) -> bytes:
    received = b""
    with trio.fail_after(5):
        while len(received) < len(OURS) + size_bytes:
            received += await stream.read(len(OURS) + size_bytes - len(received))
    return received.removeprefix(OURS)


async def test_a_part_is_kept_across_streams_and_the_answer_says_where_to_go_on() -> None:
    async with raw_world() as world:
        opening, term = offer(world, 10)
        first = await open_ours(world, opening)
        assert encode_go_on(0) == await answer_of(first, 9)
        await first.write(encode_chunk_header(term, 0, 4) + content(10)[:4])
        await until_spooled(world.server, 4)
        await first.reset()
        second = await open_ours(world, opening)
        assert encode_go_on(4) == await answer_of(second, 9)
        await second.write(encode_chunk_header(term, 4, 6) + content(10)[4:])
        received = await world.server.inbox.next(RequestReceived)
        world.server.reply(received.call, installed())

        assert isinstance(received.request, InstallSnapshotRequest)
        expected = encode_outcome(encode_response(installed(), world.server.id))
        assert expected == await rest_of(second)


async def test_a_new_stream_takes_the_part_of_one_that_hangs() -> None:
    async with raw_world() as world:
        opening, term = offer(world, 10)
        hanging = await open_ours(world, opening)
        await answer_of(hanging, 9)
        await hanging.write(encode_chunk_header(term, 0, 4) + content(10)[:4])
        await until_spooled(world.server, 4)
        second = await open_ours(world, opening)

        assert encode_go_on(4) == await answer_of(second, 9)


@pytest.mark.parametrize(
    ("chunk", "why"),
    [
        (encode_chunk_header(Term(2), 0, 1) + b"x", "of another term"),
        (encode_chunk_header(Term(3), 1, 1) + b"x", "behind a gap"),
        (encode_chunk_header(Term(3), 0, 11) + bytes(11), "beyond the size"),
        (encode_chunk_header(Term(3), 0, 0), "empty"),
        (encode_chunk_header(Term(3), 0, 2**32 - 1), "too large"),
        (encode_chunk_header(Term(3), 0, 10) + bytes(10) + b"x", "more behind the end"),
    ],
)
async def test_a_wrong_chunk_ends_the_stream_and_drops_what_came(chunk: bytes, why: str) -> None:
    del why
    async with raw_world() as world:
        opening, _ = offer(world, 10, bytes(10))
        stream = await open_ours(world, opening)
        await answer_of(stream, 9)
        await stream.write(chunk)

        assert await rest_of(stream) == b""
        [spool] = world.server.snapshots.spools.values()
        assert spool.is_cancelled
        assert sum(world.transport.refused.values()) == 1
        assert await world.is_well()


async def test_a_chunk_that_comes_twice_drops_the_part() -> None:
    async with raw_world() as world:
        opening, term = offer(world, 10)
        stream = await open_ours(world, opening)
        await answer_of(stream, 9)
        await stream.write((encode_chunk_header(term, 0, 4) + content(10)[:4]) * 2)

        assert await rest_of(stream) == b""
        assert [True] == [s.is_cancelled for s in world.server.snapshots.spools.values()]


async def test_bytes_with_another_hash_are_refused_and_the_next_offer_begins_at_the_start() -> None:
    async with raw_world() as world:
        opening, term = offer(world, 4)
        stream = await open_ours(world, opening)
        await answer_of(stream, 9)
        await stream.write(encode_chunk_header(term, 0, 4) + b"liar")
        refusal = await rest_of(stream)
        again = await open_ours(world, opening)

        error = ErrorResponse(error="the bytes of the snapshot at 9 have another SHA-256")
        assert encode_outcome(encode_response(error, world.server.id)) == refusal
        assert encode_go_on(0) == await answer_of(again, 9)


async def test_a_snapshot_in_anothers_name_is_not_answered() -> None:
    async with raw_world() as world:
        forged = encode_request(snapshot(world.as_server(), 4), world.server.id)
        stream = await open_ours(world, encode_offer(bytes(32), forged))

        assert (await rest_of(stream)).removeprefix(OURS) == b""
        assert world.transport.refused == {"PeerIDMismatch": 1}
        assert world.server.snapshots.spools == {}


@pytest.mark.parametrize("size_bytes", [-1, limits.MAX_SNAPSHOT_BYTES + 1])
async def test_an_offer_of_an_impossible_size_is_not_spooled(size_bytes: int) -> None:
    async with raw_world() as world:
        request = replace(snapshot(world.as_server(), 4), size_bytes=size_bytes)
        stream = await open_ours(world, encode_offer(bytes(32), world.encoded(request)))

        assert (await rest_of(stream)).removeprefix(OURS) == b""
        assert world.server.snapshots.spools == {}


async def test_an_offer_that_comes_too_slowly_ends_its_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "FIRST_BYTE_TO_FRAME_S", 0.1)
    async with raw_world() as world:
        opening, _ = offer(world, 10)
        stream = await open_ours(world, opening[:-1])

        assert (await rest_of(stream)).removeprefix(OURS) == b""


async def test_a_part_that_comes_too_slowly_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "FIRST_BYTE_TO_FRAME_S", 0.2)
    async with raw_world() as world:
        opening, term = offer(world, 10)
        stream = await open_ours(world, opening)
        await answer_of(stream, 9)
        await stream.write(encode_chunk_header(term, 0, 4) + content(10)[:4])

        assert await rest_of(stream) == b""
        assert [True] == [s.is_suspended for s in world.server.snapshots.spools.values()]
