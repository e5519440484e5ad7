"""How a server answers a leader: AppendEntries (Raft §5.3), TimeoutNow."""

from __future__ import annotations

from raft_over_libp2p import limits
from raft_over_libp2p.core import election
from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    ErrorResponse,
    TimeoutNowRequest,
    TimeoutNowResponse,
)
from raft_over_libp2p.core.ready import Role
from raft_over_libp2p.core.server import Server
from raft_over_libp2p.errors import RaftError
from raft_over_libp2p.types import (
    CONFIGURATION_TYPES,
    NO_INDEX,
    CallID,
    Index,
    LogEntry,
    LogType,
    ServerID,
    Term,
)

__all__ = ["answer_append_entries", "answer_timeout_now", "dispute", "distrust", "follow"]


def answer_append_entries(
    server: Server, call: CallID, peer: ServerID, request: AppendEntriesRequest
) -> None:
    """Answer an AppendEntries: heartbeats at once, the rest when what it says is durable."""
    if request.term < server.term:
        _refuse(server, call)
        return
    entries = request.entries or ()
    if fault := distrust(server, peer) or _fault(server, peer, request, entries):
        server.reply(call, ErrorResponse(error=fault))
        return
    if not follow(server, peer, request.term):
        _refuse(server, call)
        return
    if request.is_heartbeat:
        # It says nothing of the log and commits nothing: no answer of it waits for the log.
        server.hear_leader()
        server.reply_stating_term(
            call,
            AppendEntriesResponse(term=server.term, last_log=server.log.last_index, success=True),
        )
        return
    _take_entries(server, call, peer, request, entries)


def _fault(
    server: Server,
    peer: ServerID,
    request: AppendEntriesRequest,
    entries: tuple[LogEntry, ...],
) -> str:
    """Return what no leader may send, in words, or nothing."""
    if peer == server.id or request.term == 0:
        return "AppendEntries from this server itself, or without a term"
    index, term = int(request.prev_log_index), request.prev_log_term
    if term > request.term:
        return f"the previous entry's term {term} is after the leader's term {request.term}"
    for entry in entries:
        index += 1
        if entry.index != index:
            return f"entry {entry.index} stands where entry {index} must follow"
        if entry.term < term:
            return f"entry {index} of term {entry.term} follows an entry of term {term}"
        term = entry.term
    if term > request.term:
        return f"entry {index} of term {term} is after the leader's term {request.term}"
    return ""


def distrust(server: Server, peer: ServerID) -> str:
    """Return why ``peer`` may not lead this server, in words, or nothing (rule 24).

    By default anybody may: a server that slept through membership changes does not know who
    leads now, and is lost unless it takes what a stranger sends (thesis 4.1).
    """
    trusted = server.config.trusted_peers
    if trusted is None or peer in trusted or server.membership.has(peer):
        return ""
    return f"{peer} is neither a member nor trusted"


def follow(server: Server, peer: ServerID, term: Term) -> bool:
    """Take ``peer`` as the leader of ``term``; refuse a second one in a term (rule 24)."""
    if term > server.term:
        server.adopt_term(term)
    if server.term_leader != peer:
        if server.term_leader is not None:
            server.alarm(
                peer, f"{peer} claims to lead term {term}, which {server.term_leader} leads"
            )
            return False
        server.term_leader = peer
    if server.role is not Role.FOLLOWER:
        server.become_follower()
    server.leader = peer
    if server.hard_state.vote != peer or server.voted_blank:
        server.outvoted_term = term
    server.rounds_refused = 0
    return True


def _refuse(
    server: Server, call: CallID, *, last_log: Index | None = None, is_mismatch: bool = False
) -> None:
    response = AppendEntriesResponse(
        term=server.term,
        last_log=server.log.last_index if last_log is None else last_log,
        success=False,
        no_retry_backoff=is_mismatch,
    )
    server.reply_stating_term(call, response)


def _take_entries(
    server: Server,
    call: CallID,
    peer: ServerID,
    request: AppendEntriesRequest,
    entries: tuple[LogEntry, ...],
) -> None:
    log = server.log
    prev = request.prev_log_index
    if prev <= log.snapshot_index and _contradicts_snapshot(server, request, entries):
        dispute(server)
    if server.is_disputed:
        _refuse(server, call, last_log=NO_INDEX, is_mismatch=True)
        return
    if not _has_previous(server, prev, request.prev_log_term):
        # The leader goes on before the last entry that could be its own, not one by one.
        hint = log.last_with_term_at_most(request.prev_log_term, prev)
        _refuse(server, call, last_log=hint, is_mismatch=True)
        return
    if log.undurable_bytes > limits.MAX_UNCOMMITTED_BYTES:
        server.reply(call, ErrorResponse(error="too much waits for this server's disk: try later"))
        return
    last_log = log.last_index
    new = _new_entries(server, entries)
    if new and not _append(server, call, peer, new):
        return
    upto = Index(prev + len(entries))
    if server.commit_index < request.leader_commit_index:
        # Not our last index: what follows the entries named here may be stale (rule 1).
        server.commit_to(max(server.commit_index, min(request.leader_commit_index, upto)))
    server.hear_leader()
    response = AppendEntriesResponse(term=server.term, last_log=last_log, success=True)
    server.reply_acknowledging(call, response, upto)


def _contradicts_snapshot(
    server: Server, request: AppendEntriesRequest, entries: tuple[LogEntry, ...]
) -> bool:
    """Tell whether the leader has another entry where our snapshot stands (rule 11)."""
    index = server.log.snapshot_index
    if index == NO_INDEX:
        return False
    position = index - request.prev_log_index
    if position == 0:
        return request.prev_log_term != server.log.term(index)
    return position <= len(entries) and entries[position - 1].term != server.log.term(index)


def dispute(server: Server) -> None:
    """Note that our snapshot is not what the cluster agreed on, and wait for another.

    hashicorp's user restore puts a snapshot into its own folder and into others' before a
    majority has it; when that leader falls, what they applied was never agreed on (rule 11).
    """
    server.is_disputed = True
    server.alarm(
        None,
        f"the cluster has another entry {server.log.snapshot_index} than the snapshot of this "
        "server covers: its state is not what was agreed on until a snapshot comes",
    )


def _has_previous(server: Server, prev: Index, prev_term: Term) -> bool:
    """Tell whether our log agrees with the leader's up to ``prev`` (Raft §5.3)."""
    if prev < server.log.snapshot_index:
        return True  # committed, hence the same everywhere
    return server.log.term(prev) == prev_term


def _new_entries(server: Server, entries: tuple[LogEntry, ...]) -> tuple[LogEntry, ...]:
    """Return ``entries`` from the first one on that our log lacks or holds with another term."""
    log = server.log
    if not entries or entries[0].index > log.last_index:
        return entries
    for position, entry in enumerate(entries):
        if entry.index > log.snapshot_index and log.term(entry.index) != entry.term:
            return entries[position:]
    return ()


def _append(server: Server, call: CallID, peer: ServerID, new: tuple[LogEntry, ...]) -> bool:
    """Put ``new`` into the log in place of what conflicts; False if it was refused."""
    first = new[0].index
    if first <= server.commit_index:
        server.alarm(peer, f"{peer} sent another entry {first} than the committed one")
        server.reply(call, ErrorResponse(error=f"entry {first} is committed with another term"))
        return False
    try:
        placed = [
            server.placed_configuration(entry)
            for entry in new
            if entry.type is not LogType.COMMAND and entry.type in CONFIGURATION_TYPES
        ]
    except RaftError as error:
        server.reply(call, ErrorResponse(error=f"a configuration entry does not decode: {error}"))
        return False
    if first <= server.log.last_index:
        server.truncate(first)
    server.log.append(new)
    for configuration in placed:
        server.append_configuration(configuration)
    return True


def answer_timeout_now(
    server: Server, call: CallID, peer: ServerID, request: TimeoutNowRequest
) -> None:
    """Campaign at once if asked by who led our term (thesis 3.10, mixed-cluster rule 21)."""
    del request
    if server.role is Role.LEADER or peer != server.term_leader or peer == server.id:
        server.reply(call, ErrorResponse(error=f"{peer} does not lead term {server.term}"))
    elif not election.may_campaign(server, is_asked=True):
        server.reply(call, ErrorResponse(error="this server may not campaign now"))
    else:
        server.reply(call, TimeoutNowResponse())
        election.campaign(server, is_transfer=True)
