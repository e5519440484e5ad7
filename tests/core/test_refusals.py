"""What nobody may ask is refused by name: nothing changes, no term rises, no timer begins anew."""

from __future__ import annotations

import pytest

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core.messages import (
    AppendEntriesResponse,
    ErrorResponse,
    Request,
    RequestPreVoteResponse,
    RequestVoteResponse,
    TimeoutNowRequest,
)
from raft_over_libp2p.core.ready import Role
from raft_over_libp2p.types import Configuration
from tests.core.logs import configuration_entry, entry, ids
from tests.core.solo import Solo, append, heartbeat, prevote_request, snapshot, vote_request

FAR = 77
STRANGERS_VOTES: dict[str, Request] = {
    "vote": vote_request(FAR, (99, 76), candidate="x"),
    "vote of a transfer": vote_request(FAR, (99, 76), candidate="x", transfer=True),
    "pre-vote": prevote_request(FAR, (99, 76)),
    "TimeoutNow": TimeoutNowRequest(),
}
OF_WHO_WOULD_LEAD: dict[str, Request] = {
    "heartbeat": heartbeat(FAR, "x"),
    "append": append(FAR, (1, 1), [entry(2, FAR)], leader="x"),
    "snapshot": snapshot(FAR, (9, FAR), "a", "x", leader="x"),
}
TRUSTING = RaftConfig(trusted_peers=frozenset({"t"}))


def server(role: Role, config: RaftConfig | None = None) -> Solo:
    """Return a server among a, b and c that leads, or that heard its leader a moment ago."""
    solo = Solo("a", "b", "c", config=config)
    if role is Role.LEADER:
        solo.lead_with_commit("b")
        solo.turn()  # what is committed is applied
    else:
        solo.answered("b", heartbeat(1))
    solo.wait(0.02)
    return solo


def picture(solo: Solo) -> tuple[object, ...]:
    """Return all that a refused request must leave as it is."""
    status = solo.status
    return (
        status.role, status.term, status.leader, status.commit_index, status.applied_index,
        status.last_index, status.configuration, status.last_leader_contact_s, solo.hard_state,
        solo.machine.next_timer(), list(solo.disk.kept), solo.storing, solo.waiting,
    )  # fmt: skip


@pytest.mark.parametrize("role", [Role.FOLLOWER, Role.LEADER])
@pytest.mark.parametrize("name", STRANGERS_VOTES)
def test_a_vote_or_timeout_now_of_a_stranger_changes_nothing(name: str, role: Role) -> None:
    solo = server(role)
    before = picture(solo)

    response = solo.answered("x", STRANGERS_VOTES[name])

    assert before == picture(solo)
    if isinstance(response, ErrorResponse):
        assert f"x does not lead term {solo.term}" == response.error
    else:
        assert isinstance(response, RequestVoteResponse | RequestPreVoteResponse)
        assert (False, solo.term) == (response.granted, response.term)


@pytest.mark.parametrize("name", ["vote", "pre-vote", "TimeoutNow"])
def test_nor_does_it_without_a_leader_unless_its_log_is_newer(name: str) -> None:
    """Rule 14: a removed server's log never is."""
    solo = Solo("a", "b", "c", log=[entry(2, 1)])
    solo.wait(2.5)
    assert Role.CANDIDATE is solo.status.role
    request = {
        "vote": vote_request(FAR, (2, 1), candidate="x"),
        "pre-vote": prevote_request(FAR, (2, 1)),
        "TimeoutNow": TimeoutNowRequest(),
    }[name]
    before = picture(solo)

    response = solo.answered("x", request)

    assert before == picture(solo)
    assert not getattr(response, "granted", False)


@pytest.mark.parametrize("role", [Role.FOLLOWER, Role.LEADER])
@pytest.mark.parametrize("name", OF_WHO_WOULD_LEAD)
def test_rule_24_who_goes_by_a_list_is_led_by_nobody_else(name: str, role: Role) -> None:
    solo = server(role, TRUSTING)
    before = picture(solo)

    response = solo.answered("x", OF_WHO_WOULD_LEAD[name])

    assert ErrorResponse(error="x is neither a member nor trusted") == response
    assert before == picture(solo)


@pytest.mark.parametrize("peer", ["b", "n", "t", "l"])
def test_rule_24_members_of_either_configuration_and_trusted_peers_lead_it(peer: str) -> None:
    """Of the latest: b, l; of the committed one: b, n; of the list: t."""
    solo = Solo(
        "a", "b", nonvoters=["n"], log=[configuration_entry(2, 1, "a", "b", "l")], config=TRUSTING
    )

    response = solo.answered(peer, heartbeat(FAR, peer))

    assert isinstance(response, AppendEntriesResponse)
    assert response.success
    assert (peer, FAR) == (solo.status.leader, solo.term)


def test_who_slept_through_changes_of_members_is_led_by_a_stranger() -> None:
    """Thesis 4.1; the default, for the cluster's secret says who may speak at all."""
    solo = Solo("a", "b", "c")
    members = configuration_entry(2, 5, "a", "x", "y")

    response = solo.answered("x", append(7, (1, 1), [members, entry(3, 7)], 3, leader="x"))

    assert isinstance(response, AppendEntriesResponse)
    assert response.success
    assert ("x", 7, 3) == (solo.status.leader, solo.term, solo.status.commit_index)
    assert Configuration.of_voters(*ids("a", "x", "y")) == solo.status.configuration


@pytest.mark.parametrize("name", ["heartbeat", "append", "snapshot"])
def test_a_stranger_of_an_older_term_leads_nobody(name: str) -> None:
    solo = Solo("a", "b", "c", term=FAR + 1)
    solo.answered("b", heartbeat(FAR + 1))
    solo.wait(0.02)
    before = picture(solo)

    response = solo.answered("x", OF_WHO_WOULD_LEAD[name])

    assert (False, FAR + 1) == (response.success, response.term)
    assert before == picture(solo)
