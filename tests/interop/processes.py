"""Starting test peers: as any program, or forked from a Python that has imported all it needs."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol, TypeAlias

import trio

from tests.interop.python_peer.forks import MAX_REQUEST_BYTES, STANDARD_STREAMS

__all__ = ["PYTHON_PEER", "PythonForks", "Running", "Spawn", "spawn"]

PYTHON_PEER: Final = (sys.executable, "-m", "tests.interop.python_peer")
"""The command of a Python peer, in the project's folder."""

_PROJECT: Final = Path(__file__).resolve().parents[2]


class Running(Protocol):
    """What :class:`PeerProcess` needs of a process; ``trio.Process`` is one."""

    @property
    def stdin(self) -> trio.abc.SendStream | None: ...

    @property
    def stdout(self) -> trio.abc.ReceiveStream | None: ...

    @property
    def stderr(self) -> trio.abc.ReceiveStream | None: ...

    def kill(self) -> None: ...

    def send_signal(self, sig: signal.Signals) -> None: ...

    async def wait(self) -> object:
        """Return when the process has ended."""
        ...


Spawn: TypeAlias = Callable[[Sequence[str]], Awaitable[Running]]
"""Starts a command with pipes for its standard streams."""


async def spawn(command: Sequence[str]) -> Running:
    return await trio.lowlevel.open_process(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=_PROJECT,
    )


class PythonForks:
    """Starts Python peers within milliseconds; one for all tests of a process. Linux only."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [*PYTHON_PEER[:-1], f"{PYTHON_PEER[-1]}.forks", str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                cwd=_PROJECT,
                pass_fds=[theirs.fileno()],
            )
        self._requests = ours
        self._one_at_a_time = threading.Lock()

    def close(self) -> None:
        self._requests.close()
        self._process.wait()

    async def spawn(self, command: Sequence[str]) -> Running:
        """Start ``command``, which begins as :data:`PYTHON_PEER` does."""
        pidfd, ours = await trio.to_thread.run_sync(self._fork, command[len(PYTHON_PEER) :])
        return _Fork(pidfd, *ours)

    def _fork(self, arguments: Sequence[str]) -> tuple[int, list[int]]:
        """Return the new process's pidfd, and our ends of its standard streams."""
        (child_in, our_in), (our_out, child_out), (our_err, child_err) = (
            os.pipe() for _ in range(STANDARD_STREAMS)
        )
        theirs = [child_in, child_out, child_err]
        with self._one_at_a_time:  # the peers of a cluster are started side by side
            socket.send_fds(self._requests, [json.dumps(arguments).encode()], theirs)
            answer, pidfds, _, _ = socket.recv_fds(self._requests, MAX_REQUEST_BYTES, 1)
        for end in theirs:
            os.close(end)
        if not answer:
            raise RuntimeError(f"the process that forks has ended: {self._process.wait()}")
        return pidfds[0], [our_in, our_out, our_err]


class _Fork:
    """A process that another one started, held by its pidfd."""

    def __init__(self, pidfd: int, stdin: int, stdout: int, stderr: int) -> None:
        self._pidfd = pidfd
        self.stdin = trio.lowlevel.FdStream(stdin)
        self.stdout = trio.lowlevel.FdStream(stdout)
        self.stderr = trio.lowlevel.FdStream(stderr)

    def __del__(self) -> None:
        os.close(self._pidfd)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def send_signal(self, sig: signal.Signals) -> None:
        with suppress(ProcessLookupError):  # it has ended
            signal.pidfd_send_signal(self._pidfd, sig)

    async def wait(self) -> None:
        """Return when it has ended; how it did, its parent knows alone."""
        await trio.lowlevel.wait_readable(self._pidfd)
