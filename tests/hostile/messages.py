"""Requests that attackers send: well-formed, and untrue."""

from __future__ import annotations

from collections.abc import Iterator

from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    InstallSnapshotRequest,
    Request,
    RequestPreVoteRequest,
    RequestVoteRequest,
    TimeoutNowRequest,
)
from raft_over_libp2p.types import Configuration, Index, ServerID, Term

__all__ = ["HUGE_TERM", "every_request", "snapshot_request", "vote_requests"]

HUGE_TERM = Term(2**40)
_FAR = Index(2**40)


def every_request(claimed: ServerID, term: Term = HUGE_TERM) -> Iterator[Request]:
    """Yield each RPC as ``claimed`` would send it."""
    yield AppendEntriesRequest(
        term=term,
        leader=claimed,
        prev_log_index=Index(0),
        prev_log_term=Term(0),
        entries=None,
        leader_commit_index=Index(0),
    )
    yield AppendEntriesRequest(
        term=term,
        leader=claimed,
        prev_log_index=Index(1),
        prev_log_term=Term(1),
        entries=(),
        leader_commit_index=_FAR,
    )
    yield from vote_requests(claimed, term)
    yield snapshot_request(claimed, term=term, size_bytes=0)
    yield TimeoutNowRequest()


def vote_requests(claimed: ServerID, term: Term = HUGE_TERM) -> Iterator[Request]:
    """Yield what asks for votes, with a log that seems newer than any."""
    for leadership_transfer in (False, True):
        yield RequestVoteRequest(
            term=term,
            candidate=claimed,
            last_log_index=_FAR,
            last_log_term=term,
            leadership_transfer=leadership_transfer,
        )
    yield RequestPreVoteRequest(term=term, last_log_index=_FAR, last_log_term=term)


def snapshot_request(claimed: ServerID, *, term: Term, size_bytes: int) -> InstallSnapshotRequest:
    return InstallSnapshotRequest(
        term=term,
        leader=claimed,
        last_log_index=_FAR,
        last_log_term=term,
        configuration=Configuration.of_voters(claimed),
        configuration_index=Index(1),
        size_bytes=size_bytes,
        snapshot_version=1,
    )
