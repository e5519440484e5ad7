"""A real daemon whose system calls fail, or in the middle of which it is killed (needs strace).

Strace injects the fault into the daemon's own writes and syncs, at the n-th call on one file by
one thread. Then the peer is started again on the same folder, without faults: what was
acknowledged is there, and what was definitely not done is not.
"""

from __future__ import annotations

import hashlib
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import base58
import httpx
import pytest

from tests.system.daemons import PATIENCE_S, Daemon, made_peers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(180),
    pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace (a Debian package)"),
]

_SEGMENT = "raft/log/0000000000000001.segment"
_NOT_DONE = 1
_DISK_FAILED = 74
_PINS = 6


def _cid(number: int) -> str:
    digest = hashlib.sha256(str(number).encode()).digest()
    return base58.b58encode(b"\x12\x20" + digest).decode()


@dataclass
class Told:
    """What the daemon answered: pins by number."""

    done: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)


def _start_with(daemon: Daemon, fault: str, *, call: str, path: str) -> None:
    """Start the daemon with ``fault`` (as strace has it) in ``call`` on one file of its folder."""
    with daemon.log.open("ab") as log:
        daemon.process = subprocess.Popen(
            [
                *("strace", "--daemonize=grandchild", "-f", "-qq", "-o", "/dev/null"),
                *("-P", str(daemon.folder / path), "-e", f"trace={call}"),
                *("-e", f"inject={call}:{fault}"),
                *(sys.executable, "-m", "node.cli.main", "-c", str(daemon.folder), "daemon"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


def _pin(daemon: Daemon, numbers: range, told: Told) -> None:
    """Pin until all are, or the daemon is gone."""
    with daemon.http() as http:
        for number in numbers:
            try:
                answer = http.post(f"/pins/{_cid(number)}", params={"name": f"n{number}"})
            except httpx.TransportError:
                return
            if answer.status_code == httpx.codes.OK:
                told.done.add(number)
            elif answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                told.refused.add(number)


def _leads(daemon: Daemon) -> bool:
    """Wait until the daemon leads, or is gone; tell which."""
    deadline = time.monotonic() + PATIENCE_S
    assert daemon.process is not None
    while daemon.process.poll() is None:
        assert time.monotonic() < deadline, daemon.said()
        with suppress(httpx.TransportError):
            if daemon.status()["role"] == "Leader":
                return True
        time.sleep(0.05)
    return False


def _run_into(daemon: Daemon, fault: str, *, call: str, path: str) -> Told:
    """Run the daemon into ``fault``, pinning; return what it told."""
    told = Told()
    _start_with(daemon, fault, call=call, path=path)
    if _leads(daemon):
        _pin(daemon, range(_PINS), told)
    return told


def _pins_after_a_restart(daemon: Daemon) -> set[int]:
    daemon.start()
    daemon.wait_until(lambda status: status["role"] == "Leader")
    with daemon.http() as http:
        answer = http.get("/allocations").text
    assert daemon.stop() == 0, daemon.said()
    return {number for number in range(2 * _PINS) if _cid(number) in answer}


@pytest.mark.parametrize(
    ("call", "at"),
    [("fdatasync", 1), ("fdatasync", 2), ("fdatasync", 5), ("pwrite64", 2), ("pwrite64", 5)],
)
def test_a_write_or_sync_of_the_log_that_fails_ends_the_peer_and_loses_nothing(
    call: str, at: int, tmp_path: Path
) -> None:
    with made_peers(tmp_path) as [daemon]:
        told = _run_into(daemon, f"error=EIO:when={at}", call=call, path=_SEGMENT)

        assert _DISK_FAILED == daemon.wait(), daemon.said()
        assert told.done <= _pins_after_a_restart(daemon)


@pytest.mark.parametrize("at", [1, 2])
def test_a_vote_that_cannot_be_synced_ends_the_peer(at: int, tmp_path: Path) -> None:
    """The first sync of each thread: of the bootstrap, and, when that is over, of the election."""
    with made_peers(tmp_path) as [daemon]:
        if at == 2:
            daemon.start()
            daemon.wait_until(lambda status: status["role"] == "Leader")
            daemon.stop()
        told = _run_into(daemon, "error=EIO:when=1", call="fdatasync", path="raft/vote")

        assert (_DISK_FAILED, set()) == (daemon.wait(), told.done), daemon.said()
        assert set() == _pins_after_a_restart(daemon)


@pytest.mark.parametrize("at", [1, 4])
def test_a_folder_whose_names_cannot_be_synced_is_not_used(at: int, tmp_path: Path) -> None:
    with made_peers(tmp_path) as [daemon]:
        _run_into(daemon, f"error=EIO:when={at}", call="fsync", path="raft")

        assert _DISK_FAILED == daemon.wait(), daemon.said()
        assert set() == _pins_after_a_restart(daemon)


@pytest.mark.parametrize(("call", "at"), [("fdatasync", 2), ("pwrite64", 4), ("fdatasync", 6)])
def test_a_peer_killed_in_a_write_or_sync_keeps_what_it_acknowledged(
    call: str, at: int, tmp_path: Path
) -> None:
    with made_peers(tmp_path) as [daemon]:
        told = _run_into(daemon, f"signal=KILL:when={at}", call=call, path=_SEGMENT)

        assert -signal.SIGKILL == daemon.wait(), daemon.said()
        assert told.done <= _pins_after_a_restart(daemon)


def test_a_full_disk_refuses_what_it_cannot_write_and_goes_on_when_there_is_space(
    tmp_path: Path,
) -> None:
    with made_peers(tmp_path) as [daemon]:
        told = _run_into(daemon, "error=ENOSPC:when=4..5", call="pwrite64", path=_SEGMENT)
        assert _leads(daemon), daemon.said()
        _pin(daemon, range(_PINS, 2 * _PINS), told)
        assert daemon.stop() == 0, daemon.said()

        assert told.done, daemon.said()
        assert set(range(_PINS, 2 * _PINS)) <= told.done
        assert told.done == _pins_after_a_restart(daemon)


def test_on_a_full_disk_a_peer_does_not_start_and_may_be_started_again(tmp_path: Path) -> None:
    with made_peers(tmp_path) as [daemon]:
        _run_into(daemon, "error=ENOSPC:when=1", call="pwrite64", path=_SEGMENT)

        assert _NOT_DONE == daemon.wait(), daemon.said()
        last = daemon.said().splitlines()[-1]
        assert last.startswith("error: no space to write"), last
        assert last.endswith("Free some and try again."), last
        assert set() == _pins_after_a_restart(daemon)


def test_a_snapshot_that_cannot_be_synced_costs_nothing_that_was_acknowledged(
    tmp_path: Path,
) -> None:
    with made_peers(tmp_path) as [daemon]:
        told = _run_into(daemon, "error=EIO:when=1", call="fsync", path="raft/snapshots")
        assert _DISK_FAILED == daemon.stop() if _leads(daemon) else daemon.wait(), daemon.said()

        assert told.done <= _pins_after_a_restart(daemon)
