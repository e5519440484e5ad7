"""Counter-examples of changing clusters, step by step; and the faults that they show at once."""

from __future__ import annotations

import pytest

from raft_over_libp2p.core.membership_change import ChangeKind
from tests.simulation.change_faults import (
    CHANGE_BEFORE_OWN_COMMIT,
    OUTSIDE_ITS_LATEST_IS_SILENT,
    STORED_SNAPSHOT_IS_NOT_REJUDGED,
)
from tests.simulation.scenarios import (
    crashes_with_its_own_removal,
    four_servers,
    snapshot_overtaken,
)
from tests.simulation.violation import Violation


def test_a_leader_changes_nothing_before_a_commit_of_its_own_term() -> None:
    stage = four_servers()
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
        four_servers()


def test_who_holds_its_own_removal_alone_campaigns_until_it_is_agreed_on() -> None:
    """Rule 10: nobody else can win, and it is no voter in its latest configuration."""
    stage = crashes_with_its_own_removal()

    assert ("s2",) == stage.world.commitment.entries.latest.configuration.voters


def test_a_server_that_is_silent_outside_its_latest_configuration_is_caught() -> None:
    with OUTSIDE_ITS_LATEST_IS_SILENT.seeded(), pytest.raises(Violation, match="in vain"):
        crashes_with_its_own_removal()


def test_a_snapshot_that_was_overtaken_while_it_was_stored_changes_nothing() -> None:
    """Rule 11: what is committed is looked at again when the snapshot is durable."""
    stage = snapshot_overtaken()

    assert 1 == stage.world.marks["snapshot stored"]
    assert 0 == stage.world.marks["log replaced by a snapshot"]


def test_an_overtaken_snapshot_that_is_adopted_is_caught() -> None:
    with (
        STORED_SNAPSHOT_IS_NOT_REJUDGED.seeded(),
        pytest.raises(Violation, match="applied never goes back"),
    ):
        snapshot_overtaken()
