"""One peer as this server sees it: how it is reached, and, on a leader, how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from raft_over_libp2p.core.status import CoreStatus, PeerProgress, ProgressMode
from raft_over_libp2p.raft.growth import Growth
from raft_over_libp2p.transport.interface import Link
from raft_over_libp2p.types import Index, ServerID

__all__ = ["PeerFailure", "PeerStatus", "peer_statuses"]


@dataclass(frozen=True, slots=True)
class PeerFailure:
    """Something that went wrong with a peer; it may be well again."""

    reason: str
    ago_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerStatus:
    """One member but ourselves. What only a leader knows is None on others."""

    peer: ServerID
    is_connected: bool
    mode: ProgressMode | None
    match_index: Index | None
    next_index: Index | None
    lag_entries: int | None
    """Entries of the leader's log that it has not acknowledged."""
    lag_bytes: int | None
    """Their size as written to disk, of those appended since this server leads."""
    lag_s: float | None
    """Age of the oldest of them, counted from when this server began to lead if it is older;
    0 when it lacks none. Too large by at most a 256th of the time since then."""
    inflight_calls: int | None
    """AppendEntries sent and not answered."""
    inflight_bytes: int | None
    snapshot_bytes_sent: int
    """How far the snapshot on its way to it has come; 0 while none is."""
    snapshot_bytes_total: int
    last_contact_s: float | None
    """Seconds since the newest answered call was sent, on a leader; None before the first."""
    last_error: str
    """What is wrong now; empty when nothing is."""
    last_failure: PeerFailure | None
    """The newest failure of a call or a connection, also when all is well since."""


def peer_statuses(
    core: CoreStatus, links: Mapping[ServerID, Link], growth: Growth, now: float
) -> dict[ServerID, PeerStatus]:
    """Return the status of each member but this server, and of who is told of its removal."""
    progress = {peer.peer: peer for peer in core.peers}
    return {
        peer: _status(peer, progress.get(peer), links.get(peer), growth, now)
        for peer in sorted({*progress, *links})
    }


def _status(
    peer: ServerID, progress: PeerProgress | None, link: Link | None, growth: Growth, now: float
) -> PeerStatus:
    match = None if progress is None else progress.match_index
    error = link.last_error if link else ""
    return PeerStatus(
        peer=peer,
        is_connected=link is not None and link.is_connected,
        mode=progress.mode if progress else None,
        match_index=match,
        next_index=progress.next_index if progress else None,
        lag_entries=progress.lag_entries if progress else None,
        lag_bytes=None if match is None else growth.bytes_after(match),
        lag_s=None if match is None else growth.age_s(match, now),
        inflight_calls=progress.inflight if progress else None,
        inflight_bytes=progress.inflight_bytes if progress else None,
        snapshot_bytes_sent=link.snapshot_bytes_sent if link else 0,
        snapshot_bytes_total=link.snapshot_bytes_total if link else 0,
        last_contact_s=progress.last_contact_s if progress else None,
        last_error=error or (progress.last_error if progress else ""),
        last_failure=_newest_failure(progress, link),
    )


def _newest_failure(progress: PeerProgress | None, link: Link | None) -> PeerFailure | None:
    failures = [
        PeerFailure(each.last_failure, each.last_failure_s)
        for each in (progress, link)
        if each is not None and each.last_failure_s is not None
    ]
    return min(failures, key=lambda failure: failure.ago_s, default=None)
