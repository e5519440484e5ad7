"""The API on real sockets of 127.0.0.1: Hypercorn on trio."""

import socket
from pathlib import Path

import httpx
import pytest
import trio
import trio.testing

from node.errors import AddressInUse, ConfigError
from node.http.app import build_app
from node.http.pin_options import ReplicationFactors
from node.http.server import APIServer
from pinstate.pin import Pin
from pinstate.state import PinState
from tests.node.fakes import CID_V0, FakeConsensus, FakeDirectory, api_config

ANY = ("/ip4/127.0.0.1/tcp/0",)


async def _serve(nursery: trio.Nursery, consensus: FakeConsensus, folder: Path) -> str:
    config = api_config(folder, listen_multiaddrs=ANY)
    server = APIServer.bind(config)
    app = build_app(
        consensus,
        FakeDirectory(),
        consensus,
        config=config,
        version="1",
        replication=ReplicationFactors(),
        is_removed=lambda: False,
    )
    url = server.urls[0]
    await nursery.start(server.run, app)
    return url


async def test_many_requests_go_over_one_connection(tmp_path: Path) -> None:
    consensus = FakeConsensus()
    async with trio.open_nursery() as nursery:
        url = await _serve(nursery, consensus, tmp_path)
        async with httpx.AsyncClient(base_url=url) as client:
            answers = [await client.post(f"/pins/{CID_V0}?name={i}") for i in range(20)]
        streams = {id(answer.extensions["network_stream"]) for answer in answers}
        nursery.cancel_scope.cancel()

    assert {200} == {answer.status_code for answer in answers}
    assert len(streams) == 1


async def test_a_header_over_the_limit_is_refused(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        url = await _serve(nursery, FakeConsensus(), tmp_path)
        async with httpx.AsyncClient(base_url=url) as client:
            answer = await client.get("/id", headers={"x-long": "x" * 20_000})
        nursery.cancel_scope.cancel()

    assert answer.status_code == 431


@pytest.mark.parametrize("is_broken_off", [False, True])
async def test_a_body_without_a_length_is_bounded_too(
    tmp_path: Path, *, is_broken_off: bool
) -> None:
    async with trio.open_nursery() as nursery:
        url = await _serve(nursery, FakeConsensus(), tmp_path)
        port = int(url.rpartition(":")[2])
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            head = b"POST /peers HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            await stream.send_all(head + b"1000\r\n" + b" " * 4096 + b"\r\n")
            if is_broken_off:
                await stream.aclose()
            else:
                await stream.send_all((b"1000\r\n" + b" " * 4096 + b"\r\n") * 16)
                answer = bytes(await stream.receive_some(4096))
                assert answer.startswith(b"HTTP/1.1 413")
        async with httpx.AsyncClient(base_url=url) as client:
            after = await client.get("/id")
        nursery.cancel_scope.cancel()

    assert after.status_code == 200


async def test_a_body_that_nobody_asked_for_does_not_stop_the_server(tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        url = await _serve(nursery, FakeConsensus(), tmp_path)
        async with httpx.AsyncClient(base_url=url) as client:
            first = await client.post(f"/pins/{CID_V0}", content=b"x" * 60_000)
            second = await client.get("/version")
        nursery.cancel_scope.cancel()

    assert (200, 200) == (first.status_code, second.status_code)


def test_a_busy_port_is_refused_saying_what_to_do(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        config = api_config(tmp_path, listen_multiaddrs=(f"/ip4/127.0.0.1/tcp/{port}",))

        with pytest.raises(AddressInUse, match=r"Address already in use.*--api-listen"):
            APIServer.bind(config)


def test_a_failed_bind_releases_the_ports_bound_before_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        first = free.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as other:
        busy = other.getsockname()[1]
        addresses = tuple(f"/ip4/127.0.0.1/tcp/{port}" for port in (first, busy))
        with pytest.raises(AddressInUse):
            APIServer.bind(api_config(tmp_path, listen_multiaddrs=addresses))

    socket.create_server(("127.0.0.1", first)).close()


@pytest.mark.parametrize("address", ["/ip4/127.0.0.1/udp/9094", "/ip4/127.0.0.1", "/unix/tmp/x"])
def test_an_address_that_is_not_tcp_is_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigError, match="is not an address such as"):
        APIServer.bind(api_config(tmp_path, listen_multiaddrs=(address,)))


async def test_a_client_that_stops_reading_is_dropped_and_does_not_hold_up_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.limits.STALLED_READER_S", 1.0)
    cids = (b"\x12\x20" + i.to_bytes(32, "big") for i in range(20_000))
    consensus = FakeConsensus(PinState(Pin.of(cid, name="n" * 200) for cid in cids))
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            url = await _serve(nursery, consensus, tmp_path)
            stream = await trio.open_tcp_stream("127.0.0.1", int(url.rpartition(":")[2]))
            await stream.send_all(b"GET /allocations HTTP/1.1\r\nHost: peer\r\n\r\n")
            assert (await stream.receive_some(100)).startswith(b"HTTP/1.1 200")
            await trio.testing.wait_all_tasks_blocked(0.1)
            nursery.cancel_scope.cancel()
        await stream.aclose()
