"""py-libp2p's log lines: off an operator's terminal, and still in a log that was set up."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import logging, sys
from node.swarm.quiet import keep_libp2p_off_stderr
if "quiet" in sys.argv:
    keep_libp2p_off_stderr()
    keep_libp2p_off_stderr()
if "configured" in sys.argv:
    logging.basicConfig(format="LOG %(message)s")
logging.getLogger("libp2p.host").error("a peer went away")
logging.getLogger("raft_over_libp2p").warning("ours")
"""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "a peer went away\nours\n"),
        (["quiet"], "ours\n"),
        (["quiet", "configured"], "LOG a peer went away\nLOG ours\n"),
    ],
)
def test_libp2p_is_heard_only_where_logging_is_set_up(arguments: list[str], expected: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], capture_output=True, text=True, check=True
    )

    assert expected == done.stderr
