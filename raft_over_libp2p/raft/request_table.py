"""Which request IDs the log holds: what a leader looks at before it appends an operation again.

Deduplication is the leader's, before an entry exists, and never a follower's at apply: Go
peers apply whatever is committed. It is enough. An ID that is not in the leader's log is not
committed (leader completeness), and once the leader's own entry for it is committed, no log
that also holds an older one can become a leader's (log matching): so at most one is ever
committed, as long as the leader's log reaches back to where the ID is valid from.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Any

from raft_over_libp2p import limits
from raft_over_libp2p.core.interfaces import LogReader
from raft_over_libp2p.core.ready import Write
from raft_over_libp2p.raft.request_id import RequestID, split_extensions
from raft_over_libp2p.types import NO_INDEX, Index, LogEntry

__all__ = ["RequestTable"]


class RequestTable:
    """The IDs in one server's log, durable or not, and the newest results; bounded."""

    def __init__(self) -> None:
        self._placed: deque[tuple[Index, bytes]] = deque()
        """Ascending; each value once."""
        self._index_of: dict[bytes, Index] = {}
        self._results: OrderedDict[bytes, Any] = OrderedDict()
        self.known_after = NO_INDEX
        """All IDs in entries after this index are here; of those before, nothing is known."""

    @staticmethod
    def of_log(log: LogReader) -> RequestTable:
        """Return that of a server that starts on ``log``: its newest entries are read.

        Raises:
            CorruptLog: a record does not match its checksum.

        """
        table = RequestTable()
        last = log.last_index()
        low = max(log.first_index(), last - limits.MAX_ENTRIES_READ_FOR_REQUESTS + 1)
        table.known_after = Index(low - 1)
        while low <= last:
            entries = log.entries(Index(low), last, limits.MIB)
            for entry in entries:
                if entry.extensions:
                    table._note(entry)
            low = entries[-1].index + 1
        return table

    # -- following the log

    def follow(self, write: Write) -> None:
        """Do to the table what ``write`` does to the log."""
        if write.reset_to is not None:
            self._truncate(NO_INDEX)
            self.known_after = Index(write.reset_to - 1)
        elif write.truncate_from is not None:
            self._truncate(write.truncate_from)
        for entry in write.append:
            if entry.extensions:
                self._note(entry)
        if write.remove_prefix is not None:
            self._forget_up_to(write.remove_prefix)

    def appended(self, request: RequestID, index: Index) -> None:
        """Hear that the core appended ``request`` at ``index``: its write follows."""
        self._add(request.value, index)

    def applied(self, entries: Sequence[LogEntry], results: Sequence[Any]) -> None:
        """Keep the ``results`` of those of the applied commands that carry an ID."""
        if not self._index_of:
            return
        for entry, result in zip(entries, results, strict=True):
            if not entry.extensions:
                continue
            request, _ = split_extensions(entry.extensions)
            if request is not None and self._index_of.get(request.value) == entry.index:
                self._results[request.value] = result
                if len(self._results) > limits.MAX_REQUEST_RESULTS:
                    self._results.popitem(last=False)

    # -- looking up

    def find(self, request: RequestID) -> Index | None:
        """Return where in the log ``request`` stands; None when it is not known to be there."""
        return self._index_of.get(request.value)

    def reaches(self, request: RequestID) -> bool:
        """Tell whether :meth:`find` knows of all entries in which ``request`` could stand."""
        return request.since >= self.known_after

    def has_result(self, request: RequestID) -> bool:
        """Tell whether what applying ``request`` gave is still known."""
        return request.value in self._results

    def result(self, request: RequestID) -> Any:  # noqa: ANN401 - whatever the state machine gives
        """Return what applying ``request`` gave; only where :meth:`has_result`."""
        return self._results[request.value]

    # -- inside

    def _note(self, entry: LogEntry) -> None:
        request, _ = split_extensions(entry.extensions)
        if request is not None:
            self._add(request.value, entry.index)

    def _add(self, value: bytes, index: Index) -> None:
        if value in self._index_of:
            return
        self._placed.append((index, value))
        self._index_of[value] = index
        if len(self._placed) > limits.MAX_REQUEST_IDS:
            self._forget_up_to(self._placed[0][0])

    def _truncate(self, first_removed: Index) -> None:
        while self._placed and self._placed[-1][0] >= first_removed:
            self._forget(self._placed.pop()[1])
        if first_removed <= self.known_after:
            # The log was replaced from before what is known: nothing older is there either.
            self.known_after = Index(max(first_removed - 1, NO_INDEX))

    def _forget_up_to(self, index: Index) -> None:
        while self._placed and self._placed[0][0] <= index:
            self._forget(self._placed.popleft()[1])
        self.known_after = max(self.known_after, index)

    def _forget(self, value: bytes) -> None:
        del self._index_of[value]
        self._results.pop(value, None)
