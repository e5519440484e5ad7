"""A pin from a request: its CID from the path, its options from the query, as IPFS Cluster's.

Where Cluster ignores what it cannot read (an unknown mode, a malformed peer ID), this refuses
it: a pin with another meaning than the one asked for is worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from starlette.datastructures import QueryParams

from keys.errors import InvalidPeerID
from keys.peer_id import PeerID
from node import limits
from node.config.durations import parse_duration
from node.http.outcomes import Refusal
from pinstate.cid import InvalidCid, parse_cid
from pinstate.multiaddr_check import check_multiaddr
from pinstate.pin import NANOSECONDS_PER_S, Pin, PinMode

__all__ = ["ReplicationFactors", "cid_of", "pin_of_request", "timeout_of"]

_META: Final = "meta-"
_MODES: Final = {"recursive": PinMode.RECURSIVE, "direct": PinMode.DIRECT}
_RFC_3339: Final = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
_MAX_UINT64: Final = 2**64 - 1
_MAX_INT32: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class ReplicationFactors:
    """How many peers shall hold a pin: -1 and -1 for all, else 1 <= min <= max."""

    minimum: int = -1
    maximum: int = -1

    def problem(self) -> str | None:
        """Say what is wrong with the pair, if anything (Cluster's ``isReplicationFactorValid``)."""
        low, high = self.minimum, self.maximum
        if low < -1 or high < -1 or low == 0 or high == 0:
            return f"replication factors are -1, or 1 and more, not {low} and {high}"
        if (low == -1) != (high == -1):
            return (
                f"replication-min ({low}) and replication-max ({high}) must both be -1, or neither"
            )
        if low > high:
            return f"replication-min ({low}) is larger than replication-max ({high})"
        return None


def cid_of(text: str) -> bytes:
    """Return the CID in a path.

    Raises:
        Refusal: 400, naming it, in IPFS Cluster's words.

    """
    try:
        return parse_cid(text)
    except InvalidCid as error:
        raise Refusal(400, f"error decoding Cid: {error}") from error


def timeout_of(query: QueryParams, default_s: float) -> float:
    """Return how long the request may take, in seconds (``?timeout=5s``)."""
    text = query.get("timeout")
    if text is None:
        return default_s
    try:
        seconds = parse_duration(text)
    except ValueError as error:
        raise Refusal(400, f"error parsing timeout: {error}") from error
    if not 0 < seconds <= limits.MAX_OPERATION_TIMEOUT_S:
        most = limits.MAX_OPERATION_TIMEOUT_S
        raise Refusal(400, f"error parsing timeout: {text} is not above 0 s and at most {most:g} s")
    return seconds


def pin_of_request(
    cid: bytes, query: QueryParams, *, defaults: ReplicationFactors, now_ns: int
) -> Pin:
    """Return the pin that ``POST /pins/{cid}?...`` asks for, not yet allocated to peers.

    ``now_ns`` is the clock in nanoseconds since 1970 UTC, for the timestamp and ``expire-in``.

    Raises:
        Refusal: 400, naming the option, its value and what is allowed.

    """
    if len(query.multi_items()) > limits.MAX_QUERY_FIELDS:
        raise Refusal(400, f"more than {limits.MAX_QUERY_FIELDS} options")
    factors = _factors(query, defaults)
    pin = Pin.of(
        cid,
        name=_name(query),
        mode=_mode(query),
        replication_factor_min=factors.minimum,
        replication_factor_max=factors.maximum,
        timestamp=now_ns,
        expire_at=_expiry(query, now_ns),
        metadata=_metadata(query),
    )
    update = query.get("pin-update")
    return replace(
        pin,
        shard_size=_number(query, "shard-size", 0, 0, _MAX_UINT64),
        user_allocations=_peers(query.get("user-allocations")),
        pin_update=cid_of(update) if update else None,
        origins=_origins(query.get("origins")),
    )


def _number(query: Mapping[str, str], key: str, default: int, low: int, high: int) -> int:
    text = query.get(key)
    if not text:
        return default
    if not re.fullmatch(r"[+-]?[0-9]{1,20}", text) or not low <= int(text) <= high:
        raise Refusal(
            400, f"error parsing {key}: {text[:40]!r} is not a whole number from {low} up"
        )
    return int(text)


def _factors(query: QueryParams, defaults: ReplicationFactors) -> ReplicationFactors:
    both = _number(query, "replication", 0, -1, _MAX_INT32)
    factors = ReplicationFactors(
        _number(query, "replication-min", both, -1, _MAX_INT32) or defaults.minimum,
        _number(query, "replication-max", both, -1, _MAX_INT32) or defaults.maximum,
    )
    problem = factors.problem()
    if problem:
        raise Refusal(400, problem)
    return factors


def _name(query: QueryParams) -> str:
    name = query.get("name", "")
    if len(name.encode("utf-8", "surrogatepass")) > limits.MAX_PIN_NAME_BYTES:
        raise Refusal(400, f"the pin's name is longer than {limits.MAX_PIN_NAME_BYTES} bytes")
    return name


def _mode(query: QueryParams) -> PinMode:
    text = query.get("mode") or "recursive"
    if text not in _MODES:
        raise Refusal(400, f"error parsing mode: {text[:40]!r} is not recursive or direct")
    return _MODES[text]


def _expiry(query: QueryParams, now_ns: int) -> int | None:
    at, within = query.get("expire-at"), query.get("expire-in")
    if at:
        expiry = _unix_ns(at)
    elif within:
        try:
            expiry = now_ns + round(parse_duration(within) * NANOSECONDS_PER_S)
        except ValueError as error:
            raise Refusal(400, f"error parsing expire-in: {error}") from error
    else:
        return None
    if expiry < now_ns + NANOSECONDS_PER_S:
        raise Refusal(400, "the pin would expire in less than a second")
    return expiry


def _unix_ns(text: str) -> int:
    match = _RFC_3339.fullmatch(text)
    refusal = Refusal(
        400, f"error parsing expire-at: {text[:40]!r} is not a time such as 2030-01-31T00:00:00Z"
    )
    if match is None:
        raise refusal
    day, clock, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{zone.upper().replace('Z', '+00:00')}")
    except ValueError as error:
        raise refusal from error
    seconds = round((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    return seconds * NANOSECONDS_PER_S + int((fraction or "0").ljust(9, "0"))


def _metadata(query: QueryParams) -> dict[str, str] | None:
    metadata = {
        key.removeprefix(_META): value
        for key, value in query.multi_items()
        if key.startswith(_META) and key != _META
    }
    size = sum(
        len(text.encode("utf-8", "surrogatepass")) for pair in metadata.items() for text in pair
    )
    if size > limits.MAX_PIN_METADATA_BYTES:
        raise Refusal(400, f"the metadata is larger than {limits.MAX_PIN_METADATA_BYTES} bytes")
    return metadata


def _peers(text: str | None) -> tuple[bytes, ...] | None:
    if not text:
        return None
    try:
        return tuple(PeerID.parse(part).multihash for part in text.split(","))
    except InvalidPeerID as error:
        raise Refusal(400, f"error parsing user-allocations: {error}") from error


def _origins(text: str | None) -> tuple[bytes, ...] | None:
    if not text:
        return None
    from multiaddr import Multiaddr
    from multiaddr.exceptions import Error

    try:
        origins = tuple(bytes(Multiaddr(part).to_bytes()) for part in text.split(","))
        for origin in origins:
            check_multiaddr(origin)  # In the log it would make Go's peers inconsistent.
    except (Error, ValueError) as error:
        raise Refusal(400, f"error parsing origins: {error}") from error
    return origins
