"""Connections in memory, as py-libp2p's layers see them: tests cut and stall them."""

from __future__ import annotations

import trio
from libp2p.connection_types import ConnectionType
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.io.abc import ReadWriteCloser
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.peer.id import ID
from libp2p.security.base_session import BaseSession
from multiaddr import Multiaddr
from trio.testing import memory_stream_pair


class Pipe(ReadWriteCloser):
    """One end of a connection. While ``is_stalled`` no write gets through."""

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self.written: list[bytes] = []
        self._stalled: trio.Event | None = None

    def stall(self) -> None:
        self._stalled = trio.Event()

    def resume(self) -> None:
        if self._stalled is not None:
            self._stalled.set()
            self._stalled = None

    async def write(self, data: bytes) -> None:
        if self._stalled is not None:
            await self._stalled.wait()
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError("pipe closed") from error
        self.written.append(bytes(data))

    async def read(self, n: int | None = None) -> bytes:
        try:
            return bytes(await self._stream.receive_some(n))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError("pipe closed") from error

    async def close(self) -> None:
        await self._stream.aclose()

    def get_remote_address(self) -> tuple[str, int] | None:
        return None


def pipe_pair() -> tuple[Pipe, Pipe]:
    one, two = memory_stream_pair()
    return Pipe(one), Pipe(two)


def raw_pair() -> tuple[RawConnection, RawConnection]:
    one, two = pipe_pair()
    return RawConnection(one, initiator=True), RawConnection(two, initiator=False)


class PlainSession(BaseSession):
    """A session that encrypts nothing, to look at the muxer alone."""

    def __init__(self, pipe: Pipe, local: ID, remote: ID, *, is_initiator: bool) -> None:
        keys = create_new_key_pair(bytes(32))
        super().__init__(
            local_peer=local,
            local_private_key=keys.private_key,
            remote_peer=remote,
            remote_permanent_pubkey=keys.public_key,
            is_initiator=is_initiator,
        )
        self.pipe = pipe

    async def read(self, n: int | None = None) -> bytes:
        return await self.pipe.read(n)

    async def write(self, data: bytes) -> None:
        await self.pipe.write(data)

    async def close(self) -> None:
        await self.pipe.close()

    def get_remote_address(self) -> tuple[str, int] | None:
        return None

    def get_transport_addresses(self) -> list[Multiaddr]:
        return []

    def get_connection_type(self) -> ConnectionType:
        return ConnectionType.DIRECT


def peer_id(number: int) -> ID:
    return ID.from_pubkey(create_new_key_pair(bytes([number]) * 32).public_key)
