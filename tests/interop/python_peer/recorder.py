"""The state of mode ``raft``: the list of all commands applied, in order."""

from __future__ import annotations

from collections.abc import Sequence

from raft_over_libp2p.types import LogEntry

__all__ = ["Recorder"]


class Recorder:
    """Keeps what it applies, or only counts it (benchmarks)."""

    def __init__(self, *, keep: bool) -> None:
        self.count = 0
        self.entries: list[LogEntry] = []
        self._keep = keep

    def apply(self, entries: Sequence[LogEntry]) -> Sequence[object]:
        self.count += len(entries)
        if self._keep:
            self.entries.extend(entries)
        return [None] * len(entries)
