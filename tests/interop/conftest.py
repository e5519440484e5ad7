"""Fixtures that build and run test peers. Tests that use them are marked ``go``."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest
import trio

from tests.interop.cluster import Launch
from tests.interop.go_build import DEFAULT_RELEASE, build_go_peer, go_command
from tests.interop.matrix.mixed_cluster import MixedCluster
from tests.interop.matrix.settings import Setting, settings_of
from tests.interop.peer_process import PeerOptions, PeerProcess
from tests.interop.processes import PYTHON_PEER, PythonForks, Spawn, spawn


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the build out of a test's time: it has a limit of its own."""
    for item in items:
        if item.get_closest_marker("go") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(60, func_only=True))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give each case of the matrix its settings: few, or all with ``INTEROP_FULL``."""
    if "setting" in metafunc.fixturenames:
        is_full = bool(os.environ.get("INTEROP_FULL"))
        settings = settings_of(metafunc.definition.name, is_full=is_full)
        metafunc.parametrize("setting", settings, ids=str)


@pytest.fixture
def go_release(request: pytest.FixtureRequest) -> str:
    """Name the hashicorp/raft of the Go peers."""
    if "setting" in request.fixturenames:
        setting: Setting = request.getfixturevalue("setting")
        return setting.release
    return DEFAULT_RELEASE


@pytest.fixture
async def mixed(launch: Launch, setting: Setting) -> MixedCluster:
    """Return the running cluster of a setting."""
    cluster = MixedCluster(setting, launch)
    await cluster.start()
    return cluster


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


@pytest.fixture(scope="session")
def python_forks() -> Iterator[PythonForks]:
    forks = PythonForks()
    yield forks
    forks.close()


@pytest.fixture
async def launch(
    go_binary: Path, python_forks: PythonForks, tmp_path: Path
) -> AsyncIterator[Launch]:
    """Start peers that end with the test: ``await launch("go1", options)``."""
    commands: dict[str, tuple[Sequence[str], Spawn]] = {
        "go": ([str(go_binary)], spawn),
        "python": (PYTHON_PEER, python_forks.spawn),
    }
    started: list[PeerProcess] = []
    async with trio.open_nursery() as nursery:

        async def start(name: str, options: PeerOptions) -> PeerProcess:
            command, how = commands["go" if name.startswith("go") else "python"]
            peer = PeerProcess(name, command, tmp_path / name, nursery, options, how)
            started.append(peer)
            await peer.start()
            return peer

        try:
            yield start
        finally:
            for peer in started:
                await peer.kill()
            nursery.cancel_scope.cancel()
