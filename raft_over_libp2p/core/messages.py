"""The RPCs of Raft as values: hashicorp/raft's fields without header, framing or bytes.

The RPC header (protocol version, ID, address) is not here: ``wire`` writes ours, and
``transport`` checks a peer's against the identity libp2p authenticated before a request
reaches the core.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from raft_over_libp2p.types import Configuration, Index, LogEntry, ServerID, Term

__all__ = [
    "ONLY_A_LATER_SNAPSHOT",
    "AppendEntriesRequest",
    "AppendEntriesResponse",
    "ErrorResponse",
    "GoRequest",
    "GoResponse",
    "InstallSnapshotRequest",
    "InstallSnapshotResponse",
    "LeaseRequest",
    "LeaseResponse",
    "OwnRequest",
    "ReadIndexRequest",
    "ReadIndexResponse",
    "Request",
    "RequestPreVoteRequest",
    "RequestPreVoteResponse",
    "RequestVoteRequest",
    "RequestVoteResponse",
    "Response",
    "TimeoutNowRequest",
    "TimeoutNowResponse",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendEntriesRequest:
    """Entries after ``(prev_log_index, prev_log_term)``, or a heartbeat (Raft §5.3).

    ``entries`` is None in hashicorp's heartbeat form, in which the previous entry and the
    commit index are 0 too and mean nothing; it is an empty tuple in an empty append.
    """

    term: Term
    leader: ServerID
    prev_log_index: Index = Index(0)
    prev_log_term: Term = Term(0)
    entries: tuple[LogEntry, ...] | None = None
    leader_commit_index: Index = Index(0)

    @property
    def is_heartbeat(self) -> bool:
        """Whether this is hashicorp's heartbeat form, which carries neither log nor commit index."""
        return self.entries is None and self.prev_log_index == 0 and self.leader_commit_index == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendEntriesResponse:
    """``last_log`` is the receiver's last index before the request: a hint, never a match index."""

    term: Term
    last_log: Index
    success: bool
    no_retry_backoff: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestVoteRequest:
    """Ask for a vote (Raft §5.2); ``leadership_transfer`` overrides stickiness (thesis 3.10)."""

    term: Term
    candidate: ServerID
    last_log_index: Index
    last_log_term: Term
    leadership_transfer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestVoteResponse:
    term: Term
    granted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPreVoteRequest:
    """Ask whether a vote would be granted in ``term``, which the asker has not entered (thesis 9.6)."""

    term: Term
    last_log_index: Index
    last_log_term: Term


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPreVoteResponse:
    term: Term
    granted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeoutNowRequest:
    """Tell the receiver to campaign at once (thesis 3.10)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeoutNowResponse:
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallSnapshotRequest:
    """A snapshot's description; its ``size_bytes`` bytes follow on the stream, not in here.

    The core does not know the size: it is 0 in what the core sends, and the transport, which
    opens the snapshot, puts it in.
    """

    term: Term
    leader: ServerID
    last_log_index: Index
    last_log_term: Term
    configuration: Configuration
    configuration_index: Index
    size_bytes: int
    snapshot_version: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallSnapshotResponse:
    term: Term
    success: bool


ONLY_A_LATER_SNAPSHOT: Final = "only a snapshot after entry"
"""How the error begins with which a server refuses a snapshot that cannot heal it (rule 11)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorResponse:
    """The RPC failed at the other side with this text (hashicorp's ``rpcErr``)."""

    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadIndexRequest:
    """Ask the leader from where on reads are linearisable; ``term`` is the one it leads as far
    as the asker knows (thesis 6.4, mixed-cluster rule 7). On a protocol of ours beside Go's.
    """

    term: Term


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadIndexResponse:
    """The leader of ``term`` was confirmed after the request came: whoever has applied ``index``
    may answer reads that began before the request was sent.
    """

    term: Term
    index: Index


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRequest:
    """Ask a voter to elect nobody else for ``duration_ms`` from now on (mixed-cluster rule 6).

    ``round`` grows within a term; a voter follows only the newest. A duration of 0 gives a
    promise back. On a protocol of ours beside Go's.
    """

    term: Term
    round: int
    duration_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseResponse:
    term: Term
    granted: bool


GoRequest: TypeAlias = (
    AppendEntriesRequest
    | RequestVoteRequest
    | RequestPreVoteRequest
    | TimeoutNowRequest
    | InstallSnapshotRequest
)
"""What hashicorp/raft knows too, on its protocol."""
OwnRequest: TypeAlias = ReadIndexRequest | LeaseRequest
"""What only this project's peers know, each on a protocol of its own."""
Request: TypeAlias = GoRequest | OwnRequest

GoResponse: TypeAlias = (
    AppendEntriesResponse
    | RequestVoteResponse
    | RequestPreVoteResponse
    | TimeoutNowResponse
    | InstallSnapshotResponse
    | ErrorResponse
)
Response: TypeAlias = GoResponse | ReadIndexResponse | LeaseResponse
