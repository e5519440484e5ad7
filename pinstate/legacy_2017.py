"""The forms of 2017 (IPFS Cluster 0.0.3 to 0.2), read so that an old pinset can be taken over.

Each object follows the multicodec header ``09 "/msgpack" 0a``; maps have Go's field names, and
CIDs, peer IDs and multiaddrs are text. No peer of that time can be talked to.

Source: ``consensus/raft/log_op.go``, ``state/mapstate`` and ``api.PinSerial`` of v0.1.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import base58

from pinstate import go_msgpack
from pinstate.cid import check_multihash, parse_cid
from pinstate.errors import MalformedOperation, MalformedSnapshot
from pinstate.log_op import LogOp, LogOpType
from pinstate.pin import Pin, PinType

__all__ = ["read_log_op", "read_rollback", "read_snapshot"]

_HEADER: Final = b"\x09/msgpack\n"
_OP_FIELDS: Final = (b"Cid", b"Peer", b"Type")
_PIN_FIELDS: Final = (b"cid", b"allocations", b"everywhere", b"replication_factor")
_STATE_FIELDS: Final = (b"PinMap", b"Version")
_ROLLBACK_FIELDS: Final = (b"State",)
_STATE_VERSION: Final = 2
_RECURSIVE_DEPTH: Final = -1


def read_log_op(data: bytes) -> LogOp:
    """Return the operation in a log entry of 2017, in today's form.

    Raises:
        MalformedOperation: not such an entry.

    """
    try:
        fields = _fields(_unpack(data), _OP_FIELDS)
        number = go_msgpack.read_signed(fields.get(b"Type"))
        # The protocol now called p2p; the ID is always the last component.
        peer = go_msgpack.read_text(fields.get(b"Peer")).replace("/ipfs/", "/p2p/")
        if number == LogOpType.ADD_PEER:
            return LogOp.add_peer(peer)
        if number == LogOpType.RM_PEER:
            return LogOp.rm_peer(LogOp.add_peer(peer).peer)
        pin = _pin_of(fields.get(b"Cid"))
    except ValueError as error:
        raise MalformedOperation(f"not an operation of 2017: {error}") from None
    if number == LogOpType.UNPIN:
        return LogOp.unpin(pin)
    if number == LogOpType.PIN:
        return LogOp.pin(pin)
    raise MalformedOperation(f"not an operation of 2017: type {number}")


def read_snapshot(data: bytes) -> tuple[Pin, ...]:
    """Return the pins in a snapshot of 2017 (``MapState``, version 2), in its order.

    Raises:
        MalformedSnapshot: not such a snapshot, or of another version.

    """
    try:
        return _pins_of(_unpack(data))
    except ValueError as error:
        raise MalformedSnapshot(f"not a snapshot of 2017: {error}") from None


def read_rollback(data: bytes) -> tuple[Pin, ...]:
    """Return the pins in a rollback entry of 2017; raises :class:`MalformedSnapshot`."""
    try:
        return _pins_of(_fields(_unpack(data), _ROLLBACK_FIELDS).get(b"State"))
    except ValueError as error:
        raise MalformedSnapshot(f"not a rollback entry of 2017: {error}") from None


def _unpack(data: bytes) -> object:
    if not data.startswith(_HEADER):
        raise ValueError(f"it does not start with {_HEADER!r}")
    return go_msgpack.unpack_first(data[len(_HEADER) :])


def _fields(value: object, names: tuple[bytes, ...]) -> Mapping[bytes, object]:
    return dict(go_msgpack.read_struct(value, names))


def _pins_of(value: object) -> tuple[Pin, ...]:
    fields = _fields(value, _STATE_FIELDS)
    version = go_msgpack.read_signed(fields.get(b"Version"))
    if version != _STATE_VERSION:
        raise ValueError(f"its version is {version}, only {_STATE_VERSION} is known")
    pins = fields.get(b"PinMap")
    if type(pins) is not list:
        raise ValueError("its PinMap is no map")
    return tuple(_pin_of(pin) for _, pin in pins)


def _pin_of(value: object) -> Pin:
    fields = _fields(value, _PIN_FIELDS)
    factor = go_msgpack.read_signed(fields.get(b"replication_factor"))
    # Before there was a factor, "everywhere" said it.
    if fields.get(b"everywhere") is True and factor == 0:
        factor = -1
    allocations = go_msgpack.read_list(fields.get(b"allocations")) or ()
    return Pin(
        cid=parse_cid(go_msgpack.read_text(fields.get(b"cid"))),
        type=PinType.DATA,
        allocations=tuple(_peer_of(go_msgpack.read_text(text)) for text in allocations),
        max_depth=_RECURSIVE_DEPTH,
        replication_factor_min=factor,
        replication_factor_max=factor,
    )


def _peer_of(text: str) -> bytes:
    multihash = base58.b58decode(text)
    check_multihash(multihash)
    return multihash
