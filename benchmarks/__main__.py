"""``python -m benchmarks``: every contender under every load, in turn, and the ratios."""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path
from typing import Final

import trio

from benchmarks.contender import Contender, Figures, Load, Settings, median
from benchmarks.machine import describe_machine
from benchmarks.raft_clusters import GO_BOLTDB, GO_IN_MEMORY, PYTHON

_CACHE: Final = Path(__file__).resolve().parents[1] / ".cache"
"""Not /tmp, which may be memory: both sides write to this disk."""
_CONTENDERS: Final = (GO_BOLTDB, PYTHON)
_LIMITS: Final = (GO_IN_MEMORY,)
_SECRET: Final = "5a" * 32

Results = dict[tuple[str, int], list[Figures]]
"""Figures of each round, by the contender's name and the operations in flight."""


def main() -> None:
    arguments = _parse_arguments()
    _CACHE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="bench-", dir=_CACHE) as text:
        folder = Path(text)
        print(describe_machine(folder))
        results = trio.run(_run, arguments, folder)
    medians = {key: median(rounds) for key, rounds in results.items()}
    _print_table(medians, arguments.in_flight)
    if arguments.json is not None:
        rows = [
            {"contender": name, "in_flight": in_flight, **asdict(figures)}
            for (name, in_flight), figures in medians.items()
        ]
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="measured time of each load")
    parser.add_argument("--warm-up", type=float, default=1.0, help="seconds before it")
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 64])
    parser.add_argument("--bytes", type=int, default=128, help="size of one operation")
    parser.add_argument("--rounds", type=int, default=1, help="the table shows medians over them")
    parser.add_argument("--private-network", action="store_true", help="with a cluster secret")
    parser.add_argument("--limits", action="store_true", help="also Go on its in-memory store")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args()


async def _run(arguments: argparse.Namespace, folder: Path) -> Results:
    contenders = _CONTENDERS + (_LIMITS if arguments.limits else ())
    results: Results = defaultdict(list)
    for number in range(arguments.rounds):
        for contender in contenders:
            settings = Settings(
                folder=folder / f"{number} {contender.name}",
                secret=_SECRET if arguments.private_network else None,
            )
            settings.folder.mkdir()
            await _measure(contender, settings, arguments, results)
    return results


async def _measure(
    contender: Contender, settings: Settings, arguments: argparse.Namespace, results: Results
) -> None:
    async with contender.start(settings) as measure:
        for in_flight in arguments.in_flight:
            load = Load(in_flight, arguments.bytes, arguments.seconds, arguments.warm_up)
            results[contender.name, in_flight].append(await measure(load))


def _print_table(medians: dict[tuple[str, int], Figures], in_flight: list[int]) -> None:
    """Print one row for each contender and load; ratios are to the first contender's rows."""
    first = next(iter(medians))[0]
    print(f"{'in flight':>9}  {'':16}{'commits/s':>10}{'p50 us':>9}{'p99 us':>9}  ratio to {first}")
    for load in in_flight:
        base = medians[first, load]
        for (name, row_load), figures in medians.items():
            if row_load != load:
                continue
            ratio = (
                ""
                if name == first
                else f"  {figures.commits_per_s / base.commits_per_s:.2f} commits/s,"
                f" {figures.p99_us / base.p99_us:.2f} p99"
            )
            print(
                f"{load:>9}  {name:16}{figures.commits_per_s:>10.0f}"
                f"{figures.p50_us:>9.0f}{figures.p99_us:>9.0f}{ratio}"
            )


if __name__ == "__main__":
    main()
