"""The peers of a run: real daemons of this project, and Go peers with IPFS Cluster's component.

Both are started in their namespace on a small file system of their own, and may be killed,
stopped, and started again. One that is down answers nothing; asking it is no error.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import struct
import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import trio

from keys.identity import Identity
from node.config import Folder
from node.config.service_json import ServiceJSON
from node.folder_setup import NewPeer, create_folder
from tests.chaos.api_client import Answer, AnswerLost, Connection, NotSent
from tests.chaos.namespaces import Namespace
from tests.interop.peer_process import PeerError, PeerOptions, PeerProcess, id_of, seed_of

__all__ = ["GoPeer", "Member", "Peer", "PythonPeer", "Standing", "members_of"]

_SWARM_PORT: Final = 9096
_ASK_S: Final = 5.0
_READY_S: Final = 60.0
"""Two loaded cores start five daemons at once in some 10 s."""
_POLL_S: Final = 0.1
SECRET: Final = "5a" * 32

_RAFT: Final = {
    # Small, so that peers that were away are sent snapshots, and segments of the log are let go.
    "trailing_logs": 100, "snapshot_threshold": 200, "snapshot_interval": "1s",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Member:
    """What all peers know of one another before they start."""

    number: int
    language: str
    namespace: Namespace

    @property
    def name(self) -> str:
        return f"{self.language}{self.number}"

    @property
    def peer_id(self) -> str:
        return str(id_of(self.name))

    @property
    def listens(self) -> str:
        return f"/ip4/{self.namespace.address}/tcp/{_SWARM_PORT}"

    @property
    def multiaddr(self) -> str:
        return f"{self.listens}/p2p/{self.peer_id}"


def members_of(languages: Sequence[str], namespaces: Sequence[Namespace]) -> list[Member]:
    """Number the members from 1."""
    pairs = zip(languages, namespaces, strict=True)
    return [Member(number, language, at) for number, (language, at) in enumerate(pairs, start=1)]


@dataclass(frozen=True, slots=True)
class Standing:
    """What a peer says of itself."""

    role: str
    leader: str
    term: int
    applied_index: int
    voters: frozenset[str]


class Peer(ABC):
    """One member's process. Faults that start or end it hold ``process_lock``."""

    def __init__(self, member: Member, disk: Path) -> None:
        self.member = member
        self.number = member.number
        self.peer_id = member.peer_id
        self.disk = disk
        self.process_lock = trio.Lock()
        self.is_meant_to_run = False
        self.disk_faults = 0
        """How many faults keep its disk full."""
        self.had_full_disk = False
        """Since it was started: its files could not grow."""
        self.has_answered = False
        """Since it was started."""

    @property
    @abstractmethod
    def is_up(self) -> bool:
        """Whether its process runs, stopped or not."""

    @abstractmethod
    async def start(self) -> None:
        """Start it and return when it answers, or has ended."""

    @abstractmethod
    async def kill(self) -> None:
        """SIGKILL; returns when the process is gone."""

    @abstractmethod
    def signal(self, number: signal.Signals) -> None:
        """Send a signal to a process that runs."""

    @abstractmethod
    async def standing(self) -> Standing | None:
        """Return what it says of itself; None when it does not answer."""

    @abstractmethod
    async def pins(self) -> dict[str, str] | None:
        """Return the name of each pin in its own copy, by CID; None when it does not answer."""

    @abstractmethod
    async def add(self, member: Member) -> str | None:
        """Ask it to have ``member`` added; return None when that was done, else what it said."""

    @abstractmethod
    async def remove(self, member: Member) -> str | None:
        """Ask it to have ``member`` removed; return None when that was done, else what it said."""


class PythonPeer(Peer):
    """A ``raft-node`` daemon."""

    def __init__(self, member: Member, disk: Path, log: Path, clock: Path | None) -> None:
        super().__init__(member, disk)
        self._log = log
        self._clock = clock
        self._offset = log.with_suffix(".clock")
        self._process: subprocess.Popen[bytes] | None = None
        self._ballast = disk / "ballast"
        self.shift_clock(0.0)

    @property
    def folder(self) -> Path:
        return self.disk / "peer"

    def make_folder(self, members: Sequence[Member]) -> None:
        """Write identity and configuration of a founder of the cluster of all ``members``."""
        create_folder(
            Folder(self.folder),
            NewPeer(
                peers=tuple(member.multiaddr for member in members),
                secret_hex=SECRET,
                peername=self.member.name,
                listen_multiaddrs=(self.member.listens,),
                identity=Identity.from_seed(seed_of(self.member.name)),
            ),
        )
        service = ServiceJSON.read(Folder(self.folder).service_json)
        for key, value in _RAFT.items():
            service.set(("consensus", "raft"), key, value)
        service.write()

    @property
    def is_up(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        return None if self._process is None else self._process.poll()

    async def start(self) -> None:
        self.had_full_disk, self.has_answered = self.disk_faults > 0, False
        self._process = self._spawn()
        self.is_meant_to_run = True
        with trio.move_on_after(_READY_S):
            while True:
                self.has_answered = await self.standing() is not None
                if self.has_answered or not self.is_up:
                    return
                await trio.sleep(_POLL_S)

    def _spawn(self) -> subprocess.Popen[bytes]:
        """Start the process from this thread, not one of trio's: it ends with its parent thread."""
        environment = dict(os.environ)
        if self._clock is not None:
            environment |= {"LD_PRELOAD": str(self._clock), "CHAOS_CLOCK": str(self._offset)}
        command = [
            *self.member.namespace.command,
            sys.executable, "-m", "node.cli.main", "-c", str(self.folder), "daemon",
        ]  # fmt: skip
        with self._log.open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment
            )

    async def kill(self) -> None:
        self.is_meant_to_run = False
        process = self._process
        if process is None:
            return
        process.kill()
        await trio.to_thread.run_sync(process.wait)

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None and self.is_up:
            self._process.send_signal(number)

    async def ask(
        self, method: str, target: str, body: bytes = b"", within_s: float = _ASK_S
    ) -> Any:
        """Return the JSON answered, a list of objects for NDJSON; None for anything but success."""
        answer = await self._answer(method, target, body, within_s)
        if isinstance(answer, str) or answer.status >= 300:
            return None
        if answer.headers.get("content-type") == "application/json" and target.startswith("/allo"):
            return [json.loads(line) for line in answer.body.splitlines()]
        return answer.json() if answer.body else {}

    async def _answer(
        self, method: str, target: str, body: bytes = b"", within_s: float = _ASK_S
    ) -> Answer | str:
        """Return the answer, or why there is none."""
        with contextlib.closing(self.connection()) as connection:
            try:
                return await connection.request(method, target, within_s=within_s, body=body)
            except NotSent as error:
                return f"not sent: {error}"
            except AnswerLost as error:
                return f"no answer: {error}"

    def connection(self) -> Connection:
        """Return a new connection to its API."""
        return Connection(self.member.namespace.make_socket)

    async def standing(self) -> Standing | None:
        said = await self.ask("GET", "/raft/status")
        if said is None:
            return None
        voters = frozenset(m["id"] for m in said["members"] if m["suffrage"] == "voter")
        return Standing(
            said["role"], said["leader"] or "", said["term"], said["applied_index"], voters
        )

    async def pins(self, *, is_linearizable: bool = False) -> dict[str, str] | None:
        query = "?consistency=linearizable&timeout=4s" if is_linearizable else ""
        listed = await self.ask("GET", f"/allocations{query}")
        return None if listed is None else {pin["cid"]: pin["name"] for pin in listed or ()}

    async def change(self, method: str, target: str, body: bytes = b"") -> str | None:
        """Ask for a change of the cluster; return None when it was done, else what was said."""
        separator = "&" if "?" in target else "?"
        answer = await self._answer(method, f"{target}{separator}timeout=4s", body)
        if isinstance(answer, str):
            return answer
        return None if answer.status < 300 else f"{answer.status} {answer.body.decode()}"

    async def add(self, member: Member) -> str | None:
        body = json.dumps({"peer_multiaddress": member.multiaddr}).encode()
        return await self.change("POST", "/peers", body)

    async def remove(self, member: Member) -> str | None:
        return await self.change("DELETE", f"/peers/{member.peer_id}")

    def shift_clock(self, seconds: float) -> None:
        """Set its wall clock off by ``seconds``, whether it runs or not."""
        # In place: the process has the file mapped.
        with self._offset.open("r+b" if self._offset.exists() else "w+b") as file:
            file.write(struct.pack("<q", round(seconds * 1e9)))

    def limit_files(self, most_bytes: int) -> None:
        """Have its writes beyond so many bytes of a file fail (EFBIG); -1 lifts the limit.

        Its log is preallocated, so that a full file system holds up new segments and snapshots
        alone; this fails the log's own writes, which the peer takes for a full disk likewise.
        """
        if self._process is not None and self.is_up:
            self.had_full_disk |= most_bytes >= 0
            with suppress(ProcessLookupError):  # it has just ended
                _, hard = resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE)
                resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (most_bytes, hard))

    def fill_disk(self) -> None:
        """Leave no free block on its file system."""
        self.disk_faults += 1
        self.had_full_disk = True
        left = os.statvfs(self.disk)
        with suppress(OSError), self._ballast.open("ab") as ballast:
            os.posix_fallocate(ballast.fileno(), ballast.tell(), left.f_bavail * left.f_frsize)

    def free_disk(self) -> None:
        """End one fault that filled its file system."""
        self.disk_faults -= 1
        if self.disk_faults <= 0:
            self.disk_faults = 0
            self._ballast.unlink(missing_ok=True)


class GoPeer(Peer):
    """A test peer with IPFS Cluster's own consensus component."""

    def __init__(
        self,
        member: Member,
        disk: Path,
        binary: Path,
        members: Sequence[Member],
        nursery: trio.Nursery,
    ) -> None:
        super().__init__(member, disk)
        options = PeerOptions(
            voters=sorted(id_of(member.name) for member in members),
            mode="cluster", secret=SECRET, log="error",
            heartbeat_timeout="1s", election_timeout="1s", leader_lease_timeout="500ms",
            commit_timeout="50ms", wait_for_leader_timeout="3s",
            # Go repeats also what may have been done, and so may write twice.
            commit_retries=0,
            trailing_logs=100, snapshot_threshold=200, snapshot_interval="1s",
        )  # fmt: skip
        command = [*member.namespace.command[3:], str(binary)]
        self._process = PeerProcess(member.name, command, disk / "peer", nursery, options)
        self._process.addresses = [member.multiaddr]
        self._others = [other for other in members if other.number != member.number]
        self._nursery = nursery
        self._is_up = False

    @property
    def is_up(self) -> bool:
        return self._is_up and not self._process.has_ended

    async def start(self) -> None:
        await self._process.kill()
        try:
            await self._process.start()
        except PeerError:
            await self._process.kill()
            return
        self._is_up = self.is_meant_to_run = True
        for other in self._others:
            self._nursery.start_soon(self._connect, other)

    async def _connect(self, other: Member) -> None:
        with suppress(PeerError):
            await self._process.connect(id_of(other.name), other.multiaddr)

    async def kill(self) -> None:
        self._is_up = self.is_meant_to_run = False
        await self._process.kill()

    def signal(self, number: signal.Signals) -> None:
        if self.is_up:
            if number is signal.SIGSTOP:
                self._process.pause()
            else:
                self._process.resume()

    async def ask(self, command: str, timeout_s: float = _ASK_S, **arguments: Any) -> Any:
        """Return the answer to a command; None when it fails."""
        if not self.is_up:
            return None
        try:
            return await self._process.ask(command, timeout_s, **arguments)
        except PeerError:
            return None

    async def change(self, command: str, member: Member) -> str | None:
        """Ask its component for a change of the cluster; return None when done, else what it said."""
        if not self.is_up:
            return "it does not run"
        try:
            await self._process.ask(command, _ASK_S, peer=member.peer_id)
        except PeerError as error:
            return str(error).partition("\n")[0]
        return None

    async def add(self, member: Member) -> str | None:
        return await self.change("add_peer", member)

    async def remove(self, member: Member) -> str | None:
        return await self.change("rm_peer", member)

    async def standing(self) -> Standing | None:
        said = await self.ask("status")
        if said is None:
            return None
        voters = frozenset(s["id"] for s in said["configuration"] if s["suffrage"] == "Voter")
        return Standing(said["state"], said["leader"], said["term"], said["applied_index"], voters)

    async def pins(self) -> dict[str, str] | None:
        said = await self.ask("pinset")
        return None if said is None else {pin["cid"]: pin["pin"]["name"] for pin in said["pins"]}

    async def pin(self, cid: str, name: str, timeout_s: float) -> bool:
        """Ask its component to log a pin; True when done, else it may be done or not."""
        factors = {"replication_factor_min": -1, "replication_factor_max": -1}
        pin = {"cid": cid, "name": name, **factors}
        return await self.ask("log_pin", timeout_s, pin=pin) is not None
