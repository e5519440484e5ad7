"""Noise and TLS after py-libp2p's handshake: whole chunks in, one send out.

The handshakes, and with them who the peer is, stay py-libp2p's. What changes is how bytes
pass afterwards: the stock Noise session receives two bytes, then the record, and passes
each through six coroutines; the stock TLS session receives 4096 bytes at a time. Here one
receive takes all that has arrived, every whole record in it is opened, and what is to be
sent leaves in one send.

A session is read by one task and written by one (the muxer's), and its ``write`` must not
be cancelled unless the connection ends: no record layer survives half a record.
"""

from __future__ import annotations

import ssl
from typing import Any, Final, cast

from libp2p.abc import IRawConnection, ISecureConn
from libp2p.connection_types import ConnectionType
from libp2p.io.exceptions import ConnectionClosedError, DecryptionFailedException
from libp2p.peer.id import ID
from libp2p.security.base_session import BaseSession
from libp2p.security.noise.transport import Transport as NoiseTransport
from libp2p.security.secure_session import SecureSession
from libp2p.security.tls.transport import TLSTransport
from multiaddr import Multiaddr

__all__ = ["NoiseRecords", "NoiseSecurity", "TLSRecords", "TLSSecurity"]

_READ_BYTES: Final = 256 * 1024
_LENGTH_BYTES: Final = 2
_MAX_NOISE_PLAINTEXT_BYTES: Final = 65535 - 16


class _RecordSession(BaseSession):
    """What both sessions share: who is at the ends, and bytes opened but not yet read."""

    negotiated_security_protocol: str | None = None

    def __init__(self, handshaken: SecureSession, raw: IRawConnection) -> None:
        super().__init__(
            local_peer=handshaken.local_peer,
            local_private_key=handshaken.local_private_key,
            remote_peer=handshaken.remote_peer,
            remote_permanent_pubkey=handshaken.remote_permanent_pubkey,
            is_initiator=handshaken.is_initiator,
        )
        self._raw = raw
        self._opened = b""

    async def read(self, n: int | None = None) -> bytes:
        """Return up to ``n`` bytes (all that are there for None), nothing at the end."""
        if n == 0:
            return b""
        if not self._opened:
            self._opened = await self._open_more()
        if n is None or n >= len(self._opened):
            data, self._opened = self._opened, b""
        else:
            data, self._opened = self._opened[:n], self._opened[n:]
        return data

    async def close(self) -> None:
        await self._raw.close()

    def get_remote_address(self) -> tuple[str, int] | None:
        return self._raw.get_remote_address()

    def get_transport_addresses(self) -> list[Multiaddr]:
        return self._raw.get_transport_addresses()

    def get_connection_type(self) -> ConnectionType:
        return self._raw.get_connection_type()

    async def _open_more(self) -> bytes:
        """Return the next bytes opened, at least one, or nothing at the end."""
        raise NotImplementedError


class NoiseRecords(_RecordSession):
    """Noise transport messages: two bytes of length, then ciphertext (libp2p noise spec)."""

    def __init__(self, handshaken: SecureSession) -> None:
        """Go on from a ``handshaken`` session of py-libp2p, of which nothing was read."""
        # The stock session keeps these to itself; it has no public way to give them up.
        packets = cast("Any", handshaken.conn)
        super().__init__(handshaken, packets.read_writer.read_write_closer)
        self._noise = packets.noise_state
        self._received = bytearray()

    async def write(self, data: bytes) -> None:
        if len(data) <= _MAX_NOISE_PLAINTEXT_BYTES:
            record = self._noise.encrypt(data)
            await self._raw.write(len(record).to_bytes(_LENGTH_BYTES, "big") + record)
            return
        records = []
        for start in range(0, len(data), _MAX_NOISE_PLAINTEXT_BYTES):
            record = self._noise.encrypt(data[start : start + _MAX_NOISE_PLAINTEXT_BYTES])
            records += [len(record).to_bytes(_LENGTH_BYTES, "big"), record]
        await self._raw.write(b"".join(records))

    async def _open_more(self) -> bytes:
        received = self._received
        while True:
            data = await self._raw.read(_READ_BYTES)
            if not data:
                if received:
                    raise ConnectionClosedError("closed inside a Noise message", transport="tcp")
                return b""
            received += data
            opened = self._open_whole_records(received)
            if opened:
                return opened

    def _open_whole_records(self, received: bytearray) -> bytes:
        opened = []
        position = 0
        while len(received) - position >= _LENGTH_BYTES:
            start = position + _LENGTH_BYTES
            end = start + int.from_bytes(received[position:start], "big")
            if end > len(received):
                break
            try:
                opened.append(self._noise.decrypt(bytes(received[start:end])))
            except Exception as error:  # broad: the Noise library is py-libp2p's choice, not ours
                raise DecryptionFailedException("a Noise message that does not open") from error
            position = end
        if position:
            del received[:position]
        return opened[0] if len(opened) == 1 else b"".join(opened)


class TLSRecords(_RecordSession):
    """TLS 1.3 through two memory buffers, as py-libp2p set it up."""

    def __init__(self, handshaken: SecureSession) -> None:
        """Go on from a ``handshaken`` session of py-libp2p, of which nothing was read."""
        # The stock session keeps these to itself; it has no public way to give them up.
        stream = cast("Any", handshaken.conn).stream_writer
        super().__init__(handshaken, stream.raw_connection)
        self._tls: ssl.SSLObject = stream._ssl_socket  # noqa: SLF001
        self._incoming: ssl.MemoryBIO = stream._in_bio  # noqa: SLF001
        self._outgoing: ssl.MemoryBIO = stream._out_bio  # noqa: SLF001
        self._opened = bytes(stream._read_buffer)  # noqa: SLF001

    async def write(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            left = left[self._tls.write(left) :]
        await self._raw.write(self._outgoing.read())

    async def _open_more(self) -> bytes:
        while True:
            opened = self._open_whole_records()
            if opened is not None:
                return opened
            data = await self._raw.read(_READ_BYTES)
            if not data:
                return b""
            self._incoming.write(data)

    def _open_whole_records(self) -> bytes | None:
        """Return what opens now, nothing at the peer's goodbye, None when more must come."""
        opened = []
        try:
            while piece := self._tls.read(_READ_BYTES):
                opened.append(piece)
        except ssl.SSLWantReadError:
            if not opened:
                return None
        except ssl.SSLZeroReturnError:
            pass
        except ssl.SSLError as error:
            raise DecryptionFailedException(f"a TLS record that does not open: {error}") from error
        return b"".join(opened)


class NoiseSecurity(NoiseTransport):
    """py-libp2p's Noise handshake, and :class:`NoiseRecords` after it."""

    async def secure_inbound(self, conn: IRawConnection) -> ISecureConn:
        return NoiseRecords(_session(await super().secure_inbound(conn)))

    async def secure_outbound(self, conn: IRawConnection, peer_id: ID) -> ISecureConn:
        return NoiseRecords(_session(await super().secure_outbound(conn, peer_id)))


class TLSSecurity(TLSTransport):
    """py-libp2p's TLS handshake, and :class:`TLSRecords` after it."""

    async def secure_inbound(self, conn: IRawConnection) -> ISecureConn:
        return TLSRecords(_session(await super().secure_inbound(conn)))

    async def secure_outbound(self, conn: IRawConnection, peer_id: ID) -> ISecureConn:
        return TLSRecords(_session(await super().secure_outbound(conn, peer_id)))


def _session(conn: ISecureConn) -> SecureSession:
    if not isinstance(conn, SecureSession):
        raise TypeError(f"py-libp2p's handshake gave a {type(conn).__name__}")
    return conn
