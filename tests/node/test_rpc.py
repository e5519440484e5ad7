"""Calls between components: what each end does when the other behaves, and when it does not."""

from __future__ import annotations

import contextlib

import pytest
import trio

from keys.identity import Identity
from keys.peer_id import PeerID
from node.rpc.client import CallNotSent, CallOutcomeUnknown, RemoteError, RpcClient
from node.rpc.limits import MAX_RPC_MESSAGE_BYTES
from node.rpc.server import MethodFailed, RpcServer
from node.rpc.streams import Stream, StreamClosed
from node.rpc.wire import EMPTY_REPLY, PROTOCOL_ID, ErrorType, ServiceID, encode_service_id
from tests.node.memory_streams import MemorySwarm, pair

CALLER, SERVER = (Identity.from_seed(bytes([n]) * 32).peer_id for n in (1, 2))
ECHO = ServiceID("Test", "Echo")


async def echo(caller: PeerID, argument: bytes) -> bytes:
    return argument


async def fail(caller: PeerID, argument: bytes) -> bytes:
    raise MethodFailed("it failed")


async def read_to_the_end(stream: Stream) -> bytes:
    data = b""
    with contextlib.suppress(StreamClosed):
        while True:
            data += await stream.read(1000)
    return data


@pytest.fixture
async def swarm(nursery: trio.Nursery) -> MemorySwarm:
    swarm = MemorySwarm(nursery)
    server = RpcServer({"Test.Echo": echo, "Test.Fail": fail})
    swarm.host(SERVER).serve(PROTOCOL_ID, server.handle)
    return swarm


@pytest.fixture
async def client(swarm: MemorySwarm) -> RpcClient:
    return RpcClient(swarm.host(CALLER))


async def test_a_call_returns_the_reply(client: RpcClient) -> None:
    assert b"\xa3abc" == await client.call(SERVER, ECHO, b"\xa3abc", timeout_s=1)


async def test_an_application_error_crosses_with_its_text(client: RpcClient) -> None:
    with pytest.raises(RemoteError, match="it failed") as caught:
        await client.call(SERVER, ServiceID("Test", "Fail"), b"\x80", timeout_s=1)

    assert ErrorType.APPLICATION is caught.value.error_type


@pytest.mark.parametrize(
    ("service_id", "text"),
    [
        (ServiceID("Nope", "Echo"), "rpc: can't find service Nope"),
        (ServiceID("Test", "Nope"), "rpc: can't find method Nope"),
    ],
)
async def test_an_unknown_method_is_answered_in_gorpcs_words(
    client: RpcClient, service_id: ServiceID, text: str
) -> None:
    with pytest.raises(RemoteError) as caught:
        await client.call(SERVER, service_id, b"\x80", timeout_s=1)

    assert (text, ErrorType.SERVER) == (str(caught.value), caught.value.error_type)


async def test_a_peer_that_is_not_reached_was_definitely_not_called(
    swarm: MemorySwarm, client: RpcClient
) -> None:
    swarm.down.add(SERVER)

    with pytest.raises(CallNotSent, match="connection refused"):
        await client.call(SERVER, ECHO, b"\x80", timeout_s=1)


async def test_a_stream_that_ends_before_the_answer_leaves_the_outcome_unknown(
    swarm: MemorySwarm, client: RpcClient
) -> None:
    async def hang_up(stream: Stream, peer: PeerID) -> None:
        await stream.read(1000)
        await stream.reset()

    swarm.host(SERVER).serve(PROTOCOL_ID, hang_up)

    with pytest.raises(CallOutcomeUnknown):
        await client.call(SERVER, ECHO, b"\x80", timeout_s=1)


async def test_an_answer_that_does_not_come_in_time_leaves_the_outcome_unknown(
    swarm: MemorySwarm, client: RpcClient, autojump_clock
) -> None:
    async def say_nothing(stream: Stream, peer: PeerID) -> None:
        await read_to_the_end(stream)

    swarm.host(SERVER).serve(PROTOCOL_ID, say_nothing)

    with pytest.raises(CallOutcomeUnknown, match="in time"):
        await client.call(SERVER, ECHO, b"\x80", timeout_s=5)


async def test_an_answer_over_the_limit_is_refused(swarm: MemorySwarm, client: RpcClient) -> None:
    async def flood(stream: Stream, peer: PeerID) -> None:
        with contextlib.suppress(StreamClosed):
            while True:
                await stream.write(b"\xdb\xff\xff\xff\xff" + bytes(60_000))

    swarm.host(SERVER).serve(PROTOCOL_ID, flood)

    with pytest.raises(CallOutcomeUnknown, match="over"):
        await client.call(SERVER, ECHO, b"\x80", timeout_s=5)


async def test_more_calls_than_the_bound_wait_their_turn(
    swarm: MemorySwarm, client: RpcClient
) -> None:
    running, most = 0, 0
    release = trio.Event()

    async def slow(stream: Stream, peer: PeerID) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await release.wait()
        running -= 1
        await RpcServer({"Test.Echo": echo}).handle(stream, peer)

    swarm.host(SERVER).serve(PROTOCOL_ID, slow)
    async with trio.open_nursery() as nursery:
        for _ in range(100):
            nursery.start_soon(lambda: client.call(SERVER, ECHO, b"\x80", timeout_s=5))
        await trio.testing.wait_all_tasks_blocked()
        release.set()

    assert 64 == most


@pytest.mark.parametrize(
    "request_bytes",
    [b"\xc1", b"\x01\x02", bytes(MAX_RPC_MESSAGE_BYTES + 1)],
    ids=["no msgpack", "no header", "over the limit"],
)
async def test_a_request_that_is_none_gets_a_reset_stream_and_no_answer(
    request_bytes: bytes,
) -> None:
    near, far = pair()
    await near.write(request_bytes)
    with trio.fail_after(5):
        await RpcServer({"Test.Echo": echo}).handle(far, CALLER)

    with pytest.raises(StreamClosed):
        await near.read(1)


async def test_a_stream_that_sends_nothing_is_dropped(autojump_clock) -> None:
    near, far = pair()
    with trio.fail_after(60):
        await RpcServer({"Test.Echo": echo}).handle(far, CALLER)

    with pytest.raises(StreamClosed):
        await near.read(1)


async def test_a_request_cut_short_is_dropped() -> None:
    near, far = pair()
    await near.write(encode_service_id(ECHO)[:5])
    await near.close()
    with trio.fail_after(5):
        await RpcServer({"Test.Echo": echo}).handle(far, CALLER)

    with pytest.raises(StreamClosed):
        await near.read(1)


async def test_a_request_byte_by_byte_is_served() -> None:
    near, far = pair()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(RpcServer({"Test.Echo": echo}).handle, far, CALLER)
        for byte in encode_service_id(ECHO) + EMPTY_REPLY:
            await near.write(bytes([byte]))

        answer = await read_to_the_end(near)

    assert answer.endswith(EMPTY_REPLY)
