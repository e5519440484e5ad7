"""Which links carry nothing in the partitions that the literature names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

__all__ = ["SHAPES", "Links", "between", "bridge", "isolation", "one_way", "ring", "split"]

Links: TypeAlias = frozenset[tuple[str, str]]
"""Pairs of addresses: from, to."""


def between(one: Iterable[str], other: Iterable[str]) -> Links:
    """Return the links between two groups, both ways."""
    others = list(other)
    return frozenset(pair for a in one for b in others for pair in ((a, b), (b, a)))


def isolation(peers: Sequence[str]) -> Links:
    """The first peer alone."""
    return between(peers[:1], peers[1:])


def split(peers: Sequence[str]) -> Links:
    """The first peer with the largest minority, against the rest."""
    minority = (len(peers) - 1) // 2
    return between(peers[:minority], peers[minority:])


def one_way(peers: Sequence[str]) -> Links:
    """The first peer is heard by nobody, and hears all."""
    return frozenset((peers[0], other) for other in peers[1:])


def bridge(peers: Sequence[str]) -> Links:
    """Two halves that only the first peer reaches."""
    rest = peers[1:]
    half = len(rest) // 2
    return between(rest[:half], rest[half:])


def ring(peers: Sequence[str]) -> Links:
    """Everybody reaches two neighbours; of three peers the first link is cut, which leaves a chain."""
    count = len(peers)
    if count <= 3:
        return between(peers[:1], peers[1:2])
    near = {0, 1, count - 1}
    return frozenset(
        (a, b)
        for i, a in enumerate(peers)
        for j, b in enumerate(peers)
        if (j - i) % count not in near
    )


SHAPES: Final[dict[str, Callable[[Sequence[str]], Links]]] = {
    "isolation": isolation,
    "split": split,
    "one-way": one_way,
    "bridge": bridge,
    "ring": ring,
}
