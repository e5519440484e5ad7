"""Asks porcupine, a checker of linearisability, about a history: builds and runs ``go/main.go``."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.chaos.history import Operation, judged, write_judged

__all__ = ["Verdict", "build_checker", "check"]

_SOURCES: Final = Path(__file__).resolve().parent / "go"
_CACHE: Final = Path(__file__).resolve().parents[2] / ".cache" / "go-peers"
_BUILD_TIMEOUT_S: Final = 300
_CHECK_TIMEOUT_S: Final = 600
_CHECK_CID_TIMEOUT: Final = "60s"
"""A CID has some hundred calls, and takes milliseconds."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What porcupine found: CIDs whose history no order explains, and those it gave up on."""

    operations: int
    illegal: tuple[str, ...]
    undecided: tuple[str, ...]


def build_checker() -> Path:
    """Return the program, building it when its sources changed; waits for another's build.

    Raises:
        subprocess.SubprocessError: the build failed or ran out of time.

    """
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum", "main.go"):
        digest.update((_SOURCES / name).read_bytes())
    binary = _CACHE / f"chaos-{digest.hexdigest()[:16]}"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "chaos-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not binary.exists():
            unfinished = binary.with_suffix(f".{os.getpid()}")
            environment = os.environ | {
                "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off",
            }  # fmt: skip
            subprocess.run(
                [_go(), "build", "-buildvcs=false", "-trimpath", "-o", str(unfinished), "."],
                cwd=_SOURCES, env=environment, check=True, timeout=_BUILD_TIMEOUT_S,
            )  # fmt: skip
            unfinished.rename(binary)
    return binary


def _go() -> str:
    return shutil.which("go") or "go"


def check(checker: Path, history: Sequence[Operation], folder: Path) -> Verdict:
    """Judge ``history``; leaves what was asked, and drawings of what is illegal, in ``folder``."""
    asked = folder / "judged.ndjson"
    write_judged(asked, judged(history))
    ran = subprocess.run(
        [str(checker), "-history", str(asked), "-html", str(folder),
         "-timeout", _CHECK_CID_TIMEOUT],
        capture_output=True, text=True, check=False, timeout=_CHECK_TIMEOUT_S,
    )  # fmt: skip
    if ran.returncode != 0:
        raise RuntimeError(f"the checker failed: {ran.stderr}")
    said = json.loads(ran.stdout)
    return Verdict(said["operations"], tuple(said["illegal"]), tuple(said["undecided"]))
