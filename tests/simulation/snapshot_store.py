"""One server's durable snapshots, and the state machine they are taken of."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from raft_over_libp2p.core.ready import SnapshotMeta
from raft_over_libp2p.types import Index, LogEntry, Term

__all__ = ["Snapshot", "SnapshotStore", "digest_after"]


def digest_after(digest: int, entry: LogEntry) -> int:
    """Return the state after ``entry``: it tells apart all that is missed, doubled or swapped."""
    return zlib.crc32(b"%d %d %d " % (digest, entry.index, entry.type) + entry.data)


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """``digest`` is the state; a damaged one is refused where it is verified."""

    meta: SnapshotMeta
    digest: int
    is_damaged: bool = False


class SnapshotStore:
    """Keeps the newest few, as Go's FileSnapshotStore does; what is in here survives a crash."""

    def __init__(self, retain: int, kept: Iterable[Snapshot] = ()) -> None:
        self.retain = retain
        self._kept: list[Snapshot] = list(kept)

    def add(self, snapshot: Snapshot) -> None:
        """Make it durable, and reap the oldest."""
        self._kept.append(snapshot)
        # A stable sort: of two at one index the later one is the newer.
        self._kept.sort(key=lambda kept: (kept.meta.term, kept.meta.index))
        del self._kept[: -self.retain]

    def lose(self, snapshot: Snapshot) -> None:
        """The process dies while it writes ``snapshot``; nothing is left of it here."""

    def fail_full(self, snapshot: Snapshot) -> None:
        """There is no space for ``snapshot``; nothing is left of it here."""

    @property
    def newest(self) -> Snapshot | None:
        return self._kept[-1] if self._kept else None

    @property
    def newest_index(self) -> int:
        """The index the newest stands at; 0 without one."""
        return self._kept[-1].meta.index if self._kept else 0

    def find(self, index: Index, term: Term) -> Snapshot | None:
        """Return one that stands there."""
        for snapshot in self._kept:
            if (snapshot.meta.index, snapshot.meta.term) == (index, term):
                return snapshot
        return None

    def covers(self, index: int) -> bool:
        """Tell whether the entries up to ``index`` are in some snapshot."""
        return index <= self.newest_index
