"""The preloaded library shifts the wall clock of a process that runs, and no other clock."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.chaos.run import build_clock

_DAY_S = 86_400
_PROGRAM = "import sys, time\nfor _ in sys.stdin: print(time.time(), time.monotonic(), flush=True)"


def test_a_wall_clock_jumps_while_a_process_runs_and_its_monotonic_clock_stays(
    tmp_path: Path,
) -> None:
    library = build_clock(tmp_path)
    if library is None:
        pytest.skip("no C compiler: wall clocks cannot be shifted")
    offset = tmp_path / "offset"
    offset.write_bytes(struct.pack("<q", 0))
    environment = os.environ | {"LD_PRELOAD": str(library), "CHAOS_CLOCK": str(offset)}
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    ) as process:  # fmt: skip
        before, monotonic_before = _clocks(process)
        with offset.open("r+b") as file:
            file.write(struct.pack("<q", -_DAY_S * 10**9))
        after, monotonic_after = _clocks(process)
        process.kill()

    assert abs(before - time.time()) < _DAY_S / 2
    assert _DAY_S / 2 < before - after < _DAY_S * 2
    assert 0 <= monotonic_after - monotonic_before < _DAY_S / 2


def _clocks(process: subprocess.Popen[str]) -> tuple[float, float]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    wall, monotonic = map(float, process.stdout.readline().split())
    return wall, monotonic
