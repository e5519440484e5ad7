"""What a history and the state at its end prove: the one place where a run is found good or bad."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.chaos.checking import check
from tests.chaos.history import Operation, impossible_reads, lost_writes, write_history

__all__ = ["Judgement", "judge"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was judged and found. ``operations`` are the calls that were done or may have been."""

    operations: int
    violations: list[str]
    lost: list[Operation]


def judge(
    checker: Path, history: Sequence[Operation], final: Mapping[str, str] | None, folder: Path
) -> Judgement:
    """Judge a history and the ``final`` state (value by CID), and keep both in ``folder``.

    None is for a cluster that came to no common state: then nothing can be said to be lost.
    """
    write_history(folder / "history.ndjson", history)
    (folder / "final.json").write_text(json.dumps(final, indent=1) + "\n")
    verdict = check(checker, history, folder)
    violations = [f"{cid} is not linearisable" for cid in verdict.illegal]
    violations += [f"{cid}: the judge did not finish" for cid in verdict.undecided]
    violations += [f"impossible: {read}" for read in impossible_reads(history)]
    lost = [] if final is None else lost_writes(history, final)
    return Judgement(verdict.operations, violations, lost)
