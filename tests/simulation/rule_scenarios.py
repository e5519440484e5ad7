"""Interleavings that dice seldom or never reach, one for each fault that only they show.

Each is a function that plays it and raises ``Violation`` if a checker, or the end of the story,
finds something wrong; with the core as it is none does.
"""

from __future__ import annotations

from raft_over_libp2p.core.membership_change import ChangeKind
from raft_over_libp2p.core.messages import AppendEntriesRequest, RequestVoteRequest
from raft_over_libp2p.core.ready import Role
from raft_over_libp2p.types import Index, Term
from tests.simulation.directed import Directed
from tests.simulation.network import HEARTBEAT
from tests.simulation.server import Server

__all__ = [
    "RULE_SCENARIOS",
    "acknowledged_in_an_earlier_reign",
    "added_again_with_an_empty_disk",
    "disk_full_after_sending",
    "far_term_of_a_nonvoter",
    "go_leader_names_its_commit_index",
    "heartbeat_beside_the_loop",
    "late_vote_of_an_older_term",
    "promoted_behind_our_back",
    "snapshot_below_what_was_acknowledged",
    "stale_tail_of_a_follower",
    "voted_and_stood_still",
]


def _stale_tail(stage: Directed, count: int) -> tuple[Server, int]:
    """Let ``s2`` lead alone and write what nobody else gets; return it and the last common index."""
    s2 = stage.elect(2)
    for _ in range(3):
        stage.write(s2)
    stage.run_for(0.5)
    common = len(s2.log)
    stage.cut({2}, {1, 3})
    for _ in range(count):
        stage.write(s2)
    stage.wait_for(lambda: len(s2.disk.image) == common + count, "s2 to store its own entries")
    return s2, common


def go_leader_names_its_commit_index() -> Directed:
    """Rule 1: a Go leader's probe names all that it committed; our log ends in a stale tail."""
    stage = Directed(3)
    s2, common = _stale_tail(stage, 3)
    s1 = stage.elect(1)
    for _ in range(3):
        stage.write(s1)
    stage.wait_for(lambda: s1.applied == common + 4, "s1 to commit its own")
    stage.heal()
    request = AppendEntriesRequest(
        term=s1.hard_state.term,
        leader=s1.id,
        prev_log_index=Index(common),
        prev_log_term=s1.log[common - 1].term,
        entries=(),
        leader_commit_index=Index(common + 4),
    )
    stage.world.network.send_unasked(s1, s2, request)
    stage.wait_for(lambda: s2.applied == common + 4, "s2 to apply what is agreed on")
    return stage


def stale_tail_of_a_follower() -> Directed:
    """A leader probes below what both have; the follower's log goes on with a stale tail."""
    stage = Directed(3)
    s2, common = _stale_tail(stage, 10)
    s1 = stage.elect(1)
    stage.write(s1)
    stage.wait_for(lambda: len(s1.disk.image) == common + 2, "s1 to store two of its own")
    stage.run_for(0.05)
    stage.restart(s1)
    stage.elect_at_once(1)
    stage.cut({1}, {3})
    stage.kill(stage.server(3))
    stage.world.network.blocked -= {(s1.id, s2.id), (s2.id, s1.id)}
    stage.world.network.connect(s1, s2)
    stage.wait_for(lambda: s2.applied == len(s1.log), "s2 to apply what is agreed on")
    return stage


def voted_and_stood_still() -> Directed:
    """A candidate whose disk stands still gives up its campaign, but not the vote it has cast."""
    stage = Directed(3)
    stage.elect(2)
    s1, s3 = stage.server(1), stage.server(3)
    stage.run_for(0.5)
    stage.hold_disk(s1)
    stage.cut({1}, {2, 3})
    stage.wait_for(lambda: s1.hard_state.vote == s1.id, "s1 to vote for itself")
    stage.wait_for(lambda: s1.role is Role.CANDIDATE, "s1 to campaign")
    stage.wait_for(lambda: s1.role is Role.FOLLOWER, "s1 to give up")
    stage.heal()
    request = RequestVoteRequest(
        term=s1.hard_state.term,
        candidate=s3.id,
        last_log_index=Index(len(s3.log)),
        last_log_term=s3.log[-1].term,
        leadership_transfer=False,
    )
    stage.world.network.send_unasked(s3, s1, request)
    stage.run_for(0.01)
    stage.release_disk(s1)
    stage.run_for(0.05)
    return stage


def late_vote_of_an_older_term() -> Directed:
    """A vote arrives when its candidate campaigns in the next term already, unheard."""
    stage = Directed(3)
    s3 = stage.elect(3)
    stage.run_for(0.5)
    s1, s2 = stage.server(1), stage.server(2)
    stage.kill(s3)
    stage.slow(2, 1, 3.0)
    stage.wait_for(lambda: s2.disk.hard_state.vote == s1.id, "s2 to vote for s1")
    stage.run_for(0.01)
    s2.pause()
    term = s1.hard_state.term
    stage.wait_for(lambda: s1.hard_state.term > term, "s1 to campaign again")
    stage.run_for(3.0)
    s2.resume()
    stage.run_for(0.05)
    return stage


def acknowledged_in_an_earlier_reign() -> Directed:
    """An answer to a leader's append arrives when it lost those entries and leads once more."""
    stage = Directed(5, max_append_entries=64, call_timeout_s=60.0)
    s1, s2 = stage.elect(1), stage.server(2)
    stage.run_for(0.5)
    common = len(s1.log)
    # s1 writes entries that reach s2 alone, whose answer takes long.
    stage.cut({1}, {3, 4, 5})
    stage.slow(2, 1, 30.0)
    stage.world.workload.write(s1, 20)
    stage.wait_for(lambda: len(s2.disk.image) > common, "s2 to store the entries")
    answered_at = stage.world.now + 30.0
    stage.cut({2}, {1, 3, 4, 5})
    # The others elect one that puts its own entry in the place of those, at s1, too.
    others = [stage.server(number) for number in (3, 4, 5)]
    stage.wait_for(lambda: any(s.role is Role.LEADER for s in others), "another leader")
    stage.heal()
    stage.cut({2}, {1, 3, 4, 5})
    stage.reset({1}, {3, 4, 5})

    def follows() -> bool:
        leads = [s for s in others if s.role is Role.LEADER]
        return s1.role is Role.FOLLOWER and any(s.log[-1] == s1.log[-1] for s in leads)

    stage.wait_for(follows, "s1 to follow")
    other = next(server for server in others if server.role is Role.LEADER)
    stage.kill(other)
    others.remove(other)
    # s1 leads again; its new entries are on the disk of one other alone.
    stage.elect_at_once(1)
    stage.hold_disk(others[1])
    stage.write(s1)
    stage.world.network.blocked.discard((s2.id, s1.id))
    image = others[0].disk.image
    stage.wait_for(lambda: len(image) == len(s1.log), "the new entries to be stored once")
    stage.run_for(answered_at - stage.world.now + 0.5)
    return stage


def added_again_with_an_empty_disk() -> Directed:
    """A server is removed while it is down, comes back with an empty folder, and is added again."""
    stage = Directed(3, spares=1)
    s1, s4 = stage.elect(1), stage.server(4)
    stage.run_for(0.5)
    assert stage.change(s1, ChangeKind.ADD_VOTER, 4)
    stage.wait_for(lambda: s4.applied == len(s1.log), "s4 to have all")
    stage.kill(s4)
    assert stage.change(s1, ChangeKind.REMOVE_SERVER, 4)
    stage.wait_for(lambda: s1.applied == len(s1.log), "the removal to be agreed on")
    s4.wipe()
    s4.start()
    assert stage.change(s1, ChangeKind.ADD_VOTER, 4)
    stage.write(s1)
    stage.wait_for(lambda: s4.applied == len(s1.log), "s4 to have all again", 60.0)
    return stage


def disk_full_after_sending() -> Directed:
    """A leader's own write finds no space when a follower holds what it should have written."""
    stage = Directed(3)
    s1, s2 = stage.elect(1), stage.server(2)
    stage.run_for(0.5)
    stage.cut({1}, {3})
    stage.hold_disk(s1)
    stage.write(s1)
    stage.wait_for(lambda: len(s2.disk.image) == len(s1.log), "s2 to store the entry")
    s1.run_out_of_space()
    stage.release_disk(s1)
    stage.heal()
    everyone = stage.world.everyone
    stage.wait_for(lambda: len({s.applied for s in everyone}) == 1 < s1.applied, "equal states")
    return stage


def promoted_behind_our_back() -> Directed:
    """Rule 14: two of three live, and one of them never heard that the other is a voter."""
    stage = Directed(2, spares=1)
    s1, s3 = stage.elect(1), stage.server(3)
    stage.run_for(0.5)
    stage.cut({2}, {1, 3})
    assert stage.change(s1, ChangeKind.ADD_VOTER, 3)
    stage.wait_for(lambda: s3.applied == len(s1.log), "s3 to know that it is a voter")
    stage.kill(s1)
    stage.heal()
    stage.wait_for(lambda: s3.role is Role.LEADER, "s3 to be elected")
    return stage


def far_term_of_a_nonvoter() -> Directed:
    """A nonvoter is far ahead in terms: the leader has to follow it there at once."""
    stage = Directed(3, nonvoters=1)
    s1, s3, s4 = stage.elect(1), stage.server(3), stage.server(4)
    stage.run_for(0.5)
    stage.cut({1}, {4})
    stage.run_for(2.5)
    request = RequestVoteRequest(
        term=Term(s1.hard_state.term + 40),
        candidate=s3.id,
        last_log_index=Index(len(s3.log)),
        last_log_term=s3.log[-1].term,
        leadership_transfer=False,
    )
    stage.world.network.send_unasked(s3, s4, request)
    stage.wait_for(lambda: s4.hard_state.term == request.term, "s4 to be far ahead")
    stage.heal()
    everyone = stage.world.everyone

    def is_led() -> bool:
        return any(
            leader.role is Role.LEADER and all(leader.applied == s.applied for s in everyone)
            for leader in everyone
            if leader.hard_state.term >= request.term
        )

    stage.wait_for(is_led, "a leader that s4 follows, too", 12.0)
    return stage


def snapshot_below_what_was_acknowledged() -> Directed:
    """While a follower stores a snapshot, entries behind it are acknowledged, not committed yet."""
    stage = Directed(3, trailing_logs=0)
    s1, s2 = stage.elect(1), stage.server(2)
    stage.run_for(0.5)
    held = len(s2.log)
    stage.kill(s2)
    for _ in range(3):
        stage.write(s1)
    stage.run_for(0.2)
    stage.compact(s1)
    stage.write(s1)
    stage.write(s1)
    stage.run_for(0.2)
    stage.restart(s2)
    stage.slow_snapshots()
    stage.wait_for(lambda: s2.keeping.is_busy, "s2 to store the snapshot")
    stage.late_append(s1, s2, held, commit_index=held)
    stage.wait_for(lambda: s2.acknowledged[0] == len(s1.log), "s2 to acknowledge what follows")
    assert s2.keeping.is_busy
    stage.wait_for(lambda: s2.applied == len(s1.log), "s2 to apply what is agreed on")
    return stage


def heartbeat_beside_the_loop() -> Directed:
    """A leader that stood still hears the heartbeat of a later one, and is asked to write."""
    stage = Directed(3)
    s1 = stage.elect(1)
    stage.run_for(0.5)
    s1.pause()
    stage.cut({1}, {2, 3})
    others = [stage.server(2), stage.server(3)]
    stage.wait_for(lambda: any(s.role is Role.LEADER for s in others), "another leader")
    leader = next(server for server in others if server.role is Role.LEADER)
    stage.run_for(0.5)
    stage.heal()
    # It hears and is not heard; heartbeats come through before entries do, on another stream.
    stage.cut_one_way(1, 2)
    stage.cut_one_way(1, 3)
    stage.world.network.reset_streams(leader, s1, HEARTBEAT)
    s1.resume()
    stage.wait_for(lambda: s1.hard_state.term == leader.hard_state.term, "s1 to hear of it")
    if s1.role is Role.LEADER:
        stage.write(s1)
    stage.heal()
    stage.wait_for(lambda: s1.applied == len(leader.log), "s1 to have all")
    return stage


RULE_SCENARIOS = (
    heartbeat_beside_the_loop,
    go_leader_names_its_commit_index,
    stale_tail_of_a_follower,
    voted_and_stood_still,
    late_vote_of_an_older_term,
    acknowledged_in_an_earlier_reign,
    added_again_with_an_empty_disk,
    disk_full_after_sending,
    promoted_behind_our_back,
    far_term_of_a_nonvoter,
    snapshot_below_what_was_acknowledged,
)
