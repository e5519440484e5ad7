"""Check the model: ``python -m tests.model``, and with FULL=1 within larger bounds."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import replace

from tests.model.bounds import BOUNDS, DEEP, FAULTS, INVARIANTS, LARGE, Bound, check

__all__ = ["main"]


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _check(bound: Bound) -> tuple[int, bool]:
    """Check one bound and tell of it; return its states and whether an invariant was violated."""
    began = time.monotonic()
    verdict = check(bound)
    what = "all of them" if verdict.is_complete else "at random"
    is_judged = verdict.is_complete or (bound.traces and verdict.states)
    if verdict.violated or verdict.error or not is_judged:
        what = f"VIOLATED: {verdict.violated or verdict.error or verdict.text[-1000:]}"
    spent_s = time.monotonic() - began
    _say(f"{bound.name:40} {verdict.states:9} states, {what} ({spent_s:.0f} s)")
    if verdict.violated:
        _say(verdict.text[verdict.text.index("Error:") :])
    return verdict.states, what.startswith("VIOLATED")


def main() -> int:
    """Return 0 if no invariant is violated and each seeded fault violates its own."""
    is_full = bool(os.environ.get("FULL"))
    bounds = list(BOUNDS)
    if is_full:
        bounds += LARGE
    bounds += [replace(bound, traces=bound.traces * (10 if is_full else 1)) for bound in DEEP]
    results = [_check(bound) for bound in bounds]
    missed = 0
    for bound in FAULTS:
        verdict = check(bound)
        is_found = verdict.violated == bound.caught_by
        missed += not is_found
        found = verdict.violated or verdict.error or "NOTHING"
        _say(f"seeded fault: {bound.fault:30} {verdict.states:9} states, found: {found}")
    violated = sum(is_violated for _, is_violated in results)
    states = sum(count for count, _ in results)
    _say(f"seeded faults: {len(FAULTS) - missed} of {len(FAULTS)} found")
    _say(f"model: {states} states, {len(INVARIANTS)} invariants, {violated} violated")
    return 1 if violated or missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
