"""``python -m tests.interop.python_peer.forks FD``: peers without the 1.3 s that imports take.

It imports what a peer needs, once, and forks a process for each request on the Unix socket FD.
A request is a JSON list of a peer's arguments, with its standard input, output and error; the
answer is its process ID, with a pidfd. The end of the socket ends this process; the peers end
with their standard input, as others do.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from tests.interop.python_peer.main import main

__all__ = ["MAX_REQUEST_BYTES", "STANDARD_STREAMS"]

MAX_REQUEST_BYTES: Final = 64 * 1024
STANDARD_STREAMS: Final = 3


def _serve(requests: socket.socket) -> None:
    if threading.active_count() != 1:
        raise RuntimeError(f"a fork would lose threads: {threading.enumerate()}")
    while True:
        request, streams, _, _ = socket.recv_fds(requests, MAX_REQUEST_BYTES, STANDARD_STREAMS)
        if not request:
            return
        _reap()
        process_id = os.fork()
        if process_id == 0:
            requests.close()
            _become_peer(json.loads(request), streams)
        for stream in streams:
            os.close(stream)
        # Only this process reaps, so the number is still the child's, dead or alive.
        pidfd = os.pidfd_open(process_id)
        socket.send_fds(requests, [str(process_id).encode()], [pidfd])
        os.close(pidfd)


def _reap() -> None:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _become_peer(arguments: Sequence[str], streams: Sequence[int]) -> None:
    """Run as a process of its own until it ends; never returns."""
    code = 1
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        main(arguments)
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 - nothing of the parent's may run in this process
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it ends it
    with socket.socket(fileno=int(sys.argv[1])) as _requests:
        _serve(_requests)
