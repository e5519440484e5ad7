"""Entries for storage tests, encoded as the log wants them."""

from __future__ import annotations

from raft_over_libp2p.types import Index, LogEntry, LogType, Term
from raft_over_libp2p.wire.log_entry import encode_entry


def entry(
    index: int, term: int = 1, data: bytes = b"", kind: LogType = LogType.COMMAND
) -> LogEntry:
    made = LogEntry(Index(index), Term(term), kind, data or b"entry %d of %d" % (index, term))
    encode_entry(made)
    return made


def entries(first: int, last: int, term: int = 1, size: int = 0) -> list[LogEntry]:
    """Return entries ``first`` to ``last``, with ``size`` bytes of data each if given."""
    return [
        entry(index, term, (b"%d/%d " % (index, term)).ljust(size, b".") if size else b"")
        for index in range(first, last + 1)
    ]
