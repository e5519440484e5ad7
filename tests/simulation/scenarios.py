"""Counter-examples of the papers and the rules, step by step, each a function that plays it.

``test_scenarios`` and ``test_change_scenarios`` say what must come of them; ``mutants`` plays
them with faults in the core.
"""

from __future__ import annotations

from raft_over_libp2p.core.membership_change import ChangeKind
from raft_over_libp2p.core.ready import Role
from tests.simulation.directed import Directed
from tests.simulation.server import Server

__all__ = [
    "crashes_with_its_own_removal",
    "four_servers",
    "late_answer",
    "nonvoter_with_an_old_leader",
    "snapshot_overtaken",
    "truncated_before_its_sync",
]


def _other_leader(stage: Directed, but: Server) -> Server:
    others = [s for s in stage.world.everyone if s is not but and s.machine is not None]
    stage.wait_for(lambda: any(s.role is Role.LEADER for s in others), "another leader")
    return next(server for server in others if server.role is Role.LEADER)


def late_answer() -> Directed:
    """A leader stands still; another is elected and commits; then an old answer comes, and a read."""
    stage = Directed(3)
    s1 = stage.elect(1)
    stage.run_for(0.5)
    stage.slow(2, 1, 3.0)
    stage.run_for(0.3)
    s1.pause()
    paused_at = stage.world.now
    stage.cut({1}, {3})
    stage.cut_one_way(1, 2)
    leader = _other_leader(stage, s1)
    stage.write(leader)
    stage.run_for(paused_at + 2.6 - stage.world.now)
    s1.resume()
    assert s1.role is Role.LEADER
    stage.world.workload.read(s1)
    stage.run_for(2.0)
    return stage


def nonvoter_with_an_old_leader() -> Directed:
    """A leader stands still, cut off with a nonvoter, while the voters elect another."""
    stage = Directed(3, nonvoters=1)
    s1 = stage.elect(1)
    stage.run_for(0.5)
    s1.pause()
    stage.cut({1, 4}, {2, 3})
    leader = _other_leader(stage, s1)
    stage.write(leader)
    stage.run_for(0.1)
    s1.resume()
    assert s1.role is Role.LEADER
    stage.world.workload.read(s1)
    stage.run_for(2.0)
    return stage


def truncated_before_its_sync() -> Directed:
    """A follower holds an entry back in its disk; a later leader overwrites it; then the disk goes on."""
    stage = Directed(5)
    s1, s2 = stage.elect(1), stage.server(2)
    stage.run_for(0.5)
    old_term = s1.hard_state.term
    stage.hold_disk(s2)
    stage.cut({1}, {3, 4, 5})
    stage.write(s1)
    index = len(s1.log)
    stage.wait_for(lambda: len(s2.log) == index, "s2 to take the entry in")
    _other_leader(stage, s1)
    stage.wait_for(lambda: s2.log[index - 1].term > old_term, "s2 to take in another entry there")
    stage.release_disk(s2)
    stage.run_for(0.1)
    return stage


def four_servers() -> Directed:
    """Ongaro 2015: an older leader's change is in the logs of two, a new leader begins another."""
    stage = Directed(4, spares=1)
    s1 = stage.elect(1)
    stage.run_for(0.5)
    # s1 adds s5; only the two of them get to know.
    stage.cut({1, 5}, {2, 3, 4})
    assert stage.change(s1, ChangeKind.ADD_VOTER, 5)
    added = len(s1.log)
    stage.wait_for(lambda: stage.server(5).log.holds(added, s1.log[-1].term), "s5 to be caught up")
    # s2 is elected by s3 and s4, and would remove s1 before anything of its term is committed.
    s2 = stage.elect_at_once(2)
    assert not stage.change(s2, ChangeKind.REMOVE_SERVER, 1)
    return stage


def crashes_with_its_own_removal() -> Directed:
    """Two servers; the leader appends its own removal and dies before the other one has it."""
    stage = Directed(2)
    s1 = stage.elect(1)
    stage.run_for(0.5)
    stage.cut({1}, {2})
    assert stage.change(s1, ChangeKind.REMOVE_SERVER, 1)
    stage.wait_for(lambda: len(s1.disk.image) == len(s1.log), "the removal to be durable")
    stage.kill(s1)
    stage.run_for(0.05)
    stage.heal()
    stage.restart(s1)
    s2 = stage.server(2)
    stage.wait_for(lambda: s2.role is Role.LEADER and s2.applied == len(s2.log), "s2 to lead alone")
    return stage


def snapshot_overtaken() -> Directed:
    """While a follower's disk writes a snapshot, entries arrive that were sent long before it."""
    stage = Directed(3, trailing_logs=0)
    s1, s2 = stage.elect(1), stage.server(2)
    stage.run_for(0.5)
    held = len(s2.log)
    stage.kill(s2)
    for _ in range(3):
        stage.write(s1)
    stage.run_for(0.2)
    stage.compact(s1)
    stage.restart(s2)
    stage.hold_disk(s2)
    stage.wait_for(lambda: stage.world.marks["snapshot sent"] > 0, "a snapshot to be sent")
    stage.run_for(0.05)
    stage.late_append(s1, s2, held)
    stage.run_for(0.05)
    assert s2.status().commit_index == len(s1.log)
    stage.release_disk(s2)
    stage.wait_for(lambda: s2.applied == len(s1.log), "s2 to apply what is agreed on")
    stage.run_for(0.1)
    return stage
