"""Counter-examples that dice seldom find, step by step; and the faults that only they show."""

from __future__ import annotations

import pytest

from raft_over_libp2p.core.ready import Role
from tests.simulation.directed import Directed
from tests.simulation.faults import (
    EARLY_ANSWER_CONFIRMS_A_READ,
    FAULTS,
    NONVOTER_CONFIRMS_A_READ,
    TRUNCATED_IS_ACKNOWLEDGED,
)
from tests.simulation.figure_8 import figure_8_c
from tests.simulation.server import Server
from tests.simulation.violation import Violation

_COMMIT_BY_COUNTING = next(fault for fault in FAULTS if "counting" in fault.name)


def test_an_older_term_is_not_committed_by_counting() -> None:
    """Raft Figure 8: what three of five hold in (c) is overwritten in (d)."""
    stage, index = figure_8_c()
    s1, s5 = stage.server(1), stage.server(5)

    assert s1.status().commit_index < index

    # (d) s1 dies; s5, whose entry is of a later term, is elected by the others and overwrites.
    stage.kill(s1)
    stage.heal()
    stage.restart(s5)
    stage.elect(5)
    stage.restart(s1)
    everyone = stage.world.everyone
    stage.wait_for(lambda: all(s.applied == len(s5.log) for s in everyone), "equal state")
    assert [s5.log[index - 1].term] * 5 == [server.log[index - 1].term for server in everyone]


def test_figure_8_catches_a_commit_by_counting() -> None:
    with (
        _COMMIT_BY_COUNTING.seeded(),
        pytest.raises(Violation, match="commitment of own term only"),
    ):
        figure_8_c()


def _other_leader(stage: Directed, but: Server) -> Server:
    others = [s for s in stage.world.everyone if s is not but and s.machine is not None]
    stage.wait_for(lambda: any(s.role is Role.LEADER for s in others), "another leader")
    return next(server for server in others if server.role is Role.LEADER)


def _late_answer() -> Directed:
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


def test_a_read_is_not_confirmed_by_an_answer_sent_before_it() -> None:
    stage = _late_answer()

    assert stage.world.marks["read refused"] == 1
    assert stage.world.marks["read"] == 0


def test_a_read_confirmed_by_an_earlier_answer_is_caught() -> None:
    with (
        EARLY_ANSWER_CONFIRMS_A_READ.seeded(),
        pytest.raises(Violation, match="linearisable reads"),
    ):
        _late_answer()


def _nonvoter_with_an_old_leader() -> Directed:
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


def test_a_nonvoter_confirms_no_read() -> None:
    stage = _nonvoter_with_an_old_leader()

    assert stage.world.marks["read refused"] == 1
    assert stage.world.marks["read"] == 0


def test_a_read_confirmed_by_a_nonvoter_is_caught() -> None:
    with NONVOTER_CONFIRMS_A_READ.seeded(), pytest.raises(Violation, match="linearisable reads"):
        _nonvoter_with_an_old_leader()


def _truncated_before_its_sync() -> Directed:
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


def test_an_entry_truncated_before_its_sync_is_not_acknowledged() -> None:
    """Rule 8: what became durable is another leader's entry."""
    stage = _truncated_before_its_sync()

    assert [] == list(stage.server(2).inbound)
    assert len(stage.world.commitment.entries) == stage.server(2).applied


def test_an_acknowledgement_of_a_truncated_entry_is_caught() -> None:
    with (
        TRUNCATED_IS_ACKNOWLEDGED.seeded(),
        pytest.raises(Violation, match="acknowledged is durable"),
    ):
        _truncated_before_its_sync()
