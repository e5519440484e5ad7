"""How a run came out: a table of the matrix's cases by the values of its axes, with times."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

from tests.interop.matrix.settings import AXES, CASES, Setting

__all__ = ["Outcome", "as_json", "as_markdown", "parse_test_id"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one test, set up and torn down; ``setting`` is of those of the matrix."""

    file: str
    test: str
    setting: Setting | None
    has_passed: bool
    seconds: float


def parse_test_id(test_id: str) -> tuple[str, str, Setting | None]:
    """Return file, test and setting of a pytest node ID."""
    file, _, rest = test_id.partition("::")
    test, _, values = rest.removesuffix("]").partition("[")
    if test not in CASES:
        return file, test, None
    composition, release, security, dials = values.split(" ")
    return file, test, Setting(composition, release, security, dials.removesuffix("-dials"))


def as_markdown(outcomes: Sequence[Outcome]) -> str:
    """Return two tables: the matrix, and the other tests by file.

    A cell has how many tests ran, with their mean time, and how many of them failed, if any did.
    """
    heads = ["case", "all"]
    heads += [f"{value} dials" if axis == "dialler" else value for axis, value in _values()]
    lines = [_row([*heads, "longest"]), _row(["---"] * (len(heads) + 1))]
    for case in CASES:
        of_case = [o for o in outcomes if o.test == case]
        if not of_case:
            continue
        cells = [_cell(of_case)]
        cells += [_cell(o for o in of_case if _has(o, *value)) for value in _values()]
        longest = max(outcome.seconds for outcome in of_case)
        name = case.removeprefix("test_").replace("_", " ")
        lines.append(_row([name, *cells, f"{longest:.1f} s"]))
    others = [outcome for outcome in outcomes if outcome.setting is None]
    if others:
        lines += ["", _row(["other tests", "all", "longest"]), _row(["---"] * 3)]
    for file in sorted({outcome.file for outcome in others}):
        of_file = [outcome for outcome in others if outcome.file == file]
        longest = max(outcome.seconds for outcome in of_file)
        lines.append(_row([file.rpartition("/")[2], _cell(of_file), f"{longest:.1f} s"]))
    return "\n".join(lines)


def as_json(outcomes: Sequence[Outcome]) -> str:
    """Return one object a test."""
    return json.dumps([asdict(outcome) for outcome in outcomes], indent=1)


def _values() -> list[tuple[str, str]]:
    return [(axis, value) for axis, values in AXES.items() for value in values]


def _has(outcome: Outcome, axis: str, value: str) -> bool:
    return outcome.setting is not None and getattr(outcome.setting, axis) == value


def _cell(outcomes: Iterable[Outcome]) -> str:
    shown = list(outcomes)
    if not shown:
        return ""
    failed = sum(not outcome.has_passed for outcome in shown)
    mean_s = sum(outcome.seconds for outcome in shown) / len(shown)
    return f"{len(shown)}, {mean_s:.1f} s" + (f", {failed} FAILED" if failed else "")


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
