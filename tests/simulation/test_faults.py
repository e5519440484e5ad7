from __future__ import annotations

import pytest

from tests.simulation.change_faults import CHANGE_FAULTS
from tests.simulation.faults import FAULTS, Fault
from tests.simulation.seeds import run_seed


@pytest.mark.slow
@pytest.mark.parametrize("fault", [*FAULTS, *CHANGE_FAULTS], ids=str)
def test_a_seeded_fault_is_caught_by_its_checker(fault: Fault) -> None:
    caught_by = ""
    with fault.seeded():
        for seed in range(fault.first_seed, fault.first_seed + fault.within_seeds):
            violation = run_seed(seed, is_judged=False).violation
            if violation is not None:
                caught_by = violation.checker
                break

    assert caught_by in fault.caught_by, f"{fault.name}: caught by {caught_by or 'nobody'}"


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
