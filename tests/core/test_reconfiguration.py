"""When a leader takes a change of members, and what it does for those who come and go."""

from __future__ import annotations

import re

import pytest

from raft_over_libp2p.core.leadership import TELL_REMOVED_S
from raft_over_libp2p.core.membership_change import ChangeKind
from raft_over_libp2p.core.messages import (
    AppendEntriesResponse,
    RequestPreVoteRequest,
    RequestPreVoteResponse,
    TimeoutNowRequest,
    TimeoutNowResponse,
)
from raft_over_libp2p.core.ready import ConfigurationChanged, Removed, Role
from raft_over_libp2p.errors import NotLeader, ProposalRefused
from raft_over_libp2p.types import Index, LogType, Term
from tests.core.logs import configuration_entry, entry
from tests.core.solo import Solo, append, heartbeat, prevote_request, vote_request

ADD, REMOVE = ChangeKind.ADD_VOTER, ChangeKind.REMOVE_SERVER


def leader() -> Solo:
    """Return the leader of a, b and c, its no-op (entry 2) committed."""
    solo = Solo("a", "b", "c")
    solo.lead_with_commit("b")
    return solo


def keep_b_in_touch(solo: Solo, seconds: float) -> None:
    """Let time pass while b answers heartbeats, so that this leader stays one."""
    end = solo.now + seconds
    while solo.now < end:
        solo.wait(0.2)
        for call in solo.heartbeats("b"):
            solo.respond(call, solo.success())


def test_only_a_leader_changes_members() -> None:
    solo = Solo("a", "b", "c")
    solo.answered("b", heartbeat(2))
    with pytest.raises(NotLeader, match="b is"):
        solo.change(ADD, "d")


def test_a_change_holds_as_soon_as_it_is_appended() -> None:
    """Thesis 4.1."""
    solo = leader()
    index = solo.change(ADD, "d")
    status = solo.status
    assert (status.configuration_index, status.configuration_committed) == (index, False)
    assert status.configuration.voters == ("a", "b", "c", "d")
    assert solo.observations[-1] == ConfigurationChanged(
        status.configuration, index, committed=False
    )
    (call,) = solo.appends("d")
    assert [e.type for e in call.request.entries] == [LogType.CONFIGURATION]


def test_a_change_comes_out_like_any_entry_when_it_is_agreed_on() -> None:
    solo = leader()
    index = solo.change(ADD, "d")
    solo.acknowledge_all("b")
    solo.persist()
    assert [e.index for e in solo.committed] == [1, 2], "two of four are no majority"
    solo.acknowledge_all("c")
    assert solo.committed[-1].index == index
    assert solo.status.configuration_committed


def test_a_second_change_waits_for_the_first() -> None:
    solo = leader()
    index = solo.change(ADD, "d")
    with pytest.raises(ProposalRefused, match=f"another membership change is open .entry {index}"):
        solo.change(ADD, "e")
    solo.persist()
    solo.acknowledge_all("b")
    solo.acknowledge_all("c")
    assert solo.change(ADD, "e") == index + 1


def test_a_change_waits_for_an_entry_of_the_leaders_own_term() -> None:
    """Ongaro 2015: the bug in the single-server algorithm, and its remedy."""
    solo = Solo("a", "b", "c")
    solo.lead()
    with pytest.raises(ProposalRefused, match="no entry of this term is committed yet"):
        solo.change(ADD, "d")
    assert solo.status.last_index == 2


def test_mixed_rule_13_a_change_of_what_has_changed_since_is_definitely_not_applied() -> None:
    """Rule 13: a late retry of add(X), with prev_index read before the first try, adds nothing."""
    solo = leader()
    with pytest.raises(
        ProposalRefused, match=re.escape("configuration changed since 7 (latest is 1)")
    ):
        solo.change(ADD, "d", prev=7)
    assert solo.status.last_index == 2
    assert solo.change(ADD, "d", prev=1) == 3


def test_a_change_that_is_refused_changes_nothing() -> None:
    solo = leader()
    with pytest.raises(ProposalRefused, match="found duplicate address"):
        solo.change(ADD, "d", address="b")
    assert (solo.status.last_index, solo.status.configuration_index) == (2, 1)
    assert solo.change(ADD, "d") == 3


def test_the_second_voter_of_a_cluster_of_one_must_hold_the_change() -> None:
    """The new configuration alone decides; hashicorp/raft lets the old one."""
    solo = Solo("a")
    solo.lead()
    index = solo.change(ADD, "b")
    solo.persist()
    assert solo.status.commit_index == index - 1
    solo.acknowledge_all("b")
    assert solo.status.commit_index == index


def test_the_first_voter_of_two_may_go_on_alone() -> None:
    solo = Solo("a", "b")
    solo.lead_with_commit("b")
    index = solo.change(REMOVE, "b")
    assert solo.status.commit_index == index - 1
    solo.persist()
    assert solo.status.commit_index == index


class TestWhoLeaves:
    def test_a_removed_server_is_sent_its_removal_and_that_it_is_agreed_on(self) -> None:
        solo = leader()
        solo.acknowledge_all("c")
        index = solo.change(REMOVE, "c")
        assert [p.peer for p in solo.status.peers] == ["b"]
        solo.persist()
        solo.acknowledge_all("b")
        (removal,) = solo.appends("c")
        assert removal.request.entries[-1].index == index
        solo.respond(removal, solo.success())
        solo.wait(0.11)
        (told,) = solo.appends("c")
        assert told.request.leader_commit_index == index
        solo.respond(told, solo.success())
        keep_b_in_touch(solo, 0.4)
        solo.heartbeats("c")
        keep_b_in_touch(solo, 1.0)
        assert solo.heartbeats("c") == []
        solo.propose(b"more")
        assert solo.appends("c") == []

    def test_a_removed_server_that_does_not_answer_is_given_up_after_a_while(self) -> None:
        solo = leader()
        solo.change(REMOVE, "c")
        solo.persist()
        solo.acknowledge_all("b")
        heard_at = []
        for _ in range(60):
            keep_b_in_touch(solo, 0.2)
            for call in solo.heartbeats("c"):
                heard_at.append(solo.now)
                solo.fail(call)
        assert TELL_REMOVED_S - 1 < heard_at[-1] - heard_at[0] < TELL_REMOVED_S + 0.5

    def test_a_removed_server_is_told_for_as_long_as_its_removal_is_not_agreed_on(self) -> None:
        solo = leader()
        solo.change(REMOVE, "c")
        keep_b_in_touch(solo, 0.1)
        solo.persist()
        keep_b_in_touch(solo, TELL_REMOVED_S + 1)
        assert solo.heartbeats("c")

    def test_a_removed_server_moves_no_term(self) -> None:
        """Rule 18: a higher term counts if a member says so."""
        solo = leader()
        solo.acknowledge_all("c")
        solo.change(REMOVE, "c")
        (call,) = solo.appends("c")
        answer = AppendEntriesResponse(term=Term(9), last_log=Index(2), success=False)
        solo.respond(call, answer)
        assert (solo.status.role, solo.term) == (Role.LEADER, 2)

    def test_a_server_that_comes_back_is_a_new_one(self) -> None:
        """Rule 18: a call records the incarnation of the peer; late answers to the other count not."""
        solo = leader()
        solo.acknowledge_all("c")
        removal = solo.change(REMOVE, "c")
        (late,) = solo.appends("c")
        solo.persist()
        solo.acknowledge_all("b")
        solo.change(ADD, "c")
        solo.respond(late, solo.success())
        assert solo.progress("c").match_index == 0
        (fresh,) = solo.appends("c")
        assert fresh.request.prev_log_index == removal


class TestTheRemovedServerItself:
    def removed(self) -> Solo:
        """Return a follower whose removal is agreed on, as it knows."""
        solo = Solo("a", "b", "c")
        solo.answered("b", append(2, (1, 1), [configuration_entry(2, 2, "b", "c")], commit=2))
        return solo

    def test_it_campaigns_no_more_and_says_so_once(self) -> None:
        solo = self.removed()
        assert Removed(Index(2)) not in solo.observations
        solo.wait(10)
        assert (solo.status.role, solo.calls) == (Role.FOLLOWER, [])
        assert [o for o in solo.observations if isinstance(o, Removed)] == [Removed(Index(2))]

    def test_it_says_nothing_while_a_leader_is_heard(self) -> None:
        """It was added again, and passes its own removal while it catches up."""
        solo = self.removed()
        for _ in range(20):
            solo.wait(0.5)
            solo.answered("b", heartbeat(2))
        solo.answered("b", append(2, (2, 2), [configuration_entry(3, 2, "a", "b", "c")], commit=3))
        assert not [o for o in solo.observations if isinstance(o, Removed)]

    def test_it_still_campaigns_while_its_removal_is_not_agreed_on(self) -> None:
        """Rule 10."""
        solo = Solo("a", "b", "c")
        solo.answered("b", append(2, (1, 1), [configuration_entry(2, 2, "b", "c")], commit=1))
        solo.wait(3)
        assert solo.status.role is Role.CANDIDATE

    def refuse(self, solo: Solo, rounds: int) -> None:
        """Let b and c refuse the next rounds of pre-votes."""
        for _ in range(rounds):
            while not (calls := solo.take_calls(RequestPreVoteRequest)):
                solo.time_out()
            for call in calls:
                answer = RequestPreVoteResponse(term=solo.term, granted=False)
                solo.respond(call, answer)

    def test_it_gives_up_when_the_others_refuse_again_and_again(self) -> None:
        """A Go leader sends the removal, and not that it is agreed on."""
        solo = Solo("a", "b", "c")
        solo.answered("b", append(2, (1, 1), [configuration_entry(2, 2, "b", "c")], commit=1))
        self.refuse(solo, 3)
        solo.wait(20)
        assert (solo.status.role, solo.take_calls(RequestPreVoteRequest)) == (Role.FOLLOWER, [])
        assert [o for o in solo.observations if isinstance(o, Removed)] == [Removed(Index(2))]

    def test_it_campaigns_again_when_a_vote_is_asked_for(self) -> None:
        """Then the others have no leader, and its log may be the one that can win."""
        solo = Solo("a", "b", "c")
        solo.answered("b", append(2, (1, 1), [configuration_entry(2, 2, "b", "c")], commit=1))
        self.refuse(solo, 3)
        solo.wait(10)
        solo.answered("c", prevote_request(3, (1, 1)))
        solo.wait(3)
        assert solo.status.role is Role.CANDIDATE

    def test_no_answers_are_no_refusals(self) -> None:
        solo = Solo("a", "b", "c")
        solo.answered("b", append(2, (1, 1), [configuration_entry(2, 2, "b", "c")], commit=1))
        for _ in range(5):
            solo.wait(2)
            for call in solo.take_calls(RequestPreVoteRequest):
                solo.fail(call)
        assert solo.status.role is Role.CANDIDATE

    def test_a_member_never_gives_up(self) -> None:
        solo = Solo("a", "b", "c")
        self.refuse(solo, 5)
        solo.wait(3)
        assert solo.status.role is Role.CANDIDATE

    def test_a_server_that_waits_to_be_added_was_not_removed(self) -> None:
        solo = Solo(blank=True)
        solo.answered("b", append(2, (0, 0), [configuration_entry(1, 1, "b", "c")], commit=1))
        solo.wait(10)
        assert not [o for o in solo.observations if isinstance(o, Removed)]

    def test_a_nonvoter_that_is_removed_says_so_too(self) -> None:
        solo = Solo("b", "c", nonvoters=["a"])
        solo.answered("b", append(2, (1, 1), [configuration_entry(2, 2, "b", "c")], commit=2))
        solo.wait(10)
        assert [o for o in solo.observations if isinstance(o, Removed)] == [Removed(Index(2))]


class TestAFounderThatIsAddedAgain:
    """Its own first configuration, with itself as the only voter, is a thing of the past."""

    def test_it_does_not_elect_itself_while_it_catches_up(self) -> None:
        solo = Solo(blank=True)
        solo.answered("b", append(5, (0, 0), [configuration_entry(1, 1, "a")], commit=1))
        solo.wait(20)
        assert (solo.status.role, solo.term) == (Role.FOLLOWER, 5)

    def test_neither_when_it_voted_for_its_leader_while_it_was_blank(self) -> None:
        solo = Solo(blank=True)
        assert solo.answered("b", vote_request(5, (9, 4))).granted
        solo.answered("b", append(5, (0, 0), [configuration_entry(1, 1, "a")], commit=1))
        solo.wait(20)
        assert solo.status.role is Role.FOLLOWER
        assert solo.term == 5

    def test_who_founds_a_cluster_elects_itself(self) -> None:
        solo = Solo("a")
        solo.lead()
        solo.crash_and_restart()
        solo.lead()

    def test_who_is_left_alone_by_its_leader_elects_itself(self) -> None:
        """The other of two voters removed itself."""
        solo = Solo("a", "b")
        solo.answered("b", append(2, (1, 1), [configuration_entry(2, 2, "a")], commit=2))
        solo.campaign()
        assert solo.status.role is Role.LEADER

    def test_who_is_left_alone_by_one_that_led_twice_elects_itself(self) -> None:
        """Its leader removed itself, and led once more before that was agreed on."""
        solo = Solo("a", "b")
        solo.answered("b", append(2, (1, 1), [configuration_entry(2, 2, "a")], commit=1))
        solo.answered("b", append(3, (2, 2), [entry(3, 3)], commit=3))
        solo.campaign()
        assert solo.status.role is Role.LEADER

    def test_who_is_asked_to_campaign_does(self) -> None:
        """Its leader hands over, so it is no thing of the past."""
        solo = Solo(blank=True)
        solo.answered("b", append(2, (0, 0), [configuration_entry(1, 1, "a", "b")], commit=1))
        solo.answered("b", append(2, (1, 1), [configuration_entry(2, 2, "a")], commit=1))
        solo.answered("b", append(3, (2, 2), [entry(3, 3)], commit=3))
        assert solo.answered("b", TimeoutNowRequest()) == TimeoutNowResponse()
        solo.persist()
        assert solo.status.role is Role.LEADER
