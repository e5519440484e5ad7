"""What README shows runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_embedding_example_pins_a_cid() -> None:
    run = subprocess.run(
        [sys.executable, PROJECT / "examples" / "embed.py"],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )

    assert (0, "") == (run.returncode, run.stderr)
    assert "QmY7Yh4UquoXHLPFo2XbhXkhBvFoPwmQUSa92pxnxjQuPU is pinned" in run.stdout
