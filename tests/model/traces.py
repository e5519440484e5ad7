"""From the trace of a run to the lines that RaftTrace.tla judges, one action of the model a line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from raft_over_libp2p.core.events import (
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
from tests.model.tlc import Verdict, run_tlc

__all__ = ["Judgement", "judge", "lines_of"]

Line = dict[str, Any]

_INVARIANTS: Final = (
    "ElectionSafety OneVotePerTerm LogMatching LeaderCompleteness StateMachineSafety "
    "CommitWithinLog OneOpenConfiguration SentCommitCovered SnapshotAgreed"
)
_CODEC: Final = GoConfigurationCodec()
_NO_CONFIGURATION: Final = {"voters": frozenset[str](), "others": frozenset[str]()}


@dataclass(frozen=True, slots=True)
class Judgement:
    """Whether a trace is a behaviour of the model; else ``refused`` is the line that is not."""

    is_accepted: bool
    lines: int
    refused: Line | None
    why: str


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


class _Translation:
    def __init__(self, seen: frozenset[ServerID]) -> None:
        self.lines: list[Line] = []
        self.starts: dict[str, Line] = {}
        self._seen = seen
        self._servers: dict[ServerID, _Traced] = {}

    def _say(self, do: str, record: TraceRecord, **more: Any) -> None:
        self.lines.append({"do": do, "i": record.server, **more})

    def take(self, record: TraceRecord) -> None:
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
        if record.server not in self._servers:
            self.starts[record.server] = {"log": entries, "term": term, "vote": vote}
        else:
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
            if event.peer not in self._seen:
                self._say("learns", record, what="entries", **said)
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
            do = "hears" if call.peer in self._seen else "learns"
            if isinstance(call.request, RequestVoteRequest) and response.granted:
                self._say(do, record, what="vote", **said)
            elif (upto := _upto(call.request)) and response.success:
                self._say(do, record, what="ack", upto=upto, **said)
        self._moved(record, server)

    def _other(self, record: TraceRecord, server: _Traced) -> None:
        cause, before, after = record.cause, server.state, record.state
        if isinstance(cause, Persisted):
            self._say("persisted", record, batch=cause.batch)
        elif record.name == "ClientRequest":
            self._say("grow", record, count=cause)
        elif after.configuration_index > before.configuration_index and record.name in {
            "ChangeConf",
            "Ready",
        }:
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
            self._moved(record, server)

    def _moved(self, record: TraceRecord, server: _Traced) -> None:
        """Say what else came of an input: a campaign, an election, a commit, a step down."""
        before, after = server.state, record.state
        at = _state(after)
        if after.term > before.term and after.vote == record.server:
            is_order = record.name == "ReceiveTimeoutNowRequest"
            self._say("campaign", record, at=at, transfer=is_order)
            return
        if before.role is not Role.LEADER and after.role is Role.LEADER:
            self._say("lead", record)
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


def _tla(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, str):
        return '"' + value + '"'
    if isinstance(value, frozenset):
        return "{" + ", ".join(_tla(each) for each in sorted(value)) + "}"
    if isinstance(value, Mapping):
        return "[" + ", ".join(f"{key} |-> {_tla(each)}" for key, each in value.items()) + "]"
    return "<<" + ", ".join(_tla(each) for each in value) + ">>"


def lines_of(records: Sequence[TraceRecord]) -> tuple[list[Line], dict[str, Line]]:
    """Return the lines of a trace, and what each traced server started from."""
    seen = frozenset(record.server for record in records)
    translation = _Translation(seen)
    for record in records:
        translation.take(record)
    return translation.lines, translation.starts


def judge(
    records: Sequence[TraceRecord], servers: Iterable[str], *, go: Iterable[str] = ()
) -> Judgement:
    """Have TLC judge a trace of a cluster of ``servers``; those in ``go`` left no trace."""
    lines, starts = lines_of(records)
    everybody, unseen = frozenset(servers), frozenset(go)
    last_term = max(record.state.term for record in records) + 1
    for server in everybody - starts.keys():
        starts[server] = {"log": [], "term": 0, "vote": "nobody"}
    the_lines = ",\n".join(_tla(line) for line in lines)
    logs = " @@ ".join(f"({_tla(server)} :> {_tla(start)})" for server, start in starts.items())
    text = f"""---- MODULE TraceRun ----
EXTENDS RaftTrace
TheLines == <<
{the_lines}
>>
TheLogs == {logs}
TheCampaigner == [t \\in 1..{last_term} |-> Server]
====
"""
    configuration = f"""SPECIFICATION TraceSpec
CONSTANTS
 Server = {_tla(everybody)}
 Voters = {{}}
 Nonvoters = {{}}
 Go = {_tla(unseen)}
 Unseen = {_tla(unseen)}
 Crashers = {{}}
 Synchronous = FALSE
 Campaigner <- TheCampaigner
 MaxTerm = {last_term}
 MaxLog = 1000000
 MaxBatch = 1000000
 Targets = {{}}
 PreVote = FALSE
 Snapshots = TRUE
 Transfers = TRUE
 Faults = {{}}
 Lines <- TheLines
 StartLogs <- TheLogs
INVARIANTS {_INVARIANTS}
"""
    return _judgement(run_tlc("TraceRun", text, configuration, workers=1), lines)


def _judgement(verdict: Verdict, lines: list[Line]) -> Judgement:
    if verdict.is_complete:
        return Judgement(True, len(lines), None, "")
    reached = re.findall(r"/\\ line = (\d+)", verdict.text)
    if verdict.violated and reached:
        return Judgement(False, len(lines), lines[int(reached[-1]) - 2], verdict.violated)
    if "Deadlock reached" in verdict.text and reached:
        return Judgement(False, len(lines), lines[int(reached[-1]) - 1], "no step of the model")
    message = f"TLC did not judge the trace: {verdict.error or verdict.text[-2000:]}"
    raise RuntimeError(message)
