"""Counter-examples that dice seldom find, step by step; and the faults that only they show."""

from __future__ import annotations

import pytest

from tests.simulation.faults import (
    EARLY_ANSWER_CONFIRMS_A_READ,
    FAULTS,
    NONVOTER_CONFIRMS_A_READ,
    TRUNCATED_IS_ACKNOWLEDGED,
)
from tests.simulation.figure_8 import figure_8_c
from tests.simulation.scenarios import (
    late_answer,
    nonvoter_with_an_old_leader,
    truncated_before_its_sync,
)
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


def test_a_read_is_not_confirmed_by_an_answer_sent_before_it() -> None:
    stage = late_answer()

    assert stage.world.marks["read refused"] == 1
    assert stage.world.marks["read"] == 0


def test_a_read_confirmed_by_an_earlier_answer_is_caught() -> None:
    with (
        EARLY_ANSWER_CONFIRMS_A_READ.seeded(),
        pytest.raises(Violation, match="linearisable reads"),
    ):
        late_answer()


def test_a_nonvoter_confirms_no_read() -> None:
    stage = nonvoter_with_an_old_leader()

    assert stage.world.marks["read refused"] == 1
    assert stage.world.marks["read"] == 0


def test_a_read_confirmed_by_a_nonvoter_is_caught() -> None:
    with NONVOTER_CONFIRMS_A_READ.seeded(), pytest.raises(Violation, match="linearisable reads"):
        nonvoter_with_an_old_leader()


def test_an_entry_truncated_before_its_sync_is_not_acknowledged() -> None:
    """Rule 8: what became durable is another leader's entry."""
    stage = truncated_before_its_sync()

    assert [] == list(stage.server(2).inbound)
    assert len(stage.world.commitment.entries) == stage.server(2).applied


def test_an_acknowledgement_of_a_truncated_entry_is_caught() -> None:
    with (
        TRUNCATED_IS_ACKNOWLEDGED.seeded(),
        pytest.raises(Violation, match="acknowledged is durable"),
    ):
        truncated_before_its_sync()
