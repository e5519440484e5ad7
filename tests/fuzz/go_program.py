"""Builds ``go``, Go's own decoders as a program, and asks it."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from struct import Struct
from typing import Any, Final

from tests.interop.go_build import go_command

__all__ = ["GoDecoders", "build_decoders", "running_decoders"]

_SOURCES: Final = Path(__file__).resolve().parent / "go"
_CACHE: Final = Path(__file__).resolve().parents[2] / ".cache" / "go-peers"
_BUILD_TIMEOUT_S: Final = 900
"""IPFS Cluster's types bring libp2p with them: minutes with empty caches."""
_QUESTION: Final = Struct(">BI")


class GoDecoders:
    """The program while it runs."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    def ask(self, target: int, data: bytes) -> dict[str, Any]:
        """Return what Go says of ``data``; see ``go/main.go``."""
        asked, said = self._process.stdin, self._process.stdout
        assert asked is not None
        assert said is not None
        asked.write(_QUESTION.pack(target, len(data)) + data)
        asked.flush()
        line = said.readline()
        assert line, f"Go's decoders ended at target {target}, input {data.hex()}"
        answer: dict[str, Any] = json.loads(line)
        return answer


def build_decoders() -> Path:
    """Return the program, building it when its sources changed; needs ``go``."""
    go = go_command()
    assert go is not None, "go is not installed (https://go.dev/dl, 1.26 or later)"
    digest = hashlib.sha256()
    for path in sorted([*_SOURCES.glob("*.go"), _SOURCES / "go.mod", _SOURCES / "go.sum"]):
        digest.update(path.read_bytes())
    binary = _CACHE / f"decoders-{digest.hexdigest()[:16]}"
    if not binary.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        unfinished = binary.with_suffix(f".{os.getpid()}")
        environment = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly", "GOWORK": "off"}
        subprocess.run(
            [go, "build", "-buildvcs=false", "-trimpath", "-o", str(unfinished), "."],
            cwd=_SOURCES, env=environment, check=True, timeout=_BUILD_TIMEOUT_S,
        )  # fmt: skip
        unfinished.rename(binary)
    return binary


@contextmanager
def running_decoders() -> Iterator[GoDecoders]:
    """Run the program, built if need be, until the block ends."""
    process = subprocess.Popen(
        [str(build_decoders())], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        yield GoDecoders(process)
        assert process.stdin is not None
        process.stdin.close()
