"""What each change makes of a configuration: hashicorp's ``nextConfiguration``, case by case."""

from __future__ import annotations

import re

import pytest

from raft_over_libp2p import limits
from raft_over_libp2p.core.membership_change import (
    ChangeKind,
    MembershipChange,
    next_configuration,
)
from raft_over_libp2p.errors import ProposalRefused
from raft_over_libp2p.types import Configuration, Server, ServerID, Suffrage

V, N, S = Suffrage.VOTER, Suffrage.NONVOTER, Suffrage.STAGING
ADD_VOTER, ADD_NONVOTER = ChangeKind.ADD_VOTER, ChangeKind.ADD_NONVOTER
ADD_STAGING, DEMOTE = ChangeKind.ADD_STAGING, ChangeKind.DEMOTE_VOTER
REMOVE = ChangeKind.REMOVE_SERVER


def of(*servers: tuple[str, str, Suffrage]) -> Configuration:
    return Configuration(tuple(Server(ServerID(i), a, s) for i, a, s in servers))


FOUR = of(("a", "a", V), ("v", "v", V), ("n", "n", N), ("s", "s", S))


def changed(kind: ChangeKind, name: str, address: str = "") -> Configuration:
    return next_configuration(FOUR, MembershipChange(kind, ServerID(name), address))


@pytest.mark.parametrize(
    ("kind", "name", "suffrage"),
    [
        (ADD_VOTER, "v", V),
        (ADD_VOTER, "n", V),
        (ADD_VOTER, "s", V),
        (ADD_VOTER, "x", V),
        (ADD_NONVOTER, "v", V),
        (ADD_NONVOTER, "n", N),
        (ADD_NONVOTER, "s", S),
        (ADD_NONVOTER, "x", N),
        (ADD_STAGING, "v", V),
        (ADD_STAGING, "n", S),
        (ADD_STAGING, "s", S),
        (ADD_STAGING, "x", S),
    ],
)
def test_adding_takes_no_vote_away_and_writes_the_address_down(
    kind: ChangeKind, name: str, suffrage: Suffrage
) -> None:
    expected = {s.id: s for s in FOUR.servers}
    expected[ServerID(name)] = Server(ServerID(name), "new", suffrage)
    assert changed(kind, name, "new").servers == tuple(expected.values())


@pytest.mark.parametrize("name", ["v", "n", "s"])
def test_a_demoted_member_stays_as_nonvoter(name: str) -> None:
    after = changed(DEMOTE, name)
    assert [s.id for s in after.servers] == ["a", "v", "n", "s"]
    assert next(s for s in after.servers if s.id == name) == Server(ServerID(name), name, N)


@pytest.mark.parametrize("name", ["v", "n", "s"])
def test_a_removed_member_is_gone(name: str) -> None:
    assert changed(REMOVE, name).servers == tuple(s for s in FOUR.servers if s.id != name)


@pytest.mark.parametrize("kind", [DEMOTE, REMOVE])
def test_a_stranger_can_be_demoted_and_removed_without_effect(kind: ChangeKind) -> None:
    """hashicorp/raft then appends the same configuration again."""
    assert changed(kind, "x") == FOUR


@pytest.mark.parametrize("kind", [DEMOTE, REMOVE])
def test_the_last_voter_stays(kind: ChangeKind) -> None:
    alone = of(("a", "a", V), ("n", "n", N))
    what = "Nonvoter a a} {" if kind is DEMOTE else ""
    text = f"need at least one voter in configuration: {{[{{{what}Nonvoter n n}}]}}"
    with pytest.raises(ProposalRefused, match="^" + re.escape(text) + "$"):
        next_configuration(alone, MembershipChange(kind, ServerID("a")))


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (MembershipChange(ADD_VOTER, ServerID("x"), "n"), "found duplicate address in "),
        (MembershipChange(ADD_VOTER, ServerID("v"), "n"), "found duplicate address in "),
        (MembershipChange(ADD_VOTER, ServerID("x")), "empty address in configuration: {Voter x }"),
        (MembershipChange(ADD_VOTER, ServerID(""), "x"), "empty ID in configuration: {[{Voter a a"),
    ],
)
def test_what_hashicorp_refuses_is_refused(change: MembershipChange, text: str) -> None:
    with pytest.raises(ProposalRefused, match=re.escape(text)):
        next_configuration(FOUR, change)


def test_a_configuration_has_a_largest_size() -> None:
    names = [ServerID(str(i)) for i in range(limits.MAX_SERVERS)]
    with pytest.raises(ProposalRefused, match="at most 1024 servers"):
        next_configuration(
            Configuration.of_voters(*names), MembershipChange(ADD_VOTER, ServerID("x"), "x")
        )
