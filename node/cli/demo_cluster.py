"""The demo's three peers: folders, processes, and what they say of themselves over HTTP."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import httpx
import trio

from keys.cluster_secret import ClusterSecret
from keys.identity import Identity
from node import limits
from node.config.folder import Folder
from node.errors import NodeError
from node.folder_setup import NewPeer, create_folder

if TYPE_CHECKING:
    from node.http.status import StatusBody

__all__ = ["DemoCluster", "DemoFailed", "DemoPeer", "running_cluster"]

_PEERS = 3
_POLL_S = 0.05
_LOG_LINES_SHOWN = 8


class DemoFailed(NodeError):
    """The demo did not show what it is there to show; the message is the reason."""


@dataclass(slots=True)
class DemoPeer:
    """One peer: its folder, and the process that runs it, if any."""

    name: str
    peer_id: str
    folder: Path
    url: str
    http: httpx.AsyncClient = field(repr=False)
    process: trio.Process | None = None

    @property
    def is_running(self) -> bool:
        """Whether its process was started and has not ended."""
        return self.process is not None and self.process.poll() is None

    @property
    def log(self) -> Path:
        return self.folder.with_suffix(".log")

    async def start(self) -> None:
        """Start its daemon, in a session of its own: Ctrl-C is for the demo alone."""
        with self.log.open("ab") as log:
            self.process = await trio.lowlevel.open_process(
                [sys.executable, "-m", "node.cli.main", "-c", str(self.folder), "daemon"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    async def kill(self) -> int:
        """End its process as a crash would (SIGKILL); returns the process ID it had."""
        if self.process is None:
            raise DemoFailed(f"{self.name} was to be killed, but was never started")
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()
        return self.process.pid

    async def stop(self) -> None:
        """End its process in order, or by force when that takes too long."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.terminate()
        with trio.move_on_after(limits.SHUTDOWN_S):
            await self.process.wait()
            return
        await self.kill()

    async def status(self, *, digest: bool = False) -> StatusBody | None:
        """Return what it says of the cluster; None while it does not answer."""
        params = {"digest": "true"} if digest else {}
        try:
            answer = await self.http.get("/raft/status", params=params)
        except httpx.TransportError:
            return None
        return cast("StatusBody", answer.json()) if answer.is_success else None

    async def pinned_cids(self) -> set[str]:
        """Return the CIDs of its own copy of the pinset."""
        answer = await self.http.get("/allocations")
        answer.raise_for_status()
        return {json.loads(line)["cid"] for line in answer.text.splitlines()}

    def last_log_lines(self) -> str:
        """Return the end of what its daemon wrote."""
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(f"    {line}" for line in lines[-_LOG_LINES_SHOWN:])


@dataclass(slots=True)
class DemoCluster:
    """The peers, in order."""

    folder: Path
    peers: list[DemoPeer]

    @property
    def running(self) -> list[DemoPeer]:
        """The peers whose process runs."""
        return [peer for peer in self.peers if peer.is_running]

    async def leader(self, *, within_s: float, after_term: int = 0) -> tuple[DemoPeer, int]:
        """Wait until a running peer leads a term above ``after_term``; return it and its term.

        Raises:
            DemoFailed: none does in time, or a daemon ended by itself.

        """
        with trio.move_on_after(within_s):
            while True:
                for peer in self.running:
                    status = await peer.status()
                    if status and status["role"] == "Leader" and status["term"] > after_term:
                        return peer, status["term"]
                self.check_running()
                await trio.sleep(_POLL_S)
        raise DemoFailed(f"no peer leads after {within_s:g} s\n{self._logs(self.peers)}")

    async def wait_applied(self, peer: DemoPeer, index: int, *, within_s: float) -> None:
        """Wait until ``peer`` has applied the log up to ``index``; raises DemoFailed if not in time."""
        with trio.move_on_after(within_s):
            while True:
                status = await peer.status()
                if status and status["applied_index"] >= index:
                    return
                self.check_running()
                await trio.sleep(_POLL_S)
        raise DemoFailed(
            f"{peer.name} has not caught up after {within_s:g} s\n{self._logs([peer])}"
        )

    def check_running(self) -> None:
        """Raise DemoFailed if a daemon ended that nobody killed."""
        for peer in self.peers:
            code = peer.process.poll() if peer.process else None
            if code is not None and code != -signal.SIGKILL:
                raise DemoFailed(
                    f"the daemon of {peer.name} ended with exit code {code}\n{self._logs([peer])}"
                )

    @staticmethod
    def _logs(peers: Sequence[DemoPeer]) -> str:
        return "\n".join(f"  {peer.log}:\n{peer.last_log_lines()}" for peer in peers)


@asynccontextmanager
async def running_cluster(
    folder: Path, *, is_kept: trio.Event, connections: int
) -> AsyncIterator[DemoCluster]:
    """Make three peers in ``folder`` and run them; ends those processes and no others.

    They are left running when ``is_kept`` is set by then.
    """
    peers = _create_peers(folder, connections)
    cluster = DemoCluster(folder, peers)
    try:
        for peer in peers:
            await peer.start()
        yield cluster
    finally:
        with trio.CancelScope(shield=True):
            for peer in peers:
                await peer.http.aclose()
            if not is_kept.is_set():
                async with trio.open_nursery() as nursery:
                    for peer in peers:
                        nursery.start_soon(peer.stop)


def _create_peers(folder: Path, connections: int) -> list[DemoPeer]:
    """Make three identities, one secret, and folders that know of one another."""
    ports = _free_ports(2 * _PEERS)
    identities = [Identity.generate() for _ in range(_PEERS)]
    listens = [f"/ip4/127.0.0.1/tcp/{port}" for port in ports[:_PEERS]]
    addresses = [f"{a}/p2p/{i.peer_id}" for a, i in zip(listens, identities, strict=True)]
    secret_hex = ClusterSecret.generate().reveal_hex()
    peers = []
    for number, (identity, listen, port) in enumerate(
        zip(identities, listens, ports[_PEERS:], strict=True), 1
    ):
        name = f"node-{number}"
        create_folder(
            Folder(folder / name),
            NewPeer(
                peers=tuple(addresses),
                secret_hex=secret_hex,
                peername=name,
                listen_multiaddrs=(listen,),
                api_listen_multiaddrs=(f"/ip4/127.0.0.1/tcp/{port}",),
                identity=identity,
            ),
        )
        url = f"http://127.0.0.1:{port}"
        http = httpx.AsyncClient(
            base_url=url,
            timeout=httpx.Timeout(30, connect=1),
            limits=httpx.Limits(max_connections=connections + 2),
            trust_env=False,
        )
        peers.append(DemoPeer(name, str(identity.peer_id), folder / name, url, http))
    return peers


def _free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago, all different."""
    with ExitStack() as held:
        servers = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(server.getsockname()[1]) for server in servers]
