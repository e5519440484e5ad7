"""A few seeds that reach every rare event, most of them several times, so that CI sees one that is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from tests.simulation.marks import MARKS

__all__ = ["COVER", "TIMES", "find_cover"]

TIMES = 3
"""Seeds of the cover that reach a mark, if so many were found: the core changes, and worlds with it."""

COVER = (
    13,
    44,
    58,
    105,
    152,
    160,
    172,
    201,
    223,
    238,
    242,
    286,
    408,
    414,
    461,
    523,
    542,
    695,
    767,
)
"""What ``python -m tests.simulation --seeds 0-999 --cover`` found."""


def find_cover(reached: Mapping[int, Counter[str]]) -> list[int]:
    """Return seeds that together reach each mark ``TIMES`` times, or as often as ``reached`` has it.

    Greedy: the next one is always the one that helps most, the lowest of several.
    """
    seeds = {seed: MARKS.intersection(+marks) for seed, marks in reached.items()}
    found = Counter(mark for marks in seeds.values() for mark in marks)
    needed = Counter({mark: min(TIMES, count) for mark, count in found.items()})
    chosen: list[int] = []
    while needed:
        best = max(sorted(seeds), key=lambda seed: sum(1 for m in seeds[seed] if needed[m]))
        needed -= Counter(seeds.pop(best))
        chosen.append(best)
    return sorted(chosen)
