"""What the driver asks of the disk: synchronous calls, made from the driver's one log thread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from raft_over_libp2p.core.interfaces import LogReader
from raft_over_libp2p.core.ready import HardState
from raft_over_libp2p.types import Index, LogEntry

__all__ = ["LogStore", "StableStore"]


class LogStore(LogReader, Protocol):
    """The log on disk. Reads may come from another thread than writes, for indexes no write touches."""

    def write(self, truncate_from: Index | None, entries: Sequence[LogEntry]) -> None:
        """Remove ``truncate_from`` and all after it, append ``entries``, and fdatasync once.

        On return all of it survives power loss. ``entries`` are contiguous, follow what is
        left, and carry ``encoded``.

        Raises:
            DiskFull: the log is on disk as it was before the call; it may be called again.
            DurabilityLost: nothing is known about the disk; the store refuses every later call.

        """
        ...

    def configuration_entries(self) -> tuple[LogEntry, ...]:
        """Return the kept entries of type CONFIGURATION, oldest first (found while opening)."""
        ...

    def close(self) -> None:
        """Release the files; idempotent."""
        ...


class StableStore(Protocol):
    """Term and vote (hashicorp/raft's ``StableStore``, reduced to what Raft needs)."""

    def load(self) -> HardState:
        """Return what was last saved; term 0 without a vote on a fresh folder."""
        ...

    def save(self, state: HardState) -> None:
        """Make ``state`` durable, both halves at once.

        Raises:
            DiskFull: the older state is intact. (Slots are preallocated: not expected.)
            DurabilityLost: stop this server.

        """
        ...

    def close(self) -> None:
        """Release the file; idempotent."""
        ...
