"""From the records of traces to the lines that RaftTrace.tla judges, one action of the model a line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from raft_over_libp2p.core.events import (
    CallFailed,
    Persisted,
    RequestReceived,
    ResponseReceived,
    SnapshotStored,
)
from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    InstallSnapshotRequest,
    RequestVoteRequest,
)
from raft_over_libp2p.core.ready import Call, Reply, Role, Write
from raft_over_libp2p.core.trace import Start, TraceRecord, TraceState
from raft_over_libp2p.types import Configuration, LogEntry, LogType, ServerID
from raft_over_libp2p.wire.configuration import GoConfigurationCodec

__all__ = ["Line", "Lines"]

Line: TypeAlias = dict[str, Any]
"""``do`` says which action, ``i`` who did it; the rest is as ``RaftTrace.tla`` reads it."""

_CODEC: Final = GoConfigurationCodec()
_NO_CONFIGURATION: Final = {"voters": frozenset[str](), "others": frozenset[str]()}


def _conf(configuration: Configuration) -> Line:
    voters = frozenset(configuration.voters)
    return {"voters": voters, "others": frozenset(configuration.ids) - voters}


def _entry(entry: LogEntry) -> Line:
    if entry.type is not LogType.CONFIGURATION:
        return {"term": entry.term, "conf": _NO_CONFIGURATION}
    return {"term": entry.term, "conf": _conf(_CODEC.decode(entry.data))}


def _state(state: TraceState) -> Line:
    return {
        "term": state.term,
        "vote": state.vote or "nobody",
        "commit": state.commit_index,
        "last": state.last_index,
        "lastTerm": state.last_term,
        "conf": state.configuration_index,
        "leads": state.role is Role.LEADER,
    }


@dataclass(slots=True)
class _Traced:
    """What is remembered of one server to understand its next record."""

    state: TraceState
    calls: dict[int, Call] = field(default_factory=dict)
    inbound: dict[int, tuple[ServerID, Any]] = field(default_factory=dict)


class Lines:
    """Tells the lines of each record it takes; one for each process, or one for all servers.

    What is heard of another server is said as ``hears``, whether or not that one is traced;
    :func:`tests.model.traces.judge` knows.
    """

    def __init__(self, say: Callable[[Line], None]) -> None:
        self._tell = say
        self._servers: dict[ServerID, _Traced] = {}

    def _say(self, do: str, record: TraceRecord, **more: Any) -> None:
        self._tell({"do": do, "i": record.server, **more})

    def take(self, record: TraceRecord) -> None:
        """Say what ``record`` comes to: nothing, a line or some (``core.trace.Tracer``)."""
        if isinstance(record.cause, Start):
            self._start(record, record.cause)
            return
        server = self._servers[record.server]
        cause = record.cause
        if isinstance(cause, RequestReceived):
            server.inbound[cause.call] = (cause.peer, cause.request)
            self._request(record, server, cause)
        elif isinstance(cause, ResponseReceived):
            self._response(record, server, cause)
        elif isinstance(cause, Write):
            self._say("write", record, batch=cause.batch)
        elif isinstance(cause, Call):
            server.calls[cause.call] = cause
            self._call(record, cause)
        elif isinstance(cause, Reply):
            self._reply(record, *server.inbound.pop(cause.call), cause.response)
        else:
            self._other(record, server)
        server.state = record.state

    def _start(self, record: TraceRecord, start: Start) -> None:
        placed = dict(start.configurations)
        entries = [
            {"term": term, "conf": _conf(placed[index]) if index in placed else _NO_CONFIGURATION}
            for index, term in enumerate(start.terms, start.first_index)
        ]
        term, vote = start.hard_state.term, start.hard_state.vote or "nobody"
        self._say(
            "start",
            record,
            first=start.first_index,
            entries=entries,
            term=term,
            vote=vote,
            snap=start.snapshot_index,
            at=_state(record.state),
        )
        self._servers[record.server] = _Traced(record.state)

    # -- inputs

    def _request(self, record: TraceRecord, server: _Traced, event: RequestReceived) -> None:
        request, at = event.request, _state(record.state)
        if isinstance(request, AppendEntriesRequest) and not request.is_heartbeat:
            if request.term < server.state.term:
                self._say("is", record, at=at)
                return
            said: Line = {
                "from": event.peer,
                "term": request.term,
                "prev": request.prev_log_index,
                "prevTerm": request.prev_log_term,
                "entries": [_entry(entry) for entry in request.entries or ()],
                "commit": request.leader_commit_index,
            }
            self._say("hears", record, what="entries", **said)
            self._say("append", record, at=at, **said)
        elif isinstance(request, RequestVoteRequest):
            self._say(
                "vote request",
                record,
                at=at,
                term=request.term,
                transfer=request.leadership_transfer,
                last=[request.last_log_term, request.last_log_index],
                **{"from": event.peer},
            )
        else:
            self._moved(record, server)

    def _response(self, record: TraceRecord, server: _Traced, event: ResponseReceived) -> None:
        call = server.calls.pop(event.call, None)
        response: Any = event.response
        if call is not None and getattr(response, "term", None) == getattr(call.request, "term", 0):
            said: Line = {"from": call.peer, "term": response.term}
            if isinstance(call.request, RequestVoteRequest) and response.granted:
                self._say("hears", record, what="vote", **said)
            elif (upto := _upto(call.request)) and response.success:
                self._say("hears", record, what="ack", upto=upto, **said)
        self._moved(record, server)

    def _other(self, record: TraceRecord, server: _Traced) -> None:
        cause, before, after = record.cause, server.state, record.state
        grown = 0
        if isinstance(cause, CallFailed):
            server.calls.pop(cause.call, None)
        elif isinstance(cause, Persisted):
            self._say("persisted", record, batch=cause.batch)
        elif record.name == "ClientRequest" and isinstance(cause, int):
            grown = cause
            self._say("grow", record, count=grown)
        elif after.configuration_index > before.configuration_index and record.name in {
            "ChangeConf",
            "Ready",
        }:
            grown = 1
            self._say("change", record, conf=_conf(after.configuration))
        elif record.name == "SnapshotTaken" and after.snapshot_index > before.snapshot_index:
            self._say("snapshot", record, n=after.snapshot_index)
        elif isinstance(cause, SnapshotStored) and after.snapshot_index > before.snapshot_index:
            peer, request = server.inbound[cause.call]
            self._say(
                "install",
                record,
                n=request.last_log_index,
                lastTerm=request.last_log_term,
                term=request.term,
                at=_state(after),
                **{"from": peer},
            )
            return
        if isinstance(cause, Persisted) or after != before:
            self._moved(record, server, grown)

    def _moved(self, record: TraceRecord, server: _Traced, grown: int = 0) -> None:
        """Say what else came of an input: a campaign, an election, a commit, a step down.

        ``grown`` is by how many entries the log grew as was said.
        """
        before, after = server.state, record.state
        at = _state(after)
        if after.term > before.term and after.vote == record.server:
            is_order = record.name == "ReceiveTimeoutNowRequest"
            self._say("campaign", record, at=at, transfer=is_order)
            return
        if before.role is not Role.LEADER and after.role is Role.LEADER:
            self._say("lead", record)
            grown += 1
        more = after.last_index - before.last_index - grown
        if after.role is Role.LEADER and more:
            self._say("grow", record, count=more)  # its own no-ops (rule 15)
        leads = Role.LEADER in {before.role, after.role}
        if leads and after.commit_index > before.commit_index:
            self._say("commit", record, n=after.commit_index)
        if after.term > before.term or (
            before.role is Role.LEADER and after.role is not Role.LEADER
        ):
            self._say("adopt", record, at=at)
        else:
            self._say("is", record, at=at)

    # -- outputs

    def _call(self, record: TraceRecord, call: Call) -> None:
        request = call.request
        if isinstance(request, AppendEntriesRequest):
            if request.is_heartbeat:
                self._say("says", record, what="term", term=request.term)
                return
            self._say(
                "says",
                record,
                what="entries",
                term=request.term,
                prev=request.prev_log_index,
                prevTerm=request.prev_log_term,
                entries=[_entry(entry) for entry in request.entries or ()],
                commit=request.leader_commit_index,
            )
        elif isinstance(request, RequestVoteRequest):
            self._say(
                "says",
                record,
                what="request",
                term=request.term,
                transfer=request.leadership_transfer,
                last=[request.last_log_term, request.last_log_index],
            )
        elif record.name == "SendTimeoutNowRequest":
            self._say("says", record, what="order", to=call.peer)

    def _reply(self, record: TraceRecord, peer: ServerID, request: Any, response: Any) -> None:
        if isinstance(request, RequestVoteRequest) and getattr(response, "granted", False):
            self._say("says", record, what="vote", term=response.term, to=peer)
        elif getattr(response, "success", False) and (upto := _upto(request)):
            self._say("says", record, what="ack", term=response.term, to=peer, upto=upto)
        elif hasattr(response, "success"):
            self._say("says", record, what="term", term=response.term)


def _upto(request: Any) -> int:
    """Return up to where a success to ``request`` acknowledges the log; 0 if of nothing."""
    if isinstance(request, InstallSnapshotRequest):
        return request.last_log_index
    if isinstance(request, AppendEntriesRequest) and not request.is_heartbeat:
        return request.prev_log_index + len(request.entries or ())
    return 0
