"""Few rows of a table in which every two values of two axes meet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import TypeAlias

__all__ = ["cover_pairs", "pairs_of"]

_Pair: TypeAlias = tuple[tuple[int, str], tuple[int, str]]
"""Two values, each with the number of its axis."""


def pairs_of(row: Sequence[str]) -> set[_Pair]:
    """Return all pairs of values that meet in ``row``."""
    return set(combinations(enumerate(row), 2))


def cover_pairs(axes: Mapping[str, Sequence[str]]) -> list[tuple[str, ...]]:
    """Return rows, each a value of each axis, so that every pair of values is in one.

    The same rows for the same axes, always. Greedy: each row is one of those in which the most
    pairs meet for the first time, and of these the first whose other pairs met least often.
    """
    rows = list(product(*axes.values()))
    pairs = [pairs_of(row) for row in rows]
    missing = set[_Pair]().union(*pairs)
    met: Counter[_Pair] = Counter()

    def worth(number: int) -> tuple[int, int]:
        of_row = pairs[number]
        return len(of_row & missing), -sum(met[pair] for pair in of_row)

    chosen: list[tuple[str, ...]] = []
    while missing:
        best = max(range(len(rows)), key=worth)
        missing -= pairs[best]
        met.update(pairs[best])
        chosen.append(rows[best])
    return chosen
