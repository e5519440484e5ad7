"""The liveness half of the rules for clusters of Python and Go peers, one or more tests a rule."""

from __future__ import annotations

import pytest

from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    ErrorResponse,
    InstallSnapshotResponse,
    RequestPreVoteRequest,
    RequestPreVoteResponse,
    RequestVoteRequest,
    TimeoutNowRequest,
    TimeoutNowResponse,
)
from raft_over_libp2p.core.ready import Alarm, HardState, Role
from raft_over_libp2p.errors import NotLeader
from raft_over_libp2p.types import ServerID, Term
from tests.core.cluster import Cluster
from tests.core.logs import configuration_entry, entry
from tests.core.solo import Solo, append, heartbeat, prevote_request, snapshot, vote_request


def request_of(call) -> AppendEntriesRequest:
    assert isinstance(call.request, AppendEntriesRequest)
    return call.request


class TestRule14CandidatesWeDoNotKnow:
    def test_a_blank_voter_votes_for_who_bootstrapped(self) -> None:
        """Rule 14 (a): a blank log always qualifies at once."""
        solo = Solo(blank=True)
        assert solo.answered("g", prevote_request(2, (1, 1))).granted
        assert solo.answered("g", vote_request(2, (1, 1))).granted

    def test_a_newer_log_counts_after_two_quiet_election_timeouts(self) -> None:
        """Rule 14 (b): {a, b} + d committed on b and d, b dies; d must be able to win."""
        solo = Solo("a", "b")
        solo.answered("b", heartbeat(1))
        solo.wait(2.1)
        assert solo.answered("d", prevote_request(9, (2, 1))).granted
        assert solo.answered("d", vote_request(9, (2, 1))).granted

    def test_not_before_that(self) -> None:
        """Rule 14: no leader was heard for two election timeouts."""
        solo = Solo("a", "b", "c")
        solo.answered("b", heartbeat(1))
        solo.wait(1.9)
        assert not solo.answered("d", prevote_request(9, (2, 1))).granted
        assert not solo.answered("d", vote_request(9, (2, 1))).granted
        assert solo.term == 1

    def test_an_equal_log_never_counts(self) -> None:
        """Rule 14: strictly newer; a removed server never is against a holder of its removal."""
        solo = Solo("a", "b", "c")
        solo.wait(10)
        before = solo.term
        assert not solo.answered("d", prevote_request(9, (1, 1))).granted
        response = solo.answered("d", vote_request(9, (1, 1)))
        assert not response.granted
        assert solo.term == before

    def test_a_nonvoter_here_that_was_promoted_since_can_win(self) -> None:
        """Thesis 4.1: votes do not consult the voter's configuration, which may be the older one."""
        solo = Solo("a", "b", nonvoters=["n"])
        solo.wait(2.1)
        assert solo.answered("n", prevote_request(9, (2, 1))).granted
        assert solo.answered("n", vote_request(9, (2, 1))).granted

    def test_a_nonvoter_whose_log_is_no_newer_cannot(self) -> None:
        solo = Solo("a", "b", nonvoters=["n"])
        solo.wait(2.1)
        assert not solo.answered("n", prevote_request(9, (1, 1))).granted
        assert not solo.answered("n", vote_request(9, (1, 1))).granted

    def test_a_shouting_stranger_moves_no_term(self) -> None:
        """Rule 14: else refused, term unmoved."""
        solo = Solo("a", "b", "c")
        solo.answered("b", heartbeat(1))
        solo.answered("d", vote_request(77, (99, 76), transfer=True))
        assert solo.term == 1

    def test_the_cluster_of_three_lives_on_without_the_server_that_added(self) -> None:
        """Rule 14 (b) with three real servers."""
        cluster = Cluster(["a", "b"], blank=["d"])
        a, b, d = cluster["a"], cluster["b"], cluster["d"]
        added = configuration_entry(2, 1, "a", "b", "d")
        for node in (a, d):
            node.log.kept = [configuration_entry(1, 1, "a", "b"), added]
            node.hard_state = HardState(Term(1))
            cluster.restart(node.server_id)
        cluster.crash("a")
        leader = cluster.leader()
        assert leader is d
        cluster.run(0.1)
        assert b.machine.status(cluster.now).leader == "d"


class TestRule16AnOlderSnapshot:
    def test_it_succeeds_and_changes_nothing(self) -> None:
        """Rule 16: refused, a Go leader would resend it whole for ever."""
        solo = Solo("a", "b", "c", log=[entry(2, 1), entry(3, 1)])
        solo.answered("b", append(1, (3, 1), commit=3))
        before = solo.status

        response = solo.answered("b", snapshot(1, (2, 1)))

        assert response == InstallSnapshotResponse(term=Term(1), success=True)
        assert solo.status == before

    def test_one_of_an_old_term_is_refused(self) -> None:
        solo = Solo("a", "b", "c", term=5)
        response = solo.answered("b", snapshot(4, (9, 1)))
        assert response == InstallSnapshotResponse(term=Term(5), success=False)

    def test_one_of_a_newer_term_moves_ours(self) -> None:
        solo = Solo("a", "b", "c", log=[entry(2, 1)])
        solo.answered("b", append(1, (2, 1), commit=2))
        assert solo.answered("b", snapshot(6, (2, 1))).success
        assert solo.hard_state.term == 6


class TestRule17Heartbeats:
    def test_they_are_calls_of_their_own_and_carry_nothing(self) -> None:
        """Rule 17: Go's exact form."""
        solo = Solo("a", "b", "c")
        solo.lead()
        assert request_of(solo.heartbeats("b")[0]) == AppendEntriesRequest(
            term=Term(2), leader=ServerID("a"), entries=None
        )

    def test_they_go_out_while_appends_wait(self) -> None:
        """Rule 17: sent regardless of pending appends."""
        solo = Solo("a", "b", "c")
        solo.lead()
        solo.heartbeats("b")
        solo.wait(0.4)
        assert len(solo.heartbeats("b")) >= 2

    def test_one_is_answered_while_a_write_is_pending(self) -> None:
        """Rule 17: and always Success=true at equal term, even with a full disk."""
        solo = Solo("a", "b", "c")
        solo.answered("b", heartbeat(1))
        solo.ask("b", append(1, (1, 1), [entry(2, 1)]))
        solo.wait(30)
        response = solo.replies[solo.ask("b", heartbeat(1))]
        assert response.success

    def test_one_commits_nothing(self) -> None:
        solo = Solo("a", "b", "c")
        solo.answered("b", heartbeat(1))
        assert solo.status.commit_index == 0

    def test_a_silent_peer_gathers_a_bounded_number(self) -> None:
        solo = Solo("a", "b", "c", "d")
        solo.lead()
        for _ in range(500):
            solo.time_out()
            for peer in "bc":
                for call in solo.heartbeats(peer):
                    solo.respond(call, solo.success())
        assert solo.status.role is Role.LEADER
        assert len(solo.heartbeats("d")) == 64


class TestRule20VotesOfNonvoters:
    def test_a_nonvoter_candidate_moves_the_term_and_gets_no_vote(self) -> None:
        """Rule 20: bump the term, refuse the vote, as Go."""
        solo = Solo("a", "b", nonvoters=["n"])
        solo.wait(0.5)
        response = solo.answered("n", vote_request(6, (9, 5)))
        assert not response.granted
        assert response.term == 6
        assert solo.hard_state == HardState(Term(6))

    def test_not_while_a_leader_is_heard(self) -> None:
        """Rule 20: no leader heard."""
        solo = Solo("a", "b", nonvoters=["n"])
        solo.answered("b", heartbeat(1))
        assert not solo.answered("n", vote_request(6, (9, 5))).granted
        assert solo.term == 1


class TestRule21TimeoutNow:
    def test_the_leader_of_the_term_is_obeyed_at_once(self) -> None:
        """Rule 21: campaign skipping pre-vote, with the transfer flag."""
        solo = Solo("a", "b", "c")
        solo.answered("b", heartbeat(1))
        assert solo.answered("b", TimeoutNowRequest()) == TimeoutNowResponse()
        assert solo.take_calls(RequestPreVoteRequest) == []
        requests = [c.request for c in solo.take_calls(RequestVoteRequest)]
        assert len(requests) == 2
        assert all(isinstance(r, RequestVoteRequest) and r.leadership_transfer for r in requests)

    def test_it_is_remembered_after_a_timeout(self) -> None:
        """Rule 21: remembered after timeouts."""
        solo = Solo("a", "b", "c")
        solo.answered("b", heartbeat(1))
        solo.wait(2.5)
        assert solo.status.leader is None
        assert solo.answered("b", TimeoutNowRequest()) == TimeoutNowResponse()

    @pytest.mark.parametrize("peer", ["c", "d"])
    def test_anybody_else_gets_an_error(self, peer) -> None:
        """Rule 21: answered with an error string, so that Go unblocks at once (fault 37)."""
        solo = Solo("a", "b", "c")
        solo.answered("b", heartbeat(1))
        assert isinstance(solo.answered(peer, TimeoutNowRequest()), ErrorResponse)
        assert solo.status.role is Role.FOLLOWER
        assert solo.term == 1

    def test_the_leader_of_a_past_term_gets_an_error(self) -> None:
        solo = Solo("a", "b", "c")
        solo.answered("b", heartbeat(1))
        solo.answered("c", heartbeat(2, "c"))
        assert isinstance(solo.answered("b", TimeoutNowRequest()), ErrorResponse)

    def test_a_nonvoter_does_not_campaign(self) -> None:
        solo = Solo("b", "c", nonvoters=["a"])
        solo.answered("b", heartbeat(1))
        assert isinstance(solo.answered("b", TimeoutNowRequest()), ErrorResponse)

    def test_the_flag_lasts_one_round(self) -> None:
        """Rule 21: pre-vote is skipped for one round only (fault 71)."""
        solo = Solo("a", "b", "c")
        solo.answered("b", heartbeat(1))
        solo.answered("b", TimeoutNowRequest())
        solo.take_calls(RequestVoteRequest)
        solo.wait(2.1)
        assert solo.take_calls(RequestVoteRequest) == []
        assert solo.take_calls(RequestPreVoteRequest)

    def test_a_transferring_candidate_overrides_a_heard_leader(self) -> None:
        """Thesis 3.10; rule 21: the transfer flag, voters only."""
        solo = Solo("a", "b", "c", nonvoters=["n"])
        solo.answered("b", heartbeat(1))
        assert not solo.answered("n", vote_request(2, (1, 1), transfer=True)).granted
        assert solo.term == 1
        assert solo.answered("c", vote_request(2, (1, 1), transfer=True)).granted

    def test_a_repeated_request_is_granted_again(self) -> None:
        """Rule 21: a duplicate from the same candidate is granted again."""
        solo = Solo("a", "b", "c")
        assert solo.answered("c", vote_request(2, (1, 1), transfer=True)).granted
        assert solo.answered("c", vote_request(2, (1, 1), transfer=True)).granted

    def test_a_repeated_request_is_log_checked_again(self) -> None:
        """Rule 3, fault 65: Go grants duplicates before its log check."""
        solo = Solo("a", "b", "c", log=[entry(2, 1)], term=2, vote="c")
        assert not solo.answered("c", vote_request(2, (1, 1))).granted


class TestRule22Timing:
    def test_a_refused_pre_vote_round_is_repeated_soon(self) -> None:
        """Rule 22: after [E/4, E/2)."""
        solo = Solo("a", "b", "c")
        while not (calls := solo.take_calls(RequestPreVoteRequest)):
            solo.time_out()
        begun = solo.now
        for call in calls:
            solo.respond(call, RequestPreVoteResponse(term=Term(1), granted=False))
        while not solo.take_calls(RequestPreVoteRequest):
            solo.time_out()
        assert 0.25 <= solo.now - begun <= 0.5

    def test_a_late_loop_rearms_once(self) -> None:
        """Rule 22: a loop late by more than 100 ms re-arms once: what it missed may be queued."""
        solo = Solo("a", "b", "c")
        solo.now = solo.machine.next_timer() + 60
        solo.machine.handle_timer(solo.now)
        solo.turn()
        assert solo.status.role is Role.FOLLOWER
        assert solo.machine.next_timer() > solo.now
        solo.now = solo.machine.next_timer() + 60
        solo.machine.handle_timer(solo.now)
        assert solo.status.role is Role.CANDIDATE

    def test_a_leader_that_stood_still_asks_before_it_steps_down(self) -> None:
        """Rule 22."""
        solo = Solo("a", "b", "c")
        solo.lead()
        solo.calls.clear()
        solo.now += 5
        solo.machine.handle_timer(solo.now)
        solo.time_out()
        assert solo.status.role is Role.LEADER
        solo.respond(solo.heartbeats("b")[-1], solo.success())
        solo.wait(0.45)
        assert solo.status.role is Role.LEADER
        solo.wait(0.2)
        assert solo.status.role is Role.FOLLOWER

    def test_contact_is_the_send_time_of_the_answered_request(self) -> None:
        """Rule 22: a late answer does not prolong the lease from its arrival (fault 54)."""
        solo = Solo("a", "b", "c")
        solo.lead()
        (call, *_) = solo.heartbeats("b")
        sent_at = solo.now
        solo.wait(0.45)
        solo.respond(call, solo.success())
        while solo.status.role is Role.LEADER:
            solo.time_out()
        assert solo.now - sent_at <= 0.51


class TestRule23DiskStall:
    def test_a_leader_whose_own_write_stands_still_steps_down(self) -> None:
        """Rule 23: own write pending for more than an election timeout."""
        solo = Solo("a", "b", "c")
        solo.lead_with_commit("b")
        solo.propose(b"x")
        for _ in range(100):
            solo.time_out()
            for peer in "bc":
                for call in solo.heartbeats(peer):
                    solo.respond(call, solo.success())
            if solo.status.role is not Role.LEADER:
                break
        assert solo.status.role is Role.FOLLOWER
        assert solo.status.term == 2
        with pytest.raises(NotLeader):
            solo.propose(b"y")

    def test_there_is_no_campaign_while_a_write_is_overdue(self) -> None:
        """Rule 23: no campaign while a write is overdue."""
        solo = Solo("a", "b", "c")
        solo.ask("b", append(1, (1, 1), [entry(2, 1)]))
        solo.wait(20)
        assert solo.calls == []
        solo.persist()
        solo.wait(2.1)
        assert solo.take_calls(RequestPreVoteRequest)

    def test_a_higher_term_ends_leading_at_once_and_its_reply_waits(self) -> None:
        """Rule 23."""
        solo = Solo("a", "b", "c")
        solo.lead_with_commit("b")
        solo.propose(b"x")
        call = solo.ask("c", append(8, (2, 2), leader="c"))
        assert solo.status.role is Role.FOLLOWER
        assert call not in solo.replies
        solo.persist()
        assert call in solo.replies


class TestRule24SecondLeader:
    def test_a_second_leader_in_a_term_is_refused_with_one_alarm(self) -> None:
        """Rule 24: a Go fault; never InvariantViolation."""
        solo = Solo("a", "b", "c")
        solo.answered("b", heartbeat(1))
        for _ in range(3):
            assert not solo.answered("c", heartbeat(1, "c")).success
            assert not solo.answered("c", append(1, (1, 1), [entry(2, 1)], leader="c")).success
        assert solo.status.leader == "b"
        assert solo.status.last_index == 1
        assert len([o for o in solo.observations if isinstance(o, Alarm)]) == 1

    def test_a_leader_refuses_another_one_in_its_own_term(self) -> None:
        """Rule 24."""
        solo = Solo("a", "b", "c")
        solo.lead()
        response = solo.answered("b", append(2, (1, 1), [entry(2, 2)]))
        assert not response.success
        assert solo.status.role is Role.LEADER
        assert any(isinstance(o, Alarm) for o in solo.observations)

    def test_a_conflict_with_a_committed_entry_is_refused_with_an_alarm(self) -> None:
        solo = Solo("a", "b", "c", log=[entry(2, 1)])
        solo.answered("b", append(1, (2, 1), commit=2))
        assert isinstance(
            solo.answered("c", append(3, (1, 1), [entry(2, 3)], leader="c")), ErrorResponse
        )
        assert solo.log_terms == [1, 1]
        assert any(isinstance(o, Alarm) for o in solo.observations)
