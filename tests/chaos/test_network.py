"""Namespaces and the router between them, with the kernel's own packets."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.namespaces import Namespace, missing_for_namespaces
from tests.chaos.network import Network, open_network
from tests.chaos.router import Condition

pytestmark = [pytest.mark.root, pytest.mark.slow]

_ADDRESSES = ("10.77.0.1", "10.77.0.2")
_PATIENCE_S = 60.0


@pytest.fixture
def network() -> Iterator[Network]:
    missing = missing_for_namespaces()
    if missing is not None:
        pytest.skip(missing)
    with open_network(_ADDRESSES, seed=1) as network:
        yield network


def _datagrams(namespace: Namespace) -> socket.socket:
    with namespace.entered():
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((namespace.address, 7000))
    return made


def _is_heard(sender: socket.socket, receiver: socket.socket, within_s: float) -> bool:
    """Whether a datagram arrives, sent again and again: the condition is told to another process."""
    receiver.settimeout(0.05)
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        sender.sendto(b"x", receiver.getsockname())
        try:
            receiver.recv(10)
        except TimeoutError:
            continue
        return True
    return False


def _falls_silent(sender: socket.socket, receiver: socket.socket) -> bool:
    """Whether there comes half a second in which nothing is heard."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        if not _is_heard(sender, receiver, 0.5):
            return True
    return False


def test_a_blocked_link_is_silent_one_way_until_it_is_healed(network: Network) -> None:
    with _datagrams(network.namespaces[0]) as one, _datagrams(network.namespaces[1]) as two:
        assert _is_heard(one, two, _PATIENCE_S)

        network.disturb("a fault", Condition(blocked=frozenset({_ADDRESSES})))
        assert _falls_silent(one, two)
        assert _is_heard(two, one, _PATIENCE_S)

        network.heal()
        assert _is_heard(one, two, _PATIENCE_S)

    counts = network.end()
    assert counts.blocked > 0
    assert counts.forwarded > 2


def test_nobody_outside_is_reached(network: Network) -> None:
    with (
        _datagrams(network.namespaces[0]) as inside,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as outside,
    ):
        outside.bind(("127.0.0.1", 0))

        assert not _is_heard(inside, outside, 0.3)


@pytest.mark.go
@pytest.mark.timeout(180, func_only=True)
def test_a_run_that_is_killed_leaves_no_process_and_no_mount(tmp_path: Path) -> None:
    missing = missing_for_namespaces()
    if missing is not None:
        pytest.skip(missing)
    run = subprocess.Popen(
        [sys.executable, "-m", "tests.chaos", "--cluster", "60:3+0", "--folder", str(tmp_path)],
        stdout=subprocess.DEVNULL,
    )
    try:
        _wait(lambda: len(_commands_with(str(tmp_path), "daemon")) == 3)
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()

    _wait(lambda: not _commands_with(str(tmp_path)))
    assert str(tmp_path) not in Path("/proc/mounts").read_text()


def _wait(holds) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _commands_with(*words: str) -> list[str]:
    """Return the command lines of other processes that hold all of ``words``."""
    lines = []
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = process.read_text().replace("\0", " ")
        except OSError:  # it has just ended
            continue
        if all(word in line for word in words) and process.parent.name != str(os.getpid()):
            lines.append(line)
    return lines
