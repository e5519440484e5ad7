"""How many new streams a peer may open in a time: the number open says nothing of the rate."""

from __future__ import annotations

__all__ = ["StreamRate"]


class StreamRate:
    """A bucket of ``burst`` streams that fills by ``per_s`` a second; takes the time as an argument."""

    __slots__ = ("_at", "_burst", "_left", "_per_s")

    def __init__(self, *, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._left = float(burst)
        self._at = float("-inf")

    def allows(self, now: float) -> bool:
        """Tell whether one more may be opened at ``now`` (monotonic, in seconds), and count it."""
        self._left = min(self._burst, self._left + (now - self._at) * self._per_s)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def is_full(self, now: float) -> bool:
        """Tell whether nothing is remembered of the peer any more, so that it may be forgotten."""
        return self._left + (now - self._at) * self._per_s >= self._burst
