"""The table of the matrix itself."""

from __future__ import annotations

from itertools import product

import pytest

from tests.interop import test_matrix, test_rolling_replacement
from tests.interop.matrix.pairwise import cover_pairs, pairs_of
from tests.interop.matrix.settings import AXES, CASES, Setting, settings_of


def _rows() -> list[tuple[str, ...]]:
    return [
        (case, s.composition, s.release, s.security, s.dialler)
        for case in CASES
        for s in settings_of(case, is_full=False)
    ]


def test_every_case_meets_every_value_of_every_axis_and_these_meet_one_another() -> None:
    all_pairs = set().union(*map(pairs_of, product(CASES, *AXES.values())))

    assert all_pairs == set().union(*map(pairs_of, _rows()))


def test_the_chosen_settings_are_few() -> None:
    """No fewer are possible: each case must meet each composition."""
    fewest = len(CASES) * len(AXES["composition"])

    assert fewest <= len(_rows()) <= fewest * 1.2


def test_the_full_matrix_has_every_combination_once() -> None:
    settings = settings_of(CASES[0], is_full=True)

    assert 4 * 3 * 2 * 2 == len(settings) == len(set(settings))


def test_the_cases_are_the_tests_that_run_in_a_setting() -> None:
    tests = {
        name
        for module in (test_matrix, test_rolling_replacement)
        for name, test in vars(module).items()
        if name.startswith("test_") and "mixed" in test.__code__.co_varnames
    }

    assert set(CASES) == tests


def test_a_setting_is_named_by_its_values() -> None:
    assert "G2P1 1.6.0 tls go-dials" == str(Setting("G2P1", "1.6.0", "tls", "go"))


@pytest.mark.parametrize(
    "axes",
    [
        {"a": ["1"], "b": ["2"]},
        {"a": ["1", "2"], "b": ["3", "4", "5"], "c": ["6", "7"]},
        {"a": ["x", "y"], "b": ["x", "y"], "c": ["x", "y"], "d": ["x", "y"]},
    ],
)
def test_rows_cover_all_pairs_and_are_the_same_each_time(axes: dict[str, list[str]]) -> None:
    rows = cover_pairs(axes)

    wanted = set().union(*map(pairs_of, product(*axes.values())))
    assert wanted == set().union(*map(pairs_of, rows))
    assert rows == cover_pairs(axes)
