"""Run seeds and tell how they end, or tell the story of one: ``python -m tests.simulation --help``."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.simulation.diagram import Diagram
from tests.simulation.marks import ENOUGH_SEEDS, missed
from tests.simulation.seeds import STEPS, Outcome, Total, replay_command, run_seed

__all__ = ["main"]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation",
        description="Run the consensus core in a seeded world of faults, every step checked.",
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--seed", type=int, help="run this one seed")
    which.add_argument("--seeds", default="0-199", help="run these, first-last or a count (0-199)")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"events a seed ({STEPS})")
    parser.add_argument("--trace", action="store_true", help="tell every event")
    parser.add_argument("--svg", metavar="FILE", help="draw the end of its story (with --seed)")
    parser.add_argument("--marks", action="store_true", help="tell how often rare things happened")
    return parser.parse_args()


def _seeds(text: str) -> range:
    first, dash, last = text.partition("-")
    try:
        seeds = range(int(first), int(last) + 1) if dash else range(int(first))
    except ValueError:
        seeds = range(0)
    if not seeds:
        message = f"--seeds {text!r} is neither a count nor first-last, such as 200 or 1000-1999"
        raise SystemExit(message)
    return seeds


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def _tell_violation(outcome: Outcome, steps: int) -> None:
    _say(f"seed {outcome.seed}, step {outcome.steps}: {outcome.violation}")
    _say(f"  replay: {replay_command(outcome.seed, steps)}")


def _story(diagram: Diagram | None, *, is_told: bool) -> Callable[[str], None] | None:
    """Return who is told each event, if anybody is."""
    if diagram is None:
        return _say if is_told else None

    def tell(line: str) -> None:
        if is_told:
            _say(line)
        diagram.tell(line)

    return tell


def main() -> int:
    """Return 0 if no rule was broken, else 1."""
    arguments = _arguments()
    seeds = [arguments.seed] if arguments.seed is not None else _seeds(arguments.seeds)
    diagram = Diagram(f"seed {arguments.seed}") if arguments.svg and len(seeds) == 1 else None
    story = _story(diagram, is_told=arguments.trace)
    total = Total()
    began = time.process_time()
    for seed in seeds:
        outcome = run_seed(seed, arguments.steps, story=story)
        total.add(outcome)
        if outcome.violation is not None:
            _tell_violation(outcome, arguments.steps)
    spent_s = time.process_time() - began
    if diagram is not None:
        Path(arguments.svg).write_text(diagram.svg())
        _say(f"the end of its story is drawn in {arguments.svg}")
    if arguments.marks:
        for mark, count in sorted(total.marks.items()):
            _say(f"{count:10} {mark}")
    recoveries = sorted(total.recoveries_s)
    if recoveries:
        _say(
            f"recovered in {recoveries[len(recoveries) // 2]:.2f} s (median), "
            f"{recoveries[-1]:.2f} s (slowest); {total.committed} entries committed; "
            f"{total.steps / spent_s:.0f} steps a second"
        )
    never = missed(total.marks) if total.seeds >= ENOUGH_SEEDS else []
    for mark in never:
        _say(f"never reached: {mark}")
    _say(str(total))
    return 1 if total.violations or never else 0


if __name__ == "__main__":
    raise SystemExit(main())
