"""Many seeds at once, a process for each core: worlds share nothing, so the order does not matter."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice

from tests.simulation.seeds import STEPS, Outcome, run_seed

__all__ = ["LONG_STEPS", "Task", "cores", "fresh_tasks", "run_many"]

LONG_STEPS = 100_000
_LONG_EVERY = 10
"""One seed in ten of a run that is bounded by time is a long one."""
_WAITING_TASKS = 2
"""Tasks for each process that are handed over ahead: one runs, the next is there when it ends."""


@dataclass(frozen=True, slots=True)
class Task:
    """A seed, and how many events it gets before its faults end."""

    seed: int
    steps: int = STEPS


def cores() -> int:
    """Return how many processor cores this process may use."""
    return len(os.sched_getaffinity(0))


def fresh_tasks(base: int, until: float) -> Iterator[Task]:
    """Yield seeds from ``base`` on, every tenth a long one, while ``time.monotonic`` is before ``until``."""
    number = 0
    while time.monotonic() < until:
        is_long = number % _LONG_EVERY == _LONG_EVERY - 1
        yield Task(base + number, LONG_STEPS if is_long else STEPS)
        number += 1


def _run(task: Task) -> tuple[Task, Outcome]:
    return task, run_seed(task.seed, task.steps)


def run_many(tasks: Iterable[Task], jobs: int) -> Iterator[tuple[Task, Outcome]]:
    """Run ``tasks`` in ``jobs`` processes; yield each with its outcome as it ends.

    ``tasks`` is asked for the next only when a process is about to be free.
    """
    todo = iter(tasks)
    if jobs == 1:
        yield from map(_run, todo)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        open_tasks: set[Future[tuple[Task, Outcome]]] = {
            pool.submit(_run, task) for task in islice(todo, jobs * _WAITING_TASKS)
        }
        while open_tasks:
            done, open_tasks = wait(open_tasks, return_when=FIRST_COMPLETED)
            open_tasks |= {pool.submit(_run, task) for task in islice(todo, len(done))}
            for future in done:
                yield future.result()
