"""What the tests of the commands share."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.cli.main import main
from tests.node.cli_runner import Ran, Run, serving
from tests.node.fakes import FakeConsensus


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command line in this process, in a folder of its own."""
    monkeypatch.setenv("RAFT_NODE_PATH", str(tmp_path / "peer"))
    monkeypatch.delenv("CLUSTER_SECRET", raising=False)

    def run_it(*arguments: str, stdin: bytes = b"") -> Ran:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        captured = capsys.readouterr()
        return Ran(int(ended.value.code or 0), captured.out, captured.err)

    return run_it


@pytest.fixture
def consensus() -> FakeConsensus:
    return FakeConsensus()


@pytest.fixture
def url(consensus: FakeConsensus, tmp_path: Path) -> Iterator[str]:
    with serving(consensus, tmp_path) as url:
        yield url
