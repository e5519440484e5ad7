"""A peer that sends bytes of its own choosing to a server under test."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio
from libp2p.abc import IMuxedStream
from libp2p.peer.id import ID
from libp2p.stream_muxer.exceptions import MuxedStreamError, MuxedStreamReset

from keys.cluster_secret import ClusterSecret
from keys.identity import Identity
from node.swarm.host import PeerSwarm, open_swarm
from raft_over_libp2p.core.events import RequestReceived
from raft_over_libp2p.core.messages import Request
from raft_over_libp2p.transport.libp2p_transport import Libp2pTransport
from raft_over_libp2p.transport.timing import TransportTiming
from raft_over_libp2p.types import ServerID
from raft_over_libp2p.wire.requests import encode_request
from tests.transport.contract import PATIENT, FakeSnapshots, Server, accepted, heartbeat, serving
from tests.transport.test_libp2p_transport import LOOPBACK

PREAMBLE = b"\x13/multistream/1.0.0\n\x10/raft/1.0.0/rpc\n"
"""What a Go peer sends before its first request, in one write with it."""


@dataclass
class World:
    """A server, and a bare host that is connected to it."""

    server: Server
    transport: Libp2pTransport
    swarm: PeerSwarm
    peer: ServerID

    async def open_stream(self, first_bytes: bytes = b"") -> IMuxedStream:
        """Open a Raft stream as Go does: preamble and request in one write."""
        [connection, *_] = self.swarm.host.get_network().get_connections(
            ID.from_base58(self.server.id)
        )
        stream = await connection.muxed_conn.open_stream()
        await stream.write(PREAMBLE + first_bytes)
        received = b""
        # What is refused at once may be reset before the agreement was read.
        with contextlib.suppress(MuxedStreamReset):
            while len(received) < len(PREAMBLE):
                received += await stream.read(len(PREAMBLE) - len(received))
            assert received == PREAMBLE
        return stream

    def encoded(self, request: Request) -> bytes:
        return encode_request(request, self.peer)

    def as_server(self) -> Server:
        """Return the bare peer in the form the contract's requests are made for."""
        return Server(
            self.peer, self.transport, self.server.inbox, trio.CancelScope(), FakeSnapshots()
        )

    async def is_well(self) -> bool:
        """Tell whether a call on a new stream, and nothing before it, is delivered and answered."""
        request = heartbeat(self.as_server(), term=77)
        stream = await self.open_stream(self.encoded(request))
        received = await self.server.inbox.next(RequestReceived)
        if received.request != request:
            return False
        self.server.reply(received.call, accepted(term=77))
        answer = await stream.read()
        await stream.close()
        return bool(answer)


async def rest_of(stream: IMuxedStream) -> bytes:
    """Return what still comes on ``stream`` until it is closed or reset, within seconds."""
    received = b""
    with trio.fail_after(5):
        while True:
            try:
                received += await stream.read()
            except MuxedStreamError:
                return received


@asynccontextmanager
async def raw_world(timing: TransportTiming = PATIENT) -> AsyncIterator[World]:
    secret = ClusterSecret.generate()
    async with (
        open_swarm(Identity.generate(), secret, [LOOPBACK]) as served,
        open_swarm(Identity.generate(), secret, [LOOPBACK]) as raw,
    ):
        transport = Libp2pTransport(served.host, timing, dial=served.dial)
        async with serving(transport.server_id, transport) as server:
            peer = ServerID(str(raw.peer_id))
            transport.set_members([server.id, peer])
            served.book.set(raw.host.get_id(), raw.listen_addrs)
            await raw.connect(served.peer_id, served.listen_addrs)
            yield World(server, transport, raw, peer)
