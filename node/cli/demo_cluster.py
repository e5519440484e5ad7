"""The demo's three peers: folders, processes, and what they say of themselves over HTTP."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

import httpx
import trio

from keys.cluster_secret import ClusterSecret
from node import limits
from node.config.folder import Folder
from node.config.schema import JSONValue
from node.config.service_json import ServiceJSON
from node.errors import NodeError
from node.folder_setup import NewPeer, create_folder

if TYPE_CHECKING:
    from node.http.status import StatusBody

__all__ = ["DemoCluster", "DemoFailed", "DemoPeer", "new_cluster"]

_PEERS = 3
_POLL_S = 0.05
_LOG_LINES_SHOWN = 8
_PATIENT = {"timeout": "20s"}
_SNAPSHOTS: Mapping[str, JSONValue] = {
    "snapshot_threshold": 20,
    "snapshot_interval": "2s",
    "trailing_logs": 10,
}


class DemoFailed(NodeError):
    """The demo did not show what it is there to show; the message is the reason."""


@dataclass(slots=True)
class DemoPeer:
    """One peer: its folder, and the process that runs it, if any."""

    name: str
    peer_id: str
    folder: Path
    multiaddr: str
    """Where other peers reach it, with its ID."""
    url: str
    http: httpx.AsyncClient = field(repr=False)
    process: trio.Process | None = None
    is_stopped: bool = False
    """Whether its process was ended in order, by the demo."""

    @property
    def is_running(self) -> bool:
        """Whether its process was started and has not ended."""
        return self.process is not None and self.process.poll() is None

    @property
    def log(self) -> Path:
        return self.folder.with_suffix(".log")

    async def start(self) -> None:
        """Start its daemon, in a session of its own: Ctrl-C is for the demo alone."""
        self.is_stopped = False
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
        self.is_stopped = True
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

    async def add(self, other: DemoPeer) -> None:
        """Have ``other`` added to the cluster by its multiaddr; returns when it votes."""
        answer = await self.http.post(
            "/peers", params=_PATIENT, json={"peer_multiaddress": other.multiaddr}
        )
        if not answer.is_success:
            raise DemoFailed(f"{other.name} was not added: {answer.text.strip()}")

    async def remove(self, other: DemoPeer) -> None:
        """Have ``other`` removed from the cluster."""
        answer = await self.http.delete(f"/peers/{other.peer_id}", params=_PATIENT)
        if not answer.is_success:
            raise DemoFailed(f"{other.name} was not removed: {answer.text.strip()}")

    def wipe(self) -> None:
        """Delete its log, vote and snapshots; identity and configuration stay."""
        shutil.rmtree(self.folder / "raft")

    def snapshot_bytes(self) -> int:
        """Return the size of its newest snapshot, as its ``meta.json`` says."""
        metas = self.folder.glob("raft/snapshots/*-*-*/meta.json")
        newest = max((json.loads(meta.read_bytes()) for meta in metas), key=lambda m: m["Index"])
        return int(newest["Size"])

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
        await self.wait_status(
            peer, "caught up", lambda status: status["applied_index"] >= index, within_s=within_s
        )

    async def wait_status(
        self,
        peer: DemoPeer,
        what: str,
        holds: Callable[[StatusBody], bool],
        *,
        within_s: float,
    ) -> StatusBody:
        """Wait until ``holds`` of the status of ``peer``, and return it.

        Raises:
            DemoFailed: it has not ``what`` in time, or a daemon ended by itself.

        """
        with trio.move_on_after(within_s):
            while True:
                status = await peer.status()
                if status and holds(status):
                    return status
                self.check_running()
                await trio.sleep(_POLL_S)
        raise DemoFailed(f"{peer.name} has not {what} after {within_s:g} s\n{self._logs([peer])}")

    def check_running(self) -> None:
        """Raise DemoFailed if a daemon ended that nobody killed."""
        for peer in self.peers:
            code = peer.process.poll() if peer.process else None
            if code not in {None, -signal.SIGKILL} and not peer.is_stopped:
                raise DemoFailed(
                    f"the daemon of {peer.name} ended with exit code {code}\n{self._logs([peer])}"
                )

    @staticmethod
    def _logs(peers: Sequence[DemoPeer]) -> str:
        return "\n".join(f"  {peer.log}:\n{peer.last_log_lines()}" for peer in peers)


@asynccontextmanager
async def new_cluster(
    folder: Path, *, is_kept: trio.Event, connections: int
) -> AsyncIterator[DemoCluster]:
    """Make three peers in ``folder``, the first of which founds a cluster when it is started.

    Ends their processes and no others; they are left running when ``is_kept`` is set by then.
    """
    peers = _create_peers(folder, connections)
    try:
        yield DemoCluster(folder, peers)
    finally:
        with trio.CancelScope(shield=True):
            for peer in peers:
                await peer.http.aclose()
            if not is_kept.is_set():
                async with trio.open_nursery() as nursery:
                    for peer in peers:
                        nursery.start_soon(peer.stop)


def _create_peers(folder: Path, connections: int) -> list[DemoPeer]:
    """Make three identities, one secret, and folders that know nothing of one another."""
    ports = _free_ports(2 * _PEERS)
    secret_hex = ClusterSecret.generate().reveal_hex()
    peers = []
    for number in range(_PEERS):
        name = f"node-{number + 1}"
        listen = f"/ip4/127.0.0.1/tcp/{ports[number]}"
        api_port = ports[_PEERS + number]
        made = create_folder(
            Folder(folder / name),
            NewPeer(
                is_waiting=number > 0,
                secret_hex=secret_hex,
                peername=name,
                listen_multiaddrs=(listen,),
                api_listen_multiaddrs=(f"/ip4/127.0.0.1/tcp/{api_port}",),
            ),
        )
        _take_snapshots_often(Folder(folder / name))
        url = f"http://127.0.0.1:{api_port}"
        http = httpx.AsyncClient(
            base_url=url,
            timeout=httpx.Timeout(30, connect=1),
            limits=httpx.Limits(max_connections=connections + 2),
            trust_env=False,
        )
        multiaddr = f"{listen}/p2p/{made.peer_id}"
        peers.append(DemoPeer(name, made.peer_id, folder / name, multiaddr, url, http))
    return peers


def _take_snapshots_often(folder: Folder) -> None:
    """Have snapshots of a log of some dozen entries: by default they come every 8192."""
    service = ServiceJSON.read(folder.service_json)
    for key, value in _SNAPSHOTS.items():
        service.set(("consensus", "raft"), key, value)
    service.write()


def _free_ports(count: int) -> list[int]:
    """Return ports that were free a moment ago, all different."""
    with ExitStack() as held:
        servers = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(server.getsockname()[1]) for server in servers]
