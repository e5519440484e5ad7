"""Schedules of faults: drawn from a seed alone, with every kind in every round."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest

from tests.chaos.nemesis import _STRIKES
from tests.chaos.partitions import SHAPES
from tests.chaos.schedule import KINDS, LEADER, make_schedule


def test_a_seed_gives_the_same_schedule_again() -> None:
    assert make_schedule(1, 130, 5) == make_schedule(1, 130, 5)
    assert make_schedule(1, 130, 5) != make_schedule(2, 130, 5)


@pytest.mark.parametrize("seconds", [45, 75, 600])
@pytest.mark.parametrize("seed", range(20))
def test_every_kind_strikes_within_the_time(seconds: float, seed: int) -> None:
    schedule = make_schedule(seed, seconds, 5)

    assert set(KINDS) == {fault.kind for fault in schedule.faults}
    assert all(0 <= fault.at_s < fault.at_s + fault.lasts_s for fault in schedule.faults)
    assert all(fault.at_s < seconds for fault in schedule.faults)


def test_a_round_begins_with_one_fault_at_a_time_and_ends_with_many() -> None:
    faults = make_schedule(1, 130, 5).faults

    overlaps = [a.at_s + a.lasts_s > b.at_s for a, b in pairwise(faults)]
    # A pause may last 10 s, into the next fault's turn.
    assert sum(overlaps[:10]) <= 2
    assert sum(overlaps[-10:]) >= 5


@pytest.mark.parametrize("peers", [3, 5])
def test_victims_are_all_peers_in_some_order_now_and_then_the_leader_first(peers: int) -> None:
    faults = make_schedule(1, 600, peers).faults

    everyone = set(range(1, peers + 1))
    assert all(everyone == set(fault.victims) - {LEADER} for fault in faults)
    led = sum(fault.victims[0] == LEADER for fault in faults)
    assert 0.2 < led / len(faults) < 0.6
    assert all(LEADER not in fault.victims[1:] for fault in faults)


def test_every_kind_is_known_to_the_nemesis() -> None:
    assert set(KINDS) == {"loss", "delay", "duplication"} | set(SHAPES) | set(_STRIKES)


def test_faults_are_numbered_apart() -> None:
    faults = make_schedule(1, 600, 5).faults

    assert len(faults) == len({fault.number for fault in faults})


def test_a_schedule_is_written_down(tmp_path: Path) -> None:
    schedule = make_schedule(7, 75, 3)

    schedule.write(tmp_path / "schedule.json")

    written = json.loads((tmp_path / "schedule.json").read_text())
    assert 7 == written["seed"]
    assert [fault.kind for fault in schedule.faults] == [f["kind"] for f in written["faults"]]
