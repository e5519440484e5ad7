from __future__ import annotations

import random

import pytest

from raft_over_libp2p.core.ready import HardState, Write
from raft_over_libp2p.types import BatchID, Index, LogEntry, ServerID, Term
from tests.simulation.disk import Disk
from tests.simulation.faults import Fault
from tests.simulation.profile import Profile
from tests.simulation.real_disk_profile import RealDiskProfile
from tests.simulation.seeds import replay_command, run_seed
from tests.simulation.storage_faults import STORAGE_FAULTS
from tests.simulation.world import World

_SEEDS = [seed for seed in range(1500) if RealDiskProfile.draw(seed) is not None]
_VOTE = HardState(Term(2), ServerID("s1"))


def _disk(seed: int) -> Disk:
    """Return the disk of a server that runs, with one entry of term 1."""
    disk = World(seed, Profile(real_disk=RealDiskProfile())).everyone[0].disk
    disk.recover()
    return disk


def _write(disk: Disk) -> None:
    entries = (LogEntry(Index(2), Term(2)), LogEntry(Index(3), Term(2)))
    disk.submit(Write(batch=BatchID(1), hard_state=_VOTE, append=entries))
    disk.flushing = 1


def _terms(disk: Disk) -> tuple[int, ...]:
    return tuple(entry.term for entry in disk.entries(Index(1), disk.last_index(), 1000))


def test_what_was_synced_is_found_after_any_crash() -> None:
    found = set()
    for seed in range(30):
        disk = _disk(seed)
        _write(disk)
        disk.complete()
        disk.crash(random.Random(seed))
        disk.recover()
        found.add((disk.hard_state, _terms(disk)))

    assert {(_VOTE, (1, 2, 2))} == found


def test_a_crash_leaves_nothing_of_a_write_or_its_hard_state_or_all_of_it() -> None:
    found = set()
    for seed in range(100):
        disk = _disk(seed)
        _write(disk)
        disk.crash(random.Random(seed))
        disk.recover()
        found.add((disk.hard_state.vote, _terms(disk)))

    assert {(None, (1,)), ("s1", (1,)), ("s1", (1, 2, 2))} == found


def test_a_full_disk_leaves_nothing_of_a_write_or_its_hard_state() -> None:
    found = set()
    for seed in range(30):
        disk = _disk(seed)
        _write(disk)
        disk.fail_full(random.Random(seed))
        disk.recover()
        found.add((disk.hard_state.vote, _terms(disk)))

    assert {(None, (1,)), ("s1", (1,))} == found


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
        seeds = [seed for seed in _SEEDS if seed >= fault.first_seed]
        for seed in seeds[: fault.within_seeds]:
            violation = run_seed(seed, is_judged=False).violation
            if violation is not None:
                caught_by = violation.checker
                break

    assert caught_by in fault.caught_by, f"{fault.name}: caught by {caught_by or 'nobody'}"
