"""Two minutes of faults against clusters of real peers: nothing lost, nothing out of order."""

from __future__ import annotations

import faulthandler
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.chaos.checking import build_checker
from tests.chaos.namespaces import missing_for_namespaces
from tests.interop.go_build import build_go_peer

_CLUSTERS = ("--cluster", "60:5+0", "--cluster", "40:2+1")
_MOST_S = 1000
"""Two minutes on a quiet machine, and what `run.py` allows for leaders, restarts and healing."""
_LAST_LINE = re.compile(r"chaos: (\d+) operations, (\d+) faults, (\d+) violations, (\d+) lost")


@pytest.fixture
def _built() -> None:
    missing = missing_for_namespaces()
    if missing is None and shutil.which("go") is None:
        missing = "go is not installed"
    if missing is not None:
        pytest.skip(missing)
    build_checker()
    build_go_peer()


@pytest.mark.go
@pytest.mark.root
@pytest.mark.slow
@pytest.mark.usefixtures("_built")
@pytest.mark.timeout(_MOST_S + 100, func_only=True)
def test_clusters_under_faults_stay_linearisable_and_lose_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "chaos"
    # It takes minutes: no thread dump after pytest's faulthandler_timeout.
    faulthandler.cancel_dump_traceback_later()

    run = subprocess.run(
        [sys.executable, "-m", "tests.chaos", *_CLUSTERS, "--seed", "1", "--folder", str(folder)],
        capture_output=True,
        text=True,
        timeout=_MOST_S,
    )

    assert 0 == run.returncode, run.stdout + run.stderr
    found = _LAST_LINE.fullmatch(run.stdout.splitlines()[-1])
    assert found is not None, run.stdout
    operations, faults, violations, lost = map(int, found.groups())
    assert (0, 0) == (violations, lost)
    # About 4 500 and 40 on two cores that others use too: a run in which nothing was tried is none.
    assert operations > 200, run.stdout
    assert faults > 20, run.stdout
    assert not folder.exists()
