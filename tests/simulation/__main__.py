"""Run seeds and tell how they end, or tell the story of one: ``python -m tests.simulation --help``."""

from __future__ import annotations

import argparse
import secrets
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from tests.simulation.cover import find_cover
from tests.simulation.diagram import Diagram
from tests.simulation.many import Task, cores, fresh_tasks, run_many
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
    which.add_argument(
        "--hours", type=float, help="run fresh ones for so long, a tenth of them long"
    )
    parser.add_argument("--base", type=int, help="the first of the fresh seeds [random]")
    parser.add_argument("--jobs", type=int, default=cores(), help="processes [one for each core]")
    parser.add_argument(
        "--cover", action="store_true", help="tell which few of them reach all marks"
    )
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


def _tasks(arguments: argparse.Namespace) -> Iterable[Task]:
    if arguments.hours is None:
        return (Task(seed, arguments.steps) for seed in _seeds(arguments.seeds))
    base = arguments.base if arguments.base is not None else secrets.randbelow(10**9)
    _say(f"fresh seeds from {base} on; the same again: --base {base}")
    return fresh_tasks(base, time.monotonic() + arguments.hours * 3600.0)


def _run(arguments: argparse.Namespace, diagram: Diagram | None) -> Iterator[tuple[Task, Outcome]]:
    if arguments.seed is None:
        yield from run_many(_tasks(arguments), arguments.jobs)
        return
    task = Task(arguments.seed, arguments.steps)
    story = _story(diagram, is_told=arguments.trace)
    yield task, run_seed(task.seed, task.steps, story=story)


def main() -> int:
    """Return 0 if no rule was broken, else 1."""
    arguments = _arguments()
    is_drawn = arguments.svg and arguments.seed is not None
    diagram = Diagram(f"seed {arguments.seed}") if is_drawn else None
    total = Total()
    reached: dict[int, Counter[str]] = {}
    for task, outcome in _run(arguments, diagram):
        total.add(outcome)
        if arguments.cover:
            reached[task.seed] = outcome.marks
        if outcome.violation is not None:
            _tell_violation(outcome, task.steps)
    if diagram is not None:
        Path(arguments.svg).write_text(diagram.svg())
        _say(f"the end of its story is drawn in {arguments.svg}")
    if arguments.marks:
        for mark, count in sorted(total.marks.items()):
            _say(f"{count:10} {mark}")
    if arguments.cover:
        _say(f"COVER = {tuple(find_cover(reached))}")
    recoveries = sorted(total.recoveries_s)
    if recoveries:
        _say(
            f"recovered in {recoveries[len(recoveries) // 2]:.2f} s (median), "
            f"{recoveries[-1]:.2f} s (slowest); {total.committed} entries committed; "
            f"{total.steps / total.spent_s:.0f} steps a second and core"
        )
    never = missed(total.marks) if total.seeds >= ENOUGH_SEEDS else []
    for mark in never:
        _say(f"never reached: {mark}")
    _say(str(total))
    return 1 if total.violations or never else 0


if __name__ == "__main__":
    raise SystemExit(main())
