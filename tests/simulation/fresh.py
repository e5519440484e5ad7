"""Seeds that differ from commit to commit, so that CI does not try the same worlds for ever."""

from __future__ import annotations

import hashlib
import subprocess
from importlib.metadata import version
from pathlib import Path

__all__ = ["base_of_commit"]

_BASES = 10**9


def base_of_commit() -> int:
    """Return the first fresh seed of this commit; in a tree without git, that of this version."""
    done = subprocess.run(
        ["git", "rev-parse", "HEAD"],
        capture_output=True,
        check=False,
        cwd=Path(__file__).parent,
        text=True,
    )
    name = done.stdout.strip()
    if done.returncode or not name:
        name = hashlib.sha256(version("raft-over-libp2p").encode()).hexdigest()
    return int(name, 16) % _BASES
