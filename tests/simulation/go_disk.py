"""A Go peer's disk: what hashicorp/raft keeps in raft.db and in its snapshot folder.

Three keys beside the log (``CurrentTerm``, ``LastVoteTerm``, ``LastVoteCand``), each written and
synced on its own, so a crash may leave a vote in two halves. The log is a store of entries by
index, which may have holes: a snapshot that is installed clears nothing below or above it.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from raft_over_libp2p.core.ready import HardState
from raft_over_libp2p.types import NO_TERM, LogEntry, ServerID, Term
from tests.simulation.disk import Disk
from tests.simulation.entry_log import EntryLog
from tests.simulation.snapshot_store import Snapshot

__all__ = ["GoDisk"]


class GoDisk(Disk):
    """``image`` shows the checkers the log from entry 1 on; ``store`` is what is really there."""

    __slots__ = ("current_term", "store", "vote_candidate", "vote_term")

    def __init__(
        self,
        hard_state: HardState,
        entries: Sequence[LogEntry],
        record: Callable[[HardState], None],
        *,
        agreed: EntryLog,
        retain: int,
    ) -> None:
        super().__init__(hard_state, entries, record, agreed=agreed, retain=retain)
        self.current_term = hard_state.term
        self.vote_term = NO_TERM
        self.vote_candidate: ServerID | None = None
        self.store: dict[int, LogEntry] = {entry.index: entry for entry in entries}

    # -- the stable store

    def set_current_term(self, term: Term) -> None:
        self.current_term = term
        self.hard_state = HardState(term)

    def set_vote_term(self, term: Term) -> None:
        self.vote_term = term

    def set_vote_candidate(self, candidate: ServerID) -> None:
        """The second half: from now on there is a vote."""
        self.vote_candidate = candidate
        self.hard_state = HardState(self.vote_term, candidate)
        self.record(self.hard_state)

    # -- the log store

    @property
    def last_log(self) -> tuple[int, Term]:
        """Index and term of the last entry in the store."""
        if not self.store:
            return 0, NO_TERM
        last = max(self.store)
        return last, self.store[last].term

    def store_logs(self, entries: Sequence[LogEntry]) -> None:
        """Add ``entries``; nobody checks that they follow what is there."""
        follows = entries[0].index == len(self.image) + 1
        for entry in entries:
            self.store[entry.index] = entry
        if follows:
            self.image.add(entries)
        else:
            self.show()

    def delete_from(self, first: int) -> None:
        """Remove ``first`` and all after it."""
        for index in [index for index in self.store if index >= first]:
            del self.store[index]
        self.show()

    def delete_upto(self, last: int) -> None:
        """Remove ``last`` and all before it; the checkers see the whole log as before."""
        for index in [index for index in self.store if index <= last]:
            del self.store[index]

    def add_snapshot(self, snapshot: Snapshot) -> None:
        self.snapshots.add(snapshot)
        self.show()

    def show(self) -> None:
        """Make ``image`` anew: what a snapshot covers, then what follows it without a hole."""
        covered = self.snapshots.newest_index
        self.image.reset(covered + 1, self.agreed)
        following: list[LogEntry] = []
        while (entry := self.store.get(covered + len(following) + 1)) is not None:
            following.append(entry)
        self.image.add(following)
        self.image.first = 1

    # -- crashes: every write above is synced before it returns

    def crash(self, dice: random.Random) -> int:
        del dice
        return 0

    def recover(self) -> None:
        """hashicorp/raft makes nothing fit when it starts."""
