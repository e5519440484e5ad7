"""Check every image a crash may leave, over many workloads: ``python -m tests.storage --help``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context

from tests.storage.crash_seeds import Checked, run_until

__all__ = ["main"]

_PART = 5_000
"""Images a process checks before it reports."""
_SEEDS_OF_A_PART = 1_000


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.storage",
        description="Crash the data folder at every moment of random workloads, in every way.",
    )
    parser.add_argument("--images", type=int, default=100_000, help="how many at least (100000)")
    parser.add_argument("--first-seed", type=int, default=0, help="where the seeds begin (0)")
    return parser.parse_args()


def _parts(images: int, first_seed: int) -> Iterator[tuple[int, range]]:
    for number in range(-(-images // _PART)):
        begin = first_seed + number * _SEEDS_OF_A_PART
        yield _PART, range(begin, begin + _SEEDS_OF_A_PART)


def main() -> int:
    """Return 0 if nothing was lost, else 1."""
    arguments = _arguments()
    total = Checked()
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        parts = [
            pool.submit(run_until, images, seeds)
            for images, seeds in _parts(arguments.images, arguments.first_seed)
        ]
        for part in as_completed(parts):
            checked = part.result()
            total.images += checked.images
            total.seeds += checked.seeds
            total.lost += checked.lost
            for lost in checked.lost:
                sys.stdout.write(f"{lost}\n")
            sys.stderr.write(f"\r{total.images} images of {total.seeds} workloads")
    sys.stderr.write("\n")
    sys.stdout.write(f"{total}\n")
    return 1 if total.lost else 0


if __name__ == "__main__":
    raise SystemExit(main())
