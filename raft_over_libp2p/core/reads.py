"""Linearisable reads that a leader confirms (ReadIndex, thesis 6.4; mixed-cluster rule 5).

A read gets the commit index, taken once an entry of the leader's own term is committed. It
is confirmed when a majority of voters answered calls issued after it was registered: each
call carries the number of the newest read at its time, so one round confirms them all.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

from raft_over_libp2p import limits
from raft_over_libp2p.errors import ProposalRefused
from raft_over_libp2p.types import CallID, Index

__all__ = ["FollowersRead", "Reader", "Reads"]


@dataclass(frozen=True, slots=True)
class FollowersRead:
    """A follower asked by ``call``, for some of its reads."""

    call: CallID


Reader: TypeAlias = int | FollowersRead
"""Who reads: our own caller, by its token, or a follower."""


@dataclass(slots=True)
class _Read:
    number: int
    reader: Reader
    index: Index | None


class Reads:
    """The reads one leadership has to confirm, oldest first."""

    def __init__(self) -> None:
        self.newest = 0
        """Number of the newest read; calls sent from now on may confirm it."""
        self._in_round = 0
        self._confirmed = 0
        self._waiting: deque[_Read] = deque()

    def register(self, reader: Reader, index: Index | None) -> None:
        """Add a read; ``index`` is None until an entry of this term is committed.

        Raises:
            ProposalRefused: ``MAX_PENDING_READS`` reads wait.

        """
        if len(self._waiting) >= limits.MAX_PENDING_READS:
            raise ProposalRefused(f"{limits.MAX_PENDING_READS} reads wait for confirmation already")
        self.newest += 1
        self._waiting.append(_Read(self.newest, reader, index))

    @property
    def is_round_owed(self) -> bool:
        """Whether reads wait for heartbeats that are not sent yet, and none are on their way."""
        return self.newest > self._in_round and self._in_round <= self._confirmed

    def round_began(self) -> None:
        """Note that heartbeats go out now: they will confirm every read registered so far."""
        self._in_round = self.newest

    def has_own_term_commit(self, commit_index: Index) -> None:
        """Give the commit index to the reads that waited for this term's first commit."""
        for read in self._waiting:
            if read.index is None:
                read.index = commit_index

    def confirm(self, number: int) -> list[tuple[Reader, Index]]:
        """Return who reads what up to ``number``, which a majority confirmed, and forget them."""
        self._confirmed = max(self._confirmed, number)
        confirmed = []
        while self._waiting and self._waiting[0].number <= self._confirmed:
            read = self._waiting[0]
            if read.index is None:
                break
            self._waiting.popleft()
            confirmed.append((read.reader, read.index))
        return confirmed

    @property
    def is_waiting(self) -> bool:
        return bool(self._waiting)

    def readers(self) -> list[Reader]:
        """Return whose reads were not confirmed."""
        return [read.reader for read in self._waiting]
