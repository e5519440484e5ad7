"""A log as the checkers see it: whole from entry 1 on, with the configurations in it.

Entries that a snapshot covers and that are gone stand here as what the cluster agreed on, so
every rule is asked of the whole log; ``first`` tells where the real one begins.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from raft_over_libp2p.types import NO_INDEX, NO_TERM, Configuration, Index, LogEntry, LogType, Term
from raft_over_libp2p.wire.configuration import GoConfigurationCodec

__all__ = ["EntryLog", "Placed"]

_SEGMENT_ENTRIES = 3
"""A disk gives back whole segments only, so some entries that may go stay."""


@dataclass(frozen=True, slots=True, repr=False)
class Placed:
    """A configuration and the entry that brought it."""

    index: Index
    term: Term
    configuration: Configuration

    def __repr__(self) -> str:
        members = [
            f"{server.id} {server.suffrage.name.lower()}" for server in self.configuration.servers
        ]
        return f"({self.index}, {self.term}) [{', '.join(members)}]"


_NOTHING = Placed(NO_INDEX, NO_TERM, Configuration())


class EntryLog(list[LogEntry]):
    """Change it only by the methods below; position 0 is entry 1."""

    __slots__ = ("first", "placed")

    def __init__(self, entries: Iterable[LogEntry] = ()) -> None:
        super().__init__()
        self.first = 1
        self.placed: list[Placed] = []
        self.add(tuple(entries))

    def clone(self) -> EntryLog:
        """Return one like it, to be changed apart."""
        twin = EntryLog()
        list.extend(twin, self)
        twin.first = self.first
        twin.placed = list(self.placed)
        return twin

    def add(self, entries: Sequence[LogEntry]) -> None:
        """Put ``entries`` behind the last one."""
        for entry in entries:
            if entry.type is LogType.CONFIGURATION:
                configuration = GoConfigurationCodec().decode(entry.data)
                self.placed.append(Placed(entry.index, entry.term, configuration))
        self.extend(entries)

    def cut(self, first_removed: int) -> None:
        """Remove ``first_removed`` and all after it."""
        del self[first_removed - 1 :]
        while self.placed and self.placed[-1].index >= first_removed:
            self.placed.pop()

    def reset(self, next_index: int, agreed: EntryLog) -> None:
        """Discard all; the next entry is ``next_index``, and before it stands what was agreed on."""
        self[:] = agreed[: next_index - 1]
        self.placed = [placed for placed in agreed.placed if placed.index < next_index]
        self.first = next_index

    def remove_prefix(self, upto: int) -> None:
        """Give back the segments that hold nothing after ``upto``."""
        self.first = max(self.first, upto // _SEGMENT_ENTRIES * _SEGMENT_ENTRIES + 1)

    def holds(self, index: int, term: Term) -> bool:
        """Tell whether this log agrees with one that has ``term`` at ``index``."""
        return len(self) >= index and (index == 0 or self[index - 1].term == term)

    @property
    def latest(self) -> Placed:
        """The configuration that counts (thesis 4.1: the newest in the log, agreed on or not)."""
        return self.placed[-1] if self.placed else _NOTHING

    def in_force_at(self, index: int) -> Placed:
        """Return the newest configuration up to ``index``."""
        position = bisect_right(self.placed, index, key=lambda placed: placed.index)
        return self.placed[position - 1] if position else _NOTHING
