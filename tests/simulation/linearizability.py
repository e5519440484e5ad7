"""Was there one order of all operations that explains what clients saw? For registers, in n log n.

A history is of one register to which every value is written at most once. Gibbons and Korach
("Testing Shared Memories", 1997): take each value with its write and its reads. Let ``f`` be the
first end among them and ``s`` the last beginning. If ``f < s``, the register holds this value all
the time from ``f`` to ``s`` (a forward zone); else it holds it at some moment from ``s`` to ``f`` (a
backward zone). The history is linearisable iff no value is read before its write began, no two
forward zones overlap, and no backward zone lies within a forward zone.

An operation precedes another if it ended before the other began, strictly. A write whose outcome is
unknown never ended: if nobody read it, nobody can tell, and it is left out.
"""

from __future__ import annotations

import itertools
import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

__all__ = ["Operation", "why_not_linearizable"]


@dataclass(slots=True)
class Operation:
    """One write or read, in the world's time; ``ended`` is infinite while nobody knows."""

    value: bytes | None
    began: float
    ended: float = math.inf

    def __str__(self) -> str:
        return f"{self.value!r} [{self.began:.6f}, {self.ended:.6f}]"


@dataclass(frozen=True, slots=True)
class _Zone:
    value: bytes | None
    first_end: float
    last_begin: float

    def __str__(self) -> str:
        return f"{self.value!r} from {self.first_end:.6f} to {self.last_begin:.6f}"


def why_not_linearizable(
    writes: Mapping[bytes, Operation], reads: Iterable[Operation]
) -> str | None:
    """Return what no order of ``writes`` (by value) and ``reads`` explains; None if one does.

    The register begins with None. Reads that did not end must be left out.
    """
    ends: dict[bytes | None, float] = {v: w.ended for v, w in writes.items()}
    begins: dict[bytes | None, float] = {v: w.began for v, w in writes.items()}
    ends[None] = begins[None] = -math.inf
    for read in reads:
        if read.value not in ends:
            return f"{read} reads what nobody may have written"
        if read.value is not None and read.ended < writes[read.value].began:
            return f"{read} reads what is written later: {writes[read.value]}"
        ends[read.value] = min(ends[read.value], read.ended)
        begins[read.value] = max(begins[read.value], read.began)
    zones = [_Zone(value, end, begins[value]) for value, end in ends.items() if end < math.inf]
    forward = sorted(
        (zone for zone in zones if zone.first_end < zone.last_begin),
        key=lambda zone: zone.first_end,
    )
    for one, next_one in itertools.pairwise(forward):
        if next_one.first_end < one.last_begin:
            return f"the register held {one}, and also {next_one}"
    starts = [zone.first_end for zone in forward]
    for zone in zones:
        if zone.first_end < zone.last_begin:
            continue
        place = bisect_left(starts, zone.last_begin) - 1
        if place >= 0 and zone.first_end < forward[place].last_begin:
            return (
                f"the register held {forward[place]}, and all of {zone.value!r} lies within: "
                f"{zone.last_begin:.6f} to {zone.first_end:.6f}"
            )
    return None
