from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.simulation.cover import COVER, TIMES, find_cover
from tests.simulation.fresh import base_of_commit
from tests.simulation.many import Task, fresh_tasks, run_many
from tests.simulation.marks import MARKS, missed
from tests.simulation.seeds import STEPS, replay_command, run_seed, run_seeds
from tests.simulation.violation import Violation

_CHUNK = 20
_FIRSTS = range(0, 500, _CHUNK)
"""Half of the thousand seeds are the same ones always, and half are this commit's."""


def _check_chunk(first: int) -> None:
    total = run_seeds(range(first, first + _CHUNK))

    stories = [f"{o.violation}\n  {replay_command(o.seed)}" for o in total.violations]
    assert stories == []
    assert total.steps + STEPS * total.marks["Go's own fault"] >= _CHUNK * STEPS


@pytest.mark.slow
@pytest.mark.parametrize("first", _FIRSTS)
def test_no_seed_breaks_a_rule(first: int) -> None:
    _check_chunk(first)


@pytest.mark.slow
@pytest.mark.parametrize("first", _FIRSTS)
def test_no_fresh_seed_of_this_commit_breaks_a_rule(first: int) -> None:
    _check_chunk(base_of_commit() + first)


@pytest.mark.slow
def test_a_few_seeds_reach_what_seldom_happens() -> None:
    """A mark that is never set is a fault that was never tried."""
    marks: Counter[str] = Counter()
    for seed in COVER:
        marks += run_seed(seed).marks

    find_others = "python -m tests.simulation --seeds 0-999 --cover, for tests/simulation/cover.py"
    assert missed(marks) == [], f"no seed of COVER reaches these; find others: {find_others}"


def test_a_cover_has_each_mark_several_times_where_it_can() -> None:
    rare, frequent = sorted(MARKS)[:2]
    reached = {seed: Counter([frequent]) for seed in range(9)}
    reached[7] = Counter([rare, frequent])

    cover = find_cover(reached)

    assert (7 in cover, TIMES) == (True, len(cover))


def test_several_processes_run_each_seed_once_and_bring_violations_home() -> None:
    ended = dict(run_many([Task(seed, 50) for seed in range(6)], jobs=2))

    assert sorted(ended, key=lambda task: task.seed) == [Task(seed, 50) for seed in range(6)]
    assert [ended[task].steps for task in sorted(ended, key=lambda task: task.seed)] == [
        run_seed(seed, 50).steps for seed in range(6)
    ]


def test_a_violation_is_the_same_in_another_process() -> None:
    violation = Violation("election safety", "two lead")
    kind, arguments = violation.__reduce__()

    twin = kind(*arguments)

    assert (violation.checker, str(violation)) == (twin.checker, str(twin))


def test_one_fresh_seed_in_ten_is_long() -> None:
    tasks = fresh_tasks(5, until=float("inf"))

    lengths = [next(tasks).steps for _ in range(20)]

    assert lengths == ([STEPS] * 9 + [100_000]) * 2


@pytest.mark.slow
def test_a_seed_tells_the_same_story_whatever_the_hash_seed() -> None:
    stories = []
    for hash_seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-m", "tests.simulation", "--seed", "5", "--trace"],
            capture_output=True,
            check=True,
            cwd=Path(__file__).parents[2],
            env=environment,
        )
        stories.append([line for line in done.stdout.splitlines() if b"a second" not in line])

    assert stories[0] == stories[1]
    assert len(stories[0]) > STEPS // 2
