"""Go's ``time.Time`` as bytes: ``MarshalBinary``, the form ``Log.AppendedAt`` has on the wire.

Version 1 has 15 bytes: version | int64 seconds since 0001-01-01 UTC | int32 nanoseconds |
int16 zone offset in minutes, -1 for the UTC location, all big-endian. Version 2 has one byte
more, for the seconds of a zone offset that is no whole minute. Source: Go ``time.go``.
"""

# ruff: noqa: PLR2004 - the sizes of the forms are what this is about

from __future__ import annotations

from struct import Struct
from typing import Final

from raft_over_libp2p.errors import LocalProtocolError
from raft_over_libp2p.types import ZERO_GO_TIME

__all__ = ["canonical_time", "go_duration", "go_time", "unix_ns"]

_FORM: Final = Struct(">BQih")
_SECONDS_TO_1970: Final = 62_135_596_800
_NS: Final = 1_000_000_000
_UTC: Final = -1
_LOCAL_IS_UTC: Final = 0
_TIMESTAMP_64: Final = Struct(">Q")
_TIMESTAMP_96: Final = Struct(">Iq")


def go_time(unix_ns: int) -> bytes:
    """Return the 15 bytes a Go leader whose local zone is UTC writes for that instant.

    ``unix_ns`` is nanoseconds since 1970, as ``time.time_ns`` gives. The zone offset is 0,
    not -1: Go's ``time.Now()`` is in the local zone, which is not the UTC location.
    """
    seconds, nanoseconds = divmod(unix_ns, _NS)
    return _FORM.pack(1, _go_seconds(seconds), nanoseconds, _LOCAL_IS_UTC)


def unix_ns(appended_at: bytes) -> int:
    """Return nanoseconds since 1970 of a time in ``MarshalBinary`` form (15 or 16 bytes).

    Raises:
        LocalProtocolError: ``appended_at`` is in no such form.

    """
    if len(appended_at) not in {15, 16}:
        raise LocalProtocolError(f"{len(appended_at)} bytes are no Go time; 15 or 16 are")
    seconds, nanoseconds = _FORM.unpack_from(appended_at)[1:3]
    if seconds >= 1 << 63:
        seconds -= 1 << 64
    total: int = (seconds - _SECONDS_TO_1970) * _NS + nanoseconds
    return total


def canonical_time(received: bytes | None) -> bytes:
    """Return ``MarshalBinary`` form of a time as ``LegacyReader.read_time`` gave it.

    That form is kept verbatim; a msgpack timestamp of 4, 8 or 12 bytes becomes one in UTC.
    """
    if received is None:
        return ZERO_GO_TIME
    if len(received) == 4:
        seconds, nanoseconds = int.from_bytes(received), 0
    elif len(received) == 8:
        (both,) = _TIMESTAMP_64.unpack(received)
        seconds, nanoseconds = both & 0x3_FFFF_FFFF, both >> 34
    elif len(received) == 12:
        nanoseconds, seconds = _TIMESTAMP_96.unpack(received)
    else:
        return received
    carry, nanoseconds = divmod(nanoseconds, _NS)
    return _FORM.pack(1, _go_seconds(seconds + carry), nanoseconds, _UTC)


def go_duration(nanoseconds: int) -> str:
    """Return a time that is not negative as Go's ``Duration.String`` gives it: ``1m2.5s``."""
    if nanoseconds == 0:
        return "0s"
    for unit, size in (("ns", 1), ("µs", 1000), ("ms", 1_000_000)):
        if nanoseconds < 1000 * size:
            return _decimal(nanoseconds, size) + unit
    minutes, rest = divmod(nanoseconds, 60 * _NS)
    hours, minutes = divmod(minutes, 60)
    text = _decimal(rest, _NS) + "s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text


def _decimal(value: int, size: int) -> str:
    whole, part = divmod(value, size)
    digits = str(part).zfill(len(str(size)) - 1).rstrip("0") if part else ""
    return f"{whole}.{digits}" if digits else str(whole)


def _go_seconds(unix_seconds: int) -> int:
    # Go adds in int64 and wraps around; so does this, for hostile timestamps.
    return (unix_seconds + _SECONDS_TO_1970) & 0xFFFF_FFFF_FFFF_FFFF
