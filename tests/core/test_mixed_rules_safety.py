"""The safety half of the rules for clusters of Python and Go peers, one or more tests a rule."""

from __future__ import annotations

import pytest

from raft_over_libp2p.core.events import Persisted
from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    RequestPreVoteRequest,
    RequestVoteRequest,
    RequestVoteResponse,
    TimeoutNowRequest,
)
from raft_over_libp2p.core.ready import HardState, ReadRefused, ReadState, Role
from raft_over_libp2p.errors import LocalProtocolError, NotLeader
from raft_over_libp2p.types import BatchID, Index, ServerID, Term
from tests.core.logs import configuration_entry, entry
from tests.core.solo import Solo, append, heartbeat, prevote_request, vote_request


def sent(call) -> AppendEntriesRequest:
    assert isinstance(call.request, AppendEntriesRequest)
    return call.request


def acknowledged(response) -> bool:
    assert isinstance(response, AppendEntriesResponse)
    return response.success


class TestRule1WhatALeaderMaySend:
    def test_the_commit_index_sent_never_passes_the_entries_sent(self) -> None:
        """Rule 1: LeaderCommitIndex = min(commit_index, prev + len(entries))."""
        solo = Solo("a", "b", "c", log=[entry(i, 1) for i in range(2, 11)])
        solo.lead_with_commit("b")
        assert solo.status.commit_index == 11

        solo.respond(solo.appends("c")[0], solo.reject(5))
        probe = sent(solo.appends("c")[0])

        assert probe.prev_log_index == 5
        assert probe.leader_commit_index == min(11, 5 + len(probe.entries or ()))

    def test_every_append_of_a_whole_run_is_capped(self) -> None:
        """Rule 1, for many batches to a follower that is far behind."""
        solo = Solo("a", "b", "c", log=[entry(i, 1) for i in range(2, 500)])
        solo.lead_with_commit("b")
        solo.respond(solo.appends("c")[0], solo.reject(1))
        seen = 0
        while calls := solo.appends("c"):
            for call in calls:
                request = sent(call)
                assert request.leader_commit_index <= request.prev_log_index + len(
                    request.entries or ()
                )
                seen += 1
                solo.respond(call, solo.success())
        assert seen > 7

    def test_a_receiver_commits_only_what_the_request_covers(self) -> None:
        """Rule 1: not min(leaderCommit, own last index), as hashicorp's follower does."""
        solo = Solo(
            "a",
            "b",
            "c",
            log=[*(entry(i, 1) for i in range(2, 11)), *(entry(i, 2) for i in range(11, 21))],
        )

        solo.answered("b", append(3, (5, 1), [entry(i, 1) for i in (6, 7, 8)], commit=15))

        assert solo.status.commit_index == 8

    def test_entries_already_present_count_as_covered(self) -> None:
        """Rule 1: len counts entries that were already there."""
        solo = Solo("a", "b", "c", log=[entry(i, 1) for i in range(2, 6)])

        solo.answered("b", append(1, (1, 1), [entry(i, 1) for i in (2, 3, 4)], commit=9))

        assert solo.status.commit_index == 4

    def test_an_empty_probe_commits_up_to_its_previous_entry(self) -> None:
        """Rule 1, second interleaving: prev 10, no entries, commit 15."""
        solo = Solo("a", "b", "c", log=[*(entry(i, 1) for i in range(2, 11)), entry(11, 2)])

        solo.answered("b", append(3, (10, 1), commit=15))

        assert solo.status.commit_index == 10


class TestRule5ConfirmingARead:
    def leader(self, *nonvoters: str) -> Solo:
        solo = Solo("a", "b", "c", nonvoters=nonvoters)
        solo.lead_with_commit("b")
        solo.heartbeats("b"), solo.heartbeats("c")
        return solo

    def test_a_majority_confirms_a_read_at_the_commit_index(self) -> None:
        """Rule 5: confirmed by voters' answers to calls issued after the read was registered."""
        solo = self.leader()
        solo.machine.read_index(7, solo.now)
        solo.turn()

        solo.respond(solo.heartbeats("b")[0], solo.success())

        assert solo.reads == [ReadState(7, Index(2))]

    def test_an_answer_to_an_earlier_call_confirms_nothing(self) -> None:
        """Rule 5: hashicorp counts answers to requests sent before the verify."""
        solo = self.leader()
        solo.wait(0.25)
        earlier = solo.heartbeats("b")[-1]
        solo.machine.read_index(7, solo.now)
        solo.turn()

        solo.respond(earlier, solo.success())

        assert solo.reads == []

    def test_a_nonvoter_confirms_nothing(self) -> None:
        """Rule 5: with both voters cut off nonvoters' answers must not count."""
        solo = self.leader("n", "o", "p")
        for peer in "nop":
            solo.heartbeats(peer)
        solo.machine.read_index(7, solo.now)
        solo.turn()

        for peer in "nop":
            solo.respond(solo.heartbeats(peer)[0], solo.success())

        assert solo.reads == []

    def test_a_read_waits_for_a_commit_in_this_term(self) -> None:
        """Rule 5: index is the commit index after an entry of this term is committed."""
        solo = Solo("a", "b", "c")
        solo.lead()
        solo.heartbeats("b")
        solo.machine.read_index(7, solo.now)
        solo.turn()
        solo.respond(solo.heartbeats("b")[0], solo.success())
        assert solo.reads == []

        solo.acknowledge_all("b")

        assert solo.reads == [ReadState(7, Index(2))]

    def test_a_log_mismatch_confirms_but_a_storage_failure_does_not(self) -> None:
        """Rule 5: Success, or log mismatch."""
        solo = self.leader()
        solo.machine.read_index(7, solo.now)
        solo.propose(b"x")

        solo.respond(solo.appends("b")[-1], solo.reject(2, storage=True))
        assert solo.reads == []
        solo.respond(solo.appends("c")[0], solo.reject(1))

        # c's first append was sent before the read: only what is sent from now on counts.
        assert solo.reads == []
        solo.respond(solo.appends("c")[0], solo.reject(0))
        assert solo.reads == [ReadState(7, Index(2))]

    def test_one_round_confirms_all_reads_before_it(self) -> None:
        """Rule 5, batched: reads registered while a round is under way wait for the next."""
        solo = self.leader()
        solo.machine.read_index(1, solo.now)
        solo.machine.read_index(2, solo.now)
        solo.turn()
        solo.machine.read_index(3, solo.now)
        solo.turn()
        (first,) = solo.heartbeats("b")

        solo.respond(first, solo.success())
        assert [ReadState(1, Index(2)), ReadState(2, Index(2))] == solo.reads

        (second,) = solo.heartbeats("b")
        solo.respond(second, solo.success())
        assert solo.reads[-1] == ReadState(3, Index(2))

    def test_a_deposed_leader_refuses_its_reads(self) -> None:
        solo = self.leader()
        solo.machine.read_index(7, solo.now)
        solo.turn()

        solo.answered("b", append(9, (2, 2), leader="b"))

        assert solo.reads == [ReadRefused(7, ServerID("b"))]

    def test_a_follower_takes_no_read(self) -> None:
        solo = Solo("a", "b", "c")
        with pytest.raises(NotLeader):
            solo.machine.read_index(7, solo.now)

    def test_a_single_voter_confirms_at_once(self) -> None:
        solo = Solo("a")
        solo.lead()
        solo.machine.read_index(7, solo.now)
        solo.turn()
        assert solo.reads == [ReadState(7, Index(2))]


class TestRule8WhatAnAnswerWaitsFor:
    def test_an_append_is_acknowledged_when_it_is_durable(self) -> None:
        """Rule 8: Append success waits until durable_index >= prev + len."""
        solo = Solo("a", "b", "c")
        call = solo.ask("b", append(1, (1, 1), [entry(2, 1)]))
        assert call not in solo.replies

        solo.persist()

        assert acknowledged(solo.replies[call])

    def test_a_duplicate_waits_for_the_write_of_the_first(self) -> None:
        """Rule 8: a duplicate in memory whose batch is in fdatasync is not acknowledged."""
        solo = Solo("a", "b", "c")
        solo.ask("b", append(1, (1, 1), [entry(2, 1)]))
        duplicate = solo.ask("b", append(1, (1, 1), [entry(2, 1)]))
        assert duplicate not in solo.replies

        solo.persist()

        assert acknowledged(solo.replies[duplicate])

    def test_an_empty_append_behind_unwritten_entries_waits_too(self) -> None:
        """Rule 8: it acknowledges prev, which may not be durable."""
        solo = Solo("a", "b", "c")
        solo.ask("b", append(1, (1, 1), [entry(2, 1)]))
        empty = solo.ask("b", append(1, (2, 1)))
        assert empty not in solo.replies

    def test_half_of_the_writes_acknowledge_half_of_the_entries(self) -> None:
        """Rule 8: Persisted(b) covers only what b wrote."""
        solo = Solo("a", "b", "c")
        first = solo.ask("b", append(1, (1, 1), [entry(2, 1)]))
        second = solo.ask("b", append(1, (2, 1), [entry(3, 1)]))

        solo.persist(1)

        assert first in solo.replies
        assert second not in solo.replies
        assert solo.status.durable_index == 2

    def test_persisted_of_a_truncated_batch_covers_what_is_left(self) -> None:
        """Rule 8's twin: entries b wrote that are no longer there are not durable."""
        solo = Solo("a", "b", "c")
        old = solo.ask("b", append(1, (1, 1), [entry(i, 1) for i in range(2, 7)]))
        new = solo.ask("c", append(2, (3, 1), [entry(i, 2) for i in range(4, 9)]))

        solo.persist(1)
        assert solo.status.durable_index == 3
        assert new not in solo.replies

        solo.persist()
        assert solo.status.durable_index == 8
        assert acknowledged(solo.replies[new])
        assert not acknowledged(solo.replies[old])

    def test_an_old_leader_never_learns_success_for_entries_that_were_replaced(self) -> None:
        """Rule 8: as now in the log; the held acknowledgement becomes a refusal in the new term."""
        solo = Solo("a", "b", "c")
        old = solo.ask("b", append(1, (1, 1), [entry(2, 1), entry(3, 1)]))
        solo.ask("c", append(2, (1, 1), [entry(2, 2), entry(3, 2)]))
        solo.persist()
        assert solo.replies[old] == AppendEntriesResponse(
            term=Term(2), last_log=Index(1), success=False, no_retry_backoff=True
        )

    def test_a_vote_leaves_when_it_is_durable(self) -> None:
        """Rule 8: votes wait for (t, vote)."""
        solo = Solo("a", "b", "c")
        call = solo.ask("b", vote_request(2, (1, 1)))
        assert call not in solo.replies
        solo.persist()
        assert solo.hard_state == HardState(Term(2), ServerID("b"))
        assert solo.replies[call] == RequestVoteResponse(term=Term(2), granted=True)

    def test_a_vote_in_a_term_that_is_durable_already_waits_too(self) -> None:
        """Rule 8, fault 1: the vote alone is written too."""
        solo = Solo("a", "b", "c", term=2)
        call = solo.ask("b", vote_request(2, (1, 1)))
        assert call not in solo.replies
        solo.persist()
        assert solo.replies[call].granted
        assert solo.hard_state == HardState(Term(2), ServerID("b"))

    def test_an_earlier_write_does_not_release_request_votes(self) -> None:
        """Rule 8: each output names the batch it waits for."""
        solo = Solo("a", "b", "c")
        solo.answered("b", heartbeat(1))
        solo.ask("b", append(1, (1, 1), [entry(2, 1)]))
        solo.ask("b", TimeoutNowRequest())
        assert len(solo.waiting) == 2
        solo.persist(1)
        assert solo.take_calls(RequestVoteRequest) == []
        solo.persist()
        assert len(solo.take_calls(RequestVoteRequest)) == 2

    def test_a_refusal_that_states_a_new_term_waits_for_it(self) -> None:
        """Rule 8: any reply stating term t waits for it."""
        solo = Solo("a", "b", "c", log=[entry(2, 1)])
        call = solo.ask("b", vote_request(5, (1, 1)))
        assert call not in solo.replies
        solo.persist()
        assert solo.replies[call] == RequestVoteResponse(term=Term(5), granted=False)

    def test_a_mismatch_in_a_new_term_waits_for_the_term(self) -> None:
        solo = Solo("a", "b", "c")
        call = solo.ask("b", append(5, (9, 4)))
        assert call not in solo.replies
        solo.persist()
        assert solo.replies[call].term == 5

    def test_request_votes_leave_when_the_own_vote_is_durable(self) -> None:
        """Rule 8: RequestVote waits for (t, vote)."""
        solo = Solo("a", "b", "c", config=None)
        while solo.status.role is not Role.CANDIDATE:
            solo.time_out()
        from raft_over_libp2p.core.messages import RequestPreVoteResponse

        solo.respond(
            solo.take_calls(RequestPreVoteRequest)[0],
            RequestPreVoteResponse(term=Term(2), granted=True),
        )
        assert solo.take_calls(RequestVoteRequest) == []
        solo.persist()
        assert solo.hard_state == HardState(Term(2), ServerID("a"))
        assert len(solo.take_calls(RequestVoteRequest)) == 2

    def test_a_single_voter_leads_only_when_its_vote_is_durable(self) -> None:
        """Rule 8: leading waits for (t, vote)."""
        solo = Solo("a")
        while not solo.waiting:
            solo.time_out()
        assert solo.status.role is Role.CANDIDATE
        solo.persist()
        assert solo.status.role is Role.LEADER

    def test_a_heartbeat_in_a_durable_term_waits_for_nothing(self) -> None:
        """Rule 8: also while a write runs."""
        solo = Solo("a", "b", "c")
        solo.ask("b", append(1, (1, 1), [entry(2, 1)]))
        call = solo.ask("b", heartbeat(1))
        assert acknowledged(solo.replies[call])

    def test_a_heartbeat_in_a_new_term_waits_for_the_term(self) -> None:
        """Rule 8; hashicorp's fast path is an open safety bug (its issue 695)."""
        solo = Solo("a", "b", "c")
        call = solo.ask("b", heartbeat(4))
        assert call not in solo.replies
        solo.persist()
        assert solo.hard_state.term == 4
        assert acknowledged(solo.replies[call])

    def test_a_pre_vote_waits_for_nothing(self) -> None:
        """Rule 8: also while a write runs."""
        solo = Solo("a", "b", "c")
        solo.ask("b", append(1, (1, 1), [entry(2, 1)]))
        solo.wait(5)
        call = solo.ask("c", prevote_request(2, (2, 1)))
        assert solo.replies[call].granted

    def test_a_leaders_appends_leave_with_its_own_write(self) -> None:
        """Rule 8: appends we send may precede our append's fsync (thesis 10.2.1)."""
        solo = Solo("a", "b", "c")
        solo.lead_with_commit("b", "c")
        solo.propose(b"x")
        assert len(solo.waiting) == 1
        assert sent(solo.appends("b")[-1]).entries

    def test_a_persisted_batch_that_was_never_handed_out_is_the_callers_error(self) -> None:
        solo = Solo("a", "b", "c")
        with pytest.raises(LocalProtocolError):
            solo.machine.handle(Persisted(BatchID(9)), solo.now)


class TestRule9DiskFull:
    def test_nothing_is_applied_before_it_is_durable_here(self) -> None:
        """Rule 9: commit may pass our own durable index, applied may not."""
        solo = Solo("a", "b", "c")
        solo.lead_with_commit("b", "c")
        solo.committed.clear()
        solo.propose(b"x")
        for peer in "bc":
            solo.acknowledge_all(peer)
        assert solo.status.commit_index == 3
        assert solo.committed == []

        solo.persist()

        assert [e.data for e in solo.committed] == [b"x"]

    def test_a_follower_applies_only_what_is_durable(self) -> None:
        """Rule 9."""
        solo = Solo("a", "b", "c")
        solo.ask("b", append(1, (1, 1), [entry(2, 1)], commit=2))
        assert [e.index for e in solo.committed] == [1]
        solo.persist()
        assert [e.index for e in solo.committed] == [1, 2]

    def test_a_server_held_back_does_not_campaign_until_a_write_succeeded(self) -> None:
        """Rule 9: do not campaign until a write succeeds."""
        solo = Solo("a", "b", "c", held_back=True)
        solo.wait(10)
        assert solo.calls == []
        assert solo.status.role is Role.FOLLOWER

        solo.persist()
        solo.wait(2)

        assert solo.status.role is Role.CANDIDATE

    def test_a_new_machine_continues_the_numbering(self) -> None:
        """Rule 9: a late answer never matches a call of the machine after it."""
        solo = Solo("a", "b", "c")
        solo.lead()
        old = solo.appends("b")
        next_call, next_batch = solo.machine.next_call, solo.machine.next_batch
        solo.crash_and_restart(held_back=True, first_call=next_call, first_batch=next_batch)
        solo.machine.handle(Persisted(BatchID(next_batch - 1)), solo.now)
        for call in old:
            solo.respond(call, solo.success())
        solo.wait(10)
        assert solo.status.role is Role.FOLLOWER
        assert {w.batch >= next_batch for w in solo.waiting} == {True}
        solo.persist()
        solo.wait(2)
        assert {c.call >= next_call for c in solo.calls} == {True}


class TestRule10Campaigning:
    def test_a_voter_of_only_the_committed_configuration_campaigns(self) -> None:
        """Rule 10: a leader that crashed after appending its own removal has the longest log."""
        solo = Solo("a", "b", log=[configuration_entry(2, 1, "b")])
        solo.wait(3)
        calls = solo.take_calls(RequestPreVoteRequest)
        assert {c.peer for c in calls} == {"b"}

    def test_its_own_vote_does_not_count_there(self) -> None:
        """Rule 10: its own vote counts only if it is a voter in the latest configuration."""
        solo = Solo("a", "b", "c", log=[configuration_entry(2, 1, "b", "c")])
        solo.campaign()
        calls = solo.take_calls(RequestVoteRequest)
        granted = RequestVoteResponse(term=solo.term, granted=True)
        solo.respond(calls[0], granted)
        assert solo.status.role is Role.CANDIDATE
        solo.respond(calls[1], granted)
        assert solo.status.role is Role.LEADER

    def test_its_own_match_does_not_count_there(self) -> None:
        """Rule 10: of {b, c} both must hold an entry, whatever a holds."""
        solo = Solo("a", "b", "c", log=[configuration_entry(2, 1, "b", "c")])
        solo.lead()
        solo.acknowledge_all("b")
        assert solo.status.commit_index == 0
        solo.acknowledge_all("c")
        assert solo.status.commit_index == 3

    def test_it_stops_leading_when_its_removal_is_committed(self) -> None:
        """Thesis 4.2.2."""
        solo = Solo("a", "b", "c", log=[configuration_entry(2, 1, "b", "c")])
        solo.lead()
        solo.acknowledge_all("b")
        solo.acknowledge_all("c")
        assert solo.status.role is Role.FOLLOWER

    def test_a_server_removed_for_good_never_campaigns(self) -> None:
        solo = Solo("a", "b", "c")
        solo.answered("b", append(1, (1, 1), [configuration_entry(2, 1, "b", "c")], commit=2))
        solo.calls.clear()
        solo.wait(20)
        assert solo.calls == []

    def test_only_voters_of_the_latest_configuration_are_asked_and_counted(self) -> None:
        """Rule 10: fault 55 counts votes in the committed one."""
        solo = Solo("a", "b", "c", log=[configuration_entry(2, 1, "a", "b", "c", "d", "e")])
        solo.campaign()
        calls = solo.take_calls(RequestVoteRequest)
        assert {c.peer for c in calls} == {"b", "c", "d", "e"}
        granted = RequestVoteResponse(term=solo.term, granted=True)
        solo.respond(calls[0], granted)
        assert solo.status.role is Role.CANDIDATE
        solo.respond(calls[1], granted)
        assert solo.status.role is Role.LEADER

    def test_a_nonvoter_never_campaigns(self) -> None:
        solo = Solo("b", "c", nonvoters=["a"])
        solo.wait(20)
        assert solo.calls == []

    def test_a_fresh_joiner_never_campaigns(self) -> None:
        solo = Solo(blank=True)
        solo.wait(20)
        assert solo.calls == []
