"""Runs whose traces are judged: simulated worlds without folders that are emptied."""

from __future__ import annotations

from itertools import cycle
from typing import Final

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core.membership_change import ChangeKind
from raft_over_libp2p.core.ready import Role
from raft_over_libp2p.core.trace import TraceRecord
from tests.simulation.administrator import Administrator
from tests.simulation.faults import Fault
from tests.simulation.nemesis import Nemesis
from tests.simulation.profile import Profile
from tests.simulation.violation import Violation
from tests.simulation.world import World

__all__ = ["STATIC", "WITH_CHANGES", "WITH_SNAPSHOTS", "simulate", "simulate_fault"]

STATIC = Profile(
    voters=3,
    crash_every_s=3.0,
    crash_at_write=0.01,
    drop=0.02,
    duplicate=0.05,
    partition_every_s=4.0,
    client_every_s=0.2,
)
WITH_CHANGES = Profile(
    voters=3,
    spares=1,
    crash_every_s=5.0,
    drop=0.01,
    client_every_s=0.3,
    hand_over_every_s=2.0,
)
WITH_SNAPSHOTS = Profile(
    voters=3,
    raft=RaftConfig(snapshot_threshold=4, snapshot_interval_s=0.3, trailing_logs=0),
    crash_every_s=3.0,
    crash_at_write=0.01,
    drop=0.02,
    partition_every_s=2.0,
    client_every_s=0.1,
    snapshot_every_s=1.0,
)


_SEEDS_A_FAULT: Final = 60
_CHANGES = (
    ChangeKind.ADD_NONVOTER,
    ChangeKind.ADD_VOTER,
    ChangeKind.DEMOTE_VOTER,
    ChangeKind.REMOVE_SERVER,
)


def _change_now_and_then(world: World, administrator: Administrator) -> None:
    """Have whoever leads add, promote, demote and remove the last server, again and again."""
    kinds = cycle(_CHANGES)

    def change(_: None) -> None:
        world.push(world.now + 0.3, change, None)
        leader = next((s for s in world.everyone if s.role is Role.LEADER), None)
        if leader is not None:
            administrator.change(leader, next(kinds), world.everyone[-1].id)

    world.push(world.now + 0.3, change, None)


def simulate(seed: int, profile: Profile, steps: int) -> tuple[list[TraceRecord], list[str]]:
    """Return the trace of a world's first ``steps`` events, and its servers.

    Raises:
        Violation: the simulator's own checkers saw a fault.

    """
    records: list[TraceRecord] = []
    return records, _run(seed, profile, steps, records)


def simulate_fault(
    fault: Fault, profile: Profile, steps: int
) -> tuple[list[TraceRecord], list[str]]:
    """Return the trace up to the violation that ``fault`` leads to, of the first seed it does in.

    Raises:
        LookupError: it leads to none in a few dozen seeds.

    """
    with fault.seeded():
        for seed in range(_SEEDS_A_FAULT):
            records: list[TraceRecord] = []
            try:
                _run(seed, profile, steps, records)
            except Violation:
                return records, sorted({record.server for record in records})
    raise LookupError(f"{fault} leads to no violation in {_SEEDS_A_FAULT} seeds")


def _run(seed: int, profile: Profile, steps: int, records: list[TraceRecord]) -> list[str]:
    world = World(seed, profile, tracer=records.append)
    world.start()
    Nemesis(world)
    administrator = Administrator(world)
    if profile.spares:
        _change_now_and_then(world, administrator)
    world.push(world.now, world.workload.run, None)
    world.run_until(lambda: world.steps >= steps)
    return [str(server) for server in world.servers]
