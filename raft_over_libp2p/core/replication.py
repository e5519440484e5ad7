"""How a leader sends its log to one peer (Raft §5.3; mixed-cluster rules 1 and 18)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from raft_over_libp2p import limits
from raft_over_libp2p.core import snapshot_sending
from raft_over_libp2p.core.calls import AppendCall
from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    ErrorResponse,
    Response,
)
from raft_over_libp2p.core.progress import Progress
from raft_over_libp2p.core.server import Server
from raft_over_libp2p.core.status import ProgressMode
from raft_over_libp2p.types import NO_INDEX, NO_TERM, Index, LogEntry, Term

if TYPE_CHECKING:
    from raft_over_libp2p.core.leadership import Leadership

__all__ = [
    "on_append_answer",
    "on_append_failure",
    "owe_commit",
    "owe_commit_again",
    "send_entries",
    "tell_commit",
]


def send_entries(server: Server, leadership: Leadership, peer: Progress) -> None:
    """Send ``peer`` what it lacks, as far as its window allows."""
    if peer.owes_round_trip:
        _ask_round_trip(server, leadership, peer)
        return
    last_index = server.log.last_index
    config = server.config
    while peer.next_index <= last_index:
        if peer.mode is ProgressMode.REPLICATE:
            if peer.inflight >= config.max_inflight_appends:
                return
            if peer.inflight_bytes >= limits.MAX_INFLIGHT_APPEND_BYTES:
                return
        elif peer.mode is not ProgressMode.PROBE or peer.inflight:
            return
        prev = Index(peer.next_index - 1)
        prev_term = _term_before(server, peer, prev)
        if prev_term is None or not server.log.has(peer.next_index):
            peer.await_snapshot()
            snapshot_sending.send_snapshot(server, leadership, peer)
            return
        entries, size = server.log.entries(
            peer.next_index, config.max_append_entries, limits.MAX_FRAME_SENT_BYTES
        )
        _append(server, leadership, peer, prev, prev_term, entries, size)
        peer.next_index = Index(peer.next_index + len(entries))


def _term_before(server: Server, peer: Progress, prev: Index) -> Term | None:
    """Return the term at ``prev``: in the log, or in the snapshot that ``peer`` was just sent."""
    term, pinned = server.log.term(prev), peer.snapshot_pinned
    return pinned.term if term is None and pinned and pinned.index == prev else term


def _ask_round_trip(server: Server, leadership: Leadership, peer: Progress) -> None:
    """Send an empty append where ``peer`` may be: behind a snapshot whose outcome is unknown (rule 4)."""
    if peer.mode is ProgressMode.PROBE and not peer.inflight:
        # The snapshot's entry may be gone behind a newer one; that one is as good to ask for.
        prev = max(Index(peer.next_index - 1), server.log.snapshot_index)
        _append(server, leadership, peer, prev, server.log.term(prev) or NO_TERM, (), 0)


def _append(
    server: Server,
    leadership: Leadership,
    peer: Progress,
    prev: Index,
    prev_term: Term,
    entries: tuple[LogEntry, ...],
    size: int,
) -> None:
    # A Go follower commits up to its own last index, stale tail and all, unless told less (1).
    commit_index = min(server.commit_index, Index(prev + len(entries)))
    request = AppendEntriesRequest(
        term=server.term,
        leader=server.id,
        prev_log_index=prev,
        prev_log_term=prev_term,
        entries=entries,
        leader_commit_index=commit_index,
    )
    call = AppendCall(
        progress=peer,
        sent_at=server.now,
        newest_read=leadership.reads.newest,
        epoch=peer.epoch,
        prev=prev,
        length=len(entries),
        size=size,
        commit_index=commit_index,
    )
    peer.reach = max(peer.reach, Index(prev + len(entries)))
    peer.inflight += 1
    peer.inflight_bytes += size
    server.call(peer.peer, request, call)


def owe_commit(server: Server, peer: Progress) -> None:
    """See to it that ``peer`` is told the commit index, by an empty append if it stays idle."""
    if peer.commit_at == math.inf and peer.commit_told < min(server.commit_index, peer.match_index):
        peer.commit_at = server.now + server.random_timeout(server.config.commit_timeout_s)


def owe_commit_again(server: Server, peer: Progress) -> None:
    """Tell ``peer`` the commit index once more: it may have started again, and forgotten it.

    A restarted server holds its log and applies nothing of it until a leader says what is
    committed; heartbeats do not, and an idle leader sends nothing else.
    """
    peer.commit_told = NO_INDEX
    owe_commit(server, peer)


def tell_commit(server: Server, leadership: Leadership, peer: Progress) -> None:
    """Send an idle peer an empty append at prev = match; again later, until it is answered."""
    peer.commit_at = math.inf
    is_owed = peer.commit_told < min(server.commit_index, peer.match_index)
    if is_owed and peer.inflight < server.config.max_inflight_appends:
        send_empty(server, leadership, peer)
    owe_commit(server, peer)


def send_empty(server: Server, leadership: Leadership, peer: Progress) -> None:
    """Send an empty append at prev = match, unless entries are due or it must wait."""
    is_sent = peer.next_index > server.log.last_index
    is_idle = is_sent and peer.mode in {ProgressMode.PROBE, ProgressMode.REPLICATE}
    prev_term = server.log.term(peer.match_index)
    if is_idle and prev_term is not None:
        _append(server, leadership, peer, peer.match_index, prev_term, (), 0)


def on_append_answer(
    server: Server, leadership: Leadership, call: AppendCall, response: Response
) -> None:
    """Take in what a peer says of entries sent to it."""
    peer = call.progress
    if not isinstance(response, AppendEntriesResponse):
        text = response.error if isinstance(response, ErrorResponse) else "another RPC's answer"
        _back_off(server, peer, call, text)
        return
    if not leadership.note_answer(peer, response, call.sent_at, call.newest_read):
        if server.leadership is leadership and leadership.peers.get(peer.peer) is peer:
            _back_off(server, peer, call, f"answered term {server.term} in {response.term}")
    elif response.success:
        _on_success(server, leadership, call)
    elif call.epoch == peer.epoch:
        peer.owes_round_trip = False
        _on_reject(server, leadership, call, response)


def on_append_failure(server: Server, call: AppendCall, reason: str) -> None:
    """Take a failed call as one whose outcome is unknown: probe again from what is certain."""
    if call.epoch == call.progress.epoch:
        _back_off(server, call.progress, call, reason)
        call.progress.is_unreachable = True


def _back_off(server: Server, peer: Progress, call: AppendCall, error: str) -> None:
    if call.epoch != peer.epoch:
        return
    # While probing nothing is known yet: stay where the probe was, not at the log's beginning.
    was_probe = peer.mode is not ProgressMode.REPLICATE
    peer.back_off(server.now, error)
    peer.next_index = Index(max(call.prev if was_probe else 0, peer.match_index) + 1)


def _on_success(server: Server, leadership: Leadership, call: AppendCall) -> None:
    peer = call.progress
    peer.commit_told = max(peer.commit_told, call.commit_index)
    if server.transfer is not None:
        server.transfer.on_success(call)
    is_new = peer.succeed(Index(call.prev + call.length), call.epoch, call.size)
    if is_new and peer.match_index > server.commit_index:
        leadership.advance_commit()
    owe_commit(server, peer)


def _on_reject(
    server: Server, leadership: Leadership, call: AppendCall, response: AppendEntriesResponse
) -> None:
    peer = call.progress
    peer.reach = response.last_log
    if not response.no_retry_backoff:
        # The peer's storage, not its log: the same entries again, later; but twice at one place
        # is what a Go peer says whose log has a hole there (15).
        if peer.storage_reject == call.prev and snapshot_sending.is_outgrown(
            server, leadership, response.last_log
        ):
            peer.storage_reject = None
            snapshot_sending.require_beyond(server, peer, response.last_log)
            return
        peer.storage_reject = call.prev
        peer.back_off(server.now, "the peer could not store entries")
        peer.next_index = Index(max(call.prev, peer.match_index) + 1)
    elif call.prev > peer.match_index:
        # Backwards: to the end of the peer's log, then by doubling, never below what it holds.
        step, peer.reject_step = peer.reject_step, peer.reject_step * 2
        prev = min(response.last_log, call.prev - step)
        peer.probe(Index(prev + 1))
    elif call.prev < peer.match_index:
        peer.probe(peer.next_index)  # an answer from before a success that overtook it
    elif response.last_log < peer.match_index:
        server.alarm(
            peer.peer,
            f"{peer.peer} acknowledged entry {peer.match_index} and has only "
            f"{response.last_log} now: it lost its log",
        )
        leadership.start_over(peer, Index(response.last_log + 1))
    elif _may_be_ours(server, peer, call, response.last_log):
        # A Go peer with entries above a snapshot knows the snapshot's no more. They may be those
        # that we sent after it, whose answer was lost: it is asked for the last of them, once.
        peer.tail_asked = response.last_log
        peer.probe(Index(response.last_log + 1))
        peer.owes_round_trip = True
    elif call.prev in {NO_INDEX, peer.snapshot_acknowledged}:
        # A stale tail over a snapshot it took from us (15), or a state that it does not trust.
        snapshot_sending.require_beyond(server, peer, response.last_log)
    else:
        # A Go peer whose own snapshot ends there knows that entry no more, unless it is its last
        # one. The entry that is its last may be of ours, too: an answer was lost.
        peer.back_off(server.now, f"refuses entry {peer.match_index}, which it acknowledged")
        peer.next_index = Index(min(response.last_log, server.log.last_index) + 1)
        peer.owes_round_trip = True


def _may_be_ours(server: Server, peer: Progress, call: AppendCall, last_log: Index) -> bool:
    """Tell whether what ``peer`` holds above the snapshot it acknowledged was never asked about."""
    return (
        call.prev == peer.snapshot_acknowledged
        and call.prev < last_log <= server.log.last_index
        and last_log != peer.tail_asked
    )
