"""The examples run as their first lines say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.system.daemons import made_peers

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
pytestmark = pytest.mark.slow


def _run(*arguments: str) -> str:
    ran = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=50)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_three_embedded_peers_agree() -> None:
    lines = _run(str(EXAMPLES / "embed_three_peers.py")).splitlines()

    assert lines[0].endswith(" leads")
    assert len({line.partition(" holds ")[2] for line in lines[1:]}) == 1
    assert len(lines) == 4


def test_a_cluster_of_one_is_embedded() -> None:
    assert _run(str(EXAMPLES / "embed.py"))


def test_a_file_is_pinned_over_http(tmp_path: Path) -> None:
    (tmp_path / "hello.txt").write_text("hello")
    with made_peers(tmp_path) as [daemon]:
        daemon.start()
        daemon.wait_for("leader")
        said = _run(str(EXAMPLES / "pin_over_http.py"), str(tmp_path / "hello.txt"), daemon.url)

    assert said == "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq hello.txt\n"
