"""Clusters of real peers under faults, judged by porcupine: ``python -m tests.chaos``.

    python -m tests.chaos --minutes 10                    # as `make chaos MINUTES=10`
    python -m tests.chaos --cluster 75:5+0 --seed 7       # 75 s of 5 Python and no Go peers
    python -m tests.chaos --cluster 75:5+0 --cluster 45:2+1

With ``--minutes`` the time is shared out to clusters of five and three daemons, and to two with
Go peers. The last line counts operations, faults, violations and lost writes; the exit code is
1 if there was a violation or a loss, and then history, schedule, logs and drawings are kept. A
seed gives the same schedule of faults again; what the kernel makes of it is not recorded.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import trio

from tests.chaos.checking import build_checker
from tests.chaos.namespaces import keep_mounts_private, missing_for_namespaces
from tests.chaos.run import Plan, Result, build_clock, run_cluster
from tests.chaos.schedule import make_schedule
from tests.interop.go_build import build_go_peer, go_command

__all__: list[str] = []

_SHARES: Final = (
    # Of the time; Python peers; Go peers.
    (0.4, 5, 0),
    (0.2, 3, 0),
    (0.2, 3, 2),
    (0.2, 2, 1),
)


def _cluster(text: str) -> tuple[float, int, int]:
    seconds, _, peers = text.partition(":")
    python, _, go = peers.partition("+")
    return float(seconds), int(python), int(go)


def _arguments(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--minutes", type=float, help="for four clusters together")
    length.add_argument(
        "--cluster",
        type=_cluster,
        action="append",
        metavar="SECONDS:PYTHON+GO",
        help="one cluster: how long, and how many peers of each language; may be repeated",
    )
    parser.add_argument("--seed", type=int, help="of the faults and clients [random]")
    parser.add_argument("--folder", type=Path, help="for what a failed run leaves [temporary]")
    parser.add_argument("--keep", action="store_true", help="keep the folder of a good run too")
    return parser.parse_args(argv)


def _main(argv: Sequence[str]) -> int:
    arguments = _arguments(argv)
    missing = missing_for_namespaces() or (None if go_command() else "go is not installed")
    if missing is not None:
        sys.stderr.write(f"chaos cannot run here: {missing}\n")
        return 2
    seed = random.SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    folder = arguments.folder or Path(tempfile.mkdtemp(prefix="chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    checker, go_peer = build_checker(), build_go_peer()
    clock = build_clock(folder)
    keep_mounts_private()
    clusters = arguments.cluster or [
        (share * arguments.minutes * 60, python, go) for share, python, go in _SHARES
    ]
    results: list[Result] = []
    for number, (seconds, python, go) in enumerate(clusters):
        languages = ["python"] * python + ["go"] * go
        kept = folder / f"{number}-python{python}-go{go}"
        schedule = make_schedule(seed + number, seconds, len(languages))
        _say(f"{seconds:.0f} s of {python} Python and {go} Go peers, seed {seed + number}")
        plan = Plan(schedule, languages, kept, checker, go_peer, clock)
        result = trio.run(run_cluster, plan)
        for line in (*result.notes, *(f"VIOLATION {text}" for text in result.violations)):
            _say(f"  {line}")
        results.append(result)
    return _conclude(results, folder, is_kept=arguments.keep)


def _conclude(results: Sequence[Result], folder: Path, *, is_kept: bool) -> int:
    violations = sum(len(result.violations) for result in results)
    lost = sum(result.lost for result in results)
    is_bad = any(result.is_bad for result in results)
    if is_bad or is_kept:
        _say(f"kept in {folder}")
    else:
        shutil.rmtree(folder)
    _say(
        f"chaos: {sum(result.operations for result in results)} operations, "
        f"{sum(result.faults for result in results)} faults, {violations} violations, {lost} lost"
    )
    return 1 if is_bad else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
