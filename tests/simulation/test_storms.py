from __future__ import annotations

import pytest

from tests.simulation.faults import Fault
from tests.simulation.profile import Profile
from tests.simulation.seeds import run_seed
from tests.simulation.storms import RING, STORMS, STRANGER, Storms, draw_storms
from tests.simulation.strangers import STRANGE_REQUESTS
from tests.simulation.world import World

_STORMY = [seed for seed in range(1000) if draw_storms(seed)]


def _forced(kinds: frozenset[str], voters: int = 5) -> Profile:
    return Profile(voters=voters, call_timeout_s=0.5, storms=kinds)


def _world_at_its_end(seed: int, kinds: frozenset[str]) -> World:
    world = World(seed, _forced(kinds))
    world.run(4000)
    return world


@pytest.mark.parametrize("kind", [kind for kind in STORMS if kind != STRANGER])
def test_each_kind_happens_where_it_is_asked_for_and_alone(kind: str) -> None:
    marks = run_seed(1, profile=_forced(frozenset({kind}))).marks

    assert {kind} == {other for other in STORMS if marks[other]}


def test_a_stranger_makes_each_request() -> None:
    marks = run_seed(1, 8000, profile=_forced(frozenset({STRANGER}))).marks

    assert set(STRANGE_REQUESTS) == {mark for mark in STRANGE_REQUESTS if marks[mark]}


@pytest.mark.parametrize("seed", range(3))
def test_nothing_stays_broken_when_the_faults_end(seed: int) -> None:
    world = _world_at_its_end(seed, frozenset(STORMS))
    network = world.network

    assert (set(), {}, set()) == (network.blocked, network.extra_s, network.gone)
    assert all(server.machine is not None for server in world.everyone)


def test_in_a_ring_each_server_reaches_two_others() -> None:
    world = World(1, _forced(frozenset({RING})))
    world.start()
    Storms(world)
    world.run_until(lambda: world.marks[RING] > 0)
    reached = [
        sum((one.id, other.id) not in world.network.blocked for other in world.everyone)
        for one in world.everyone
    ]

    assert [2 + 1] * 5 == reached  # and itself


def test_a_machine_that_is_gone_sends_no_reset() -> None:
    """A call to it fails at its time limit, where one to a dead process mostly fails at once."""
    failed: list[float] = []
    for is_gone in (False, True):
        world = World(3, _forced(frozenset()))
        world.start()
        world.run_until(lambda: world.marks["election"] > 0)  # noqa: B023
        target = next(server for server in world.everyone if server.leading_term is None)
        if is_gone:
            world.network.gone.add(target.id)
        target.crash()
        began = world.now
        before = world.marks["call failed"]
        world.run_until(lambda: world.marks["call failed"] > before)  # noqa: B023
        failed.append(world.now - began)

    assert failed[0] < 0.4 < failed[1]


def test_about_one_seed_in_six_has_each_kind_and_most_have_none() -> None:
    shares = [sum(1 for seed in _STORMY if kind in draw_storms(seed)) for kind in STORMS]

    assert all(120 < share < 200 for share in shares)
    assert len(_STORMY) < 500


def test_a_server_that_believes_a_second_leader_of_its_term_is_caught() -> None:
    fault = Fault(
        name="a stranger leads a term that has a leader",
        where="following:follow",
        old="if server.term_leader is not None:",
        new="if server.term_leader is server:",
        caught_by=frozenset({"election safety"}),
    )
    with fault.seeded():
        violation = run_seed(1, profile=_forced(frozenset({STRANGER}))).violation

    assert violation is not None
    assert violation.checker in fault.caught_by


@pytest.mark.slow
@pytest.mark.parametrize("seed", _STORMY[:20])
def test_no_seed_with_every_kind_breaks_a_rule(seed: int) -> None:
    profile = _forced(frozenset(STORMS), voters=3 + seed % 3)
    violation = run_seed(seed, profile=profile).violation

    assert violation is None
