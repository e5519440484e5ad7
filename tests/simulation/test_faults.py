"""Each seeded fault is caught, by a checker that it names, in a bounded number of seeds."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.simulation.directed import Directed
from tests.simulation.faults import Fault
from tests.simulation.mutants import MUTANTS, OTHERS, Mutant, caught_by_dice
from tests.simulation.outside_faults import (
    address_of_a_stranger_in_the_log,
    given_back_to_go,
    taken_over_from_go,
)
from tests.simulation.rule_scenarios import RULE_SCENARIOS


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_a_fault_of_the_list_is_caught_by_a_checker_it_names(mutant: Mutant) -> None:
    caught = mutant.run()

    assert caught.checker in mutant.caught_by, f"{caught.checker or 'nobody'}: {caught.after}"


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", OTHERS, ids=str)
def test_any_other_seeded_fault_is_caught_by_a_checker_it_names(fault: Fault) -> None:
    caught = caught_by_dice(fault, fault.first_seed, fault.within_seeds)

    assert caught.checker in fault.caught_by, f"{caught.checker or 'nobody'}: {caught.after}"


def test_the_list_has_every_number_once_or_more() -> None:
    assert list(range(1, 73)) == sorted({mutant.number for mutant in MUTANTS})


@pytest.mark.parametrize("play", RULE_SCENARIOS, ids=lambda play: play.__name__)
def test_without_a_fault_a_scenario_ends_well(play: Callable[[], Directed]) -> None:
    """Whatever a checker finds is raised."""
    assert play().world.steps > 0


@pytest.mark.parametrize(
    "play",
    [taken_over_from_go, given_back_to_go, address_of_a_stranger_in_the_log],
    ids=lambda play: play.__name__,
)
def test_without_a_fault_a_world_outside_the_simulator_ends_well(
    play: Callable[[], None],
) -> None:
    play()


def test_a_fault_that_no_longer_fits_the_core_is_refused() -> None:
    fault = Fault(
        name="stale",
        where="quorum:majority",
        old="voters // 3",
        new="1",
        caught_by=frozenset(),
    )

    with pytest.raises(LookupError, match="write the fault anew"), fault.seeded():
        pass
