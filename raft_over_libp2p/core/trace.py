"""What a machine did, one record a transition: for whoever checks it against a model.

A :class:`TracedMachine` is a machine that is watched from outside: each input is one record, and so
is each output, with the state that the machine was in afterwards. The core itself knows nothing of
this and pays nothing. Names follow ``state_trace.go`` of etcd's raft where the thing is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core.events import (
    Applied,
    CallFailed,
    ClockStoodStill,
    Event,
    PeerConnected,
    Persisted,
    RequestReceived,
    ResponseReceived,
    RestoreFailed,
    RestoreKept,
    RestoreWritten,
    SnapshotNotStored,
    SnapshotNotTaken,
    SnapshotStored,
    SnapshotTaken,
)
from raft_over_libp2p.core.interfaces import ConfigurationCodec, InitialState, LogReader, Random
from raft_over_libp2p.core.machine import Machine
from raft_over_libp2p.core.membership_change import MembershipChange
from raft_over_libp2p.core.ready import (
    Call,
    HardState,
    ReadState,
    Ready,
    Reply,
    Role,
    SnapshotMeta,
    StoreSnapshot,
    Write,
)
from raft_over_libp2p.types import (
    NO_INDEX,
    NO_TERM,
    ZERO_GO_TIME,
    Configuration,
    Index,
    LogEntry,
    LogType,
    ServerID,
    Term,
)

__all__ = ["Start", "TraceRecord", "TraceState", "TracedMachine", "Tracer"]


class TraceState(NamedTuple):
    """A machine's state between two transitions: Raft Figure 2, and what is durable."""

    role: Role
    term: Term
    vote: ServerID | None
    commit_index: Index
    last_index: Index
    last_term: Term
    durable_index: Index
    snapshot_index: Index
    configuration_index: Index
    configuration: Configuration
    """The latest one in the log, agreed on or not."""


@dataclass(frozen=True, slots=True)
class Start:
    """What a machine starts from: all of it is durable.

    ``terms`` are those of the log's entries from ``first_index`` on. ``configurations`` are those
    of the snapshot, if any, and of the log, each with its index.
    """

    hard_state: HardState
    snapshot_index: Index
    snapshot_term: Term
    first_index: Index
    terms: tuple[Term, ...]
    configurations: tuple[tuple[Index, Configuration], ...]


Cause: TypeAlias = (
    Event
    | Start
    | MembershipChange
    | Call
    | Reply
    | Write
    | SnapshotMeta
    | StoreSnapshot
    | ReadState
    | tuple[LogEntry, ...]
    | int
    | None
)


class TraceRecord(NamedTuple):
    """One transition: its name, who made it, what went in or came out, the state afterwards."""

    name: str
    server: ServerID
    now: float
    cause: Cause
    state: TraceState


Tracer: TypeAlias = Callable[[TraceRecord], None]
"""Is handed each record at once; what it raises comes out of the machine's method."""

_INPUT_NAMES: Final[dict[type, str]] = {
    CallFailed: "CallFailed",
    PeerConnected: "PeerConnected",
    Persisted: "Persisted",
    Applied: "Applied",
    SnapshotTaken: "SnapshotTaken",
    SnapshotNotTaken: "SnapshotNotTaken",
    SnapshotStored: "SnapshotStored",
    SnapshotNotStored: "SnapshotNotStored",
    ClockStoodStill: "ClockStoodStill",
    RestoreWritten: "RestoreWritten",
    RestoreKept: "RestoreKept",
    RestoreFailed: "RestoreFailed",
}


def _name_of(event: Event) -> str:
    if isinstance(event, RequestReceived):
        return "Receive" + type(event.request).__name__
    if isinstance(event, ResponseReceived):
        return "Receive" + type(event.response).__name__
    return _INPUT_NAMES[type(event)]


class TracedMachine(Machine):
    """A machine whose every input and output is told to ``tracer``, in order.

    Inputs: ``InitState``, ``Receive...Request``, ``Receive...Response``, ``Timeout``, ``Persisted``,
    ``ClientRequest``, ``ChangeConf``, ``ReadIndex`` and the other events by their names. Outputs:
    ``Write``, ``Send...``, ``InstallSnapshot``, ``TakeSnapshot``, ``Commit`` (entries handed to the
    state machine), ``ReadState``. A refused proposal changed nothing and leaves no record.
    """

    def __init__(
        self,
        *,
        tracer: Tracer,
        server_id: ServerID,
        config: RaftConfig,
        log: LogReader,
        initial: InitialState,
        rng: Random,
        codec: ConfigurationCodec,
        now: float,
    ) -> None:
        super().__init__(
            server_id=server_id,
            config=config,
            log=log,
            initial=initial,
            rng=rng,
            codec=codec,
            now=now,
        )
        self._tracer = tracer
        self._record("InitState", self._start(initial, codec))

    def _start(self, initial: InitialState, codec: ConfigurationCodec) -> Start:
        snapshot = initial.snapshot
        configurations = [
            (entry.index, codec.decode(entry.data)) for entry in initial.configuration_entries
        ]
        if snapshot is not None:
            configurations.insert(0, (snapshot.configuration_index, snapshot.configuration))
        log = self._server.log
        return Start(
            initial.hard_state,
            snapshot.index if snapshot is not None else NO_INDEX,
            snapshot.term if snapshot is not None else NO_TERM,
            log.first_index,
            tuple(
                log.term(Index(index)) or NO_TERM
                for index in range(log.first_index, log.last_index + 1)
            ),
            tuple(configurations),
        )

    def trace_state(self) -> TraceState:
        """Return the state as a record holds it."""
        server = self._server
        log, latest = server.log, server.membership.latest
        return TraceState(
            server.role,
            server.hard_state.term,
            server.hard_state.vote,
            server.commit_index,
            log.last_index,
            log.last_term,
            log.durable_index,
            log.snapshot_index,
            latest.index,
            latest.configuration,
        )

    def _record(self, name: str, cause: Cause) -> None:
        server = self._server
        self._tracer(TraceRecord(name, server.id, server.now, cause, self.trace_state()))

    def handle(self, event: Event, now: float) -> None:
        super().handle(event, now)
        self._record(_name_of(event), event)

    def handle_timer(self, now: float) -> None:
        super().handle_timer(now)
        self._record("Timeout", None)

    def propose(
        self,
        data: Sequence[bytes],
        now: float,
        *,
        type: LogType = LogType.COMMAND,  # noqa: A002
        extensions: bytes = b"",
        appended_at: bytes = ZERO_GO_TIME,
    ) -> tuple[Index, Term]:
        placed = super().propose(
            data, now, type=type, extensions=extensions, appended_at=appended_at
        )
        self._record("ClientRequest", len(data))
        return placed

    def read_index(self, token: int, now: float) -> None:
        super().read_index(token, now)
        self._record("ReadIndex", token)

    def change_membership(
        self, change: MembershipChange, now: float, *, prev_index: Index = NO_INDEX
    ) -> tuple[Index, Term]:
        placed = super().change_membership(change, now, prev_index=prev_index)
        self._record("ChangeConf", change)
        return placed

    def take_ready(self) -> Ready:
        ready = super().take_ready()
        state = self.trace_state()
        server = self._server
        tracer, own, now = self._tracer, server.id, server.now
        # A learner's promotion is made on the way out: told before the write that holds it.
        tracer(TraceRecord("Ready", own, now, None, state))
        if ready.write is not None:
            tracer(TraceRecord("Write", own, now, ready.write, state))
        for output in ready.send:
            what = output.request if isinstance(output, Call) else output.response
            tracer(TraceRecord("Send" + type(what).__name__, own, now, output, state))
        if ready.adopt_snapshot is not None:
            tracer(TraceRecord("InstallSnapshot", own, now, ready.adopt_snapshot, state))
        if ready.take_snapshot is not None:
            tracer(TraceRecord("TakeSnapshot", own, now, ready.take_snapshot, state))
        if ready.committed:
            tracer(TraceRecord("Commit", own, now, tuple(ready.committed), state))
        for read in ready.read_states:
            if isinstance(read, ReadState):
                tracer(TraceRecord("ReadState", own, now, read, state))
        return ready
