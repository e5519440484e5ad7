"""Quorum, commitment, membership, holding, writes, reads and progress, each alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_over_libp2p import limits
from raft_over_libp2p.core.commitment import next_commit_index
from raft_over_libp2p.core.holding import Holding
from raft_over_libp2p.core.membership import Membership, PlacedConfiguration
from raft_over_libp2p.core.messages import AppendEntriesResponse, RequestVoteResponse
from raft_over_libp2p.core.progress import Progress
from raft_over_libp2p.core.quorum import majority, reached_by_majority
from raft_over_libp2p.core.reads import Reads
from raft_over_libp2p.core.ready import Reply
from raft_over_libp2p.core.status import ProgressMode
from raft_over_libp2p.errors import ProposalRefused
from raft_over_libp2p.types import BatchID, CallID, Configuration, Index, ServerID, Term
from tests.core.logs import ids


class TestQuorum:
    @pytest.mark.parametrize(
        ("voters", "needed"), [(0, 1), (1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4)]
    )
    def test_a_majority_is_more_than_half(self, voters, needed) -> None:
        assert majority(voters) == needed

    @given(st.lists(st.integers(0, 9), min_size=1, max_size=9))
    def test_the_value_is_the_largest_that_more_than_half_reached(self, values) -> None:
        naive = max(v for v in values if 2 * sum(w >= v for w in values) > len(values))
        assert reached_by_majority(values, 0) == naive

    def test_nobody_reaches_nothing(self) -> None:
        assert reached_by_majority([], -1) == -1


class TestCommitment:
    @pytest.mark.parametrize(
        ("matches", "expected"),
        [([3, 3, 1], None), ([4, 4, 1], 4), ([9, 5, 4], 5), ([9, 2, 2], None)],
    )
    def test_only_an_own_entry_on_a_majority_moves_it(self, matches, expected) -> None:
        found = next_commit_index(matches, term_start=Index(4), commit_index=Index(2))
        assert found == expected

    def test_it_never_falls(self) -> None:
        assert next_commit_index([Index(5)], term_start=Index(1), commit_index=Index(5)) is None


class TestMembership:
    def one(self, index: int, *voters: str) -> PlacedConfiguration:
        return PlacedConfiguration(Index(index), Configuration.of_voters(*ids(*voters)))

    def test_the_one_before_the_latest_is_committed(self) -> None:
        membership = Membership(self.one(0), [self.one(1, "a"), self.one(5, "a", "b")])
        assert membership.latest.index == 5
        assert membership.committed.index == 1
        assert not membership.is_latest_committed

    def test_a_commit_reaches_the_latest_once(self) -> None:
        membership = Membership(self.one(0), [self.one(1, "a"), self.one(5, "a", "b")])
        assert [membership.commit(Index(i)) for i in (4, 5, 6)] == [False, True, False]
        assert membership.committed.index == 5

    def test_a_truncation_falls_back(self) -> None:
        membership = Membership(self.one(0), [self.one(1, "a"), self.one(5, "b"), self.one(7, "c")])
        assert not membership.truncate(Index(8))
        assert membership.truncate(Index(5))
        assert membership.latest.index == 1

    def test_members_of_either_count(self) -> None:
        membership = Membership(self.one(1, "a"), [self.one(5, "b")])
        assert membership.is_voter(ServerID("a"))
        assert membership.is_voter(ServerID("b"))
        membership.commit(Index(5))
        assert not membership.has(ServerID("a"))

    def test_the_one_in_force_is_that_of_the_last_applied_entry(self) -> None:
        """Not of the last committed one, which may not be applied yet."""
        membership = Membership(self.one(0), [self.one(1, "a"), self.one(5, "b")])
        membership.commit(Index(5))
        membership.apply(Index(4))
        assert membership.applied == self.one(1, "a")
        membership.apply(Index(5))
        assert membership.applied == self.one(5, "b")


class TestHolding:
    success = AppendEntriesResponse(term=Term(1), last_log=Index(1), success=True)

    def test_a_reply_waits_for_its_batch_and_its_index(self) -> None:
        holding = Holding()
        holding.hold(CallID(1), self.success, BatchID(2), Index(5))
        assert holding.release(BatchID(2), Index(4)) == []
        assert holding.release(BatchID(1), Index(5)) == []
        assert holding.release(BatchID(2), Index(5)) == [Reply(CallID(1), self.success)]
        assert len(holding) == 0

    def test_a_truncation_turns_an_acknowledgement_into_a_refusal(self) -> None:
        holding = Holding()
        holding.hold(CallID(1), self.success, BatchID(1), Index(5))
        holding.hold(CallID(2), self.success, BatchID(1), Index(3))
        holding.hold(
            CallID(3), RequestVoteResponse(term=Term(1), granted=True), BatchID(1), Index(0)
        )
        holding.truncated(Index(4), Term(7), BatchID(3))
        released = holding.release(BatchID(2), Index(3))
        assert [r.call for r in released] == [2, 3]
        (refusal,) = holding.release(BatchID(3), Index(3))
        assert isinstance(refusal.response, AppendEntriesResponse)
        assert not refusal.response.success
        assert refusal.response.term == 7


class TestReads:
    def test_they_are_bounded(self) -> None:
        reads = Reads()
        for token in range(limits.MAX_PENDING_READS):
            reads.register(token, Index(1))
        with pytest.raises(ProposalRefused):
            reads.register(0, Index(1))

    def test_one_round_at_a_time(self) -> None:
        reads = Reads()
        assert not reads.is_round_owed
        reads.register(1, Index(1))
        assert reads.is_round_owed
        reads.round_began()
        reads.register(2, Index(1))
        assert not reads.is_round_owed
        assert reads.confirm(1) == [(1, Index(1))]
        assert reads.is_round_owed


class TestProgress:
    def progress(self) -> Progress:
        return Progress(ServerID("b"), Index(10), 0.0, 1.0)

    def test_match_only_grows(self) -> None:
        progress = self.progress()
        assert progress.succeed(Index(12), 0, 0)
        assert not progress.succeed(Index(11), 0, 0)
        assert (progress.match_index, progress.next_index) == (12, 13)

    def test_an_answer_of_an_earlier_epoch_does_not_open_the_window(self) -> None:
        progress = self.progress()
        progress.back_off(0.0, "x")
        progress.succeed(Index(12), 0, 0)
        assert progress.mode is ProgressMode.BACKING_OFF
        assert progress.inflight == 0

    def test_back_off_has_a_cap(self) -> None:
        progress = self.progress()
        for _ in range(100):
            progress.back_off(5.0, "x")
        assert progress.retry_at == 6.0
