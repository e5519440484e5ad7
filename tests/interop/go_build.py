"""Builds the Go test peer, once for each state of its sources, into ``.cache/go-peers``.

``python -m tests.interop.go_build`` builds and names the binary; ``... update`` is for whoever
changes a version in ``go.mod``: it brings ``go.mod`` and ``go.sum`` in line.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

__all__ = ["GoBuildError", "build_go_peer", "go_command"]

_PROJECT: Final = Path(__file__).resolve().parents[2]
_SOURCES: Final = Path(__file__).resolve().parent / "go" / "peer"
_CACHE: Final = _PROJECT / ".cache" / "go-peers"

_BUILD_TIMEOUT_S: Final = 900
"""About 100 s with empty caches on two cores, most of it libp2p; the rest is for slow networks."""
_SHOWN_OUTPUT_CHARS: Final = 4000


class GoBuildError(Exception):
    """The Go peer cannot be built; the message holds the end of the compiler's output."""


def go_command() -> str | None:
    """Where ``go`` is, or None when it is not installed."""
    return shutil.which("go")


def build_go_peer() -> Path:
    """Return the binary of the peer, building it when its sources or the Go release changed.

    Blocks for as long as a build takes; processes that ask at the same time wait for one build.

    Raises:
        GoBuildError: no ``go``, or the build failed or ran out of time.

    """
    go = go_command()
    if go is None:
        raise GoBuildError("go is not installed (https://go.dev/dl, 1.26 or later)")
    binary = _CACHE / _content_hash(go) / "peer"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not binary.exists():
            unfinished = binary.with_name(f"peer.{os.getpid()}")
            _run_go(go, "build", "-buildvcs=false", "-trimpath", "-o", str(unfinished), ".")
            unfinished.rename(binary)
    return binary


def _content_hash(go: str) -> str:
    digest = hashlib.sha256(_run_go(go, "env", "GOVERSION", "GOOS", "GOARCH").encode())
    sources = [*_SOURCES.glob("*.go"), _SOURCES / "go.mod", _SOURCES / "go.sum"]
    for path in sorted(sources):
        text = path.read_bytes()
        digest.update(f"{path.name} {len(text)}\n".encode())
        digest.update(text)
    return digest.hexdigest()[:16]


def _run_go(go: str, *arguments: str, mod: str = "readonly") -> str:
    # CGO off: no C compiler needed. GOFLAGS replaces the user's, which could change the result.
    environment = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": f"-mod={mod}", "GOWORK": "off"}
    try:
        done = subprocess.run(
            [go, *arguments],
            cwd=_SOURCES,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_BUILD_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise GoBuildError(f"go {arguments[0]} took more than {_BUILD_TIMEOUT_S} s") from error
    if done.returncode != 0:
        output = (done.stdout + done.stderr)[-_SHOWN_OUTPUT_CHARS:]
        raise GoBuildError(f"go {arguments[0]} failed ({done.returncode}):\n{output}")
    return done.stdout


def _main(arguments: list[str]) -> None:
    if arguments == ["update"]:
        go = go_command()
        if go is None:
            raise GoBuildError("go is not installed")
        _run_go(go, "mod", "tidy", mod="mod")
    elif arguments:
        sys.exit("usage: python -m tests.interop.go_build [update]")
    sys.stdout.write(f"{build_go_peer()}\n")


if __name__ == "__main__":
    _main(sys.argv[1:])
