"""Daemons as processes, for tests: started, asked, and ended by their own process IDs."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from keys.cluster_secret import ClusterSecret
from keys.identity import Identity
from node.config import Folder
from node.folder_setup import NewPeer, create_folder

PATIENCE_S = 40.0
"""For a loaded machine; nothing here waits so long otherwise."""


@dataclass
class Daemon:
    """One peer's folder, and its process while it runs."""

    folder: Path
    url: str
    peer_id: str
    multiaddr: str = ""
    """Where other peers reach it, with its ID."""
    arguments: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def log(self) -> Path:
        return self.folder.with_suffix(".log")

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "node.cli.main", "-c", str(self.folder), "daemon", *self.arguments],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def wait(self) -> int:
        """Return the exit code of a daemon that ends by itself."""
        assert self.process is not None
        return self.process.wait(PATIENCE_S)

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``raft-node -c FOLDER`` with ``arguments``, as its operator."""
        return subprocess.run(
            [sys.executable, "-m", "node.cli.main", "-c", str(self.folder), *arguments],
            capture_output=True,
            text=True,
        )

    def status(self) -> dict[str, Any]:
        with self.http() as http:
            return http.get("/raft/status").json()

    def wait_until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Wait until it answers and ``holds`` of its status, and return that."""
        deadline = time.monotonic() + PATIENCE_S
        status: dict[str, Any] = {}
        while not status or not holds(status):
            assert time.monotonic() < deadline, (status, self.said())
            time.sleep(0.05)
            assert self.process is None or self.process.poll() is None, self.said()
            with suppress(httpx.TransportError):  # it listens a moment before it answers
                status = self.status()
        return status

    def wait_for(self, text: str) -> None:
        """Wait until the daemon says ``text``."""
        deadline = time.monotonic() + PATIENCE_S
        while text not in self.said():
            assert self.process is not None
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.05)

    def http(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=PATIENCE_S)


def free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        servers = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [server.getsockname()[1] for server in servers]


@contextmanager
def made_peers(
    folder: Path,
    count: int = 1,
    *,
    secrets: tuple[str, ...] = (),
    founders: int | None = None,
) -> Iterator[list[Daemon]]:
    """Make folders of ``count`` peers that know of one another; ends what is left running.

    With ``founders`` the peers beyond so many wait to be added to the cluster.
    """
    founding = count if founders is None else founders
    ports = free_ports(2 * count)
    identities = [Identity.generate() for _ in range(count)]
    listens = [f"/ip4/127.0.0.1/tcp/{port}" for port in ports[:count]]
    peers = tuple(f"{a}/p2p/{i.peer_id}" for a, i in zip(listens, identities, strict=True))
    shared = ClusterSecret.generate().reveal_hex()
    daemons = []
    for number, identity in enumerate(identities):
        path = folder / f"node-{number + 1}"
        create_folder(
            Folder(path),
            NewPeer(
                peers=peers[:founding] if number < founding else (),
                is_waiting=number >= founding,
                secret_hex=secrets[number] if secrets else shared,
                peername=path.name,
                listen_multiaddrs=(listens[number],),
                api_listen_multiaddrs=(f"/ip4/127.0.0.1/tcp/{ports[count + number]}",),
                identity=identity,
            ),
        )
        url = f"http://127.0.0.1:{ports[count + number]}"
        daemons.append(Daemon(path, url, str(identity.peer_id), peers[number]))
    try:
        yield daemons
    finally:
        for daemon in daemons:
            if daemon.process is not None and daemon.process.poll() is None:
                daemon.process.kill()
                daemon.process.wait()
