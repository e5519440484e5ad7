"""How messages and changes read in a transcript: what peers and callers can see, and no more.

An entry is written ``4@t2``: index 4, term 2; a run of one term ``4..6@t2``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    ErrorResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    LeaseRequest,
    LeaseResponse,
    OwnRequest,
    ReadIndexRequest,
    ReadIndexResponse,
    Request,
    RequestPreVoteRequest,
    RequestPreVoteResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    Response,
    TimeoutNowRequest,
)
from raft_over_libp2p.core.ready import (
    Alarm,
    ConfigurationChanged,
    LeaderChanged,
    Observation,
    ReadState,
    Ready,
    Removed,
    RestoreEnded,
    RoleChanged,
    TransferEnded,
    Write,
)
from raft_over_libp2p.core.status import CoreStatus
from raft_over_libp2p.types import Configuration, LogEntry, ServerID, Suffrage

__all__ = ["answer_text", "kind_of", "observed", "request_text", "runs", "status_text", "told"]


def runs(entries: Sequence[LogEntry]) -> str:
    """Return ``1..3@t1 4@t2``."""
    texts: list[str] = []
    first = 0
    for i, item in enumerate(entries):
        if i + 1 == len(entries) or entries[i + 1].term != item.term:
            span = f"{entries[first].index}.." if first < i else ""
            texts.append(f"{span}{item.index}@t{item.term}")
            first = i + 1
    return " ".join(texts) or "nothing"


_KINDS: Final = {
    InstallSnapshotRequest: "snapshot",
    TimeoutNowRequest: "timeoutnow",
    ReadIndexRequest: "readindex",
    LeaseRequest: "lease",
}


def kind_of(request: Request) -> str:
    """Return what ``hold`` and ``deliver`` call it."""
    if isinstance(request, AppendEntriesRequest):
        return "heartbeat" if request.is_heartbeat else "append"
    if isinstance(request, RequestVoteRequest):
        return "vote"
    if isinstance(request, RequestPreVoteRequest):
        return "prevote"
    return _KINDS[type(request)]


def request_text(request: Request) -> str:
    kind = kind_of(request)
    if isinstance(request, AppendEntriesRequest):
        if request.is_heartbeat:
            return f"heartbeat term={request.term}"
        place = f"after {request.prev_log_index}@t{request.prev_log_term}"
        entries = runs(request.entries or ())
        return f"append term={request.term} {entries} {place} commit={request.leader_commit_index}"
    if isinstance(request, RequestVoteRequest | RequestPreVoteRequest):
        last = f"last={request.last_log_index}@t{request.last_log_term}"
        is_transfer = isinstance(request, RequestVoteRequest) and request.leadership_transfer
        return f"{kind} term={request.term} {last}" + (" transfer" if is_transfer else "")
    if isinstance(request, InstallSnapshotRequest):
        return f"snapshot term={request.term} {request.last_log_index}@t{request.last_log_term}"
    return _own_request_text(request) if isinstance(request, OwnRequest) else kind


def _own_request_text(request: OwnRequest) -> str:
    if isinstance(request, ReadIndexRequest):
        return f"readindex term={request.term}"
    how = f"for {request.duration_ms}ms" if request.duration_ms else "given back"
    return f"lease term={request.term} round={request.round} {how}"


def answer_text(request: Request, response: Response) -> str:
    kind = kind_of(request)
    if isinstance(response, ErrorResponse):
        return f"{kind} error: {response.error}"
    if isinstance(response, RequestVoteResponse | RequestPreVoteResponse | LeaseResponse):
        return f"{kind} {'granted' if response.granted else 'refused'} term={response.term}"
    if isinstance(response, ReadIndexResponse):
        return f"{kind} {response.index} term={response.term}"
    if isinstance(response, AppendEntriesResponse) and response.no_retry_backoff:
        return f"{kind} mismatch term={response.term} last={response.last_log}"
    if isinstance(response, AppendEntriesResponse | InstallSnapshotResponse):
        return f"{kind} {'ok' if response.success else 'rejected'} term={response.term}"
    return f"{kind} ok"


def _members(configuration: Configuration) -> str:
    voting = Suffrage.VOTER
    return " ".join(
        s.id if s.suffrage is voting else f"{s.id}({s.suffrage.name.lower()})"
        for s in configuration.servers
    )


def observed(server: ServerID, observation: Observation) -> str:
    """Return the observation in a line, or nothing if others say it already."""
    text = ""
    match observation:
        case RoleChanged(role, term):
            text = f"{role.value.lower()} term={term}"
        case LeaderChanged(leader, term) if leader not in {None, server}:
            text = f"follows {leader} term={term}"
        case ConfigurationChanged(configuration, index, committed):
            is_final = "agreed on" if committed else "latest"
            text = f"configuration {index} {is_final}: {_members(configuration)}"
        case Alarm(_, message):
            text = f"ALARM: {message}"
        case Removed(index):
            text = f"was removed by configuration {index}"
        case TransferEnded(target, error):
            text = f"transfer to {target} " + (f"ended: {error}" if error else "done")
        case RestoreEnded(error, is_unknown):
            outcome = "unknown" if is_unknown else "not done"
            text = "restore " + (f"{outcome}: {error}" if error else "done")
    return text and f"{server} {text}"


def _written(server: ServerID, write: Write, *, is_held: bool) -> Iterable[str]:
    if write.reset_to is not None:
        yield f"{server} discards its log"
    if write.truncate_from is not None:
        yield f"{server} truncates from {write.truncate_from}"
    if write.remove_prefix is not None:
        yield f"{server} compacts up to {write.remove_prefix}"
    if is_held:
        state, parts = write.hard_state, []
        if state is not None:
            parts.append(f"term={state.term} vote={state.vote or 'none'}")
        if write.append:
            parts.append(runs(write.append))
        yield f"{server} disk holds {', '.join(parts)}"


def told(
    server: ServerID, ready: Ready, *, commit: int | None, is_disk_held: bool
) -> Iterable[str]:
    """Yield the lines of a turn, but for terms, messages and what is applied."""
    if ready.write:
        yield from _written(server, ready.write, is_held=is_disk_held)
    if ready.adopt_snapshot:
        adopted = ready.adopt_snapshot.meta
        yield f"{server} adopts snapshot {adopted.index}@t{adopted.term}"
    if commit is not None:
        yield f"{server} commits {commit}"
    for observation in ready.observations:
        if line := observed(server, observation):
            yield line
    if taken := ready.take_snapshot:
        members = _members(taken.configuration)
        yield f"{server} takes snapshot {taken.index}@t{taken.term} of {members}"
    for does, meta in (("writes", ready.write_restore), ("keeps", ready.keep_restore)):
        yield from [f"{server} {does} restore {meta.index}@t{meta.term}"] if meta else ()
    for read in ready.read_states:
        if isinstance(read, ReadState):
            yield f"{server} read r{read.token} confirmed at {read.index}"
        else:
            why = " by a peer that knows no such call" if read.is_unsupported else ""
            yield f"{server} read r{read.token} refused{why}"


def status_text(status: CoreStatus) -> Iterable[str]:
    name, role = status.server_id, status.role.value.lower()
    yield (
        f"{name} {role} term={status.term} leader={status.leader or 'none'} "
        f"commit={status.commit_index} applied={status.applied_index} "
        f"durable={status.durable_index} last={status.last_index}@t{status.last_log_term} "
        f"of {_members(status.configuration) or 'nobody'}"
    )
    for peer in status.peers:
        yield (
            f"  {peer.peer} {peer.mode.value} match={peer.match_index} "
            f"next={peer.next_index} inflight={peer.inflight}"
        )
