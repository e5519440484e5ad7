from __future__ import annotations

import pytest

from tests.simulation.faults import Fault
from tests.simulation.real_disk_profile import RealDiskProfile
from tests.simulation.seeds import replay_command, run_seed
from tests.simulation.storage_faults import STORAGE_FAULTS

_SEEDS = [seed for seed in range(1000) if RealDiskProfile.draw(seed) is not None]


@pytest.mark.slow
@pytest.mark.parametrize("seed", _SEEDS[:30])
def test_no_seed_on_real_storage_code_breaks_a_rule(seed: int) -> None:
    violation = run_seed(seed, is_judged=False).violation

    assert violation is None, f"{violation}\n  {replay_command(seed)}"


@pytest.mark.slow
@pytest.mark.parametrize("fault", STORAGE_FAULTS, ids=str)
def test_a_fault_in_the_storage_code_is_caught(fault: Fault) -> None:
    caught_by = ""
    with fault.seeded():
        for seed in _SEEDS[: fault.within_seeds]:
            violation = run_seed(seed, is_judged=False).violation
            if violation is not None:
                caught_by = violation.checker
                break

    assert caught_by in fault.caught_by, f"{fault.name}: caught by {caught_by or 'nobody'}"
