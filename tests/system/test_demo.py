"""The demo from its first line to its exit code, as a process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "node.cli.main", "demo", "--files", "60", *arguments]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _wait_gone(pid: int) -> bool:
    deadline = time.monotonic() + 30
    while _is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not _is_alive(pid)


def _environment(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(tmp_path)}


def test_the_demo_shows_agreement_across_changes_and_its_cluster_can_be_kept(
    tmp_path: Path,
) -> None:
    ran = subprocess.run(
        _command("--keep"), capture_output=True, text=True, env=_environment(tmp_path), timeout=170
    )
    stop = re.search(r"kill ((?:\d+ ?){3})", ran.stdout)
    assert stop is not None, ran.stdout + ran.stderr
    try:
        asked = subprocess.run(
            [sys.executable, "-m", "node.cli.main", "-c", str(next(tmp_path.glob("*/node-1"))), "status"],
            capture_output=True, text=True,
        )  # fmt: skip
    finally:
        for pid in stop[1].split():
            os.kill(int(pid), signal.SIGTERM)

    assert ran.returncode == 0
    assert re.search(r"node-2 votes after \d+\.\d s", ran.stdout)
    assert re.search(r"node-3 votes after \d+\.\d s", ran.stdout)
    assert int(re.search(r"it was sent a snapshot of (\d+) bytes", ran.stdout)[1]) > 60  # type: ignore[index]
    digests = re.findall(r"node-\d +(?:Leader|Follower) +(\d+) +\d+ +([0-9a-f]{64})", ran.stdout)
    assert len(digests) == 3
    assert len(set(digests)) == 1
    acknowledged = int(re.search(r"(\d+) pins acknowledged in", ran.stdout)[1])  # type: ignore[index]
    assert int(digests[0][0]) == acknowledged > 50
    assert re.search(r"killed node-\d, the leader, with SIGKILL", ran.stdout)
    assert re.search(r"nothing could be written for \d+\.\d s", ran.stdout)
    assert f"all {acknowledged} acknowledged pins are on every peer" in ran.stdout
    assert asked.returncode == 0
    assert "quorum  2 of 3 voters needed" in asked.stdout
    assert all(_wait_gone(int(pid)) for pid in stop[1].split())


def test_an_interrupted_demo_ends_its_three_daemons(tmp_path: Path) -> None:
    with tempfile.TemporaryFile() as out:
        demo = subprocess.Popen(_command(), stdout=out, stderr=out, env=_environment(tmp_path))
        pids: list[str] = []
        deadline = time.monotonic() + 60
        while len(pids) < 3 and time.monotonic() < deadline:
            time.sleep(0.1)
            out.seek(0)
            pids = re.findall(r"pid (\d+)$", out.read().decode(), re.MULTILINE)
        demo.send_signal(signal.SIGINT)
        code = demo.wait(60)
        out.seek(0)
        said = out.read().decode()

    assert code == 1
    assert "error: interrupted; the three peers were stopped" in said
    assert "Traceback" not in said
    assert len(pids) == 3
    assert all(_wait_gone(int(pid)) for pid in pids)
    assert list(tmp_path.iterdir()) == []
