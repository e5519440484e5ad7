"""Random workloads for the crash worlds: a seed is a workload, and every image of it is checked.

Even seeds work on log and vote (``crash_world``), odd ones on log and snapshots
(``snapshot_world``). Appends of all sizes (also into new segments), truncations, votes,
compactions, snapshots taken and installed, writes without space, restarts.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.storage.crash_world import CrashWorld, Violation
from tests.storage.snapshot_world import TERM, SnapshotWorld

__all__ = ["STEPS", "Checked", "run_seed", "run_until"]

STEPS = 10
"""Steps of one seed; each has a crash at every moment of it."""
_LARGE = 30
"""Entries of an append that fills more than a segment."""
_MOST_OF_A_MOMENT = 200
"""Images of one moment that are all looked at; where there are more, so many are drawn by dice, so
that the images are of many workloads and not of the few moments with thousands."""


@dataclass(slots=True)
class Checked:
    """What was looked at, and what was wrong with it."""

    images: int = 0
    seeds: int = 0
    lost: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return f"crash images: {self.images} checked, {len(self.lost)} lost"


def run_seed(seed: int) -> int:
    """Run one seed; return how many images it looked at.

    Raises:
        Violation: an image lost something durable, invented something, or was refused.

    """
    dice = random.Random(seed)
    return _log_and_vote(seed, dice) if seed % 2 == 0 else _snapshots(seed, dice)


def run_until(images: int, seeds: Iterable[int]) -> Checked:
    """Run ``seeds`` until ``images`` were looked at, one of them lost something, or they end."""
    checked = Checked()
    for seed in seeds:
        if checked.images >= images or checked.lost:
            break
        checked.seeds += 1
        try:
            checked.images += run_seed(seed)
        except Violation as violation:
            checked.lost.append(f"seed {seed}: {violation}")
    return checked


def _count(dice: random.Random) -> int:
    return _LARGE if dice.random() < 0.07 else dice.randint(1, 6)


def _log_and_vote(seed: int, dice: random.Random) -> int:
    world = CrashWorld(seed=seed, most_images=_MOST_OF_A_MOMENT)
    term = 1

    def append() -> None:
        world.append(_count(dice), term)

    def truncate() -> None:
        last = len(world.durable.log)
        # One entry stays: the model does not say where a log begins that holds none.
        if last > world.removed_upto + 1:
            first = dice.randint(world.removed_upto + 2, last)
            world.append(dice.randint(0, 3), term, truncate_from=first)

    def vote() -> None:
        current = world.durable.state.term
        world.vote(current + dice.randint(0, 1), dice.choice((None, "12D3KooWRival")))

    def compact() -> None:
        last = len(world.durable.log)
        if last > world.removed_upto + 1:
            world.remove_prefix(dice.randint(world.removed_upto + 1, last - 1))

    def no_space() -> None:
        world.fs.full_writes = {world.fs.writes + 1}
        world.fs.partial_bytes = dice.randint(0, 200)
        world.append(dice.randint(1, 4), term)
        world.append(1, term)

    steps: tuple[Callable[[], None], ...] = (
        *(append, append, append, truncate, truncate),
        *(vote, compact, no_space, world.restart),
    )
    for _ in range(STEPS):
        term = max(term, dice.randint(term, term + 1))
        dice.choice(steps)()
    return world.images


def _snapshots(seed: int, dice: random.Random) -> int:
    world = SnapshotWorld(retain=dice.randint(1, 3), seed=seed, most_images=_MOST_OF_A_MOMENT)

    def term() -> int:
        newest = world.durable.log[-1].term if world.durable.log else world.durable.term
        return min(TERM, max(1, newest) + (dice.random() < 0.3))

    def append() -> None:
        world.append(_count(dice), term())

    def take() -> None:
        durable = world.durable
        if durable.log:
            world.take(dice.randint(durable.index + 1, durable.last), _state(dice))

    def install() -> None:
        durable = world.durable
        index = dice.randint(durable.index + 1, durable.last + 5)
        world.install(index, term(), _state(dice))

    def no_space() -> None:
        if not world.durable.log:
            return
        world.fs.full_writes = {world.fs.writes + dice.randint(1, 3)}
        world.fs.partial_bytes = dice.randint(0, 40)
        world.take(world.durable.last, _state(dice))
        # Its removal was not synced; with it pending each later step would have all its images twice.
        world.fs.full_writes = set()
        world.fs.sync_directory("/raft/snapshots")

    steps: tuple[Callable[[], None], ...] = (
        *(append, append, append, take, take, install),
        *(world.compact, no_space, world.restart),
    )
    for _ in range(STEPS):
        dice.choice(steps)()
    return world.images


def _state(dice: random.Random) -> bytes:
    return dice.randbytes(dice.randint(0, 3))
