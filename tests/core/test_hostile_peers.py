"""Whatever peers send, a machine does not raise, answers each request once, and keeps its promises."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    ErrorResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    RequestPreVoteRequest,
    RequestPreVoteResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    TimeoutNowRequest,
    TimeoutNowResponse,
)
from raft_over_libp2p.core.ready import Role
from raft_over_libp2p.types import Configuration, LogEntry, LogType
from tests.core.logs import configuration_entry, entry, ids
from tests.core.solo import Solo

HUGE = 2**64 - 2
numbers = st.one_of(st.integers(0, 6), st.just(HUGE))
small = st.integers(0, 6)
terms = st.integers(0, 5)
peers = st.sampled_from(["a", "b", "c", "d", "n"])
entries = st.one_of(
    st.builds(entry, small, terms),
    st.builds(lambda i, t: configuration_entry(i, t, "a", "b"), small, terms),
    st.builds(lambda i, t: LogEntry(i, t, LogType.NOOP), numbers, numbers),
)
requests = st.one_of(
    st.builds(
        AppendEntriesRequest,
        term=terms,
        leader=peers,
        prev_log_index=numbers,
        prev_log_term=numbers,
        entries=st.one_of(st.none(), st.lists(entries, max_size=4).map(tuple)),
        leader_commit_index=numbers,
    ),
    st.builds(
        lambda term, prev, prev_term, more, count: AppendEntriesRequest(
            term=term,
            leader="b",
            prev_log_index=prev,
            prev_log_term=prev_term,
            entries=tuple(entry(prev + 1 + i, more) for i in range(count)),
            leader_commit_index=prev,
        ),
        terms,
        small,
        terms,
        terms,
        small,
    ),
    st.builds(
        RequestVoteRequest,
        term=terms,
        candidate=peers,
        last_log_index=numbers,
        last_log_term=numbers,
        leadership_transfer=st.booleans(),
    ),
    st.builds(RequestPreVoteRequest, term=terms, last_log_index=numbers, last_log_term=numbers),
    st.just(TimeoutNowRequest()),
    st.builds(
        InstallSnapshotRequest,
        term=terms,
        leader=peers,
        last_log_index=numbers,
        last_log_term=numbers,
        configuration=st.sampled_from([Configuration(), Configuration.of_voters(*ids("a", "b"))]),
        configuration_index=numbers,
        size_bytes=st.just(0),
    ),
)
responses = st.one_of(
    st.builds(
        AppendEntriesResponse,
        term=terms,
        last_log=numbers,
        success=st.booleans(),
        no_retry_backoff=st.booleans(),
    ),
    st.builds(RequestVoteResponse, term=terms, granted=st.booleans()),
    st.builds(RequestPreVoteResponse, term=terms, granted=st.booleans()),
    st.just(TimeoutNowResponse()),
    st.builds(InstallSnapshotResponse, term=terms, success=st.booleans()),
    st.just(ErrorResponse(error="no")),
)
steps = st.one_of(
    st.tuples(st.just("ask"), peers, requests),
    st.tuples(st.just("answer"), small, responses),
    st.tuples(st.just("fail"), small, st.none()),
    st.tuples(st.just("persist"), st.integers(0, 3), st.none()),
    st.tuples(st.just("wait"), st.sampled_from([0.05, 0.4, 1.3]), st.none()),
    st.tuples(st.just("write"), small, st.none()),
    st.tuples(st.just("store"), st.booleans(), st.none()),
    st.tuples(st.just("snapshot"), small, st.none()),
)


def do(solo: Solo, step: str, first, second, asked: list) -> None:
    if step == "ask":
        asked.append(solo.ask(first, second))
    elif step in {"answer", "fail"} and solo.calls:
        call = solo.calls.pop(first % len(solo.calls))
        if step == "answer":
            solo.respond(call, second)
        else:
            solo.fail(call)
    elif step == "persist":
        solo.persist(min(first, len(solo.waiting)))
    elif step == "wait":
        solo.wait(first)
    elif step == "write" and solo.status.role is Role.LEADER and not solo.waiting:
        solo.propose(b"x")
    elif step == "store" and solo.storing:
        if first:
            solo.store()
        else:
            solo.fail_to_store("no space left")
    elif step == "snapshot" and not solo.taking and solo.machine.snapshot_now(solo.now):
        solo.turn()
        solo.finish_snapshot()


@settings(max_examples=150, deadline=None)
@given(st.booleans(), st.booleans(), st.lists(steps, max_size=40))
def test_no_peer_makes_it_raise_or_go_without_an_answer(leads, blank, todo) -> None:
    solo = Solo("a", "b", "c", nonvoters=["n"], blank=blank)
    if leads and not blank:
        solo.lead_with_commit("b")
    asked: list = []
    term = solo.term
    commit = solo.status.commit_index
    for step, first, second in todo:
        do(solo, step, first, second, asked)
        status = solo.status
        assert status.term >= term
        assert status.commit_index >= commit or solo.alarms("another entry"), "rule 11"
        assert status.applied_index <= status.durable_index <= status.last_index
        assert status.commit_index <= status.last_index
        term, commit = status.term, status.commit_index
    solo.persist()
    while solo.storing:
        solo.store()
    solo.persist()
    solo.persist()
    assert set(asked) <= set(solo.replies)
