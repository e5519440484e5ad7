"""How a leader sends a snapshot to a peer (Raft §7; mixed-cluster rules 4, 12, 15 and 17).

A peer in mode SNAPSHOT gets the newest one, but two weaknesses of a Go follower may ask for a
newer one still, which is then taken first. It obeys whatever InstallSnapshot reaches it, also
one that it has overtaken: its state and its configuration go back. And it never accepts a
previous entry at a snapshot that lies inside a stale tail of its log. So:

- It has overtaken ours by its own snapshot, and a stale tail above that one hides it from us
  (rule 4): nothing is sent that is older than what it may have applied.
- Outcome unknown (rule 4): the transport resets the stream, so that the peer gets the snapshot
  whole by then or never. The next thing sent is an empty append, whose answer shows that the
  peer's main loop is past it; no entry goes out before. Should that answer ask for a snapshot
  again, the next one has a larger index, or the same if nothing newer is agreed on: then there
  is nothing that the peer could lose, and perhaps nothing is agreed on without the peer.
- Refused at the index of a snapshot it acknowledged, or twice for its storage at one place
  (rule 15): the next one covers more than the peer's last entry. No-ops are appended until
  something beyond that is agreed on; a peer that only fails to store is sent entries until then.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from raft_over_libp2p import limits
from raft_over_libp2p.core.calls import SnapshotCall
from raft_over_libp2p.core.messages import (
    ONLY_A_LATER_SNAPSHOT,
    ErrorResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    Response,
)
from raft_over_libp2p.core.progress import Progress
from raft_over_libp2p.core.quorum import majority
from raft_over_libp2p.core.ready import SnapshotMeta
from raft_over_libp2p.core.server import Server
from raft_over_libp2p.errors import ProposalRefused
from raft_over_libp2p.types import NO_INDEX, Index, LogType

if TYPE_CHECKING:
    from raft_over_libp2p.core.leadership import Leadership

__all__ = [
    "is_outgrown",
    "leaves_a_quorum",
    "on_snapshot_answer",
    "on_snapshot_failure",
    "require_beyond",
    "send",
    "send_snapshot",
]


def require_beyond(server: Server, peer: Progress, index: Index) -> None:
    """Send ``peer`` nothing but a snapshot that covers more than ``index``, its last entry."""
    if index - server.log.last_index > limits.MAX_STALE_TAIL_ENTRIES:
        text = f"{peer.peer} says that its log ends at entry {index}: it needs an empty folder"
        server.alarm(peer.peer, text)
        peer.back_off(server.now, text)
        return
    peer.snapshot_floor = max(peer.snapshot_floor, index)
    peer.await_snapshot()


def is_outgrown(server: Server, leadership: Leadership, index: Index) -> bool:
    """Tell whether more is agreed on than ``index``, a peer's last entry; else see to it that it is.

    Until then nothing but entries can help the peer: it may be the one whose acknowledgement it
    takes, and what it cannot store may be for want of space, and not for a hole.
    """
    if _may_grow(server) and server.log.last_index <= index:
        _append_no_ops(server, leadership, index)
    return server.commit_index > index


def send_snapshot(server: Server, leadership: Leadership, peer: Progress) -> None:
    """Send the newest snapshot to a peer in mode SNAPSHOT, or see to it that there is one."""
    if peer.is_installing or peer.is_leaving or peer.is_silent:
        return  # to a silent peer it would be lost, and the next must be a newer one
    newest = server.snapshotting.newest
    applied = _may_have_applied(server, leadership, peer)
    if newest is None or newest.index < applied or not _is_of_use(server, peer, newest.index):
        if _may_grow(server) and server.log.last_index <= peer.snapshot_floor:
            _append_no_ops(server, leadership, peer.snapshot_floor)
        needed = max(peer.snapshot_floor, peer.snapshot_in_doubt, applied - 1)
        server.snapshotting.want_beyond(server, Index(needed))
    elif leaves_a_quorum(leadership, peer):
        send(server, peer, newest)


def _may_have_applied(server: Server, leadership: Leadership, peer: Progress) -> Index:
    """Return what ``peer`` may have applied: an older snapshot would take a Go peer back (4).

    No more than its log has, and no more than is agreed on. How much that is we know when an
    entry of this term is committed, and cannot wait for that for ever: the peer may be the one
    whose acknowledgement it takes.
    """
    if leadership.has_own_term_commit():
        return min(peer.reach, server.commit_index)
    waits = server.now < leadership.began_at + server.config.election_timeout_s
    return min(peer.reach, server.log.last_index) if waits else NO_INDEX


def _is_of_use(server: Server, peer: Progress, index: Index) -> bool:
    """Tell whether a snapshot at ``index`` may be sent to ``peer``, and helps it."""
    in_doubt = peer.snapshot_in_doubt
    is_harmless = index > in_doubt or index == in_doubt >= server.commit_index
    return index > peer.snapshot_floor and is_harmless


def _append_no_ops(server: Server, leadership: Leadership, floor: Index) -> None:
    """Make the log longer than ``floor``, a part of it in each turn, as there is room."""
    count = min(floor + 1 - server.log.last_index, limits.MAX_APPLY_BATCH_ENTRIES)
    with suppress(ProposalRefused):
        leadership.append(LogType.NOOP, (b"",) * count)


def _may_grow(server: Server) -> bool:
    return server.transfer is None and server.restoring is None


def leaves_a_quorum(leadership: Leadership, peer: Progress) -> bool:
    """Tell whether a snapshot may go to ``peer`` now.

    A Go peer answers nothing while it takes one in (rule 17), and which peers are Go's is
    not known here: at most one voter at a time, unless the others are a quorum.
    """
    voters = leadership.voters
    if peer not in voters or not any(voter.is_installing for voter in voters):
        return True
    others = sum(not voter.is_installing and voter is not peer for voter in voters)
    return others + leadership.is_voter >= majority(len(voters) + leadership.is_voter)


def send(server: Server, peer: Progress, meta: SnapshotMeta) -> None:
    """Send ``peer``, which is in mode SNAPSHOT, the snapshot that ``meta`` describes."""
    request = InstallSnapshotRequest(
        term=server.term,
        leader=server.id,
        last_log_index=meta.index,
        last_log_term=meta.term,
        configuration=meta.configuration,
        configuration_index=meta.configuration_index,
        size_bytes=0,
    )
    peer.is_installing = True
    peer.snapshot_pinned = meta
    server.call(peer.peer, request, SnapshotCall(peer, server.now, meta.index))


def on_snapshot_answer(
    server: Server, leadership: Leadership, call: SnapshotCall, response: Response
) -> None:
    """Go on after the snapshot, or try again later."""
    peer = call.progress
    peer.is_installing = False
    if not isinstance(response, InstallSnapshotResponse):
        text = response.error if isinstance(response, ErrorResponse) else "another RPC's answer"
        if ONLY_A_LATER_SNAPSHOT in text and server.applied_index > call.index:
            # The same one again would be refused for ever (rule 11).
            peer.snapshot_floor = max(peer.snapshot_floor, call.index)
        _begin_again(server, peer, text)
    elif leadership.note_answer(peer, response, call.sent_at, newest_read=0):
        if response.success:
            peer.snapshot_acknowledged = max(peer.snapshot_acknowledged, call.index)
            peer.hold(call.index)
        else:
            text = f"the peer could not install the snapshot at {call.index}"
            _begin_again(server, peer, text)
    elif server.leadership is leadership:
        _begin_again(server, peer, f"answered term {server.term} in {response.term}")


def _begin_again(server: Server, peer: Progress, text: str) -> None:
    """After a refused snapshot ask for the entries it stood for; what was sent before, was not taken."""
    peer.back_off(server.now, text)
    peer.next_index = Index(peer.match_index + 1)


def on_snapshot_failure(server: Server, call: SnapshotCall, reason: str) -> None:
    """Note that it is unknown whether the peer has, or will have, the snapshot (rule 4)."""
    peer = call.progress
    peer.is_installing = False
    peer.back_off(server.now, reason)
    peer.is_unreachable = True
    peer.snapshot_in_doubt = max(peer.snapshot_in_doubt, call.index)
    peer.owes_round_trip = True
    peer.next_index = Index(max(call.index, peer.match_index) + 1)
