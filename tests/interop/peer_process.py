"""Runs a test peer, of either language, as a process: one JSON line a command, one an answer.

The Go peer (``go/peer``) and the Python one (``python_peer``) take the same flags and commands.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Final

import trio

from keys.identity import Identity
from raft_over_libp2p.types import Index, LogEntry, LogType, ServerID, Term
from tests.interop.processes import Running, Spawn, spawn

__all__ = ["PeerError", "PeerOptions", "PeerProcess", "PeerStatus", "id_of", "introduce", "seed_of"]

_READY_TIMEOUT_S: Final = 20.0
"""Go takes 20 ms; Python imports libp2p first, which may take 5 s on a busy machine."""
_COMMAND_TIMEOUT_S: Final = 20.0
_KEPT_LOG_LINES: Final = 200
_MAX_LINE_BYTES: Final = 64 << 20
"""A dump of 20 000 entries is the longest answer."""


class PeerError(Exception):
    """A command failed, or the peer did not answer; the message says which, with its last log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerOptions:
    """What the peer is started with; each field is the flag of its name, None its default.

    Times are texts in Go's form (``"300ms"``). The Raft timers default to less than
    hashicorp/raft's, which keeps tests short; the lease is as long as it may be, because on a busy
    machine a leader that gets no processor for that long leads no more.
    """

    voters: Sequence[str] = ()
    """IDs of the first voters, in order, this peer among them; none waits to be added."""
    mode: str = "raft"
    """``raft``: a plain server that records what it applies. ``cluster``: IPFS Cluster's component."""
    secret: str | None = None
    security: str | None = None
    never_dial: str | None = None
    """IDs of peers, with commas between, that connect to this one by themselves."""
    identity: str | None = None
    """An ``identity.json``; without it the key comes from the peer's name."""
    store: str | None = None
    record: bool | None = None
    heartbeat_timeout: str = "800ms"
    election_timeout: str = "800ms"
    leader_lease_timeout: str = "800ms"
    commit_timeout: str = "20ms"
    max_append_entries: int | None = None
    trailing_logs: int | None = None
    snapshot_threshold: int | None = None
    snapshot_interval: str | None = None
    network_timeout: str | None = None
    pre_vote_disabled: bool | None = None
    wait_for_leader_timeout: str | None = None
    commit_retries: int | None = None
    commit_retry_delay: str | None = None
    lose_snapshot_answers: bool | None = None
    """Lose its answers to InstallSnapshot until the command ``lose_no_more`` (mode ``raft``)."""
    trace: str | None = None
    """The file a Python peer writes its trace to (mode ``raft``)."""
    log: str = "warn"

    def flags(self) -> list[str]:
        """Return the command line of these options."""
        names = (option.name for option in fields(self) if option.name != "voters")
        values = ((name, getattr(self, name)) for name in names)
        return [_flag(name, value) for name, value in values if value is not None]


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """What a peer says of itself; ``leader`` is empty while it knows none."""

    state: str
    term: Term
    leader: str
    last_index: Index
    commit_index: Index
    applied_index: Index
    configuration: list[dict[str, str]]
    connected: list[str]
    dialled: list[str] = field(default_factory=list)
    """Peers to which it opened a connection itself (a Go peer says so)."""


def seed_of(name: str) -> bytes:
    """Return the Ed25519 seed of the peer called ``name``, the same in every run."""
    return hashlib.sha256(f"test peer {name}".encode()).digest()


def id_of(name: str) -> ServerID:
    """Return the server ID of the peer called ``name``."""
    return ServerID(str(Identity.from_seed(seed_of(name)).peer_id))


class PeerProcess:
    """One peer, which may be killed and started again on the same folder and port.

    ``command`` starts it, ``folder`` is its own. ``nursery`` runs the tasks that read from the
    process; cancel it, or :meth:`kill`, to end.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        folder: Path,
        nursery: trio.Nursery,
        options: PeerOptions,
        spawn: Spawn = spawn,
    ) -> None:
        self.name = name
        self.options = options
        self.id = id_of(name)
        self.addresses: list[str] = []
        self._command = tuple(command)
        self._spawn = spawn
        self._folder = folder
        self._nursery = nursery
        self._process: Running | None = None
        self._known: dict[str, str] = {}
        self._next_request = 0
        self._sending = trio.Lock()
        self._answers: dict[int, _Answer] = {}
        self._ready = _Answer()
        self._ended = trio.Event()
        """Its readers have stopped: nothing of this process comes any more."""
        self._log: deque[str] = deque(maxlen=_KEPT_LOG_LINES)

    @property
    def has_ended(self) -> bool:
        """Whether its process has ended, by itself or killed."""
        return self._ended.is_set()

    @property
    def address(self) -> str:
        """Its listening multiaddr, ending in ``/p2p/ID``."""
        return self.addresses[0]

    @property
    def is_running(self) -> bool:
        """Whether it was started and not killed since."""
        return self._process is not None

    async def start(self) -> None:
        """Start the process and wait until it listens; again after :meth:`kill` or :meth:`quit`.

        It listens on the port it had before, and dials the peers it knew.

        Raises:
            PeerError: it ended, or was not ready within 20 s.

        """
        self._ready = _Answer()
        self._ended = trio.Event()
        self._process = await self._spawn([*self._command, *self._arguments()])
        logged = trio.Event()
        self._nursery.start_soon(self._read_log, self._process, logged)
        self._nursery.start_soon(self._read_answers, self._process, logged)
        ready = await self._await(self._ready, "start", _READY_TIMEOUT_S)
        self.id = ServerID(ready["id"])  # another one where options.identity says so
        self.addresses = list(ready["addrs"])

    def _arguments(self) -> list[str]:
        arguments = [_flag("data", self._folder), *self.options.flags()]
        if self.options.identity is None:
            arguments.append(_flag("seed", seed_of(self.name).hex()))
        if self.addresses:
            arguments.append(_flag("listen", self.address.partition("/p2p/")[0]))
        peers = dict.fromkeys(self.options.voters, "") | self._known
        if peers:
            arguments.append(_flag("peers", ",".join(f"{id_}@{at}" for id_, at in peers.items())))
            arguments.append(_flag("bootstrap", bool(self.options.voters)))
        return arguments

    async def ask(self, cmd: str, timeout_s: float = _COMMAND_TIMEOUT_S, **arguments: Any) -> Any:
        """Send one command and return its result; see ``go/peer/commands.go`` for all of them.

        Raises:
            PeerError: the command failed, the peer ended, or no answer came in time.

        """
        process = self._running()
        self._next_request += 1
        number = self._next_request
        answer = self._answers[number] = _Answer()
        line = json.dumps({"id": number, "cmd": cmd, **arguments}).encode() + b"\n"
        try:
            if process.stdin is not None:
                async with self._sending:
                    await process.stdin.send_all(line)
            return await self._await(answer, cmd, timeout_s)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise self._failure(f"{cmd}: it has ended") from error
        finally:
            self._answers.pop(number, None)

    async def status(self) -> PeerStatus:
        return PeerStatus(**await self.ask("status"))

    async def wait(
        self,
        *,
        state: str = "",
        leader: bool = False,
        leader_is_not: str = "",
        applied: int = 0,
        term: int = 0,
        servers: Mapping[ServerID, str] | None = None,
        timeout_s: float = 10.0,
    ) -> PeerStatus:
        """Return its status as soon as all the conditions given hold together.

        ``servers`` are all members of its latest configuration, each with its suffrage;
        ``applied`` and ``term`` may be later than asked for.
        """
        result = await self.ask(
            "wait",
            timeout_s + 5,
            state=state,
            leader=leader or bool(leader_is_not),
            applied=applied,
            term=term,
            servers=servers,
            timeout_ms=round(timeout_s * 1000),
            **{"not": leader_is_not},
        )
        return PeerStatus(**result)

    async def connect(self, peer: ServerID, address: str) -> None:
        """Dial ``peer`` and remember its address, also over restarts."""
        self._known[peer] = address
        await self.ask("connect", peer=peer, address=address)

    async def apply(self, *data: bytes, extensions: bytes = b"") -> list[Index]:
        """Propose all of ``data`` at once; return the indexes when all are applied here.

        Each entry carries ``extensions`` (hashicorp's ``ApplyLog``).
        """
        result = await self.ask(
            "apply", data=[item.hex() for item in data], extensions=extensions.hex()
        )
        return [Index(index) for index in result["indexes"]]

    async def dump(self, first: int = 0, last: int = 0) -> list[LogEntry]:
        """Return the entries of its log store from ``first`` to ``last``, both included."""
        result = await self.ask("dump", first=first, last=last)
        return [
            LogEntry(
                Index(entry["index"]),
                Term(entry["term"]),
                LogType(entry["type"]),
                _from_hex(entry["data"]),
                _from_hex(entry["extensions"]),
                _from_hex(entry["appended_at"]),
            )
            for entry in result["entries"]
        ]

    async def applied(self) -> list[tuple[Index, Term, bytes]]:
        """Return what it has applied, oldest first (mode ``raft``)."""
        result = await self.ask("state")
        return [
            (Index(entry["index"]), Term(entry["term"]), _from_hex(entry["data"]))
            for entry in result["applied"]
        ]

    async def restored(self) -> list[Index]:
        """Return the last command's index of each snapshot it restored since it was started."""
        return [Index(index) for index in (await self.ask("state"))["restored"]]

    async def kill(self) -> None:
        """Send SIGKILL and return when the process is gone; fine when it is already."""
        if self._process is None:
            return
        process, self._process = self._process, None
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()
            await self._ended.wait()
            if process.stdin is not None:
                await process.stdin.aclose()

    async def wipe(self) -> None:
        """Kill it and delete its folder; started again it waits to hear of a cluster."""
        await self.kill()
        await trio.to_thread.run_sync(shutil.rmtree, self._folder)
        self.options = replace(self.options, voters=())

    async def quit(self, timeout_s: float = _COMMAND_TIMEOUT_S) -> None:
        """Shut it down as an operator would, and return when the process is gone."""
        await self.ask("quit", timeout_s)
        await self.kill()

    def pause(self) -> None:
        """Stop the process (SIGSTOP) until :meth:`resume`: connections stay open and silent."""
        self._running().send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._running().send_signal(signal.SIGCONT)

    def log(self) -> str:
        """The end of its log."""
        return "\n".join(self._log)

    def _running(self) -> Running:
        if self._process is None:
            raise PeerError(f"peer {self.name} is not running")
        return self._process

    async def _await(self, answer: _Answer, what: str, timeout_s: float) -> Any:
        with trio.move_on_after(timeout_s) as scope:
            await answer.event.wait()
        if scope.cancelled_caught:
            raise self._failure(f"{what}: no answer within {timeout_s} s")
        if answer.error is not None:
            raise self._failure(f"{what}: {answer.error}")
        return answer.result

    def _failure(self, what: str) -> PeerError:
        log = self.log()
        return PeerError(f"peer {self.name}: {what}" + (f"\nits log:\n{log}" if log else ""))

    async def _read_answers(self, process: Running, logged: trio.Event) -> None:
        try:
            if process.stdout is not None:
                async with process.stdout:
                    await self._read_lines(process.stdout)
            await logged.wait()  # it may have said why it ended
        finally:
            for answer in [self._ready, *self._answers.values()]:
                answer.fail("it has ended")
            self._ended.set()

    async def _read_lines(self, stdout: trio.abc.ReceiveStream) -> None:
        buffer = bytearray()
        async for chunk in stdout:
            buffer += chunk
            *lines, rest = buffer.split(b"\n") if b"\n" in chunk else [buffer]
            buffer = bytearray(rest)
            for line in lines:
                self._take(json.loads(line))
            if len(buffer) > _MAX_LINE_BYTES:
                raise self._failure("an answer has no end")

    def _take(self, message: dict[str, Any]) -> None:
        if message.get("event") == "ready":
            self._ready.finish(message)
            return
        answer = self._answers.get(message["id"])
        if answer is None:  # given up on
            return
        if "error" in message:
            answer.fail(message["error"])
        else:
            answer.finish(message["result"])

    async def _read_log(self, process: Running, logged: trio.Event) -> None:
        if process.stderr is not None:
            async with process.stderr:
                unfinished = ""
                async for chunk in process.stderr:
                    *lines, unfinished = (unfinished + chunk.decode(errors="replace")).split("\n")
                    self._log.extend(lines)
        logged.set()


class _Answer:
    """What one command came to; the first outcome stays."""

    def __init__(self) -> None:
        self.event = trio.Event()
        self.result: Any = None
        self.error: str | None = None

    def finish(self, result: Any) -> None:
        if not self.event.is_set():
            self.result = result
            self.event.set()

    def fail(self, error: str) -> None:
        if not self.event.is_set():
            self.error = error
            self.event.set()


async def introduce(*peers: PeerProcess) -> None:
    """Connect each to each, so that every one knows all addresses, also over restarts."""
    for peer in peers:
        for other in peers:
            if other is not peer:
                await peer.connect(other.id, other.address)


def _flag(name: str, value: object) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"--{name.replace('_', '-')}={text}"


def _from_hex(text: str | None) -> bytes:
    """Nil and empty are one: BoltDB gives back an empty payload as nil."""
    return bytes.fromhex(text or "")
