"""Counter-examples of changing clusters, step by step; and the faults that they show at once."""

from __future__ import annotations

import pytest

from raft_over_libp2p.core.membership_change import ChangeKind
from raft_over_libp2p.core.ready import Role
from tests.simulation.change_faults import (
    CHANGE_BEFORE_OWN_COMMIT,
    OUTSIDE_ITS_LATEST_IS_SILENT,
    STORED_SNAPSHOT_IS_NOT_REJUDGED,
)
from tests.simulation.directed import Directed
from tests.simulation.violation import Violation


def _four_servers() -> Directed:
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


def test_a_leader_changes_nothing_before_a_commit_of_its_own_term() -> None:
    stage = _four_servers()
    s2 = stage.server(2)
    stage.run_for(0.1)

    assert stage.change(s2, ChangeKind.REMOVE_SERVER, 1)

    stage.run_for(0.5)
    stage.heal()
    stage.run_for(10.0)
    agreed = stage.world.commitment.entries
    assert ("s2", "s3", "s4") == agreed.latest.configuration.voters
    assert [len(agreed)] * 3 == [stage.server(number).applied for number in (2, 3, 4)]


def test_the_scenario_of_four_servers_catches_a_change_before_that() -> None:
    with (
        CHANGE_BEFORE_OWN_COMMIT.seeded(),
        pytest.raises(Violation, match="a configuration after a commit of the own term"),
    ):
        _four_servers()


def _leader_that_crashes_with_its_own_removal() -> Directed:
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


def test_who_holds_its_own_removal_alone_campaigns_until_it_is_agreed_on() -> None:
    """Rule 10: nobody else can win, and it is no voter in its latest configuration."""
    stage = _leader_that_crashes_with_its_own_removal()

    assert ("s2",) == stage.world.commitment.entries.latest.configuration.voters


def test_a_server_that_is_silent_outside_its_latest_configuration_is_caught() -> None:
    with OUTSIDE_ITS_LATEST_IS_SILENT.seeded(), pytest.raises(Violation, match="in vain"):
        _leader_that_crashes_with_its_own_removal()


def _snapshot_overtaken_while_it_is_stored() -> Directed:
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


def test_a_snapshot_that_was_overtaken_while_it_was_stored_changes_nothing() -> None:
    """Rule 11: what is committed is looked at again when the snapshot is durable."""
    stage = _snapshot_overtaken_while_it_is_stored()

    assert 1 == stage.world.marks["snapshot stored"]
    assert 0 == stage.world.marks["log replaced by a snapshot"]


def test_an_overtaken_snapshot_that_is_adopted_is_caught() -> None:
    with (
        STORED_SNAPSHOT_IS_NOT_REJUDGED.seeded(),
        pytest.raises(Violation, match="applied never goes back"),
    ):
        _snapshot_overtaken_while_it_is_stored()
