"""A line about the machine: figures mean little without it."""

from __future__ import annotations

import os
import platform
import statistics
import time
from pathlib import Path
from typing import Final

__all__ = ["describe_machine"]

_PROBES: Final = 100
_PROBE_BYTES: Final = 4096


def describe_machine(folder: Path) -> str:
    """Return cores, Python, and what a 4 KiB write with fdatasync takes in ``folder``."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{cores} cores, {platform.system()} {platform.machine()}, Python "
        f"{platform.python_version()}, 4 KiB fdatasync p50 {_fdatasync_us(folder):.0f} us"
    )


def _fdatasync_us(folder: Path) -> float:
    sync = getattr(os, "fdatasync", os.fsync)
    path = folder / "probe"
    block = bytes(_PROBE_BYTES)
    took = []
    with path.open("wb", buffering=0) as file:
        for _ in range(_PROBES):
            began = time.perf_counter()
            file.write(block)
            sync(file.fileno())
            took.append(time.perf_counter() - began)
    path.unlink()
    return statistics.median(took) * 1e6
