from __future__ import annotations

import pytest

from raft_over_libp2p.core.trace import TraceRecord
from tests.simulation.change_faults import CHANGE_FAULTS
from tests.simulation.faults import FAULTS, Fault
from tests.simulation.naive_spec import NaiveSpec
from tests.simulation.seeds import run_seed
from tests.simulation.violation import Violation
from tests.simulation.world import World

_CAUGHT_BY = {
    "a vote is not stored": {"naive durable"},
    "an older term is committed by counting": {"naive commit"},
    "a reply leaves before its write": {"naive durable"},
    "votes are counted twice": {"naive pre-vote"},
    "matching entries are truncated": {"naive durable"},
    "a vote without a look at the log": {"naive vote"},
    "the previous term is not checked": {"naive commit", "naive log"},
    "the sent commit index is not capped": {"naive sent commit"},
    "two votes in a term": {"naive vote"},
    "a vote is forgotten on restart": {"naive vote"},
    "entries are acknowledged before their sync": {"naive acknowledged"},
    "what is not durable here is applied": {"naive apply"},
    "a stranger is judged like a voter": {"naive stranger"},
    "a change before a commit of the own term": {"naive change"},
    "a configuration is not rolled back": {"naive configuration"},
    "a snapshot with a configuration newer than its index": {"naive snapshot"},
    "TimeoutNow before the target has the whole log": {"naive transfer"},
}
"""Faults of the core, and the rules of the naive specification any of which may be the first to see it."""

_KINDS = {
    *("InitState", "Timeout", "Persisted", "Applied", "ClientRequest", "ChangeConf", "ReadIndex"),
    *("SnapshotTaken", "SnapshotStored", "TakeSnapshot", "InstallSnapshot", "Write", "Commit"),
    *(
        f"{way}{rpc}{part}"
        for way in ("Send", "Receive")
        for rpc in ("AppendEntries", "RequestVote", "RequestPreVote", "InstallSnapshot")
        for part in ("Request", "Response")
    ),
    *("SendTimeoutNowRequest", "ReceiveTimeoutNowRequest", "CallFailed", "PeerConnected"),
}

_FAULTS = [fault for fault in (*FAULTS, *CHANGE_FAULTS) if fault.name in _CAUGHT_BY]


@pytest.mark.slow
@pytest.mark.parametrize("fault", _FAULTS, ids=str)
def test_a_seeded_fault_is_caught_by_the_naive_specification(fault: Fault) -> None:
    caught_by = ""
    with fault.seeded():
        for seed in range(fault.first_seed, fault.first_seed + fault.within_seeds):
            violation = run_seed(seed, profile=fault.profile(seed), is_judged=True).violation
            # (What a checker of the world saw first says nothing about the naive specification.)
            if violation is not None and violation.checker.startswith("naive"):
                caught_by = violation.checker
                break

    assert caught_by in _CAUGHT_BY[fault.name]


def test_the_faults_named_here_are_all_there() -> None:
    assert sorted(_CAUGHT_BY) == sorted(fault.name for fault in _FAULTS)


@pytest.mark.slow
def test_the_seeds_make_every_kind_of_transition() -> None:
    """A kind that no seed makes would be a rule that was never tried."""
    names: set[str] = set()
    for seed in range(40):
        World(seed, tracer=lambda record: names.add(record.name)).run(2000)

    assert _KINDS - names == set()


def test_a_server_is_judged_from_its_start_only() -> None:
    records: list[TraceRecord] = []
    World(3, tracer=records.append).run(300)

    with pytest.raises(Violation, match="naive"):
        NaiveSpec().judge(records[-1])
