from __future__ import annotations

import pytest

from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    ErrorResponse,
    Request,
    RequestPreVoteRequest,
    RequestPreVoteResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    Response,
    TimeoutNowRequest,
    TimeoutNowResponse,
)
from raft_over_libp2p.types import Index, LogEntry, ServerID, Term
from tests.simulation.wire_trip import request_trip, response_trip

_S1 = ServerID("s1")
_HEARTBEAT = AppendEntriesRequest(term=Term(3), leader=_S1)
_APPEND = AppendEntriesRequest(
    term=Term(3),
    leader=_S1,
    prev_log_index=Index(7),
    prev_log_term=Term(2),
    entries=(LogEntry(Index(8), Term(3), data=b"8"), LogEntry(Index(9), Term(3), data=b"9")),
    leader_commit_index=Index(8),
)
_VOTE = RequestVoteRequest(
    term=Term(3), candidate=_S1, last_log_index=Index(9), last_log_term=Term(2)
)
_PRE_VOTE = RequestPreVoteRequest(term=Term(3), last_log_index=Index(9), last_log_term=Term(2))
_TERM = Term(3)
_ANSWERS: list[tuple[Request, Response]] = [
    (_HEARTBEAT, AppendEntriesResponse(term=_TERM, last_log=Index(9), success=True)),
    (_APPEND, AppendEntriesResponse(term=_TERM, last_log=Index(9), success=False)),
    (_VOTE, RequestVoteResponse(term=_TERM, granted=True)),
    (_PRE_VOTE, RequestPreVoteResponse(term=_TERM, granted=False)),
    (TimeoutNowRequest(), TimeoutNowResponse()),
    (_APPEND, ErrorResponse(error="no")),
]


@pytest.mark.parametrize("cut", [0.0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize("request_", [_HEARTBEAT, _APPEND, _VOTE, _PRE_VOTE, TimeoutNowRequest()])
def test_a_request_is_the_same_after_its_trip(request_: Request, cut: float) -> None:
    assert request_ == request_trip(_S1, request_, cut)


@pytest.mark.parametrize("cut", [0.0, 0.1, 0.5, 0.99])
@pytest.mark.parametrize(("request_", "response"), _ANSWERS)
def test_a_response_is_the_same_after_its_trip(
    request_: Request, response: Response, cut: float
) -> None:
    assert response == response_trip(_S1, request_, response, cut)
