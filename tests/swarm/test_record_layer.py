"""Noise and TLS records: any size, any pieces, and nothing opens that was touched."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
from libp2p.abc import ISecureConn
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_new_x25519_key_pair
from libp2p.io.exceptions import ConnectionClosedError, DecryptionFailedException
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from libp2p.security.noise.transport import Transport as StockNoise
from libp2p.security.tls.transport import TLSTransport as StockTLS

from node.swarm.record_layer import NoiseSecurity, TLSSecurity
from tests.swarm.pipes import Pipe, pipe_pair

Security = type[StockNoise] | type[StockTLS]
OURS_AND_STOCK: list[tuple[Security, Security]] = [
    (NoiseSecurity, NoiseSecurity),
    (NoiseSecurity, StockNoise),
    (StockNoise, NoiseSecurity),
    (TLSSecurity, TLSSecurity),
    (TLSSecurity, StockTLS),
    (StockTLS, TLSSecurity),
]


@asynccontextmanager
async def secured(
    dialler: Security, listener: Security
) -> AsyncIterator[tuple[ISecureConn, ISecureConn, Pipe, Pipe]]:
    one, two = pipe_pair()
    keys = [create_new_key_pair(bytes([n]) * 32) for n in (1, 2)]
    transports = [
        kind(key, noise_privkey=create_new_x25519_key_pair().private_key)
        if issubclass(kind, StockNoise)
        else kind(key)
        for kind, key in zip((dialler, listener), keys, strict=True)
    ]
    done: dict[str, ISecureConn] = {}

    async def listen() -> None:
        done["in"] = await transports[1].secure_inbound(RawConnection(two, initiator=False))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        done["out"] = await transports[0].secure_outbound(
            RawConnection(one, initiator=True), ID.from_pubkey(keys[1].public_key)
        )
    yield done["out"], done["in"], one, two


async def read_exactly(conn: ISecureConn, size: int) -> bytes:
    received = bytearray()
    while len(received) < size:
        received += await conn.read(size - len(received))
    return bytes(received)


@pytest.mark.parametrize(("dialler", "listener"), OURS_AND_STOCK)
async def test_any_size_passes_both_ways_and_to_the_stock_layer(
    dialler: Security, listener: Security
) -> None:
    async with secured(dialler, listener) as (out, into, _, _):
        for size in (1, 100, 65_519, 65_520, 300_000):
            data = bytes(i % 251 for i in range(size))
            for sender, receiver in ((out, into), (into, out)):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(sender.write, data)

                    assert await read_exactly(receiver, size) == data


@pytest.mark.parametrize("security", [NoiseSecurity, TLSSecurity])
async def test_both_ends_know_who_the_other_is(security: Security) -> None:
    async with secured(security, security) as (out, into, _, _):
        assert out.get_remote_peer() == into.get_local_peer()
        assert into.get_remote_peer() == out.get_local_peer()


@pytest.mark.parametrize("security", [NoiseSecurity, TLSSecurity])
async def test_records_may_come_byte_by_byte(security: Security) -> None:
    async with secured(security, security) as (out, into, one, _):
        written: list[bytes] = []
        send = one._stream.send_all

        async def send_bytewise(data: bytes) -> None:
            for byte in data:
                await send(bytes([byte]))
            written.append(data)

        one._stream.send_all = send_bytewise
        await out.write(b"in pieces")

        assert await read_exactly(into, 9) == b"in pieces"
        assert written


@pytest.mark.parametrize("security", [NoiseSecurity, TLSSecurity])
async def test_a_touched_record_does_not_open(security: Security) -> None:
    async with secured(security, security) as (out, into, one, two):
        await out.write(b"untouched")
        assert await read_exactly(into, 9) == b"untouched"
        await out.write(b"touched")
        record = bytearray(await two.read(1000))
        record[-1] ^= 1
        await one.write(bytes(record))

        with pytest.raises(DecryptionFailedException):
            await into.read()


async def test_the_end_of_a_connection_is_an_end_and_inside_a_record_an_error() -> None:
    async with secured(NoiseSecurity, NoiseSecurity) as (out, into, one, _):
        await out.close()
        assert await into.read() == b""
    async with secured(NoiseSecurity, NoiseSecurity) as (_, into, one, _):
        await one.write(b"\x00\x20half")
        await one.close()
        with pytest.raises(ConnectionClosedError, match="inside a Noise message"):
            await into.read()
