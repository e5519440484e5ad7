"""What is on its way to the disk, batch by batch, and which batch each promise waits for."""

from __future__ import annotations

from collections import deque
from typing import Final

from raft_over_libp2p.core.log_view import LogChange, LogView
from raft_over_libp2p.core.ready import HardState, Write
from raft_over_libp2p.errors import LocalProtocolError
from raft_over_libp2p.types import BatchID

__all__ = ["Writes"]

_NO_CHANGE: Final = LogChange()


class Writes:
    """Numbers the writes; ``term_batch`` and ``vote_batch`` make the term and the vote durable.

    A change not taken yet belongs to the next batch, so an output may name its batch before
    that exists. Several changes of the hard state in one batch leave the last: whoever waited
    for an earlier one is covered, because terms only grow and a vote in a past term is void.
    """

    def __init__(self, first_batch: BatchID) -> None:
        self.next_batch = first_batch
        self.persisted_batch = BatchID(first_batch - 1)
        self.term_batch = self.persisted_batch
        self.vote_batch = self.persisted_batch
        self._is_hard_state_owed = False
        self._pending: deque[tuple[BatchID, float]] = deque()

    def owe_hard_state(self, *, is_new_term: bool) -> None:
        """Note that term or vote changed and must be in the next write."""
        self._is_hard_state_owed = True
        self.vote_batch = self.next_batch
        if is_new_term:
            self.term_batch = self.next_batch

    def take(self, hard_state: HardState, log: LogView, now: float) -> Write | None:
        """Return all that the disk must be told of now as one write, or None."""
        has_log = log.has_unwritten
        if not has_log and not self._is_hard_state_owed:
            return None
        batch = self.next_batch
        self.next_batch = BatchID(batch + 1)
        self._pending.append((batch, now))
        change = log.take_unwritten(batch) if has_log else _NO_CHANGE
        write = Write(
            batch=batch,
            hard_state=hard_state if self._is_hard_state_owed else None,
            truncate_from=change.truncate_from,
            append=change.append,
            reset_to=change.reset_to,
            remove_prefix=change.remove_prefix,
        )
        self._is_hard_state_owed = False
        return write

    def persisted(self, batch: BatchID) -> None:
        """Note that all writes up to ``batch`` are durable.

        Raises:
            LocalProtocolError: no such write was handed out.

        """
        if batch >= self.next_batch:
            raise LocalProtocolError(f"batch {batch} was persisted before it was handed out")
        self.persisted_batch = max(self.persisted_batch, batch)
        while self._pending and self._pending[0][0] <= batch:
            self._pending.popleft()

    @property
    def pending_since(self) -> float | None:
        """When the oldest write that is not durable yet was handed out; None if all are."""
        return self._pending[0][1] if self._pending else None
