"""A pin as IPFS Cluster's REST API and ``state export`` show it: a JSON object.

Source: the ``json`` tags of ``api.Pin`` in IPFS Cluster's ``api/types.go``; times are RFC 3339
with up to nine digits of a second, Go's zero time is ``0001-01-01T00:00:00Z``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import base58

from pinstate.cid import InvalidCid, cid_text, parse_cid
from pinstate.errors import MalformedPin
from pinstate.limits import MAX_DIAGNOSTIC_CHARS
from pinstate.pin import NANOSECONDS_PER_S, ZERO_TIME_UNIX_S, Pin, PinMode, PinType

__all__ = ["pin_from_json", "pin_to_json"]

_TYPE_NAMES: Final[dict[int, str]] = {
    PinType.DATA: "pin",
    PinType.META: "meta-pin",
    PinType.CLUSTER_DAG: "clusterdag-pin",
    PinType.SHARD: "shard-pin",
    PinType.DATA | PinType.META | PinType.CLUSTER_DAG | PinType.SHARD: "all",
    PinType.BAD: "bad-type",
}
_TYPES: Final[dict[object, int]] = {name: number for number, name in _TYPE_NAMES.items()}
_MODE_NAMES: Final[dict[int, str]] = {PinMode.RECURSIVE: "recursive", PinMode.DIRECT: "direct"}
_MODES: Final[dict[object, int]] = {name: mode for mode, name in _MODE_NAMES.items()}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ZERO_TIME: Final = "0001-01-01T00:00:00Z"
_TIME: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:[.,](\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)\Z", re.ASCII
)
_LIBP2P_KEY_CID: Final = b"\x01\x72"


def pin_to_json(pin: Pin) -> dict[str, object]:
    """Return the object for :func:`json.dumps`, its fields in Go's order.

    Raises:
        ValueError: a time outside the years 1 to 9999, or an origin that is no multiaddr.

    """
    return {
        "replication_factor_min": pin.replication_factor_min,
        "replication_factor_max": pin.replication_factor_max,
        "name": _printable(pin.name),
        "mode": _MODE_NAMES.get(pin.mode, "recursive"),
        "shard_size": pin.shard_size,
        "user_allocations": _texts(pin.user_allocations, _peer_text),
        "expire_at": _time_text(pin.expire_at),
        "metadata": _metadata_object(pin.metadata),
        "pin_update": _cid_text(pin.pin_update),
        "origins": _texts(pin.origins, _multiaddr_text),
        "cid": _cid_text(pin.cid),
        "type": _TYPE_NAMES.get(pin.type, "bad-type"),
        "allocations": _texts(pin.allocations, _peer_text),
        "max_depth": pin.max_depth,
        "reference": _cid_text(pin.reference),
        "timestamp": _time_text(pin.timestamp),
    }


def pin_from_json(fields: object) -> Pin:
    """Return the pin in an object that :func:`json.loads` returned.

    Fields that are not there or null are Go's zero values; unknown fields are ignored.

    Raises:
        MalformedPin: the message names the field and its value.

    """
    if not isinstance(fields, Mapping):
        raise MalformedPin("a pin is a JSON object")
    found: dict[str, object] = {}
    for name, read in _READERS.items():
        value = fields.get(name)
        if value is None:
            continue
        try:
            found[name] = read(value)
        except ValueError as error:
            shown = repr(value)[:MAX_DIAGNOSTIC_CHARS]
            raise MalformedPin(f"{name} of a pin cannot be {shown}: {error}") from None
    # The readers return what the fields of Pin hold; a table cannot say so to the type checker.
    return Pin(**found)  # type: ignore[arg-type]


def _texts(items: Sequence[bytes] | None, text_of: Callable[[bytes], str]) -> list[str] | None:
    return None if items is None else [text_of(item) for item in items]


def _printable(text: str) -> str:
    """Return text that is UTF-8, with U+FFFD for what is not, as Go's JSON has it."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _metadata_object(metadata: Mapping[str, str] | None) -> dict[str, str] | None:
    if metadata is None:
        return None
    return {_printable(key): _printable(metadata[key]) for key in sorted(metadata)}


def _cid_text(cid: bytes | None) -> str | None:
    return cid_text(cid) if cid else None


def _peer_text(peer: bytes) -> str:
    return base58.b58encode(peer).decode("ascii")


def _multiaddr_text(address: bytes) -> str:
    # Few pins have origins, and the package takes 35 ms to import.
    from multiaddr import Multiaddr
    from multiaddr.exceptions import Error

    try:
        return str(Multiaddr(address))
    except Error as error:
        raise ValueError(f"{address.hex()} is no multiaddr: {error}") from None


def _time_text(nanoseconds: int | None) -> str:
    if nanoseconds is None:
        return _ZERO_TIME
    seconds, nanos = divmod(nanoseconds, NANOSECONDS_PER_S)
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        raise ValueError(f"JSON has no time {seconds} s from 1970") from None
    fraction = f".{nanos:09d}".rstrip("0") if nanos else ""
    # isoformat, because strftime does not pad the year 1 to four digits.
    return moment.replace(tzinfo=None).isoformat() + fraction + "Z"


def _read_time(value: object) -> int | None:
    match = _TIME.match(_read_text(value))
    if match is None:
        raise ValueError("a time is written like 2026-01-02T03:04:05Z (RFC 3339)")
    date, clock, fraction, zone = match.groups()
    moment = datetime.fromisoformat(f"{date}T{clock}{zone.upper()}")
    seconds = (moment - _EPOCH) // timedelta(seconds=1)
    nanos = int((fraction or "").ljust(9, "0"))
    if seconds == ZERO_TIME_UNIX_S and nanos == 0:
        return None
    return seconds * NANOSECONDS_PER_S + nanos


def _read_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("text is expected")  # noqa: TRY004 - a bad value, not a bad call
    return value


def _read_int(low: int, high: int) -> Callable[[object], int]:
    def read(value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value < high:
            raise ValueError(f"a whole number from {low} to {high - 1} is expected")
        return value

    return read


def _read_cid(value: object) -> bytes:
    return parse_cid(_read_text(value))


def _read_name_in(names: Mapping[object, int]) -> Callable[[object], int]:
    def read(value: object) -> int:
        number = names.get(_read_text(value))
        if number is None:
            raise ValueError(f"one of {', '.join(map(str, names))} is expected")
        return number

    return read


def _read_list(read: Callable[[object], bytes]) -> Callable[[object], tuple[bytes, ...]]:
    def read_all(value: object) -> tuple[bytes, ...]:
        if isinstance(value, str) or not isinstance(value, Iterable):
            raise ValueError("a list is expected")  # noqa: TRY004 - as in _read_text
        return tuple(read(item) for item in value)

    return read_all


def _read_peer(value: object) -> bytes:
    text = _read_text(value)
    # A peer ID in base58 is a multihash; behind a CID's prefix it is checked as one.
    cid = parse_cid(text if not text.startswith(("Qm", "1")) else _as_libp2p_key(text))
    if not cid.startswith(_LIBP2P_KEY_CID):
        raise InvalidCid(f"{text!r} is not the CID of a libp2p key")
    return cid[len(_LIBP2P_KEY_CID) :]


def _as_libp2p_key(text: str) -> str:
    return "f" + (_LIBP2P_KEY_CID + base58.b58decode(text)).hex()


def _read_multiaddr(value: object) -> bytes:
    from multiaddr import Multiaddr
    from multiaddr.exceptions import Error

    try:
        return bytes(Multiaddr(_read_text(value)).to_bytes())
    except Error as error:
        raise ValueError(f"{value!r} is no multiaddr: {error}") from None


def _read_metadata(value: object) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ValueError("an object of text is expected")  # noqa: TRY004 - as in _read_text
    return {_read_text(key): _read_text(item) for key, item in value.items()}


_INT: Final = _read_int(-(1 << 63), 1 << 63)
_READERS: Final[dict[str, Callable[[object], object]]] = {
    "replication_factor_min": _INT,
    "replication_factor_max": _INT,
    "name": _read_text,
    "mode": _read_name_in(_MODES),
    "shard_size": _read_int(0, 1 << 64),
    "user_allocations": _read_list(_read_peer),
    "expire_at": _read_time,
    "metadata": _read_metadata,
    "pin_update": _read_cid,
    "origins": _read_list(_read_multiaddr),
    "cid": _read_cid,
    "type": _read_name_in(_TYPES),
    "allocations": _read_list(_read_peer),
    "max_depth": _INT,
    "reference": _read_cid,
    "timestamp": _read_time,
}
