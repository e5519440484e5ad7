"""Compare our decoders with Go's for as long as you like: ``python -m tests.fuzz.against_go``.

Needs go. The last line is ``against Go: N inputs, N disagreements``; each disagreement is shown
with its input in hexadecimal, and the exit code is 1.
"""

# ruff: noqa: T201 - a command speaks

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Callable

from hypothesis import HealthCheck, given, settings

from tests.fuzz.go_differences import Disagreement, difference_of
from tests.fuzz.go_program import GoDecoders, running_decoders
from tests.fuzz.go_targets import GO_TARGETS, GoTarget
from tests.fuzz.mutation import mutated
from tests.interop.go_build import go_command

_DRAWN_BYTES = 1024
"""More than any one input takes: few numbers say what becomes of a seed."""


class _Comparison:
    """One target: what was asked, and what came of it."""

    def __init__(self, go: GoDecoders, target: GoTarget) -> None:
        self._go = go
        self._target = target
        self.inputs = 0
        self.listed: Counter[str] = Counter()

    def run(self, seconds: float, dice: random.Random) -> str | None:
        """Compare until the time is up or a disagreement is found; return what it says."""

        @settings(database=None, deadline=None, suppress_health_check=list(HealthCheck))
        @given(mutated(self._target.seeds()))
        def compare(data: bytes) -> None:
            self.inputs += 1
            difference = difference_of(self._go, self._target, data)
            if difference is not None:
                self.listed[difference.row] += 1

        compare_drawn: Callable[[bytes], object] = compare.hypothesis.fuzz_one_input  # type: ignore[attr-defined]
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                # What Hypothesis draws is made of these bytes, and nothing is remembered.
                compare_drawn(dice.randbytes(_DRAWN_BYTES))
            except Disagreement as disagreement:
                return str(disagreement)
        return None


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.against_go", description=__doc__)
    parser.add_argument("target", nargs="*", help="names of targets (all)")
    parser.add_argument("--seconds", type=float, default=60, help="for each target (60)")
    parser.add_argument("--seed", type=int, default=None, help="of the draws (a new one)")
    options = parser.parse_args()
    if go_command() is None:
        print("go is not installed (https://go.dev/dl, 1.26 or later)", file=sys.stderr)
        return 2
    names = options.target or list(GO_TARGETS)
    if unknown := [name for name in names if name not in GO_TARGETS]:
        print(f"no target {unknown[0]!r}; there are {', '.join(GO_TARGETS)}", file=sys.stderr)
        return 2
    number = options.seed if options.seed is not None else random.SystemRandom().getrandbits(32)
    dice = random.Random(number)
    inputs = disagreements = 0
    with running_decoders() as go:
        for name in names:
            comparison = _Comparison(go, GO_TARGETS[name])
            found = comparison.run(options.seconds, dice)
            inputs += comparison.inputs
            disagreements += found is not None
            listed = comparison.listed.total()
            print(f"{name}: {comparison.inputs} inputs, {listed} listed differences", flush=True)
            if found is not None:
                print(f"  DISAGREEMENT (seed {number}): {found[:4000]}", flush=True)
    print(f"against Go: {inputs} inputs, {disagreements} disagreements")
    return 1 if disagreements else 0


if __name__ == "__main__":
    sys.exit(main())
