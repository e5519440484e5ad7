"""Raft §5.1, §5.2 and §5.4.1, thesis 3.4, 4.2.3, 6.2 and 9.6: terms and elections."""

from __future__ import annotations

import pytest

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    RequestPreVoteRequest,
    RequestPreVoteResponse,
    RequestVoteRequest,
    RequestVoteResponse,
)
from raft_over_libp2p.core.ready import HardState, LeaderChanged, Role, RoleChanged
from raft_over_libp2p.types import Index, ServerID, Term
from tests.core.cluster import Cluster
from tests.core.logs import entry
from tests.core.solo import Solo, append, heartbeat, prevote_request, vote_request


def vote(term: int, *, granted: bool) -> RequestVoteResponse:
    return RequestVoteResponse(term=Term(term), granted=granted)


def pre_vote(term: int, *, granted: bool) -> RequestPreVoteResponse:
    return RequestPreVoteResponse(term=Term(term), granted=granted)


def refused_append(term: int) -> AppendEntriesResponse:
    return AppendEntriesResponse(term=Term(term), last_log=Index(0), success=False)


class TestTerms:
    def test_a_follower_takes_over_a_larger_term(self) -> None:
        """§5.1: if one server's current term is smaller, it updates its to the larger value."""
        solo = Solo("a", "b", "c")
        solo.answered("b", heartbeat(7))
        assert solo.hard_state == HardState(Term(7))

    def test_a_candidate_with_a_stale_term_reverts_to_follower(self) -> None:
        """§5.1: if a candidate discovers that its term is out of date, it reverts to follower."""
        solo = Solo("a", "b", "c")
        solo.campaign()
        solo.respond(solo.take_calls(RequestVoteRequest)[0], vote(9, granted=False))
        assert (solo.status.role, solo.term) == (Role.FOLLOWER, 9)

    def test_a_leader_with_a_stale_term_reverts_to_follower(self) -> None:
        """§5.1: ... or leader."""
        solo = Solo("a", "b", "c")
        solo.lead()
        solo.respond(solo.appends("b")[0], refused_append(9))
        assert (solo.status.role, solo.term) == (Role.FOLLOWER, 9)

    @pytest.mark.parametrize(
        "request_",
        [
            heartbeat(3),
            append(3, (1, 1), [entry(2, 3)]),
            vote_request(3, (9, 3)),
            prevote_request(3, (9, 3)),
        ],
    )
    def test_a_request_with_a_stale_term_is_rejected(self, request_) -> None:
        """§5.1: if a server receives a request with a stale term number, it rejects the request."""
        solo = Solo("a", "b", "c", term=4)
        response = solo.answered("b", request_)
        assert not getattr(response, "success", False)
        assert not getattr(response, "granted", False)
        assert response.term == 4
        assert solo.status.last_index == 1

    def test_the_term_survives_a_crash(self) -> None:
        """Figure 2: currentTerm and votedFor are updated on stable storage before responding."""
        solo = Solo("a", "b", "c")
        solo.answered("b", vote_request(5, (1, 1)))
        solo.crash_and_restart()
        assert solo.term == 5
        assert not solo.answered("c", vote_request(5, (1, 1), "c")).granted
        assert solo.answered("b", vote_request(5, (1, 1))).granted


class TestElections:
    def test_servers_start_as_followers(self) -> None:
        """§5.2: when servers start up, they begin as followers."""
        assert Solo("a", "b", "c").status.role is Role.FOLLOWER

    def test_a_follower_stays_one_while_it_hears_from_a_leader(self) -> None:
        """§5.2: remains in follower state as long as it receives valid RPCs from a leader."""
        solo = Solo("a", "b", "c")
        for _ in range(50):
            solo.answered("b", heartbeat(1))
            solo.wait(0.9)
        assert solo.status.role is Role.FOLLOWER
        assert solo.status.leader == "b"

    def test_a_follower_that_hears_nothing_begins_an_election(self) -> None:
        """§5.2: no communication over the election timeout: it assumes there is no viable leader."""
        solo = Solo("a", "b", "c")
        solo.answered("b", heartbeat(1))
        solo.wait(0.99)
        assert solo.status.role is Role.FOLLOWER
        solo.wait(1.02)
        assert solo.status.role is Role.CANDIDATE
        assert solo.status.leader is None

    def test_timeouts_are_random(self) -> None:
        """§5.2: election timeouts are chosen randomly from a fixed interval."""
        times = set()
        for seed in range(20):
            cluster = Cluster(["a", "b", "c"], seed=seed)
            times.add(cluster["a"].machine.next_timer())
        assert len(times) == 20
        assert min(times) >= 1
        assert max(times) < 2

    def test_a_candidate_increments_its_term_and_votes_for_itself(self) -> None:
        """§5.2: to begin an election, a follower increments its current term."""
        solo = Solo("a", "b", "c")
        solo.campaign()
        assert solo.hard_state == HardState(Term(2), ServerID("a"))

    def test_it_asks_all_other_servers_in_parallel(self) -> None:
        """§5.2: issues RequestVote RPCs in parallel to each of the other servers."""
        solo = Solo("a", "b", "c", "d", "e")
        solo.campaign()
        calls = solo.take_calls(RequestVoteRequest)
        assert {c.peer for c in calls} == {"b", "c", "d", "e"}
        assert {c.request for c in calls} == {vote_request(2, (1, 1), "a")}

    @pytest.mark.parametrize(
        ("servers", "votes", "wins"),
        [
            ("abc", 0, False),
            ("abc", 1, True),
            ("abcde", 1, False),
            ("abcde", 2, True),
            ("ab", 0, False),
            ("ab", 1, True),
            ("abcd", 1, False),
            ("abcd", 2, True),
        ],
    )
    def test_a_majority_of_the_full_cluster_elects(self, servers, votes, wins) -> None:
        """§5.2: a candidate wins if it receives votes from a majority of the full cluster."""
        solo = Solo(*servers)
        solo.campaign()
        for call in solo.take_calls(RequestVoteRequest)[:votes]:
            solo.respond(call, vote(2, granted=True))
        assert (solo.status.role is Role.LEADER) == wins

    def test_the_same_voter_counts_once(self) -> None:
        """§5.2: each server will vote for at most one candidate (fault 17)."""
        solo = Solo("a", "b", "c", "d", "e")
        solo.campaign()
        (call, *_) = solo.take_calls(RequestVoteRequest)
        solo.respond(call, vote(2, granted=True))
        solo.respond(call, vote(2, granted=True))
        assert solo.status.role is Role.CANDIDATE

    def test_a_vote_that_states_an_older_term_is_none(self) -> None:
        solo = Solo("a", "b", "c")
        solo.campaign()
        solo.respond(solo.take_calls(RequestVoteRequest)[0], vote(1, granted=True))
        assert solo.status.role is Role.CANDIDATE

    def test_a_refusal_is_no_vote(self) -> None:
        solo = Solo("a", "b", "c")
        solo.campaign()
        for call in solo.take_calls(RequestVoteRequest):
            solo.respond(call, vote(2, granted=False))
        assert solo.status.role is Role.CANDIDATE

    def test_votes_of_an_old_term_are_not_counted(self) -> None:
        """§5.2: votes in the same term (fault 18)."""
        solo = Solo("a", "b", "c", config=RaftConfig(pre_vote_disabled=True))
        solo.time_out()
        solo.persist()
        old = solo.take_calls(RequestVoteRequest)
        solo.time_out()
        solo.persist()
        assert solo.term == 3
        for call in old:
            solo.respond(call, vote(2, granted=True))
        assert solo.status.role is Role.CANDIDATE

    def test_at_most_one_vote_a_term_first_come_first_served(self) -> None:
        """§5.2: each server will vote for at most one candidate in a given term."""
        solo = Solo("a", "b", "c")
        assert solo.answered("b", vote_request(2, (1, 1))).granted
        assert not solo.answered("c", vote_request(2, (1, 1), "c")).granted

    def test_a_winner_sends_heartbeats_at_once(self) -> None:
        """§5.2: it then sends heartbeat messages to all of the other servers."""
        solo = Solo("a", "b", "c")
        solo.lead()
        assert solo.heartbeats("b")
        assert solo.heartbeats("c")

    def test_a_candidate_yields_to_a_leader_of_its_term(self) -> None:
        """§5.2: if the leader's term is at least as large, the candidate returns to follower."""
        solo = Solo("a", "b", "c")
        solo.campaign()
        assert solo.answered("b", heartbeat(2)).success
        assert solo.status.role is Role.FOLLOWER
        assert solo.status.leader == "b"
        assert solo.hard_state.vote == "a"

    def test_a_candidate_rejects_a_leader_of_an_older_term(self) -> None:
        """§5.2: if the term in the RPC is smaller, the candidate rejects it and continues."""
        solo = Solo("a", "b", "c")
        solo.campaign()
        assert not solo.answered("b", heartbeat(1)).success
        assert solo.status.role is Role.CANDIDATE

    def test_a_split_vote_is_followed_by_another_round(self) -> None:
        """§5.2: when votes are split each candidate will time out and start a new election."""
        solo = Solo("a", "b", "c")
        solo.campaign()
        for call in solo.take_calls(RequestVoteRequest):
            solo.respond(call, vote(2, granted=False))
        solo.wait(2)
        assert solo.take_calls(RequestPreVoteRequest)

    def test_a_vote_stays_when_a_leader_steps_down_in_its_term(self) -> None:
        """§5.2: one vote a term, also after leading (fault 16)."""
        solo = Solo("a", "b", "c")
        solo.lead()
        solo.wait(0.6)
        assert solo.status.role is Role.FOLLOWER
        assert not solo.answered("b", vote_request(2, (9, 2))).granted

    def test_role_and_leader_are_told(self) -> None:
        solo = Solo("a", "b", "c")
        solo.lead()
        assert RoleChanged(Role.LEADER, Term(2)) in solo.observations
        assert LeaderChanged(ServerID("a"), Term(2)) in solo.observations

    @pytest.mark.parametrize("seed", range(10))
    def test_five_servers_elect_exactly_one(self, seed) -> None:
        cluster = Cluster(list("abcde"), seed=seed)
        leader = cluster.leader()
        cluster.run(3)
        assert cluster.leaders() == [leader.server_id]


class TestElectionRestriction:
    @pytest.mark.parametrize(
        ("last", "granted"),
        [((3, 3), True), ((4, 3), True), ((2, 3), False), ((9, 2), False), ((1, 4), True)],
    )
    def test_the_voter_denies_its_vote_if_its_log_is_more_up_to_date(self, last, granted) -> None:
        """§5.4.1: the later last term wins; with equal terms the longer log."""
        solo = Solo("a", "b", "c", log=[entry(2, 2), entry(3, 3)])
        assert solo.answered("b", vote_request(5, last)).granted == granted

    @pytest.mark.parametrize(("last", "granted"), [((3, 3), True), ((9, 2), False)])
    def test_a_pre_vote_is_judged_by_the_same_rule(self, last, granted) -> None:
        """Thesis 9.6."""
        solo = Solo("a", "b", "c", log=[entry(2, 2), entry(3, 3)])
        assert solo.answered("b", prevote_request(5, last)).granted == granted


class TestPreVote:
    def test_the_term_is_not_incremented_before_it_is_won(self) -> None:
        """Thesis 9.6: a candidate first learns whether it would get enough votes."""
        solo = Solo("a", "b", "c")
        solo.wait(20)
        assert solo.term == 1
        assert solo.take_calls(RequestVoteRequest) == []

    def test_a_granted_pre_vote_changes_nothing(self) -> None:
        """Thesis 9.6 (fault 35)."""
        solo = Solo("a", "b", "c")
        before = solo.hard_state
        assert solo.answered("b", prevote_request(9, (1, 1))).granted
        assert solo.hard_state == before
        assert solo.waiting == []
        assert solo.term == 1

    def test_it_is_refused_while_a_leader_is_heard(self) -> None:
        """Thesis 9.6 and 4.2.3 (fault 36)."""
        solo = Solo("a", "b", "c")
        solo.answered("b", heartbeat(1))
        assert not solo.answered("c", prevote_request(2, (1, 1))).granted

    def test_many_may_be_granted(self) -> None:
        """Thesis 9.6: a pre-vote promises nothing."""
        solo = Solo("a", "b", "c")
        assert solo.answered("b", prevote_request(2, (1, 1))).granted
        assert solo.answered("c", prevote_request(2, (1, 1))).granted

    def test_a_majority_is_needed(self) -> None:
        solo = Solo("a", "b", "c", "d", "e")
        solo.wait(2)
        calls = solo.take_calls(RequestPreVoteRequest)[:4]
        solo.respond(calls[0], pre_vote(2, granted=True))
        assert solo.term == 1
        solo.respond(calls[1], pre_vote(2, granted=True))
        assert solo.term == 2

    def test_a_higher_term_is_adopted(self) -> None:
        """As hashicorp: a reply with a term beyond the one asked for."""
        solo = Solo("a", "b", "c")
        solo.wait(2)
        solo.respond(solo.take_calls(RequestPreVoteRequest)[0], pre_vote(7, granted=False))
        assert solo.term == 7

    def test_a_partitioned_server_does_not_disturb_when_it_returns(self) -> None:
        """Thesis 9.6: a partitioned server would otherwise disrupt the cluster on rejoining."""
        cluster = Cluster(["a", "b", "c"])
        leader = cluster.leader()
        away = next(n for n in cluster.nodes if n != leader.server_id)
        term = leader.machine.status(cluster.now).term
        cluster.isolate(away)
        cluster.run(30)
        cluster.heal()
        cluster.run(10)
        assert cluster.leaders() == [leader.server_id]
        assert leader.machine.status(cluster.now).term == term

    def test_it_may_be_switched_off(self) -> None:
        solo = Solo("a", "b", "c", config=RaftConfig(pre_vote_disabled=True))
        solo.wait(2)
        solo.persist()
        assert solo.take_calls(RequestVoteRequest)


class TestStickiness:
    def test_a_vote_is_refused_while_a_leader_is_heard(self) -> None:
        """Thesis 4.2.3: within the minimum election timeout it does not update its term."""
        solo = Solo("a", "b", "c")
        solo.answered("b", heartbeat(1))
        solo.wait(0.9)
        assert not solo.answered("c", vote_request(9, (9, 8), "c")).granted
        assert solo.term == 1

    def test_a_leader_refuses_votes_too(self) -> None:
        solo = Solo("a", "b", "c")
        solo.lead()
        assert not solo.answered("c", vote_request(9, (9, 8), "c")).granted
        assert solo.status.role is Role.LEADER


class TestCheckQuorum:
    def test_a_leader_that_no_majority_answers_steps_down(self) -> None:
        """Thesis 6.2: without a successful round of heartbeats for an election timeout."""
        solo = Solo("a", "b", "c")
        solo.lead()
        begun = solo.now
        while solo.status.role is Role.LEADER:
            solo.time_out()
        assert 0.45 <= solo.now - begun <= 0.55

    def test_a_leader_stays_while_a_majority_answers(self) -> None:
        cluster = Cluster(["a", "b", "c"])
        leader = cluster.leader()
        away = next(n for n in cluster.nodes if n != leader.server_id)
        cluster.crash(away)
        cluster.run(20)
        assert cluster.leaders() == [leader.server_id]

    def test_a_nonvoters_answers_do_not_count(self) -> None:
        solo = Solo("a", "b", "c", nonvoters=["n", "o", "p"])
        solo.lead()
        for _ in range(40):
            for peer in "nop":
                for call in solo.heartbeats(peer):
                    solo.respond(call, solo.success())
            solo.time_out()
        assert solo.status.role is not Role.LEADER

    def test_a_single_voter_leads_for_ever(self) -> None:
        cluster = Cluster(["a"])
        cluster.leader()
        cluster.run(30)
        assert cluster.leaders() == ["a"]


def test_appends_name_their_leader() -> None:
    """Figure 2: leaderId, so that a follower can redirect clients."""
    solo = Solo("a", "b", "c")
    solo.lead()
    request = solo.appends("b")[0].request
    assert isinstance(request, AppendEntriesRequest)
    assert request.leader == "a"
