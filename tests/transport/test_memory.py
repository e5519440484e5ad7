"""The in-memory transport keeps the contract, and its cuts do what they say."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from raft_over_libp2p.core.events import (
    CallFailed,
    PeerConnected,
    RequestReceived,
    ResponseReceived,
)
from raft_over_libp2p.errors import LocalProtocolError
from raft_over_libp2p.transport.memory import MemoryNetwork
from raft_over_libp2p.transport.timing import TransportTiming
from raft_over_libp2p.types import CallID, ServerID
from tests.transport.contract import (
    PATIENT,
    Server,
    TransportContract,
    accepted,
    append,
    heartbeat,
    serving,
    vote,
)

A, B, C = ServerID("a"), ServerID("b"), ServerID("c")


@asynccontextmanager
async def pair(network: MemoryNetwork) -> AsyncIterator[tuple[Server, Server]]:
    async with (
        serving(A, network.transport(A)) as a,
        serving(B, network.transport(B)) as b,
    ):
        yield a, b


class TestMemoryTransport(TransportContract):
    @asynccontextmanager
    async def world(self, timing: TransportTiming) -> AsyncIterator[tuple[Server, Server]]:
        async with pair(MemoryNetwork(timing=timing)) as servers:
            yield servers

    def a_stranger(self) -> ServerID:
        return C


async def test_a_cut_path_loses_a_call_silently_until_it_times_out(
    autojump_clock: MockClock,
) -> None:
    network = MemoryNetwork()
    async with pair(network) as (a, b):
        network.partition([A], [B])
        a.call(1, b, vote(a))

        assert CallFailed(CallID(1), "timed out waiting for an answer") == await a.inbox.outcome()
        assert trio.current_time() == pytest.approx(10.0, abs=0.01)
        assert b.inbox.rest() == []


async def test_a_cut_answer_is_lost_too(autojump_clock: MockClock) -> None:
    network = MemoryNetwork()
    async with pair(network) as (a, b):
        network.cut(B, A)
        a.call(1, b, vote(a))
        received = await b.inbox.next(RequestReceived)
        b.reply(received.call, accepted())

        assert isinstance(await a.inbox.outcome(), CallFailed)


async def test_nothing_follows_a_lost_message_on_its_stream(autojump_clock: MockClock) -> None:
    """TCP does not deliver what comes after a gap."""
    network = MemoryNetwork(delay_s=0.01)
    async with pair(network) as (a, b):
        network.cut(A, B)
        a.call(1, b, append(a, 1))
        await trio.sleep(1)
        network._cut.clear()
        a.call(2, b, append(a, 2))
        a.call(3, b, heartbeat(a))

        assert heartbeat(a) == (await b.inbox.next(RequestReceived)).request


async def test_healing_fails_lost_calls_at_once_and_tells_of_the_connection(
    autojump_clock: MockClock,
) -> None:
    network = MemoryNetwork()
    async with pair(network) as (a, b):
        a.transport.set_members([A, B])
        await a.inbox.next(PeerConnected)
        network.isolate(B)
        a.call(1, b, append(a))
        await trio.sleep(1)
        network.heal()

        assert CallFailed(CallID(1), "connection lost") == await a.inbox.outcome()
        assert PeerConnected(B) == await a.inbox.next(PeerConnected)
        assert trio.current_time() < 2.0


async def test_a_delay_is_what_each_way_takes(autojump_clock: MockClock) -> None:
    network = MemoryNetwork(delay_s=0.5)
    network.set_delay(B, A, 2.0)
    async with pair(network) as (a, b):
        a.call(1, b, append(a))
        received = await b.inbox.next(RequestReceived)
        arrived = trio.current_time()
        b.reply(received.call, accepted())
        answer = await a.inbox.outcome()

        assert arrived == pytest.approx(0.5, abs=0.01)
        assert trio.current_time() == pytest.approx(2.5, abs=0.01)
        assert ResponseReceived(CallID(1), accepted()) == answer


async def test_a_path_that_becomes_faster_keeps_the_order(autojump_clock: MockClock) -> None:
    network = MemoryNetwork(delay_s=1.0)
    async with pair(network) as (a, b):
        a.call(1, b, append(a, 1))
        network.set_delay(A, B, 0.0)
        a.call(2, b, append(a, 2))

        received = [(await b.inbox.next(RequestReceived)).request for _ in range(2)]

        assert [append(a, 1), append(a, 2)] == received


async def test_a_peer_that_starts_is_announced_to_those_that_count_it_a_member(
    autojump_clock: MockClock,
) -> None:
    network = MemoryNetwork(timing=PATIENT)
    async with serving(A, network.transport(A)) as a:
        a.transport.set_members([A, B])
        assert a.transport.links()[B].last_error == "connection refused: the peer does not run"
        async with serving(B, network.transport(B)):
            assert PeerConnected(B) == await a.inbox.next(PeerConnected)


async def test_a_stopped_transport_may_be_replaced_and_a_running_one_not(
    autojump_clock: MockClock,
) -> None:
    network = MemoryNetwork()
    async with serving(A, network.transport(A)):
        with pytest.raises(LocalProtocolError, match="runs already"):
            network.transport(A)
    async with serving(A, network.transport(A)) as again:
        assert again.transport.links() == {}
