"""Which fault happens when, drawn from a seed before anything runs, and written down as JSON.

A schedule is made of rounds: first each kind of fault in turn with a pause after it, then a
storm in which they overlap. A victim may be *the leader*: who that is, is seen when the fault
strikes. What the peers' processes and the kernel do in between is not recorded.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

__all__ = ["KINDS", "LEADER", "Fault", "Schedule", "make_schedule"]

KINDS: Final = (
    "loss", "delay", "duplication", "one-way", "isolation", "split", "bridge", "ring", "swizzle",
    "kill", "kill-all", "pause", "full-disk", "full-log", "clock-jump", "transfer", "removal",
)  # fmt: skip
"""Network, then process, then disk, clock and cluster."""

LEADER: Final = 0
"""As a victim: whoever leads when the fault strikes."""

_TURN_S: Final = (4.0, 7.0)
"""One fault and the pause after it: an election or two, at timeouts of a second."""
_ACTIVE_PART: Final = 0.7
_STORM_PART: Final = 0.35
_STORM_FAULTS_A_SECOND: Final = 0.8
_ROUND_S: Final = 130.0
"""About one turn for each kind, and the storm."""
_LEADER_ODDS: Final = 0.4


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, ``lasts_s`` long. ``settings`` are the kind's own (``nemesis.py``)."""

    number: int
    kind: str
    at_s: float
    lasts_s: float
    victims: tuple[int, ...]
    """Numbers of peers, the one it is about first; LEADER stands for the leader."""
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Schedule:
    """All faults of one run, in the order in which they begin."""

    seed: int
    seconds: float
    peers: int
    faults: tuple[Fault, ...]

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")


def make_schedule(seed: int, seconds: float, peers: int, kinds: Sequence[str] = KINDS) -> Schedule:
    """Return the schedule of ``seed``: the same for the same arguments."""
    dice = random.Random(f"chaos {seed}")
    rounds = max(1, round(seconds / _ROUND_S))
    faults: list[Fault] = []
    for number in range(rounds):
        start = seconds * number / rounds
        faults += _round(dice, start, seconds / rounds, peers, kinds, len(faults))
    return Schedule(seed, seconds, peers, tuple(sorted(faults, key=lambda fault: fault.at_s)))


def _round(
    dice: random.Random, start: float, seconds: float, peers: int, kinds: Sequence[str], first: int
) -> list[Fault]:
    storm_at = start + seconds * (1 - _STORM_PART)
    end = start + seconds
    left = dice.sample(kinds, len(kinds))
    faults: list[Fault] = []
    at = start
    while left:
        turn_s = dice.uniform(*_TURN_S)
        if at + turn_s > storm_at:
            break
        faults.append(_fault(dice, first + len(faults), left.pop(), at, turn_s, peers))
        at += turn_s
    # In the storm first come those that had no turn: every round has every kind.
    count = max(len(left), round((end - storm_at) * _STORM_FAULTS_A_SECOND))
    repeated = [kind for kind in kinds if kind != "kill-all"]  # whose restarts take a storm's time
    if repeated:
        left += dice.choices(repeated, k=count - len(left))
    for kind in left:
        strikes_at = dice.uniform(storm_at, max(storm_at, end - 2.0))
        lasts_s = min(dice.uniform(*_TURN_S), end - strikes_at)
        faults.append(_fault(dice, first + len(faults), kind, strikes_at, lasts_s, peers))
    return faults


def _fault(
    dice: random.Random, number: int, kind: str, at_s: float, lasts_s: float, peers: int
) -> Fault:
    victims = dice.sample(range(1, peers + 1), peers)
    if dice.random() < _LEADER_ODDS:
        victims.insert(0, LEADER)
    lasts_s *= _ACTIVE_PART
    settings: dict[str, Any] = {}
    match kind:
        case "loss":
            settings = {"loss": round(dice.uniform(0.05, 0.3), 3)}
        case "delay":
            delay_s = dice.uniform(0.01, 0.2)
            settings = {"delay_s": round(delay_s, 4), "jitter_s": round(delay_s / 2, 4)}
        case "duplication":
            settings = {"duplication": round(dice.uniform(0.05, 0.5), 3), "jitter_s": 0.005}
        case "pause":
            lasts_s = min(dice.uniform(0.1, 10.0), lasts_s * 1.5)
        case "clock-jump":
            seconds = dice.choice((3600, 86_400, 400 * 86_400)) * dice.choice((-1, 1))
            settings = {"jump_s": seconds}
    return Fault(number, kind, round(at_s, 3), round(lasts_s, 3), tuple(victims), settings)
