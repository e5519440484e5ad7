"""Members and leadership as a person changes them, against a fake peer."""

from __future__ import annotations

import json

import pytest

from raft_over_libp2p.errors import NoLeader, OutcomeUnknown, ProposalRefused, RaftError
from raft_over_libp2p.types import Suffrage
from tests.node.cli_runner import Run
from tests.node.fakes import A, B, C, FakeConsensus

WHERE = f"/ip4/10.0.0.3/tcp/9096/p2p/{C}"


def test_the_members_are_listed_with_role_lag_and_reason(
    run: Run, url: str, consensus: FakeConsensus
) -> None:
    consensus.suffrages[B] = Suffrage.STAGING

    ran = run("--host", url, "peers", "ls")

    assert ran.code == 0
    assert ran.out == (
        "MEMBER                                                NAME    ROLE     REACHED   HEARD"
        "  MATCH  LAG  NOTE\n"
        f"{A}  node-a  leader   yes           -      7    -  this peer\n"
        f"{B}  node-b  learner  yes       0.0 s      7    0  votes once it has caught up\n"
        f"{C}          voter    no       12.3 s      2    5  connection refused\n"
    )


def test_a_snapshot_under_way_is_shown_with_its_size(
    run: Run, url: str, consensus: FakeConsensus
) -> None:
    consensus.snapshot_bytes = (1 << 20, 5 << 19)

    ran = run("--host", url, "peers", "ls")

    assert "is sent a snapshot: 1.0 of 2.5 MiB" in ran.out


def test_members_for_programs_are_what_they_say_of_themselves(run: Run, url: str) -> None:
    ran = run("--host", url, "peers", "ls", "--json")

    peers = [json.loads(line) for line in ran.out.splitlines()]
    assert [A, B, C] == [peer["id"] for peer in peers]
    assert peers[2]["error"] == "connection refused"


@pytest.mark.parametrize(
    ("named", "change"), [(WHERE, ("log_add_peer", WHERE)), (C, ("add_peer", C))]
)
def test_a_peer_is_added_by_multiaddr_or_id(
    run: Run, url: str, consensus: FakeConsensus, named: str, change: tuple[str, str]
) -> None:
    ran = run("--host", url, "peers", "add", named)

    assert (0, f"{C} node-x votes\n") == (ran.code, ran.out)
    assert [change] == consensus.changes


def test_a_peer_is_removed(run: Run, url: str, consensus: FakeConsensus) -> None:
    ran = run("--host", url, "peers", "rm", C)

    assert (0, f"{C} is no member any more\n") == (ran.code, ran.out)
    assert [("log_rm_peer", C)] == consensus.changes


@pytest.mark.parametrize(("arguments", "target"), [([], ""), ([B], B)])
def test_leadership_is_handed_over(
    run: Run, url: str, consensus: FakeConsensus, arguments: list[str], target: str
) -> None:
    ran = run("--host", url, "leader", "transfer", *arguments)

    assert (0, f"{B} leads\n") == (ran.code, ran.out)
    assert [("transfer", target)] == consensus.changes


@pytest.mark.parametrize(
    "command", [("peers", "add", WHERE), ("peers", "rm", C), ("leader", "transfer", C)]
)
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ProposalRefused(f"{C} is not a member of this cluster"), 1),
        (ProposalRefused("another membership change is open (entry 7): try again"), 1),
        (ProposalRefused(f"{C} was not added: it is not reached: connection refused"), 1),
        (OutcomeUnknown("no majority agreed on entry 9 within 1 s"), 3),
        (NoLeader("nobody leads"), 4),
    ],
)
def test_a_change_that_fails_tells_its_outcome_by_the_exit_code(
    run: Run,
    url: str,
    consensus: FakeConsensus,
    command: tuple[str, ...],
    error: RaftError,
    code: int,
) -> None:
    consensus.error = error

    ran = run("--host", url, *command)

    assert code == ran.code
    assert str(error) in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("peers", "add", "/ip4/10.0.0.3/tcp/9096"),
        ("peers", "add", "node-3"),
        ("peers", "rm", "node-3"),
        ("peers", "rm", ""),
        ("peers", "rm", "../pins"),
        ("leader", "transfer", "node-3"),
    ],
)
def test_a_malformed_peer_is_refused_and_changes_nothing(
    run: Run, url: str, consensus: FakeConsensus, arguments: tuple[str, ...]
) -> None:
    ran = run("--host", url, *arguments)

    assert ran.code == 2
    assert [] == consensus.changes


@pytest.mark.parametrize(
    ("suffrages", "known"),
    [
        ({}, "by now it votes"),
        ({C: Suffrage.STAGING}, "it is a member, and votes once it has caught up"),
    ],
)
def test_an_unknown_outcome_of_an_addition_comes_with_what_the_cluster_says(
    run: Run, url: str, consensus: FakeConsensus, suffrages: dict[str, Suffrage], known: str
) -> None:
    consensus.error = OutcomeUnknown("not over in time")
    consensus.suffrages = suffrages

    ran = run("--host", url, "peers", "add", WHERE)

    assert ran.code == 3
    assert known in ran.err


def test_the_status_of_a_removed_peer_says_what_to_do(
    run: Run, url: str, consensus: FakeConsensus
) -> None:
    consensus.is_removed = True

    ran = run("--host", url, "status")

    assert "was removed from the cluster" in ran.out
    assert "raft-node peers add" in ran.err
