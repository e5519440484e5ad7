"""What a leader knows of one peer, and how it sends entries to it (mixed-cluster rule 18)."""

from __future__ import annotations

import math

from raft_over_libp2p.core.ready import SnapshotMeta
from raft_over_libp2p.core.status import PeerProgress, ProgressMode
from raft_over_libp2p.types import NO_INDEX, Index, ServerID

__all__ = ["Progress"]

_BACK_OFF_BASE_S = 0.01
_MAX_BACK_OFF_DOUBLINGS = 10


class Progress:
    """One peer for the length of one leadership; a peer that leaves and returns gets a new one.

    ``epoch`` counts how often the window was given up: an answer to a call of an earlier
    epoch may still raise ``match_index``, but says nothing about what to send next.
    """

    __slots__ = (
        "acknowledged_read",
        "back_off_cap_s",
        "commit_at",
        "commit_told",
        "contact",
        "epoch",
        "failed_at",
        "failures",
        "forgotten_at",
        "has_answered",
        "heartbeats_inflight",
        "inflight",
        "inflight_bytes",
        "is_installing",
        "is_silent",
        "is_unreachable",
        "last_error",
        "last_failure",
        "match_index",
        "mode",
        "next_index",
        "owes_round_trip",
        "peer",
        "reach",
        "reject_step",
        "removal",
        "retry_at",
        "round_began_at",
        "round_goal",
        "snapshot_acknowledged",
        "snapshot_floor",
        "snapshot_in_doubt",
        "snapshot_pinned",
        "storage_reject",
        "tail_asked",
    )

    def __init__(
        self, peer: ServerID, next_index: Index, now: float, back_off_cap_s: float
    ) -> None:
        self.peer = peer
        self.match_index = NO_INDEX
        self.next_index = next_index
        self.mode = ProgressMode.PROBE
        self.epoch = self.inflight = self.inflight_bytes = 0
        self.failures = 0
        self.back_off_cap_s = back_off_cap_s
        self.retry_at = math.inf
        self.is_unreachable = False
        """Backing off because a call failed, not because the peer refused."""
        self.reject_step = 1
        self.contact = now
        """Send time of the newest answered call; when leading began, before the first answer."""
        self.has_answered = False
        self.is_silent = False
        self.acknowledged_read = 0
        """Newest read registered before a call that the peer answered in this term."""
        self.commit_told = NO_INDEX
        """Commit index the peer is known to have taken in."""
        self.commit_at = math.inf
        """When an idle peer is told the commit index."""
        self.heartbeats_inflight = 0
        self.is_installing = False
        """A snapshot is on its way to it, and not answered yet."""
        self.snapshot_pinned: SnapshotMeta | None = None
        """A snapshot sent to it: it will need the entries after it next."""
        self.snapshot_acknowledged = NO_INDEX
        """Newest snapshot it acknowledged in this term."""
        self.snapshot_floor = NO_INDEX
        """Only a snapshot with a larger index is of use to it."""
        self.snapshot_in_doubt = NO_INDEX
        """Newest snapshot of which it is not known whether it came."""
        self.reach = Index(next_index - 1)
        """Its log ends here at most: what it named when it refused an entry, or was sent since."""
        self.owes_round_trip = False
        """No entries before it answered an empty append: it may still take in a snapshot, or hold more."""
        self.tail_asked = NO_INDEX
        """Last entry of its log above a snapshot of ours, which it was asked whether it is ours."""
        self.storage_reject: Index | None = None
        """Previous entry of the append that it could not store last."""
        self.round_goal: Index | None = None
        """What it must hold at the end of this round of catching up (thesis 4.2.1)."""
        self.round_began_at = now
        self.removal: Index | None = None
        """Index of the configuration that it is no member of, once it was removed."""
        self.forgotten_at = math.inf
        """When a removed peer is told of its removal no longer."""
        self.last_error = self.last_failure = ""
        self.failed_at: float | None = None

    def fail(self, now: float, error: str) -> None:
        """Note that a call failed, or was refused."""
        self.last_error = self.last_failure = error
        self.failed_at = now

    @property
    def is_leaving(self) -> bool:
        """Whether it was removed: it gets entries up to its removal, and counts for nothing."""
        return self.removal is not None

    def succeed(self, match: Index, epoch: int, size: int) -> bool:
        """Take in that the peer durably holds the log up to ``match``; return whether that is new."""
        if epoch == self.epoch:
            self.inflight -= 1
            self.inflight_bytes -= size
            self.mode = ProgressMode.REPLICATE
            self.failures = 0
            self.reject_step = 1
            self.last_error = ""
            self.storage_reject = self.snapshot_pinned = None
            self.owes_round_trip = False
        if match <= self.match_index:
            return False
        # Answers come late and out of order over several streams: match only grows.
        self.match_index = match
        if self.next_index <= match:
            self.next_index = Index(match + 1)
        return True

    def hold(self, snapshot_index: Index) -> None:
        """Take in that the peer holds a snapshot: go on behind it with one append."""
        self.match_index = max(self.match_index, snapshot_index)
        self.reach = snapshot_index
        self.probe(NO_INDEX)
        self.failures = 0
        self.reject_step = 1
        self.last_error = ""

    def await_snapshot(self) -> None:
        """Send nothing but heartbeats until a snapshot was sent and answered."""
        self._new_epoch()
        self.mode = ProgressMode.SNAPSHOT

    def probe(self, next_index: Index) -> None:
        """Give up the window and send one append at a time from ``next_index``."""
        self._new_epoch()
        self.next_index = max(next_index, Index(self.match_index + 1))
        self.mode = ProgressMode.PROBE

    def back_off(self, now: float, error: str) -> None:
        """Wait 10 ms, after the second failure twice as long each time, before the next append."""
        self._new_epoch()
        self.failures += 1
        doublings = min(max(self.failures - 2, 0), _MAX_BACK_OFF_DOUBLINGS)
        self.retry_at = now + min(_BACK_OFF_BASE_S * 2**doublings, self.back_off_cap_s)
        self.mode = ProgressMode.BACKING_OFF
        self.fail(now, error)
        self.snapshot_pinned = None

    def retry(self) -> None:
        """End the back-off: the next append is a probe."""
        if self.mode is ProgressMode.BACKING_OFF:
            self.mode = ProgressMode.PROBE
            self.retry_at = math.inf
            self.is_unreachable = False

    def _new_epoch(self) -> None:
        self.epoch += 1
        self.inflight = 0
        self.inflight_bytes = 0

    def picture(self, last_index: Index, now: float) -> PeerProgress:
        """Return this for a status."""
        return PeerProgress(
            peer=self.peer,
            mode=self.mode,
            match_index=self.match_index,
            next_index=self.next_index,
            lag_entries=last_index - self.match_index,
            inflight=self.inflight,
            inflight_bytes=self.inflight_bytes,
            last_contact_s=now - self.contact if self.has_answered else None,
            last_error=self.last_error,
            last_failure=self.last_failure,
            last_failure_s=None if self.failed_at is None else now - self.failed_at,
        )
