"""Servers on links that a transcript opens and shuts, and one clock that it moves.

What is sent arrives at once, in order, unless its link is cut (then it is lost and the call
fails at once) or held (then it waits for ``deliver``). A timer goes off only when it is told
to, or while ``advance`` lets time pass. Writes are durable at once unless the disk is held.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core.events import CallFailed, RequestReceived, ResponseReceived
from raft_over_libp2p.core.messages import (
    AppendEntriesResponse,
    InstallSnapshotRequest,
    LeaseResponse,
    OwnRequest,
    Request,
    Response,
)
from raft_over_libp2p.core.ready import Call, HardState, Ready, RoleChanged
from raft_over_libp2p.types import CallID, ServerID, Term
from tests.core.logs import MemoryLog
from tests.scenarios import telling
from tests.scenarios.server import Dice, Disk, ScenarioServer

__all__ = ["Message", "World"]

_MAX_STEPS = 10_000


@dataclass(frozen=True)
class Message:
    """A request on its way, or with ``response`` its answer; nobody waits for it without ``call``."""

    caller: ServerID
    callee: ServerID
    request: Request
    call: CallID | None = None
    life: int = 0
    state: Sequence[str] = ()
    response: Response | None = None

    @property
    def link(self) -> tuple[ServerID, ServerID]:
        ends = (self.caller, self.callee)
        return ends if self.response is None else (ends[1], ends[0])

    @property
    def kind(self) -> str:
        return telling.kind_of(self.request)

    def text(self) -> str:
        source, target = self.link
        if self.response is None:
            return f"{source} -> {target} {telling.request_text(self.request)}"
        return f"{source} -> {target} {telling.answer_text(self.request, self.response)}"

    def is_routine(self) -> bool:
        """Whether it is a heartbeat, or a promise beside it, that goes as it should."""
        answer = self.response
        is_well = (
            answer is None
            or (isinstance(answer, AppendEntriesResponse) and answer.success)
            or (isinstance(answer, LeaseResponse) and answer.granted)
        )
        return self.kind in {"heartbeat", "lease"} and is_well


@dataclass
class World:
    config: RaftConfig = field(default_factory=lambda: RaftConfig(snapshot_interval_s=1e6))
    now: float = 0.0
    servers: dict[ServerID, ScenarioServer] = field(default_factory=dict)
    cuts: set[tuple[ServerID, ServerID]] = field(default_factory=set)
    holds: set[tuple[ServerID, ServerID, str]] = field(default_factory=set)
    """Links and kinds; the kind "" is every kind."""
    held: list[Message] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    go_peers: set[ServerID] = field(default_factory=set)
    """Who serves Go's protocol alone."""
    tells_messages: bool = True
    tells_heartbeats: bool = False
    inbox: deque[Message] = field(default_factory=deque)
    unanswered: dict[CallID, Message] = field(default_factory=dict)
    next_inbound: int = 1
    sent: Counter[tuple[ServerID, str]] = field(default_factory=Counter)

    def add(self, name: str, log: MemoryLog, term: int) -> None:
        """Start a server whose dice always fall on a tenth of its number: n1's on 0.1."""
        fraction = (len(self.servers) + 1) / 10
        server_id = ServerID(name)
        hard_state = HardState(Term(term))
        server = ScenarioServer(server_id, self.config, Dice(fraction), log, hard_state)
        if old := self.servers.get(server_id):
            server.life = old.life + 1
        server.start(self.now)
        self.servers[server_id] = server

    # -- messages

    def post(self, message: Message) -> None:
        """Send a message, or hold or lose it, as its link is."""
        link = message.link
        if link[1] in self.go_peers and isinstance(message.request, OwnRequest):
            self._tell_message(message, " (not served)")
            self.fail(message, is_unsupported=True)
        elif link in self.cuts:
            self._lose(message)
        elif {(*link, message.kind), (*link, "")} & self.holds:
            self._tell_message(message, " (held)")
            self.held.append(message)
        else:
            self.inbox.append(message)

    def _tell_message(self, message: Message, suffix: str = "") -> None:
        if self.tells_messages and (self.tells_heartbeats or not message.is_routine()):
            self.lines.append(message.text() + suffix)

    def _lose(self, message: Message) -> None:
        self._tell_message(message, " (lost)")
        self.fail(message)

    def fail(self, message: Message, *, is_unsupported: bool = False) -> None:
        """Tell the caller that no answer will come."""
        caller = self.servers.get(message.caller)
        if message.call is not None and caller and caller.is_up and caller.life == message.life:
            failed = CallFailed(message.call, "no answer", is_unsupported=is_unsupported)
            caller.machine.handle(failed, self.now)

    def deliver(self, message: Message) -> None:
        """Hand a message over now."""
        target = self.servers.get(message.link[1])
        if message.response is not None:
            self._tell_message(message)
            if message.call is not None and target and target.is_up and target.life == message.life:
                target.machine.handle(ResponseReceived(message.call, message.response), self.now)
        elif target is None or not target.is_up:
            self._lose(message)
        else:
            self._tell_message(message)
            number, self.next_inbound = CallID(self.next_inbound), self.next_inbound + 1
            self.unanswered[number] = message
            target.spooled[number] = list(message.state)
            target.machine.handle(
                RequestReceived(number, message.caller, message.request), self.now
            )

    def hang_up(self, server: ScenarioServer) -> None:
        """Fail the calls that ``server`` will never answer."""
        for number, message in list(self.unanswered.items()):
            if message.callee == server.id:
                del self.unanswered[number]
                self.fail(message)

    # -- turns

    def settle(self) -> None:
        """Go on until nobody has anything to do."""
        for _ in range(_MAX_STEPS):
            is_busy = False
            for server in self.servers.values():
                is_busy |= server.is_up and self._turn(server)
            if is_busy:
                continue
            if not self.inbox:
                return
            self.deliver(self.inbox.popleft())
        raise RuntimeError("the servers do not come to rest")

    def _turn(self, server: ScenarioServer) -> bool:
        ready = server.machine.take_ready()
        self._tell(server, ready)
        for output in ready.send:
            if isinstance(output, Call):
                state: Sequence[str] = ()
                if isinstance(output.request, InstallSnapshotRequest):
                    state = server.snapshot_at(output.request.last_log_index)
                call = (output.request, output.call, server.life, state)
                message = Message(server.id, output.peer, *call)
                self.sent[server.id, message.kind] += 1
                self.post(message)
            else:
                answered = self.unanswered.pop(output.call)
                self.post(replace(answered, response=output.response))
        self._tell_applied(server, server.work(ready, self.now))
        if server.unsynced and server.disk is Disk.FULL:
            self._run_out_of_space(server)
        elif server.unsynced and server.disk is Disk.GOOD:
            server.sync(self.now)
            return True
        return ready != Ready()

    def _tell(self, server: ScenarioServer, ready: Ready) -> None:
        status = server.machine.status(self.now)
        changes = [o for o in ready.observations if isinstance(o, RoleChanged)]
        if status.term != server.seen_term and not any(o.term == status.term for o in changes):
            self.lines.append(f"{server.id} term={status.term}")
        commit = status.commit_index if status.commit_index != server.seen_commit else None
        is_held = server.disk is Disk.HELD
        self.lines.extend(telling.told(server.id, ready, commit=commit, is_disk_held=is_held))
        server.seen_term, server.seen_commit = status.term, status.commit_index

    def _tell_applied(self, server: ScenarioServer, commands: Sequence[str]) -> None:
        # In how many turns they are handed out is nobody's concern.
        start = f"{server.id} applies"
        if commands and self.lines and self.lines[-1].startswith(start):
            start = self.lines.pop()
        if commands:
            self.lines.append(" ".join([start, *commands]))

    def _run_out_of_space(self, server: ScenarioServer) -> None:
        server.start(self.now, after_full_disk=True)
        self.hang_up(server)
        role = server.machine.status(self.now)
        self.lines.append(
            f"{server.id} disk full: again from its disk, {role.role.value.lower()} "
            f"term={role.term} last={role.last_index}@t{role.last_log_term}"
        )

    # -- time

    def fire(self, server: ScenarioServer, *kinds: str, tries: int) -> None:
        """Move the clock on to when ``server`` sends one of ``kinds``; no other timer goes off.

        A timer may go off and only look, so it is given a few ``tries``.
        """
        machine, term = server.machine, server.seen_term
        sent_before = self._sent(server, kinds)
        for _ in range(tries):
            self.now = max(self.now, machine.next_timer())
            machine.handle_timer(self.now)
            self.settle()
            if self._sent(server, kinds) > sent_before or server.seen_term != term:
                return

    def _sent(self, server: ScenarioServer, kinds: Sequence[str]) -> int:
        return sum(self.sent[server.id, kind] for kind in kinds)

    def advance(self, seconds: float) -> None:
        """Let time pass: timers go off in their order."""
        end = self.now + seconds
        for _ in range(_MAX_STEPS):
            up = [s for s in self.servers.values() if s.is_up]
            first = min(up, key=lambda s: s.machine.next_timer())
            if first.machine.next_timer() > end:
                self.now = end
                return
            self.now = max(self.now, first.machine.next_timer())
            first.machine.handle_timer(self.now)
            self.settle()
        raise RuntimeError("the timers spin")
