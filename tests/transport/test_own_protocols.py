"""What is no request on this project's own protocols ends its stream, and nothing else."""

from __future__ import annotations

import contextlib

import pytest
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.stream_muxer.exceptions import MuxedStreamError

from raft_over_libp2p.wire.own_messages import LEASE, READ_INDEX, OwnMessages
from tests.transport.raw_peer import raw_world, rest_of


@pytest.mark.parametrize(
    ("protocol", "data", "refused"),
    [
        (READ_INDEX, bytes(8), {"MalformedMessage": 1}),
        (READ_INDEX, b"\x00\x01", {"MalformedMessage": 1}),
        (LEASE, bytes(24), {"MalformedMessage": 1}),
        (LEASE, b"", {}),
    ],
    ids=["a read of no term", "half a read", "a lease of no term", "nothing"],
)
async def test_what_is_no_request_of_ours_ends_its_stream_only(
    protocol: OwnMessages, data: bytes, refused: dict[str, int]
) -> None:
    async with raw_world() as world:
        protocol_id = TProtocol(protocol.protocol_id)
        peer = ID.from_base58(world.server.id)
        stream = await world.swarm.host.new_stream(peer, [protocol_id])
        with contextlib.suppress(MuxedStreamError):
            await stream.write(data)
            await stream.muxed_stream.close()

        assert await rest_of(stream.muxed_stream) == b""
        assert refused == dict(world.transport.refused)
        assert await world.is_well()
