"""What attackers do who hold the cluster's secret; each leaves nothing behind but what it did."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable

import trio
from libp2p.abc import IMuxedStream
from libp2p.stream_muxer.exceptions import MuxedConnUnavailable, MuxedStreamError

from node.rpc.limits import MAX_RPC_MESSAGE_BYTES
from node.rpc.wire import ServiceID, encode_service_id
from node.swarm.host import PeerSwarm
from raft_over_libp2p import limits
from raft_over_libp2p.transport.negotiation import preamble
from raft_over_libp2p.transport.streams import SNAPSHOT_PROTOCOL
from raft_over_libp2p.types import ServerID, Term
from raft_over_libp2p.wire.own_messages import LEASE, READ_INDEX
from raft_over_libp2p.wire.requests import encode_request
from raft_over_libp2p.wire.snapshot_transfer import encode_chunk_header, encode_offer
from tests.hostile.messages import every_request, snapshot_request, vote_requests
from tests.hostile.world import RAFT, RPC, Victim, World, answer, open_stream

__all__ = ["ATTACKS", "ask_for_votes", "open_and_drop", "tell_to_campaign"]

_OLD_TERM = Term(1)
_GUST = 10
"""Streams opened before others get their turn."""
_GIANT = b"\xff\xff\xff\xff"
_ADDR = b"\x00\x81\xa4Addr"
_ENTRIES = b"\x00\x81\xa7Entries"
_DATA = _ENTRIES + b"\x91\x81\xa4Data"
_NEW = b"\x00\x81\xa3New"

BROKEN_FRAMES = {
    "a string of 4 GiB": _ADDR + b"\xdb" + _GIANT,
    "an entry of 4 GiB": _DATA + b"\xc6" + _GIANT,
    "4 G entries": _ENTRIES + b"\xdd" + _GIANT,
    "a map of 4 G keys": b"\x00\xdf" + _GIANT,
    "an unknown field of 4 G elements": _NEW + b"\xdd" + _GIANT,
    "an extension of 4 GiB": _NEW + b"\xc9" + _GIANT,
    "100 000 nested arrays": _NEW + b"\x91" * 100_000,
    "100 000 nested maps": _NEW + b"\x81\xa1k" * 100_000,
    "a million tiny arrays": _NEW + b"\x91" * 5 + b"\xdd\x00\x0f\x42\x40" + b"\x90" * 1_000_000,
    "a vote of 80 MiB": b"\x01\x81\xa3New\xdb\x05\x00\x00\x00",
    "no RPC type": b"\x09\x80",
    "no msgpack": b"\x00\xc1\xff",
}


async def _shout(swarm: PeerSwarm, victim: Victim, requests: list[bytes]) -> list[bytes]:
    """Send each request on a stream of its own; return what each was answered, proposal aside."""
    answers: list[bytes] = []
    for request in requests:
        received = await answer(swarm, victim, RAFT + request, within_s=0.1)
        answers.append(received.removeprefix(RAFT))
    return answers


async def forged_headers(world: World) -> None:
    """A member speaks in the leader's name, and in another member's: no RPC is even answered."""
    liar, other = world.followers
    claims = [(world.leader, other), (other, world.leader)]
    for claimed, victim in claims:
        name = ServerID(str(claimed.id))
        frames = [encode_request(request, name) for request in every_request(name)]
        answers = await _shout(liar.swarm, victim, frames)
        assert answers == [b""] * len(frames)
    async with world.stranger() as stranger:
        for victim in world.victims:
            name = ServerID(str(world.leader.id))
            frames = [encode_request(request, name) for request in every_request(name)]
            answers = await _shout(stranger, victim, frames)
            assert answers == [b""] * len(frames)


async def higher_terms_of_a_stranger(world: World) -> None:
    """Who is no member asks for votes in a term far ahead: while there is a leader, nobody follows."""
    async with world.stranger() as stranger:
        await ask_for_votes(world, stranger)


async def higher_terms_of_a_removed_member(world: World) -> None:
    async with world.removed_member() as removed:
        await ask_for_votes(world, removed)


async def ask_for_votes(world: World, swarm: PeerSwarm) -> None:
    name = ServerID(str(swarm.peer_id))
    frames = [encode_request(request, name) for request in vote_requests(name)]
    for victim in world.victims:
        await _shout(swarm, victim, frames)


async def timeout_now_of_who_does_not_lead(world: World) -> None:
    """Only the leader may tell a member to campaign."""
    one, other = world.followers
    await tell_to_campaign(one.swarm, [other, world.leader])
    async with world.stranger() as stranger:
        await tell_to_campaign(stranger, world.victims)
    async with world.removed_member() as removed:
        await tell_to_campaign(removed, world.victims)


async def tell_to_campaign(swarm: PeerSwarm, victims: list[Victim]) -> None:
    name = ServerID(str(swarm.peer_id))
    [*_, timeout_now] = every_request(name)
    for victim in victims:
        await _shout(swarm, victim, [encode_request(timeout_now, name)] * 2)


async def a_flood_of_streams(world: World) -> None:
    """500 streams a peer, some with a proposal, some with half of it, some with nothing.

    In gusts: attackers and victims share one event loop here, and none may starve the other.
    """
    async with world.stranger() as stranger, trio.open_nursery() as nursery:
        for victim in world.victims:
            nursery.start_soon(_flood, stranger, victim, (RAFT, RPC, RAFT[:9], b""), 500)


async def a_flood_by_a_member(world: World) -> None:
    """A member opens and drops streams, more than it may have at once."""
    liar, other = world.followers
    async with trio.open_nursery() as nursery:
        for victim in (other, world.leader):
            nursery.start_soon(open_and_drop, liar.swarm, victim, 1000)


async def open_and_drop(swarm: PeerSwarm, victim: Victim, count: int) -> None:
    for _ in range(count // 50):
        opened = [await open_stream(swarm, victim, RAFT) for _ in range(50)]
        for stream in opened:
            await stream.reset()


async def _flood(
    swarm: PeerSwarm, victim: Victim, beginnings: tuple[bytes, ...], count: int
) -> None:
    for number in range(count):
        try:
            await open_stream(swarm, victim, beginnings[number % len(beginnings)])
        except (MuxedConnUnavailable, MuxedStreamError):
            await trio.sleep(0.001)
        if number % _GUST == 0:
            await trio.sleep(0.02)


async def half_frames_held_open(world: World) -> None:
    """As many unfinished large frames as streams are allowed, and none of them ever ends."""
    begun = RAFT + _DATA + b"\xdb\x00\x0f\x00\x00" + bytes(256 * 1024)
    async with world.stranger() as stranger, trio.open_nursery() as nursery:
        for victim in world.victims:
            for _ in range(40):
                nursery.start_soon(_write_only, stranger, victim, begun)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()


async def _write_only(swarm: PeerSwarm, victim: Victim, data: bytes) -> IMuxedStream | None:
    with contextlib.suppress(MuxedConnUnavailable, MuxedStreamError):
        return await open_stream(swarm, victim, data)
    return None


async def giant_lengths_and_deep_nesting(world: World) -> None:
    """Each frame ends its own stream and nothing else, without an answer."""
    async with world.stranger() as stranger:
        for victim in world.victims:
            for what, frame in BROKEN_FRAMES.items():
                received = await answer(stranger, victim, RAFT + frame, within_s=1)
                assert received in (RAFT, b""), what


async def snapshots_that_lie_about_their_size(world: World) -> None:
    """Larger, smaller, negative and absurd: nothing of them is installed."""
    async with world.stranger() as stranger, trio.open_nursery() as nursery:
        name = ServerID(str(stranger.peer_id))

        def sent(size_bytes: int, contents: bytes) -> bytes:
            request = snapshot_request(name, term=_OLD_TERM, size_bytes=size_bytes)
            return RAFT + encode_request(request, name) + contents

        lies = [
            sent(1000, b"ten bytes."),
            sent(10, b"more than the ten bytes that were announced" * 100),
            sent(-1, b"x"),
            sent(1 << 62, b"x"),
            sent(limits.MAX_SNAPSHOT_BYTES, bytes(64 * 1024)),
            sent(1 << 20, bytes(1 << 20)),
        ]
        for victim in world.victims:
            for lie in lies:
                nursery.start_soon(answer, stranger, victim, lie, 1.5)


async def own_protocols_abused(world: World) -> None:
    """Reads, leases and snapshots of this project's peers: asked by strangers and removed members,
    in halves, with giant lengths and stale terms. None may move a leader or be installed."""
    async with world.stranger() as stranger, world.removed_member() as removed:
        for swarm in (stranger, removed):
            name = ServerID(str(swarm.peer_id))
            request = snapshot_request(name, term=_OLD_TERM, size_bytes=1 << 20)
            offer = encode_offer(bytes(32), encode_request(request, name))
            frames = {
                READ_INDEX.protocol_id: [bytes(8), b"\xff" * 8, b"\xff" * 5, bytes(7) + b"\x01"],
                LEASE.protocol_id: [bytes(24), b"\xff" * 24, b"\xff" * 100_001],
                SNAPSHOT_PROTOCOL: [
                    offer[:20],
                    offer + encode_chunk_header(_OLD_TERM, 0, 4) + b"lies",
                    offer + encode_chunk_header(_OLD_TERM, 1 << 62, 4) + b"lies",
                    offer + b"\xff" * 20,
                    bytes(32) + _NEW + b"\xdd" + _GIANT,
                ],
            }
            async with trio.open_nursery() as nursery:
                for victim in world.victims:
                    for protocol, sent in frames.items():
                        for frame in sent:
                            begun = preamble(protocol) + frame
                            nursery.start_soon(answer, swarm, victim, begun, 1)


async def a_flood_of_calls(world: World) -> None:
    """gorpc: hundreds of calls in gusts, arguments over the limit, and what is no call."""
    log_pin = encode_service_id(ServiceID("Consensus", "LogPin"))
    calls = [
        RPC + log_pin + b"\xda\xff\xff" + bytes(4096),
        RPC + log_pin + b"\xdb\x00\x10\x00\x00" + bytes(MAX_RPC_MESSAGE_BYTES),
        RPC + b"\x81\x90\xc0" + b"\x80",
        RPC + log_pin + b"\x81\x90\xc0",
        RPC + b"\xdd" + _GIANT,
        RPC + b"\x91" * 100_000,
        RPC + encode_service_id(ServiceID("Consensus", "Nothing")) + b"\x80",
        RPC + log_pin,
    ]
    async with world.stranger() as stranger:
        for _ in range(20):
            async with trio.open_nursery() as nursery:
                for victim in world.victims:
                    for call in calls:
                        # The answers are nobody's concern, so none is waited for long.
                        nursery.start_soon(answer, stranger, victim, call, 0.05)


ATTACKS: dict[str, tuple[Callable[[World], Awaitable[None]], ...]] = {
    "lies": (
        forged_headers,
        higher_terms_of_a_stranger,
        higher_terms_of_a_removed_member,
        timeout_now_of_who_does_not_lead,
    ),
    "bytes": (
        giant_lengths_and_deep_nesting,
        half_frames_held_open,
        snapshots_that_lie_about_their_size,
        own_protocols_abused,
    ),
    "floods": (a_flood_of_streams, a_flood_by_a_member, a_flood_of_calls),
}
