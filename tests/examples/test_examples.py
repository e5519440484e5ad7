"""What README and docs/embedding.md show runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.mark.slow
def test_the_embedding_example_pins_a_cid() -> None:
    example = run("examples/embed.py")

    assert (0, "") == (example.returncode, example.stderr)
    assert "QmY7Yh4UquoXHLPFo2XbhXkhBvFoPwmQUSa92pxnxjQuPU is pinned" in example.stdout


@pytest.mark.slow
def test_the_example_of_three_peers_reads_on_each_what_was_pinned_on_one() -> None:
    example = run("examples/embed_three_peers.py")

    # py-libp2p logs each attempt to reach a peer that has not started yet.
    assert 0 == example.returncode, example.stderr
    assert 3 == example.stdout.count("(hello)")


@pytest.mark.slow
def test_the_example_with_a_state_of_its_own_agrees_on_a_count() -> None:
    example = run("examples/counters.py")

    # py-libp2p logs each attempt to reach a peer that has not started yet.
    assert 0 == example.returncode, example.stderr
    assert "after 3 more there are 6 apples\nthe leader reads 6\n" == example.stdout


@pytest.mark.slow
def test_the_tests_of_that_example_pass() -> None:
    tests = run("-m", "pytest", "-q", "--import-mode=prepend", "examples/test_counters.py")

    assert 0 == tests.returncode, tests.stdout
    assert "3 passed" in tests.stdout
