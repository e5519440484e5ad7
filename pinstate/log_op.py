"""One operation on the pinset, as a log entry holds it (IPFS Cluster's ``consensus/raft`` LogOp).

Operations 1 and 2 are IPFS Cluster 1.x's. Operations 3 and 4 say where a peer can be reached:
their multiaddr stands in the pin's CID (CIDv1, raw, identity multihash), because a field that
Go does not know would make its peers drop the entry, while they ignore a type they do not know.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from pinstate import go_msgpack, pin_msgpack
from pinstate.cid import identity_multiaddr_cid, multiaddr_of_identity_cid
from pinstate.errors import MalformedOperation
from pinstate.pin import Pin
from pinstate.pin_protobuf import encode_pin

__all__ = ["LogOp", "LogOpType", "OpCodec"]


class LogOpType(IntEnum):
    """What an operation does; the numbers are on the wire."""

    PIN = 1
    UNPIN = 2
    ADD_PEER = 3
    RM_PEER = 4


_TYPES: Final[dict[int, LogOpType]] = {int(member): member for member in LogOpType}
_PEER_TYPES: Final = frozenset({LogOpType.ADD_PEER, LogOpType.RM_PEER})
_FIELDS: Final = (b"s", b"t", b"c", b"p")
_SPAN_FIELDS: Final = (b"TraceID", b"SpanID", b"TraceOptions", b"Tracestate")
_P2P_CODE: Final = b"\xa5\x03"
"""The multiaddr protocol p2p (421) as a varint."""


@dataclass(frozen=True, slots=True)
class LogOp:
    """One operation. Make one with :meth:`pin`, :meth:`unpin`, :meth:`add_peer`, :meth:`rm_peer`.

    ``type`` is a :class:`LogOpType`, or a number that came from a peer: then a state ignores it.
    """

    type: int
    subject: Pin
    """The pin to keep or to drop; for operations on peers, the carrier of the multiaddr."""

    @staticmethod
    def pin(pin: Pin) -> LogOp:
        """Return the operation that keeps ``pin``, in place of an older one of its CID."""
        return LogOp(LogOpType.PIN, pin)

    @staticmethod
    def unpin(pin: Pin) -> LogOp:
        """Return the operation that drops the pin with the CID of ``pin``."""
        return LogOp(LogOpType.UNPIN, pin)

    @staticmethod
    def add_peer(multiaddr: bytes | str) -> LogOp:
        """Return the operation that says where a peer is: ``/ip4/.../tcp/.../p2p/<ID>``.

        Raises:
            ValueError: not a multiaddr, or one that names no peer.

        """
        address = _multiaddr_bytes(multiaddr)
        _peer_in(address)
        return LogOp(LogOpType.ADD_PEER, Pin(cid=identity_multiaddr_cid(address)))

    @staticmethod
    def rm_peer(peer: bytes) -> LogOp:
        """Return the operation that forgets where the peer with this multihash is."""
        if not 0 < len(peer) < 0x80:  # noqa: PLR2004 - a length of one byte
            raise ValueError(f"a peer ID of {len(peer)} bytes")
        address = _P2P_CODE + bytes((len(peer),)) + peer
        return LogOp(LogOpType.RM_PEER, Pin(cid=identity_multiaddr_cid(address)))

    @property
    def multiaddr(self) -> bytes:
        """The multiaddr of an operation on peers.

        Raises:
            ValueError: another operation, or its CID carries no multiaddr.

        """
        if self.type not in _PEER_TYPES:
            raise ValueError(f"operation {self.type} carries no multiaddr")
        return multiaddr_of_identity_cid(self.subject.cid)

    @property
    def peer(self) -> bytes:
        """The multihash of the peer an operation on peers is about; raises as :attr:`multiaddr`."""
        return _peer_in(self.multiaddr)

    def go_form(self) -> bytes:
        """Return the entry as IPFS Cluster writes it, without empty fields."""
        parts = []
        if self.subject != Pin():
            parts.append(b"\xa1c" + pin_msgpack.go_form(self.subject))
        if self.type:
            parts.append(b"\xa1p" + go_msgpack.signed(self.type))
        return go_msgpack.map_header(len(parts)) + b"".join(parts)

    def explicit_form(self) -> bytes:
        """Return the entry as this project writes it: every field, nil when absent."""
        pin = pin_msgpack.explicit_form(self.subject)
        return b"\x84\xa1s\xc0\xa1t\xc0\xa1c" + pin + b"\xa1p" + go_msgpack.signed(self.type)

    @staticmethod
    def decode(data: bytes) -> LogOp:
        """Return the operation in a log entry, whatever the entry before it was.

        The tracing fields ``s`` and ``t`` are checked and dropped; trailing bytes are ignored.

        Raises:
            MalformedOperation: not an operation. Go then tries the entry as a rollback.

        """
        try:
            return _op_of(go_msgpack.unpack_first(data))
        except ValueError as error:
            raise MalformedOperation(f"not an operation on the pinset: {error}") from None


class OpCodec:
    """How operations stand in log entries: written explicitly, read tolerantly."""

    __slots__ = ()

    def encode(self, op: LogOp) -> bytes:
        """Return what a leader writes: :meth:`LogOp.explicit_form`.

        Raises:
            UnstorablePin: a pin that no state can hold. In the log it would make the state of
                every Go peer inconsistent.

        """
        if op.type == LogOpType.PIN:
            encode_pin(op.subject)
        return op.explicit_form()

    def decode(self, data: bytes) -> LogOp:
        """Return the operation in an entry; raises :class:`MalformedOperation`, a ValueError."""
        return LogOp.decode(data)


def _op_of(value: object) -> LogOp:
    number, pin = 0, _ZERO_PIN
    for key, item in go_msgpack.read_struct(value, _FIELDS):
        if key == b"c":
            pin = pin_msgpack.pin_of_unpacked(item)
        elif key == b"p":
            number = go_msgpack.read_signed(item)
        elif key == b"s":
            go_msgpack.read_struct(item, _SPAN_FIELDS)
        else:
            go_msgpack.read_raw(item)
    return LogOp(_TYPES.get(number, number), pin)


def _multiaddr_bytes(multiaddr: bytes | str) -> bytes:
    from multiaddr import Multiaddr
    from multiaddr.exceptions import Error

    try:
        address = Multiaddr(multiaddr)
        str(address)
    except (Error, ValueError) as error:
        raise ValueError(f"{multiaddr!r} is not a multiaddr: {error}") from None
    return bytes(address.to_bytes())


def _peer_in(address: bytes) -> bytes:
    """Return the multihash of the peer that a multiaddr ends in."""
    import base58
    from multiaddr import Multiaddr
    from multiaddr.exceptions import Error
    from multiaddr.protocols import P_P2P

    try:
        peer = Multiaddr(address).value_for_protocol(P_P2P)
    except (Error, ValueError) as error:
        raise ValueError(f"multiaddr {address.hex()} names no peer: {error}") from None
    return base58.b58decode(str(peer))


_ZERO_PIN: Final = Pin()
