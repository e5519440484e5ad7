"""Calls between peers' components over real streams: many at once, and to who does not serve."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from keys.peer_id import PeerID
from node.rpc.client import CallNotSent, RpcClient
from node.rpc.server import RpcServer
from node.rpc.wire import PROTOCOL_ID, ServiceID
from node.swarm.host import PeerSwarm
from node.swarm.stream_host import SwarmStreams
from tests.swarm.test_host import swarm_pair

LOG_PIN = ServiceID("Consensus", "LogPin")


class Served:
    """Two swarms; the second serves LogPin, and counts."""

    def __init__(self, one: PeerSwarm, two: PeerSwarm) -> None:
        self.calls = 0
        self.swarm = two
        self.peer = two.peer_id
        self.client = RpcClient(SwarmStreams(one.host, one.dial))
        streams = SwarmStreams(two.host, two.dial)
        streams.serve(PROTOCOL_ID, RpcServer({str(LOG_PIN): self._log_pin}).handle)

    async def _log_pin(self, _caller: PeerID, argument: bytes) -> bytes:
        self.calls += 1
        await trio.lowlevel.checkpoint()
        return argument

    async def call(self, argument: bytes = b"\x01") -> bytes:
        return await self.client.call(self.peer, LOG_PIN, argument, timeout_s=10)


@asynccontextmanager
async def served() -> AsyncIterator[Served]:
    async with swarm_pair() as (one, two):
        both = Served(one, two)
        await one.connect(two.peer_id, two.listen_addrs)
        yield both


async def test_hundreds_of_calls_at_once_are_all_answered() -> None:
    """py-libp2p's own negotiation lost some of 64."""
    async with served() as both:
        answers: list[bytes] = []

        async def call(number: int) -> None:
            answers.append(await both.call(bytes([number % 128])))

        async with trio.open_nursery() as nursery:
            for number in range(256):
                nursery.start_soon(call, number)

        assert sorted(answers) == sorted(bytes([number % 128]) for number in range(256))
        assert both.calls == 256


async def test_a_peer_that_ceased_to_serve_was_definitely_not_called() -> None:
    async with served() as both:
        # So that it is known to serve, and is not asked.
        with trio.fail_after(5):
            while await both.call() != b"\x01":
                pass
            await trio.testing.wait_all_tasks_blocked(0.05)
        calls = both.calls
        both.swarm.host.remove_stream_handler(PROTOCOL_ID)
        for reason in ("nothing was acted on", "no stream of /ipfscluster"):
            with pytest.raises(CallNotSent, match=reason):
                await both.call()

        assert both.calls == calls
