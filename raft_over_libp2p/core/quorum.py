"""What a majority of voters agrees on: pure arithmetic over one value a voter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

__all__ = ["majority", "reached_by_majority"]

Number = TypeVar("Number", int, float)


def majority(voters: int) -> int:
    """Return how many of ``voters`` make a majority; 1 of none, so that nobody decides nothing."""
    return voters // 2 + 1


def reached_by_majority(values: Sequence[Number], lowest: Number) -> Number:
    """Return the largest value that a majority of the voters has reached.

    ``values`` holds one value for each voter; ``lowest`` is returned when there is no voter.
    """
    count = len(values)
    if not count:
        return lowest
    # In ascending order the last majority(count) values are at least this one.
    return sorted(values)[count - majority(count)]
