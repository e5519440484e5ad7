"""A pin in the form Cluster's datastore and snapshots hold it: protobuf.

This form loses some of a pin, in both languages alike: nanoseconds, user allocations, the
mode (it follows from the depth), and the difference between nil and empty. What a state holds
has always gone through it, so that a state built by replay equals one from a snapshot.

Source: ``ProtoMarshal`` and ``ProtoUnmarshal`` in IPFS Cluster's ``api/types.go``.
"""

from __future__ import annotations

from typing import Final

from google.protobuf.message import DecodeError

from pinstate import pin_pb2
from pinstate.cid import InvalidCid, check_cid_bytes
from pinstate.errors import MalformedPin, UnstorablePin
from pinstate.pin import NANOSECONDS_PER_S, ZERO_TIME_UNIX_S, Pin, PinMode

__all__ = ["canonical", "decode_pin", "encode_pin"]

_UINT64: Final = 1 << 64
_INT64_SIGN: Final = 1 << 63
_INT32_SIGN: Final = 1 << 31
_MAX_TYPE_BIT: Final = 63


def encode_pin(pin: Pin) -> bytes:
    """Return the protobuf form, byte for byte as Go writes it.

    Raises:
        UnstorablePin: a name or metadata that is not UTF-8, or a number out of its range.

    """
    try:
        message = pin_pb2.Pin(
            cid=pin.cid,
            allocations=pin.allocations,
            max_depth=_int32(pin.max_depth),
            reference=pin.reference,
            timestamp=_unix_seconds(pin.timestamp),
        )
        # An open enum takes any number, which the generated signature does not say.
        message.type = _type_bit(pin.type)  # type: ignore[assignment]
        options = message.options
        options.SetInParent()
        options.replication_factor_min = _int32(pin.replication_factor_min)
        options.replication_factor_max = _int32(pin.replication_factor_max)
        options.name = pin.name
        options.shard_size = pin.shard_size
        options.expire_at = _unix_seconds(pin.expire_at)
        if pin.pin_update:
            options.pin_update = pin.pin_update
        if pin.origins:
            options.origins.extend(pin.origins)
        if pin.metadata:
            for key in sorted(pin.metadata):
                options.sorted_metadata.add(key=key, value=pin.metadata[key])
        return message.SerializeToString()
    except (ValueError, TypeError) as error:
        raise UnstorablePin(f"pin {pin.cid_text} cannot be stored: {error}") from None


def decode_pin(value: bytes, cid: bytes) -> Pin:
    """Return the pin in a datastore value; ``cid`` comes from its key, which decides.

    Raises:
        MalformedPin: not such a message.

    """
    return _pin_of(_parse(value), cid)


def canonical(value: bytes, cid: bytes) -> bytes:
    """Return ``value`` as :func:`encode_pin` would write it, so that equal pins are equal bytes.

    Raises:
        MalformedPin: not such a message.

    """
    message = _parse(value)
    options = message.options
    if (
        message.cid == cid
        and message.HasField("options")
        and not message.reference
        and not options.pin_update
        and not options.metadata
        and len(options.sorted_metadata) <= 1
        and message.type <= _MAX_TYPE_BIT
    ):
        # Nothing in it can differ but field order and unknown fields: ten times faster than
        # making a pin, and a snapshot has a million.
        message.DiscardUnknownFields()
        return message.SerializeToString()
    return encode_pin(_pin_of(message, cid))


def _parse(value: bytes) -> pin_pb2.Pin:
    try:
        message = pin_pb2.Pin.FromString(value)
    except DecodeError as error:
        raise MalformedPin(f"not a pin in protobuf: {error}") from None
    if message.type < 0:
        raise MalformedPin(f"not a pin in protobuf: its type is {message.type}")
    return message


def _pin_of(message: pin_pb2.Pin, cid: bytes) -> Pin:
    options = message.options
    metadata = dict(options.metadata)
    metadata.update((item.key, item.value) for item in options.sorted_metadata)
    return Pin(
        cid=cid,
        type=(1 << message.type) % _UINT64 if message.type <= _MAX_TYPE_BIT else 0,
        allocations=tuple(message.allocations),
        max_depth=message.max_depth,
        reference=_cid_or_none(message.reference),
        timestamp=_nanoseconds(message.timestamp),
        replication_factor_min=options.replication_factor_min,
        replication_factor_max=options.replication_factor_max,
        name=options.name,
        mode=PinMode.RECURSIVE if message.max_depth else PinMode.DIRECT,
        shard_size=options.shard_size,
        expire_at=_nanoseconds(options.expire_at),
        metadata=metadata or None,
        pin_update=_cid_or_none(options.pin_update),
        origins=tuple(options.origins),
    )


def _cid_or_none(cid: bytes) -> bytes | None:
    try:
        check_cid_bytes(cid)
    except InvalidCid:
        return None
    return cid


def _int32(number: int) -> int:
    """Return a Go ``int`` as ``int32(x)`` cuts it."""
    return (number + _INT32_SIGN) % (2 * _INT32_SIGN) - _INT32_SIGN


def _type_bit(number: int) -> int:
    """Return the place of the highest bit: the enum of the protobuf form."""
    return max(number.bit_length() - 1, 0)


def _unix_seconds(nanoseconds: int | None) -> int:
    """Return whole seconds as Go's ``uint64(t.Unix())``; 0 for no time and for 1970 itself."""
    return 0 if nanoseconds is None else nanoseconds // NANOSECONDS_PER_S % _UINT64


def _nanoseconds(seconds: int) -> int | None:
    signed = seconds - _UINT64 if seconds >= _INT64_SIGN else seconds
    return None if signed in {0, ZERO_TIME_UNIX_S} else signed * NANOSECONDS_PER_S
