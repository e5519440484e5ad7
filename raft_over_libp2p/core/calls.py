"""Calls in flight: what each one asked, so that its answer can be understood.

hashicorp's answers carry no match index and no term they answer to; only the request tells.
The table is emptied whenever the role or the term changes: later answers find no call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from raft_over_libp2p.core.progress import Progress
from raft_over_libp2p.types import CallID, Index, ServerID, Term

if TYPE_CHECKING:
    from raft_over_libp2p.core.transfer import Transfer

__all__ = [
    "AppendCall",
    "HeartbeatCall",
    "LeaseCall",
    "PendingCall",
    "ReadIndexCall",
    "SnapshotCall",
    "TimeoutNowCall",
    "VoteCall",
]


@dataclass(slots=True, eq=False)
class AppendCall:
    """Entries after ``prev``, ``length`` of them (0 to tell the commit index only)."""

    progress: Progress
    sent_at: float
    newest_read: int
    epoch: int
    prev: Index
    length: int
    size: int
    commit_index: Index


@dataclass(slots=True, eq=False)
class HeartbeatCall:
    progress: Progress
    sent_at: float
    newest_read: int


@dataclass(slots=True, eq=False)
class VoteCall:
    """A RequestVote, or a RequestPreVote."""

    peer: ServerID


@dataclass(slots=True, eq=False)
class SnapshotCall:
    """The snapshot at ``index``."""

    progress: Progress
    sent_at: float
    index: Index


@dataclass(slots=True, eq=False)
class TimeoutNowCall:
    """The end of a transfer."""

    transfer: Transfer


@dataclass(slots=True, eq=False)
class ReadIndexCall:
    """The reads of ``tokens``, sent to who leads ``term``."""

    number: CallID
    leader: ServerID
    term: Term
    tokens: list[int]


@dataclass(slots=True, eq=False)
class LeaseCall:
    """A promise asked of ``voter``."""

    voter: ServerID
    sent_at: float
    round: int


PendingCall: TypeAlias = (
    AppendCall
    | HeartbeatCall
    | VoteCall
    | SnapshotCall
    | TimeoutNowCall
    | ReadIndexCall
    | LeaseCall
)
