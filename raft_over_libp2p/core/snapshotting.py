"""When a server takes a snapshot, and which entries go then (thesis 5.1; mixed-cluster rule 12)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from raft_over_libp2p.core.ready import Ready, SnapshotMeta
from raft_over_libp2p.errors import invariant
from raft_over_libp2p.types import Index

if TYPE_CHECKING:
    from raft_over_libp2p.core.server import Server

__all__ = ["Snapshotting", "compact"]


class Snapshotting:
    """The newest snapshot, the one being written, and when the next is looked for."""

    def __init__(self, newest: SnapshotMeta | None, check_at: float) -> None:
        self.newest = newest
        self.check_at = check_at
        self._taking: SnapshotMeta | None = None
        self._is_wanted = False
        self.is_held_back = False
        """A user's snapshot is being restored: one at a time is written."""
        self._failed_until = -math.inf

    def on_timer(self, server: Server) -> None:
        """Want a snapshot if enough was applied since the last; look again an interval later."""
        self.check_at = server.now + server.random_timeout(server.config.snapshot_interval_s)
        if server.applied_index - server.log.snapshot_index >= server.config.snapshot_threshold:
            self._is_wanted = True

    def want(self, server: Server) -> bool:
        """Want one now; return whether there is, or will be soon, anything new in it."""
        if server.applied_index <= server.log.snapshot_index:
            return False
        if self._taking is None or self._taking.index < server.applied_index:
            self._is_wanted = True
        return True

    def want_beyond(self, server: Server, index: Index) -> None:
        """Want one that covers more than ``index``, unless it is being written."""
        is_coming = self._taking is not None and self._taking.index > index
        if server.applied_index > index and not is_coming and server.now >= self._failed_until:
            self._is_wanted = True

    @property
    def is_due(self) -> bool:
        """Whether one is wanted and none is being written."""
        return self._is_wanted and self._taking is None and not self.is_held_back

    @property
    def is_idle(self) -> bool:
        """Whether none is being written."""
        return self._taking is None

    def take(self, server: Server, ready: Ready) -> None:
        """Ask for the snapshot that is due; the state machine must have applied all it was given.

        Its configuration is the one in force at its index, which need not be the latest.
        """
        self._is_wanted = False
        index = server.applied_index
        term = server.log.term(index)
        if index <= server.log.snapshot_index or term is None:
            return  # one that a leader sent came first
        placed = server.membership.applied
        invariant(placed.index <= index, "a snapshot's configuration is not newer than it is")
        self._taking = ready.take_snapshot = SnapshotMeta(
            index=index,
            term=term,
            configuration=placed.configuration,
            configuration_index=placed.index,
        )

    def on_taken(self, server: Server, index: Index) -> None:
        """Go on from a durable snapshot: entries behind it may go."""
        meta = self._end(index)
        if meta is not None and index > server.log.snapshot_index:
            self.newest = meta
            server.log.cover(meta.index, meta.term)
            compact(server)

    def on_not_taken(self, server: Server, index: Index, reason: str) -> None:
        """Go on without it: the next is looked for in its time."""
        if self._end(index) is None:
            return
        self._failed_until = self.check_at
        server.alarm(None, f"no snapshot could be taken at entry {index}: {reason}")

    def _end(self, index: Index) -> SnapshotMeta | None:
        """Return what was asked for at ``index``; None if a machine before this one asked for it."""
        meta = self._taking
        if meta is None or meta.index != index:
            return None
        self._taking = None
        return meta


def compact(server: Server) -> None:
    """Let entries go that the newest snapshot covers, but for the trailing ones.

    Kept are also the entries after a snapshot that is on its way to a peer: the peer will
    need them next.
    """
    log = server.log
    upto = min(log.snapshot_index, log.last_index - server.config.trailing_logs)
    if server.leadership is not None:
        upto = min(upto, server.leadership.oldest_snapshot_sent())
    if upto >= log.first_index:
        log.remove_prefix(Index(upto))
