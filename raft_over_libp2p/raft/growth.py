"""How a leader's log grew: what a peer that lacks entries lags behind, in seconds and bytes."""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from raft_over_libp2p.types import Index

__all__ = ["Growth"]

_MAX_SAMPLES: Final = 1024
"""Some 100 KiB."""
_FINEST_S: Final = 0.001


class Growth:
    """When the log's end was where, and how large it was, since this server leads.

    Bounded: growth within a short time is one sample, and that time doubles whenever there are
    too many of them. So an age may be too large by that time, which is at most a 256th of the
    time since the first sample, and a number of bytes by what was appended in it.
    """

    def __init__(self) -> None:
        self._indexes: list[Index] = []
        """Up to which entry a sample goes; its time is that of its first entry."""
        self._times: list[float] = []
        self._sizes: list[int] = []
        self._size = 0
        self._together_s = _FINEST_S

    def restart(self) -> None:
        """Forget all: another leader's entries were appended at times unknown here."""
        self._indexes.clear()
        self._times.clear()
        self._sizes.clear()
        self._size = 0
        self._together_s = _FINEST_S

    def grew(self, last_index: Index, size_bytes: int, now: float) -> None:
        """Hear that entries of ``size_bytes`` were appended up to ``last_index``."""
        self._size += size_bytes
        self._add(last_index, now, self._size)
        while len(self._indexes) > _MAX_SAMPLES:
            self._together_s *= 2
            samples = list(zip(self._indexes, self._times, self._sizes, strict=True))
            self._indexes, self._times, self._sizes = [], [], []
            for sample in samples:
                self._add(*sample)

    def _add(self, index: Index, time: float, size: int) -> None:
        if self._times and time - self._times[-1] < self._together_s:
            self._indexes[-1], self._sizes[-1] = index, size
        else:
            self._indexes.append(index)
            self._times.append(time)
            self._sizes.append(size)

    def age_s(self, match: Index, now: float) -> float:
        """Return how long ago the first entry after ``match`` was appended; 0 if there is none.

        One that was there before this server led counts from then on.
        """
        place = bisect_right(self._indexes, match)
        return now - self._times[place] if place < len(self._times) else 0.0

    def bytes_after(self, match: Index) -> int:
        """Return the size of the entries after ``match`` that were appended since it leads."""
        place = bisect_right(self._indexes, match)
        return self._size - (self._sizes[place - 1] if place else 0)
