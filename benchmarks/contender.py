"""What is measured, and what a cluster must offer to be measured."""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

__all__ = ["Contender", "Figures", "Load", "Measure", "Settings", "median"]


@dataclass(frozen=True, slots=True)
class Load:
    """A closed loop inside the leader: each client proposes, waits until applied, repeats."""

    in_flight: int
    """Clients, each with one operation in flight."""
    payload_bytes: int
    seconds: float
    warm_up_s: float
    """Time before the measured ``seconds`` whose operations are not counted."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one load came to: latencies are from proposal to applied on the leader."""

    commits_per_s: float
    p50_us: float
    p99_us: float


@dataclass(frozen=True, slots=True)
class Settings:
    """What all contenders share: three peers, three processes, loopback, Noise, the same disk."""

    folder: Path
    """An empty folder for this cluster's data."""
    secret: str | None
    """Secret of the private network in hex; None for a public one."""


Measure: TypeAlias = Callable[[Load], Awaitable[Figures]]


@dataclass(frozen=True, slots=True)
class Contender:
    """A kind of cluster. ``start`` runs one, with a leader, and gives what puts load on it."""

    name: str
    start: Callable[[Settings], AbstractAsyncContextManager[Measure]]


def median(rounds: Sequence[Figures]) -> Figures:
    """Return the median of each figure over ``rounds``."""
    return Figures(
        statistics.median(figures.commits_per_s for figures in rounds),
        statistics.median(figures.p50_us for figures in rounds),
        statistics.median(figures.p99_us for figures in rounds),
    )
