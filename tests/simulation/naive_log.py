"""One server's log and disk, as the naive specification counts them along: terms and memberships."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from raft_over_libp2p.core.ready import HardState, SnapshotMeta, Write
from raft_over_libp2p.core.trace import Start
from raft_over_libp2p.errors import RaftError
from raft_over_libp2p.types import Configuration, LogEntry, LogType
from raft_over_libp2p.wire.configuration import GoConfigurationCodec
from tests.simulation.violation import violated

__all__ = ["NaiveLog"]

_CODEC = GoConfigurationCodec()


class NaiveLog:
    """What a list of terms says of a log; nothing is ever dropped from it for a snapshot."""

    def __init__(self, start: Start) -> None:
        self.base = start.first_index - 1
        self.terms: list[int] = list(start.terms)
        self.snapshot = (int(start.snapshot_index), int(start.snapshot_term))
        self.configurations: list[tuple[int, Configuration]] = [(0, Configuration())]
        self.configurations += start.configurations
        # The disk.
        self.durable = self.last_index
        self.hard_state = start.hard_state
        self._writes: deque[tuple[int, HardState | None, list[int]]] = deque()
        self._persisted = 0

    @property
    def last_index(self) -> int:
        return self.base + len(self.terms)

    @property
    def last_term(self) -> int:
        return self.term(self.last_index) or 0

    def term(self, index: int) -> int | None:
        """Return the term at ``index``; None where there is no entry, or it is not known."""
        if self.base < index <= self.base + len(self.terms):
            return self.terms[index - self.base - 1]
        if index == self.snapshot[0]:
            return self.snapshot[1]
        return 0 if index == 0 else None

    def end(self) -> tuple[int, int]:
        """Return what decides which of two logs is more up to date (Raft 5.4.1)."""
        return (self.last_term, self.last_index)

    def configuration_at(self, index: int) -> tuple[int, Configuration]:
        """Return the configuration in force at ``index``, and where it stands."""
        for placed in reversed(self.configurations):
            if placed[0] <= index:
                return placed
        return self.configurations[0]

    @property
    def latest(self) -> Configuration:
        return self.configurations[-1][1]

    # -- changing

    def grow(self, term: int, count: int) -> None:
        """A leader appends ``count`` entries."""
        self.terms += [term] * count

    def first_new(self, prev: int, entries: Sequence[LogEntry]) -> int | None:
        """Return the index of the first entry that is missing or stands with another term."""
        for index, entry in enumerate(entries, prev + 1):
            if index > self.snapshot[0] and self.term(index) != entry.term:
                return index
        return None

    def take(self, first: int, entries: Sequence[LogEntry]) -> bool:
        """Put ``entries`` in from ``first`` on, in place of all there is; False if undecodable."""
        try:
            found = [
                (int(entry.index), _CODEC.decode(entry.data))
                for entry in entries
                if entry.index >= first and entry.type is LogType.CONFIGURATION
            ]
        except RaftError:
            return False
        self.cut(first)
        self.terms += [int(entry.term) for entry in entries if entry.index >= first]
        self.configurations += found
        return True

    def cut(self, first: int) -> None:
        """Remove ``first`` and all after it."""
        if first > self.last_index:
            return
        del self.terms[first - self.base - 1 :]
        self.durable = min(self.durable, first - 1)
        for _, _, end in self._writes:
            end[0] = min(end[0], first - 1)
        while self.configurations[-1][0] >= first:
            self.configurations.pop()

    def install(self, meta: SnapshotMeta) -> None:
        """Go on from a snapshot: the suffix stays only behind the same entry (Raft 7)."""
        index, term = int(meta.index), int(meta.term)
        is_kept = self.term(index) == term and self.durable >= index
        if not is_kept:
            self.base, self.terms, self.durable = index, [], index
            for _, _, end in self._writes:
                end[0] = 0
        later = [placed for placed in self.configurations if is_kept and placed[0] > index]
        self.configurations = [(int(meta.configuration_index), meta.configuration), *later]
        self.snapshot = (index, term)

    # -- the disk

    def write(self, write: Write) -> None:
        """A batch goes to the disk: it must be what the log is now."""
        for entry in write.append:
            if self.term(entry.index) != entry.term:
                violated("naive log", f"writes entry {entry.index} of term {entry.term}")
        if write.append and write.append[-1].index != self.last_index:
            violated("naive log", f"writes up to {write.append[-1].index} of {self.last_index}")
        if write.remove_prefix is not None and write.remove_prefix > self.snapshot[0]:
            violated("naive log", f"removes up to {write.remove_prefix}, snapshot {self.snapshot}")
        self._writes.append((int(write.batch), write.hard_state, [self.last_index]))

    def persisted(self, batch: int) -> None:
        """All batches up to this one are durable, but for what was truncated since."""
        while self._writes and self._writes[0][0] <= batch:
            _, hard_state, end = self._writes.popleft()
            self.durable = max(self.durable, end[0])
            if hard_state is not None:
                self.hard_state = hard_state
