"""Runs of one seed or many, and what they say."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from raft_over_libp2p.core.machine import Machine
from tests.simulation.go_fault import GoFault
from tests.simulation.marks import MARKS, missed
from tests.simulation.naive_spec import NaiveSpec
from tests.simulation.profile import Profile
from tests.simulation.violation import Violation
from tests.simulation.world import World

__all__ = ["JUDGED_SEEDS", "STEPS", "Outcome", "Total", "replay_command", "run_seed", "run_seeds"]

JUDGED_SEEDS = 4
STEPS = 4000
"""Events in a run, before the faults end and it has to recover."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one seed ended."""

    seed: int
    steps: int
    violation: Violation | None
    marks: Counter[str]
    recovery_s: float
    committed: int
    spent_s: float
    """Processor time."""


@dataclass(slots=True)
class Total:
    """How many seeds ended."""

    seeds: int = 0
    steps: int = 0
    committed: int = 0
    spent_s: float = 0.0
    marks: Counter[str] = field(default_factory=Counter)
    violations: list[Outcome] = field(default_factory=list)
    recoveries_s: list[float] = field(default_factory=list)

    def add(self, outcome: Outcome) -> None:
        """Count one more run."""
        self.seeds += 1
        self.steps += outcome.steps
        self.committed += outcome.committed
        self.spent_s += outcome.spent_s
        self.marks += outcome.marks
        if outcome.violation is None:
            self.recoveries_s.append(outcome.recovery_s)
        else:
            self.violations.append(outcome)

    def __str__(self) -> str:
        reached = len(MARKS) - len(missed(self.marks))
        return (
            f"simulated: {self.seeds} seeds, {self.steps} steps, {len(self.violations)} violations, "
            f"{reached} of {len(MARKS)} marks"
        )


def replay_command(seed: int, steps: int = STEPS) -> str:
    """Return what to type to see ``seed`` again, with its end drawn."""
    length = "" if steps == STEPS else f" --steps {steps}"
    return f"python -m tests.simulation --seed {seed}{length} --svg seed-{seed}.svg"


def run_seed(
    seed: int,
    steps: int = STEPS,
    *,
    profile: Profile | None = None,
    machine_type: type[Machine] = Machine,
    story: Callable[[str], None] | None = None,
    is_judged: bool | None = None,
) -> Outcome:
    """Run one seed to its end or its first violation.

    ``is_judged`` tells whether the naive specification judges each transition too, which takes
    time; by default it does so on one seed in ``JUDGED_SEEDS``.
    """
    began = time.process_time()
    if is_judged is None:
        is_judged = machine_type is Machine and seed % JUDGED_SEEDS == 0
    tracer = NaiveSpec().judge if is_judged else None
    world = World(seed, profile, machine_type=machine_type, story=story, tracer=tracer)
    violation = None
    try:
        world.run(steps)
    except GoFault as fault:
        world.marks["Go's own fault"] += 1
        world.tell(f"ends by a fault of a Go peer: {fault}")
    except Violation as caught:
        violation = caught
        world.tell(f"VIOLATION of {caught}")
    return Outcome(
        seed=seed,
        steps=world.steps,
        violation=violation,
        marks=world.marks,
        recovery_s=world.recovery_s,
        committed=len(world.commitment.entries),
        spent_s=time.process_time() - began,
    )


def run_seeds(
    seeds: Iterable[int], steps: int = STEPS, *, machine_type: type[Machine] = Machine
) -> Total:
    """Run many seeds, none stopped by another's violation."""
    total = Total()
    for seed in seeds:
        total.add(run_seed(seed, steps, machine_type=machine_type))
    return total
