"""Builds the Go test peers, once for each state of their sources, into ``.cache/go-peers``.

There is one for each release of hashicorp/raft: ``go.mod`` is for the one that IPFS Cluster
ships, ``raft-<release>.mod`` for another. ``python -m tests.interop.go_build`` builds all and
names the binaries; ``... update`` is for whoever changes a version in a module file: it brings
the module files and their sums in line.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

__all__ = ["DEFAULT_RELEASE", "GoBuildError", "build_go_peer", "go_command"]

DEFAULT_RELEASE: Final = "1.7.3"
"""Of hashicorp/raft: what IPFS Cluster 1.1.6 ships."""

_PROJECT: Final = Path(__file__).resolve().parents[2]
_SOURCES: Final = Path(__file__).resolve().parent / "go" / "peer"
_CACHE: Final = _PROJECT / ".cache" / "go-peers"

_MODULE_FILES: Final = {
    "1.6.0": "raft-1.6.0.mod",
    DEFAULT_RELEASE: "go.mod",
    "1.8.0": "raft-1.8.0.mod",
}
_TAGS: Final = {"1.6.0": "raft_1_6"}

_BUILD_TIMEOUT_S: Final = 900
"""About 100 s with empty caches on two cores, most of it libp2p; the rest is for slow networks."""
_SHOWN_OUTPUT_CHARS: Final = 4000


class GoBuildError(Exception):
    """The Go peer cannot be built; the message holds the end of the compiler's output."""


def go_command() -> str | None:
    """Where ``go`` is, or None when it is not installed."""
    return shutil.which("go")


def build_go_peer(release: str = DEFAULT_RELEASE) -> Path:
    """Return the peer's binary, building it when its sources or the Go release changed.

    ``release`` is hashicorp/raft's. Blocks for as long as a build takes; processes that ask at
    the same time wait for one build.

    Raises:
        GoBuildError: no ``go``, or the build failed or ran out of time.

    """
    go = go_command()
    if go is None:
        raise GoBuildError("go is not installed (https://go.dev/dl, 1.26 or later)")
    module_file = _MODULE_FILES[release]
    flags = ["-buildvcs=false", "-trimpath", f"-modfile={module_file}"]
    flags.append(f"-tags={_TAGS.get(release, '')}")
    binary = _CACHE / _content_hash(go, module_file, flags) / "peer"
    _CACHE.mkdir(parents=True, exist_ok=True)
    with (_CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not binary.exists():
            unfinished = binary.with_name(f"peer.{os.getpid()}")
            _run_go(go, "build", *flags, "-o", str(unfinished), ".")
            unfinished.rename(binary)
    return binary


def _content_hash(go: str, module_file: str, flags: Sequence[str]) -> str:
    digest = hashlib.sha256(_run_go(go, "env", "GOVERSION", "GOOS", "GOARCH").encode())
    digest.update("\n".join(flags).encode())
    module = _SOURCES / module_file
    for path in sorted([*_SOURCES.glob("*.go"), module, module.with_suffix(".sum")]):
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
        for module_file in _MODULE_FILES.values():
            _run_go(go, "mod", "tidy", f"-modfile={module_file}", mod="mod")
    elif arguments:
        sys.exit("usage: python -m tests.interop.go_build [update]")
    for release in _MODULE_FILES:
        sys.stdout.write(f"{release} {build_go_peer(release)}\n")


if __name__ == "__main__":
    _main(sys.argv[1:])
