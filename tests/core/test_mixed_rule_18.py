"""Rule 18 for clusters of Python and Go peers: how next and match move, on both sides."""

from __future__ import annotations

import pytest

from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    ErrorResponse,
)
from raft_over_libp2p.core.ready import Alarm, Role
from raft_over_libp2p.core.status import ProgressMode
from raft_over_libp2p.types import Index, Term
from tests.core.cluster import Cluster
from tests.core.logs import entry
from tests.core.solo import Solo, append


def request_of(call) -> AppendEntriesRequest:
    assert isinstance(call.request, AppendEntriesRequest)
    return call.request


def indexes(call) -> list[int]:
    return [e.index for e in request_of(call).entries or ()]


class TestRule18NextAndMatch:
    def leader(self, count: int = 20, peers: str = "bc") -> Solo:
        solo = Solo("a", *peers, log=[entry(i, 1) for i in range(2, count + 1)])
        solo.lead()
        return solo

    def test_success_moves_match_to_what_was_sent(self) -> None:
        """Rule 18: match = prev + len; LastLog is only a hint (faults 21 and 63)."""
        solo = self.leader()
        (call,) = solo.appends("b")
        solo.respond(call, solo.success(last_log=999))
        assert solo.progress("b").match_index == 21
        assert solo.progress("b").next_index == 22

    def test_a_mismatch_probes_at_the_end_of_the_peers_log(self) -> None:
        """Rule 18: first at min(LastLog, our last), one in flight."""
        solo = self.leader()
        solo.respond(solo.appends("b")[0], solo.reject(7))
        (probe,) = solo.appends("b")
        assert request_of(probe).prev_log_index == 7
        assert solo.progress("b").mode is ProgressMode.PROBE

    def test_a_peer_with_a_longer_log_is_probed_before_the_rejected_entry(self) -> None:
        solo = self.leader()
        solo.respond(solo.appends("b")[0], solo.reject(500))
        assert request_of(solo.appends("b")[0]).prev_log_index == 19

    def test_further_mismatches_go_back_by_doubling(self) -> None:
        """Rule 18: a Go peer's LastLog does not move."""
        solo = self.leader(100)
        prevs = []
        for _ in range(6):
            (call,) = solo.appends("b")
            prevs.append(request_of(call).prev_log_index)
            solo.respond(call, solo.reject(500))
        assert prevs == [100, 99, 97, 93, 85, 69]

    def test_probing_never_goes_below_match(self) -> None:
        solo = self.leader()
        solo.acknowledge_all("b")
        solo.propose(b"x")
        solo.propose(b"y")
        first, second = solo.appends("b")
        solo.respond(first, solo.success())
        solo.respond(second, solo.reject(30))
        assert solo.progress("b").match_index == 22
        # It holds more than it acknowledged: whether that is ours, an empty append asks.
        assert solo.progress("b").next_index == 24

    def test_a_storage_failure_keeps_next_and_backs_off(self) -> None:
        """Rule 18: reject without NoRetryBackoff."""
        solo = self.leader()
        (call,) = solo.appends("b")
        solo.respond(call, solo.reject(20, storage=True))
        assert solo.progress("b").mode is ProgressMode.BACKING_OFF
        assert solo.progress("b").next_index == 21
        assert solo.appends("b") == []
        solo.wait(0.011)
        assert request_of(solo.appends("b")[0]).prev_log_index == 20

    def test_a_failed_call_probes_from_match(self) -> None:
        """Rule 18: failed or expired: unknown, probe from match + 1."""
        solo = self.leader()
        solo.acknowledge_all("b")
        solo.propose(b"x")
        solo.propose(b"y")
        first, _second = solo.appends("b")
        solo.fail(first)
        solo.wait(0.011)
        assert indexes(solo.appends("b")[0]) == [22, 23]

    def test_a_failed_probe_stays_where_it_was(self) -> None:
        """A peer that was away at our election is not sent the whole log."""
        solo = self.leader()
        for _ in range(5):
            solo.fail(solo.appends("b")[0])
            solo.wait(0.2)
            for call in solo.heartbeats("c"):
                solo.respond(call, solo.success())
        assert indexes(solo.appends("b")[0]) == [21]

    def test_back_off_doubles_and_a_connection_ends_it(self) -> None:
        """hashicorp: 10 ms * 2^(failures - 2); performance: reset as soon as the peer connects."""
        solo = self.leader()
        waits = []
        for _ in range(6):
            (call,) = solo.appends("b")
            solo.fail(call)
            begun = solo.now
            while not (found := solo.appends("b")):
                solo.time_out()
                for heart in solo.heartbeats("c"):
                    solo.respond(heart, solo.success())
            waits.append(round((solo.now - begun) * 1000))
            solo.calls.extend(found)
        assert waits == [10, 10, 20, 40, 80, 160]
        solo.fail(solo.appends("b")[0])
        assert solo.appends("b") == []
        solo.connect("b")
        assert len(solo.appends("b")) == 1

    def test_an_answered_heartbeat_ends_the_back_off_of_a_failed_call(self) -> None:
        solo = self.leader()
        solo.fail(solo.appends("b")[0])
        solo.respond(solo.heartbeats("b")[0], solo.success())
        assert len(solo.appends("b")) == 1

    def test_it_does_not_end_the_back_off_of_a_storage_failure(self) -> None:
        solo = self.leader()
        solo.respond(solo.appends("b")[0], solo.reject(20, storage=True))
        solo.respond(solo.heartbeats("b")[0], solo.success())
        assert solo.appends("b") == []

    def test_late_successes_still_raise_match(self) -> None:
        """Rule 18: successes of other calls in flight, after the mode changed."""
        solo = self.leader()
        solo.acknowledge_all("b")
        solo.propose(b"x")
        solo.propose(b"y")
        first, second = solo.appends("b")
        solo.fail(first)
        solo.respond(second, solo.success())
        assert solo.progress("b").match_index == 23
        assert solo.progress("b").next_index == 24
        assert solo.progress("b").mode is ProgressMode.BACKING_OFF

    def test_late_rejects_change_nothing(self) -> None:
        solo = self.leader()
        solo.acknowledge_all("b")
        solo.propose(b"x")
        solo.propose(b"y")
        first, second = solo.appends("b")
        solo.fail(first)
        before = solo.progress("b")
        solo.respond(second, solo.reject(3))
        assert solo.progress("b").next_index == before.next_index
        assert solo.progress("b").mode is before.mode

    def test_a_peer_that_lost_its_log_is_started_over_with_an_alarm(self) -> None:
        """Rule 18: a reject at prev = match with LastLog < match."""
        solo = self.leader()
        solo.acknowledge_all("b")
        solo.propose(b"x")
        (call,) = solo.appends("b")
        solo.respond(call, solo.reject(0))
        assert solo.progress("b").match_index == 0
        assert request_of(solo.appends("b")[0]).prev_log_index == 0
        assert any(isinstance(o, Alarm) and o.peer == "b" for o in solo.observations)

    def test_answers_from_before_the_loss_count_no_more(self) -> None:
        """Rule 18: a call records the peer's incarnation."""
        solo = self.leader()
        solo.acknowledge_all("b")
        solo.propose(b"x")
        solo.propose(b"y")
        first, second = solo.appends("b")
        solo.respond(first, solo.reject(0))
        solo.respond(second, solo.success())
        assert solo.progress("b").match_index == 0

    def test_a_higher_term_ends_leading_from_a_heartbeat_too(self) -> None:
        """Rule 18: hashicorp's heartbeats ignore the answer's term."""
        solo = self.leader()
        response = AppendEntriesResponse(term=Term(9), last_log=Index(0), success=False)
        solo.respond(solo.heartbeats("b")[0], response)
        assert solo.status.role is Role.FOLLOWER
        assert solo.term == 9

    def test_a_higher_term_of_a_nonvoter_ends_leading_too(self) -> None:
        """Rule 18: from any configured member, voter or not."""
        solo = Solo("a", "b", "c", nonvoters=["n"])
        solo.lead()
        response = AppendEntriesResponse(term=Term(9), last_log=Index(0), success=False)
        solo.respond(solo.appends("n")[0], response)
        assert solo.term == 9

    def test_an_answer_of_an_earlier_reign_counts_nothing(self) -> None:
        """Rule 18: an answer counts iff we lead in call.term (fault 27)."""
        solo = self.leader()
        (old,) = solo.appends("b")
        solo.answered("c", append(5, (1, 1), [entry(2, 5)], leader="c"))
        solo.calls.clear()
        solo.lead()
        solo.respond(old, solo.success())
        assert solo.progress("b").match_index == 0

    def test_an_advanced_commit_is_told_by_an_empty_append_until_answered(self) -> None:
        """Rule 18: an empty append at prev = match, repeated until answered."""
        solo = self.leader()
        solo.acknowledge_all("b")
        solo.acknowledge_all("c")
        solo.wait(0.11)
        told = solo.appends("b")
        assert told
        assert [request_of(c).entries for c in told] == [()] * len(told)
        assert request_of(told[0]).prev_log_index == 21
        assert request_of(told[0]).leader_commit_index == 21

        solo.respond(told[0], solo.success())
        for call in solo.heartbeats("b"):
            solo.respond(call, solo.success())
        solo.wait(0.3)

        assert solo.appends("b") == []

    def test_no_idle_append_is_sent_for_ever(self) -> None:
        cluster = Cluster(["a", "b", "c"])
        cluster.commit(b"x")
        cluster.run(1)
        before = len(cluster.sent)
        cluster.run(10)
        idle = [
            o
            for _, _, o in cluster.sent[before:]
            if isinstance(getattr(o, "request", None), AppendEntriesRequest)
            and not o.request.is_heartbeat
        ]
        assert idle == []

    def test_a_mismatch_names_the_last_entry_that_could_be_the_leaders(self) -> None:
        """Rule 18, as follower: LastLog = the last index < prev whose term <= PrevLogTerm."""
        terms = [1, 1, 1, 3, 3, 5, 5]
        solo = Solo("a", "b", "c", log=[entry(i, t) for i, t in enumerate(terms, 2)])
        assert solo.answered("b", append(6, (8, 4))).last_log == 6
        assert solo.answered("b", append(6, (7, 2))).last_log == 4
        assert solo.answered("b", append(6, (30, 5))).last_log == 8
        assert solo.answered("b", append(6, (2, 2))).last_log == 1

    def test_contiguity_is_checked(self) -> None:
        """Rule 18; hashicorp's follower takes a gap after prev = 0."""
        solo = Solo("a", "b", "c")
        before = solo.status
        response = solo.answered("b", append(9, (0, 0), [entry(5, 1)]))
        assert isinstance(response, ErrorResponse)
        assert solo.status == before

    @pytest.mark.parametrize(
        "entries",
        [
            [entry(2, 1), entry(4, 1)],
            [entry(0, 1)],
            [entry(3, 1), entry(2, 1)],
            [entry(2, 2), entry(3, 1)],
            [entry(2, 9)],
        ],
    )
    def test_entries_no_leader_sends_are_an_error_and_change_nothing(self, entries) -> None:
        solo = Solo("a", "b", "c")
        before = solo.status
        response = solo.answered("b", append(8, (1, 1), entries))
        assert isinstance(response, ErrorResponse)
        assert solo.status == before

    def test_a_window_bounds_what_is_in_flight(self) -> None:
        solo = self.leader()
        solo.acknowledge_all("b")
        for number in range(20):
            solo.propose(b"%d" % number)
        assert len(solo.appends("b")) == solo.config.max_inflight_appends
        assert solo.progress("b").inflight == 4

    def test_a_batch_holds_at_most_max_append_entries(self) -> None:
        solo = self.leader(300)
        solo.respond(solo.appends("b")[0], solo.reject(1))
        (call,) = solo.appends("b")
        assert indexes(call) == list(range(2, 66))

    def test_a_batch_holds_at_most_a_frame(self) -> None:
        solo = self.leader()
        solo.acknowledge_all("b")
        solo.propose(*[bytes(900_000)] * 8)
        sizes = [sum(e.size for e in request_of(c).entries or ()) for c in solo.appends("b")]
        assert sizes
        assert max(sizes) <= 4 * 2**20
