"""What the core asks of its caller: a log to read, dice, and the form of a configuration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from raft_over_libp2p.core.ready import HardState, SnapshotMeta
from raft_over_libp2p.types import (
    NO_INDEX,
    NO_TERM,
    BatchID,
    CallID,
    Configuration,
    Index,
    LogEntry,
    Term,
)

__all__ = ["ConfigurationCodec", "InitialState", "LogReader", "Random", "SnapshotMeta"]


class Random(Protocol):
    """The dice; ``random.Random`` is one."""

    def random(self) -> float:
        """Return a float in [0, 1)."""
        ...

    def uniform(self, a: float, b: float) -> float:
        """Return a float in [a, b]."""
        ...


class LogReader(Protocol):
    """The durable log, for entries the core no longer holds in memory.

    The core knows by itself what it has not yet seen persisted; it asks here only for
    indexes from ``first_index`` up to the last persisted one that no pending write truncates.
    """

    def first_index(self) -> Index:
        """Return the index of the oldest entry kept (last index + 1 when there is none)."""
        ...

    def last_index(self) -> Index:
        """Return the index of the newest durable entry (first index - 1 when there is none)."""
        ...

    def term(self, index: Index) -> Term:
        """Return the term of the entry at ``index``, which must be kept."""
        ...

    def entries(self, low: Index, high: Index, max_bytes: int) -> Sequence[LogEntry]:
        """Return entries ``low`` to ``high`` (inclusive), cut at ``max_bytes``, at least one.

        Raises:
            CorruptLog: a record does not match its checksum.

        """
        ...


class ConfigurationCodec(Protocol):
    """How a configuration stands in ``LogEntry.data`` (``wire.log_entry`` has the real one)."""

    def encode(self, configuration: Configuration) -> bytes: ...

    def decode(self, data: bytes) -> Configuration:
        """Return the configuration in ``data``, which was checked when it arrived."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class InitialState:
    """What a core starts from: all of it read from the disk.

    ``configuration_entries`` are the log's entries of ``CONFIGURATION_TYPES`` after the
    snapshot, oldest first. ``first_call`` and ``first_batch`` continue the numbering of an
    earlier core in this process, so that a late answer never matches a new call.
    ``campaign_after_write`` holds the new core back from campaigning until some write
    succeeded: set after a full disk (mixed-cluster rule 9).
    """

    hard_state: HardState = HardState(NO_TERM, None)
    snapshot: SnapshotMeta | None = None
    configuration_entries: tuple[LogEntry, ...] = ()
    applied_index: Index = NO_INDEX
    first_call: CallID = CallID(1)
    first_batch: BatchID = BatchID(1)
    campaign_after_write: bool = False
