"""Fixtures that build and run test peers. Tests that use them are marked ``go``."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable
from functools import cache
from pathlib import Path

import pytest
import trio

from tests.interop.cluster import Launch
from tests.interop.go_build import DEFAULT_RELEASE, build_go_peer, go_command
from tests.interop.peer_process import PeerOptions, PeerProcess


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the build out of a test's time: it has a limit of its own."""
    for item in items:
        if item.get_closest_marker("go") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(60, func_only=True))


@pytest.fixture
def go_release() -> str:
    """Name the hashicorp/raft of the Go peers; tests of other releases override it."""
    return DEFAULT_RELEASE


@pytest.fixture(scope="session")
def go_binaries() -> Callable[[str], Path]:
    """Build the Go peer of a release; without ``go`` skip, but fail in CI."""
    if go_command() is None:
        reason = "go is not installed: no Go peer to test against"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return cache(build_go_peer)


@pytest.fixture
def go_binary(go_binaries: Callable[[str], Path], go_release: str) -> Path:
    return go_binaries(go_release)


@pytest.fixture
async def launch(go_binary: Path, tmp_path: Path) -> AsyncIterator[Launch]:
    """Start peers that end with the test: ``await launch("go1", options)``."""
    commands = {
        "go": [str(go_binary)],
        "python": [sys.executable, "-m", "tests.interop.python_peer"],
    }
    started: list[PeerProcess] = []
    async with trio.open_nursery() as nursery:

        async def start(name: str, options: PeerOptions) -> PeerProcess:
            command = commands["go" if name.startswith("go") else "python"]
            peer = PeerProcess(name, command, tmp_path / name, nursery, options)
            started.append(peer)
            await peer.start()
            return peer

        try:
            yield start
        finally:
            for peer in started:
                await peer.kill()
            nursery.cancel_scope.cancel()
