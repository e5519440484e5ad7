"""One pin: what shall be kept, where, and how (IPFS Cluster 1.x ``api.Pin``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

import immutables

from pinstate.cid import check_cid_bytes, cid_text

__all__ = ["NANOSECONDS_PER_S", "ZERO_TIME_UNIX_S", "Pin", "PinMode", "PinType"]

NANOSECONDS_PER_S: Final = 1_000_000_000
ZERO_TIME_UNIX_S: Final = -62_135_596_800
"""0001-01-01T00:00:00Z, Go's zero ``time.Time``, which is None here."""


class PinType(IntEnum):
    """What a pin is; the numbers are the ones on the wire (one bit each)."""

    BAD = 1
    DATA = 2
    META = 4
    CLUSTER_DAG = 8
    SHARD = 16


class PinMode(IntEnum):
    """How far below its root a pin reaches."""

    RECURSIVE = 0
    DIRECT = 1


_DEPTH_OF_MODE: Final = {PinMode.RECURSIVE: -1, PinMode.DIRECT: 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A pin with every field of IPFS Cluster 1.x; immutable and hashable.

    Times are whole nanoseconds since 1970 UTC (``int``; :class:`datetime.datetime` would lose
    three digits), and None for Go's zero time. CIDs, peer IDs and multiaddrs are their bytes.
    ``type`` and ``mode`` are a :class:`PinType` and a :class:`PinMode`, or another number that
    came from a peer and is kept. Where Go tells nil from empty, so does this: None or ``()``.

    ``Pin()`` is Go's zero pin. :meth:`of` makes a pin as Cluster's API does.
    """

    cid: bytes = b""
    """Empty for Go's undefined CID, which is never kept in a state."""
    type: int = 0
    allocations: tuple[bytes, ...] | None = None
    """Multihashes of the peers that hold it; empty when all do."""
    max_depth: int = 0
    reference: bytes | None = None
    timestamp: int | None = None
    """When it was pinned."""
    replication_factor_min: int = 0
    """-1: on every peer."""
    replication_factor_max: int = 0
    name: str = ""
    """Bytes that are not UTF-8 stand as surrogates (PEP 383); no state takes them."""
    mode: int = PinMode.RECURSIVE
    shard_size: int = 0
    user_allocations: tuple[bytes, ...] | None = None
    """Wished for by the user; not kept in the state."""
    expire_at: int | None = None
    metadata: Mapping[str, str] | None = None
    """Held as an :class:`immutables.Map`."""
    pin_update: bytes | None = None
    """The CID whose pin this one grows from."""
    origins: tuple[bytes, ...] | None = None
    """Multiaddrs of peers that have the content."""

    def __post_init__(self) -> None:
        if self.metadata is not None and not isinstance(self.metadata, immutables.Map):
            object.__setattr__(self, "metadata", immutables.Map(self.metadata))

    @staticmethod
    def of(
        cid: bytes,
        *,
        name: str = "",
        mode: PinMode = PinMode.RECURSIVE,
        replication_factor_min: int = -1,
        replication_factor_max: int = -1,
        allocations: Sequence[bytes] = (),
        timestamp: int | None = None,
        expire_at: int | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Pin:
        """Return a data pin of ``cid``, on every peer unless told otherwise.

        ``timestamp`` is the caller's clock, in nanoseconds since 1970 UTC: this room reads none.

        Raises:
            InvalidCid: ``cid`` is not one whole CID.

        """
        check_cid_bytes(cid)
        return Pin(
            cid=cid,
            type=PinType.DATA,
            allocations=tuple(allocations),
            max_depth=_DEPTH_OF_MODE[mode],
            timestamp=timestamp,
            replication_factor_min=replication_factor_min,
            replication_factor_max=replication_factor_max,
            name=name,
            mode=mode,
            expire_at=expire_at,
            metadata=metadata,
        )

    def with_timestamp(self, timestamp: int | None) -> Pin:
        """Return this pin, pinned at ``timestamp`` (nanoseconds since 1970 UTC)."""
        return replace(self, timestamp=timestamp)

    @property
    def is_everywhere(self) -> bool:
        """Whether every peer holds it."""
        return self.replication_factor_min < 0

    @property
    def cid_text(self) -> str:
        """The CID as people write it."""
        return cid_text(self.cid)
