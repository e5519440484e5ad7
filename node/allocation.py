"""Which peers hold a pin that not every peer shall hold.

Wished-for peers come first, then peers that hold it already, then the rest by rendezvous
hashing of CID and peer ID: evenly spread, and moving nothing when the members do not change.
Free space is not looked at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

__all__ = ["NotEnoughPeers", "allocate"]


class NotEnoughPeers(Exception):
    """The cluster has fewer members than a pin wants; nothing was proposed."""


def allocate(
    cid: bytes,
    *,
    minimum: int,
    maximum: int,
    members: Sequence[bytes],
    wished: Sequence[bytes] = (),
    current: Sequence[bytes] = (),
) -> tuple[bytes, ...]:
    """Return the multihashes of ``maximum`` of the ``members``, or as many as there are.

    Empty when ``minimum`` is negative: everywhere.

    Raises:
        NotEnoughPeers: fewer than ``minimum`` members; the message says how many there are.

    """
    if minimum < 0:
        return ()
    if len(members) < minimum:
        raise NotEnoughPeers(
            f"not enough peers to allocate. Needed at least: {minimum}. "
            f"Wanted at most: {maximum}. Available candidates: {len(members)}"
        )

    def rank(peer: bytes) -> tuple[int, bytes]:
        favour = 0 if peer in wished else 1 if peer in current else 2
        return favour, hashlib.sha256(cid + peer).digest()

    return tuple(sorted(members, key=rank)[:maximum])
