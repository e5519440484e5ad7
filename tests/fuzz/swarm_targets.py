"""What a connection brings before anybody is known by name: private network, muxer, proposals."""

from __future__ import annotations

import trio
from libp2p.stream_muxer.exceptions import MuxedStreamError

from node.swarm import limits
from node.swarm.accepting import BareProtocols
from node.swarm.muxer import YAMUX_PROTOCOL, ProtocolViolation, YamuxConnection
from node.swarm.private_network import NotInThisNetwork, PrivateConnection
from node.swarm.xsalsa20 import XSalsa20
from raft_over_libp2p.transport.negotiation import preamble
from tests.fuzz.target import Target, cuts
from tests.pinstate.cluster_vectors import VECTORS
from tests.swarm.pipes import PlainSession, peer_id, pipe_pair

__all__ = ["TARGETS"]

_RAFT = "/raft/1.0.0/rpc"
_HEADER_BYTES = 12


async def _muxer(pieces: list[bytes]) -> tuple[object, ...]:
    """Feed a connection that nobody runs, and tell what became of it."""
    ours, _theirs = pipe_pair()
    conn = YamuxConnection(
        PlainSession(ours, peer_id(1), peer_id(2), is_initiator=True), peer_id(2)
    )
    await conn.open_stream()
    problem: ProtocolViolation | None = None
    try:
        for piece in pieces:
            if not conn._take(piece):
                break
    except ProtocolViolation as error:
        problem = error
    held = sum(stream._buffered_bytes for stream in conn._streams.values())
    assert held <= limits.MAX_WINDOWS_BYTES
    assert len(conn._streams) <= limits.MAX_STREAMS
    assert conn._windows_bytes == sum(s.window_bytes for s in conn._streams.values())
    assert len(conn._rest) < _HEADER_BYTES
    seen = tuple(
        (number, stream._buffered_bytes, stream._peer_ended, stream._death)
        for number, stream in conn._streams.items()
    )
    conn._end("the test is over")
    if problem is not None:
        raise problem
    return seen


async def _both_ways(data: bytes) -> tuple[object, object]:
    found: list[object] = []
    for pieces in ([data], list(cuts(data))):
        try:
            found.append(await _muxer(pieces))
        except ProtocolViolation as error:
            found.append(str(error))
    return found[0], found[1]


def muxer(data: bytes) -> None:
    """However frames are cut, the same streams hold the same."""
    whole, pieces = trio.run(_both_ways, data)
    assert whole == pieces
    if isinstance(whole, str):
        raise ProtocolViolation(whole)


def _frames() -> list[bytes]:
    def frame(kind: int, flags: int, stream: int, length: int, body: bytes = b"") -> bytes:
        head = bytes((0, kind)) + flags.to_bytes(2) + stream.to_bytes(4) + length.to_bytes(4)
        return head + body

    opened = frame(1, 1, 2, 0)
    return [
        opened + frame(0, 0, 2, 5, b"hello") + frame(0, 4, 2, 0),
        opened + frame(1, 8, 2, 0) + frame(1, 1, 4, 1024),
        frame(0, 1, 2, 3, b"abc") + frame(1, 2, 1, 0) + frame(0, 4, 1, 2, b"ok"),
        frame(2, 1, 0, 7) + frame(2, 2, 0, 7) + frame(3, 0, 0, 0),
        opened + frame(0, 0, 2, 0xFFFFFFFF, b"x" * 64),
    ]


class _Bytes:
    """A stream that brings given pieces, and then its end."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.pieces = pieces
        self.written = b""

    async def read(self, _n: int | None = None) -> bytes:
        if not self.pieces:
            raise MuxedStreamError("the end")
        return self.pieces.pop(0)

    async def write(self, data: bytes) -> None:
        self.written += data

    def unread(self, data: bytes) -> None:
        if data:
            self.pieces.insert(0, data)


def accepting(data: bytes) -> None:
    """A proposal of ours is agreed to however it is cut; all else is left as it came."""

    async def accept(pieces: list[bytes]) -> tuple[bool, bytes, bytes]:
        async def served(_stream: object) -> None:
            pass

        protocols = BareProtocols()
        protocols.set(_RAFT, served)
        protocols.set("/ipfscluster/1.0/rpc", served)
        stream = _Bytes(pieces)
        handler = await protocols.accept(stream)  # type: ignore[arg-type]
        return handler is not None, b"".join(stream.pieces), stream.written

    async def both_ways() -> tuple[tuple[bool, bytes, bytes], tuple[bool, bytes, bytes]]:
        return await accept([data] if data else []), await accept(list(cuts(data)))

    whole, pieces = trio.run(both_ways)
    assert whole == pieces
    is_ours, rest, written = whole
    assert data == (written + rest if is_ours else rest)


def _proposals() -> list[bytes]:
    return [
        preamble(_RAFT) + b"request",
        preamble("/ipfscluster/1.0/rpc") + b"call",
        preamble(str(YAMUX_PROTOCOL)),
    ]


class _Wire:
    """What is below the private network: bytes in pieces."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    async def read(self, n: int | None = None) -> bytes:
        if not self._pieces:
            return b""
        piece = self._pieces.pop(0)
        if n is not None and len(piece) > n:
            self._pieces.insert(0, piece[n:])
            piece = piece[:n]
        return piece


def private_network(data: bytes) -> None:
    """A stream under the secret opens however it is cut; any other is refused."""
    secret = bytes(range(32))

    async def opened(pieces: list[bytes]) -> bytes:
        connection = PrivateConnection(_Wire(pieces), secret)  # type: ignore[arg-type]
        found = b""
        while piece := await connection.read(4096):
            found += piece
        return found

    expected = XSalsa20(secret, data[:24]).xor(data[24:]) if len(data) >= 24 else b""
    assert expected == trio.run(opened, list(cuts(data)))


def _private() -> list[bytes]:
    secret, nonce = bytes(range(32)), bytes(24)
    sealed = XSalsa20(secret, nonce).xor(preamble("/noise") + b"rest")
    return [bytes.fromhex(v["wire"]) for v in VECTORS["psk"]] + [nonce + sealed]


TARGETS = (
    Target("muxer", muxer, _frames, (ProtocolViolation,)),
    Target("accepting", accepting, _proposals, ()),
    Target("private-network", private_network, _private, (NotInThisNetwork,)),
)
