"""Requests that a transcript makes up: what a Go peer, a stranger or a liar may send.

``send n2 -> n1 append term=3 after=5@t1 entries=6@t1,7@t1 commit=15``; also ``heartbeat``,
``vote`` and ``prevote`` (``last=3@t2``, ``transfer=yes``), ``snapshot`` (``last=``, ``voters=``)
and ``timeoutnow``.
"""

from __future__ import annotations

from collections.abc import Mapping

from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    InstallSnapshotRequest,
    LeaseRequest,
    ReadIndexRequest,
    Request,
    RequestPreVoteRequest,
    RequestVoteRequest,
    TimeoutNowRequest,
)
from raft_over_libp2p.types import Configuration, Index, LogEntry, ServerID, Term
from tests.core.logs import entry, ids

__all__ = ["forged_request"]


def _place(text: str) -> tuple[Index, Term]:
    index, _, term = text.partition("@t")
    return Index(int(index)), Term(int(term))


def _entries(text: str) -> tuple[LogEntry, ...]:
    places = [_place(place) for place in text.split(",")] if text else []
    return tuple(entry(index, term) for index, term in places)


def _other_request(kind: str, term: Term, options: Mapping[str, str]) -> Request:
    if kind == "timeoutnow":
        return TimeoutNowRequest()
    if kind == "readindex":
        return ReadIndexRequest(term=term)
    if kind != "lease":
        raise ValueError(f"there is no request {kind}")
    duration_ms = int(options.get("ms", "0"))
    return LeaseRequest(term=term, round=int(options["round"]), duration_ms=duration_ms)


def forged_request(kind: str, sender: ServerID, options: Mapping[str, str]) -> Request:
    """Return the request of ``kind`` that ``options`` describe, as if ``sender`` had written it."""
    term = Term(int(options.get("term", "0")))
    last, last_term = _place(options.get("last", "0@t0"))
    if kind == "heartbeat":
        return AppendEntriesRequest(term=term, leader=sender)
    if kind == "append":
        prev, prev_term = _place(options["after"])
        return AppendEntriesRequest(
            term=term,
            leader=sender,
            prev_log_index=prev,
            prev_log_term=prev_term,
            entries=_entries(options.get("entries", "")),
            leader_commit_index=Index(int(options.get("commit", "0"))),
        )
    if kind == "vote":
        return RequestVoteRequest(
            term=term,
            candidate=sender,
            last_log_index=last,
            last_log_term=last_term,
            leadership_transfer="transfer" in options,
        )
    if kind == "prevote":
        return RequestPreVoteRequest(term=term, last_log_index=last, last_log_term=last_term)
    if kind == "snapshot":
        voters = ids(*options["voters"].split(","))
        return InstallSnapshotRequest(
            term=term,
            leader=sender,
            last_log_index=last,
            last_log_term=last_term,
            configuration=Configuration.of_voters(*voters),
            configuration_index=Index(1),
            size_bytes=0,
        )
    return _other_request(kind, term, options)
