"""Where each kept entry is, in memory: 20 bytes an entry, and the terms, which Raft asks for often."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

from raft_over_libp2p.types import CONFIGURATION_TYPES, Index, LogType, Term

__all__ = ["LogIndex"]

_OFFSET_BITS: Final = 32


class LogIndex:
    """Entries ``first`` to ``last``, contiguous; their places ascend, for the log is only appended to.

    Not safe for use by two threads at once.
    """

    __slots__ = ("_configurations", "_lengths", "_places", "_terms", "first")

    def __init__(self) -> None:
        self.first = Index(1)
        """Index of the oldest entry; that of the next one while there is none."""
        self._places = array("Q")  # segment number << 32 | offset of the record
        self._terms = array("Q")
        self._lengths = array("I")
        self._configurations: list[int] = []

    @property
    def last(self) -> Index:
        """Index of the newest entry; ``first - 1`` while there is none."""
        return Index(self.first + len(self._places) - 1)

    @property
    def configurations(self) -> tuple[Index, ...]:
        """Indexes of the entries that hold a configuration, ascending."""
        return tuple(Index(index) for index in self._configurations)

    def has(self, index: int) -> bool:
        """Tell whether the entry at ``index`` is kept."""
        return self.first <= index <= self.last

    def segment(self, index: int) -> int:
        """Return the number of the segment that holds the entry."""
        return self._places[index - self.first] >> _OFFSET_BITS

    def offset(self, index: int) -> int:
        """Return where the entry's record begins in its segment."""
        return self._places[index - self.first] & ((1 << _OFFSET_BITS) - 1)

    def length(self, index: int) -> int:
        """Return the length of the entry's encoded form."""
        return self._lengths[index - self.first]

    def term(self, index: int) -> Term:
        """Return the entry's term."""
        return Term(self._terms[index - self.first])

    def replace_from(
        self,
        first: Index,
        segment: int,
        offsets: Iterable[int],
        terms: Iterable[int],
        lengths: Iterable[int],
        configurations: Iterable[int],
    ) -> None:
        """Forget ``first`` and all after it, and take in the entries from there on.

        ``first`` may lie before what is kept: then the log begins anew there.
        """
        if not self._places or first < self.first:
            self.first = first
        keep = first - self.first
        base = segment << _OFFSET_BITS
        if keep < len(self._places):
            del self._places[keep:]
            del self._terms[keep:]
            del self._lengths[keep:]
            del self._configurations[bisect_left(self._configurations, first) :]
        self._places.extend([base | offset for offset in offsets])
        self._terms.extend(terms)
        self._lengths.extend(lengths)
        self._configurations.extend(configurations)

    def reset(self, next_index: Index) -> None:
        """Forget every entry; the next one will be ``next_index``."""
        self.drop_before(Index(self.last + 1))
        self.first = next_index

    def first_in_or_after(self, segment: int) -> Index:
        """Return the oldest entry held by ``segment`` or a later one (``last + 1`` if none is)."""
        return Index(self.first + bisect_left(self._places, segment << _OFFSET_BITS))

    def drop_before(self, index: Index) -> None:
        """Forget all entries before ``index``."""
        dropped = index - self.first
        del self._places[:dropped]
        del self._terms[:dropped]
        del self._lengths[:dropped]
        del self._configurations[: bisect_left(self._configurations, index)]
        self.first = index

    @staticmethod
    def is_configuration(entry_type: int) -> bool:
        """Tell whether entries of this type are listed in ``configurations``."""
        # Nearly all are commands, and this is asked of each.
        return entry_type != LogType.COMMAND and entry_type in CONFIGURATION_TYPES
