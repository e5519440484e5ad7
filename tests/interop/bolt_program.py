"""Builds and runs ``go/bolt``: BoltDB itself, both generations, on a file of ours."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path
from typing import Final, Literal, TypeAlias

__all__ = ["Generation", "build_bolt", "check_file", "run_bolt"]

Generation: TypeAlias = Literal["bolt", "bbolt"]
"""boltdb/bolt 1.3.1, which IPFS Cluster uses, and bbolt, which raft-boltdb/v2 uses."""

_SOURCES: Final = Path(__file__).resolve().parent / "go" / "bolt"
_CACHE: Final = Path(__file__).resolve().parents[2] / ".cache" / "go-peers"
_BUILD_TIMEOUT_S: Final = 300
_RUN_TIMEOUT_S: Final = 60


def build_bolt() -> Path:
    """Return the program, building it when its sources changed."""
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum", "main.go"):
        digest.update((_SOURCES / name).read_bytes())
    binary = _CACHE / f"bolt-{digest.hexdigest()[:16]}"
    if not binary.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        unfinished = binary.with_suffix(f".{os.getpid()}")
        environment = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
        subprocess.run(
            ["go", "build", "-buildvcs=false", "-trimpath", "-o", str(unfinished), "."],
            cwd=_SOURCES, env=environment, check=True, timeout=_BUILD_TIMEOUT_S,
        )  # fmt: skip
        unfinished.rename(binary)
    return binary


def run_bolt(binary: Path, what: str, generation: Generation, file: Path, *numbers: int) -> str:
    """Run one command (see ``main.go``) and return what it says; fails when it does."""
    ran = subprocess.run(
        [str(binary), what, generation, str(file), *map(str, numbers)],
        capture_output=True, text=True, timeout=_RUN_TIMEOUT_S,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def check_file(binary: Path, generation: Generation, file: Path) -> dict[str, dict[bytes, bytes]]:
    """Return the buckets of a file that BoltDB's own check finds nothing wrong with."""
    found: dict[str, dict[str, str]] = json.loads(run_bolt(binary, "check", generation, file))
    return {
        bucket: {bytes.fromhex(key): bytes.fromhex(value) for key, value in items.items()}
        for bucket, items in found.items()
    }
