"""How a server takes in a snapshot that its leader sends (Raft §7; mixed-cluster rules 11, 12, 16)."""

from __future__ import annotations

from dataclasses import dataclass

from raft_over_libp2p.core import following
from raft_over_libp2p.core.membership import PlacedConfiguration
from raft_over_libp2p.core.messages import (
    ONLY_A_LATER_SNAPSHOT,
    ErrorResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    Response,
)
from raft_over_libp2p.core.ready import SnapshotMeta, StoreSnapshot
from raft_over_libp2p.core.server import Server
from raft_over_libp2p.core.snapshotting import compact
from raft_over_libp2p.errors import LocalProtocolError
from raft_over_libp2p.types import CallID, ServerID, Term

__all__ = ["Installing", "answer_install_snapshot", "on_not_stored", "on_stored", "replace_log"]


@dataclass(frozen=True, slots=True)
class Installing:
    """The snapshot that is being stored, and the term of the leader that sent it."""

    call: CallID
    meta: SnapshotMeta
    term: Term


def answer_install_snapshot(
    server: Server, call: CallID, peer: ServerID, request: InstallSnapshotRequest
) -> None:
    """Have a snapshot stored that is newer than what is committed here; answer when it is in force.

    An older one changes nothing and is answered with success (rule 16): a Go leader would
    send it again for ever.
    """
    if request.term < server.term:
        _decline(server, call, InstallSnapshotResponse(term=server.term, success=False))
    elif fault := following.distrust(server, peer) or _fault(server, peer, request):
        _decline(server, call, ErrorResponse(error=fault))
    elif not following.follow(server, peer, request.term):
        _decline(server, call, InstallSnapshotResponse(term=server.term, success=False))
    elif not _is_wanted(server, request):
        server.hear_leader()
        server.ready.drop_snapshot.append(call)
        response = InstallSnapshotResponse(term=server.term, success=True)
        server.reply_acknowledging(call, response, request.last_log_index)
    elif server.installing is not None:
        _decline(server, call, ErrorResponse(error="another snapshot is being stored: try again"))
    elif server.is_disputed and not _replaces_disputed(server, request):
        text = f"{ONLY_A_LATER_SNAPSHOT} {server.log.snapshot_index} can heal this server"
        _decline(server, call, ErrorResponse(error=text))
    else:
        server.hear_leader()
        meta = SnapshotMeta(
            index=request.last_log_index,
            term=request.last_log_term,
            configuration=request.configuration,
            configuration_index=request.configuration_index,
        )
        server.installing = Installing(call, meta, server.term)
        server.ready.store_snapshot.append(StoreSnapshot(call, meta))


def _fault(server: Server, peer: ServerID, request: InstallSnapshotRequest) -> str:
    """Return what no leader may send, in words, or nothing."""
    if peer == server.id or request.term == 0:
        return "a snapshot from this server, or without a term"
    if not 0 < request.last_log_term <= request.term or request.last_log_index == 0:
        return f"a snapshot at entry {request.last_log_index} of term {request.last_log_term}"
    if request.configuration_index > request.last_log_index or not request.configuration.voters:
        return "a snapshot without the configuration in force at its entry"
    return ""


def _is_wanted(server: Server, request: InstallSnapshotRequest) -> bool:
    index, log = request.last_log_index, server.log
    if index == log.snapshot_index and request.last_log_term != log.term(index):
        following.dispute(server)
    return index > server.commit_index or server.is_disputed


def _replaces_disputed(server: Server, request: InstallSnapshotRequest) -> bool:
    """Tell whether the snapshot would be found before the disputed one after a restart."""
    log = server.log
    disputed = (log.term(log.snapshot_index) or 0, log.snapshot_index)
    return (request.last_log_term, request.last_log_index) > disputed


def _decline(server: Server, call: CallID, response: Response) -> None:
    server.ready.drop_snapshot.append(call)
    server.reply_stating_term(call, response)


def on_not_stored(server: Server, call: CallID, reason: str) -> None:
    """Go on as before, and tell the leader why."""
    if server.installing is not None and server.installing.call == call:
        server.installing = None
        server.alarm(None, f"a snapshot could not be stored: {reason}")
        server.reply_stating_term(call, ErrorResponse(error=reason))


def on_stored(server: Server, call: CallID, meta: SnapshotMeta) -> None:
    """Put the snapshot in force, if it is still what the leader of this term wants (rule 11)."""
    installing = server.installing
    if installing is None or installing.call != call:
        server.ready.drop_snapshot.append(call)  # asked for by a machine before this one
        return
    if installing.meta != meta:
        raise LocalProtocolError(f"another snapshot was stored than {installing.meta}")
    server.installing = None
    if installing.term != server.term:
        _decline(server, call, InstallSnapshotResponse(term=server.term, success=False))
        return
    response = InstallSnapshotResponse(term=server.term, success=True)
    if meta.index <= server.commit_index and not server.is_disputed:
        server.ready.drop_snapshot.append(call)
        server.reply_acknowledging(call, response, meta.index)
        return
    server.ready.adopt_snapshot = StoreSnapshot(call, meta)
    is_kept = server.log.term(meta.index) == meta.term and server.log.durable_index >= meta.index
    if is_kept and not server.is_disputed:
        _keep_suffix(server, meta)
        server.reply_acknowledging(call, response, meta.index)
    else:
        replace_log(server, meta)
        server.reply_after_next_write(call, response)


def replace_log(server: Server, meta: SnapshotMeta) -> None:
    """Discard the whole log: it ends before the snapshot, or contradicts it (rule 12).

    So does the log on the disk, if the snapshot's entry is still on its way there; then
    nobody was told of what follows that entry, and it will be sent again.
    """
    server.holding.truncated_all(server.term, server.writes.term_batch)
    server.log.reset(meta.index, meta.term)
    server.is_disputed = False
    _put_in_force(server, meta, keeps_later=False)


def _keep_suffix(server: Server, meta: SnapshotMeta) -> None:
    """Keep what follows the snapshot in a log that agrees with it (rule 12)."""
    server.log.cover(meta.index, meta.term)
    _put_in_force(server, meta, keeps_later=True)
    compact(server)


def _put_in_force(server: Server, meta: SnapshotMeta, *, keeps_later: bool) -> None:
    server.snapshotting.newest = meta
    server.commit_index = server.handed_index = server.applied_index = meta.index
    placed = PlacedConfiguration(meta.configuration_index, meta.configuration)
    server.membership.restart(placed, meta.index, keeps_later=keeps_later)
    server.was_member = server.was_member or meta.configuration.has(server.id)
    server.observe_configuration()
