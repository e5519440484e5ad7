"""Fixtures that build and run Go peers. Tests that use them are marked ``go``."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeAlias

import pytest
import trio

from tests.interop.go_build import build_go_peer, go_command
from tests.interop.peer_process import PeerOptions, PeerProcess

LaunchGo: TypeAlias = Callable[..., Awaitable[PeerProcess]]
"""``await launch_go("name", options)``: a started peer, which ends with the test."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the build out of a test's time: it has a limit of its own."""
    for item in items:
        if item.get_closest_marker("go") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(60, func_only=True))


@pytest.fixture(scope="session")
def go_binary() -> Path:
    """Build the Go peer; without ``go`` skip, but fail in CI."""
    if go_command() is None:
        reason = "go is not installed: no Go peer to test against"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return build_go_peer()


@pytest.fixture
async def launch_go(go_binary: Path, tmp_path: Path) -> AsyncIterator[LaunchGo]:
    started: list[PeerProcess] = []
    async with trio.open_nursery() as nursery:

        async def launch(name: str, options: PeerOptions | None = None) -> PeerProcess:
            peer = PeerProcess(
                name, [str(go_binary)], tmp_path / name, nursery, options or PeerOptions()
            )
            started.append(peer)
            await peer.start()
            return peer

        try:
            yield launch
        finally:
            for peer in started:
                await peer.kill()
            nursery.cancel_scope.cancel()
