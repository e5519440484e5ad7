"""The tables at the end of a run."""

from __future__ import annotations

import json

from tests.interop.matrix.report import Outcome, as_json, as_markdown, parse_test_id
from tests.interop.matrix.settings import CASES, Setting

_G2P1 = Setting("G2P1", "1.6.0", "tls", "go")
_OUTCOMES = [
    Outcome("a/test_matrix.py", CASES[0], _G2P1, has_passed=True, seconds=1.0),
    Outcome("a/test_matrix.py", CASES[0], Setting("G2P1", "1.8.0", "tls", "go"), False, 2.0),
    Outcome("a/test_other.py", "test_this", None, has_passed=True, seconds=0.5),
]


def test_a_case_has_a_cell_for_each_value_of_each_axis() -> None:
    head, _, case, *_ = as_markdown(_OUTCOMES).splitlines()

    cells = dict(zip(head.split(" | "), case.split(" | "), strict=True))
    assert "| a leader is elected and another one when it dies" == cells["| case"]
    assert ["2, 1.5 s, 1 FAILED"] * 3 == [cells[value] for value in ("all", "G2P1", "tls")]
    assert "1, 1.0 s" == cells["1.6.0"]
    assert "1, 2.0 s, 1 FAILED" == cells["1.8.0"]
    assert ["", ""] == [cells[value] for value in ("G3P2", "python dials")]
    assert "2.0 s |" == cells["longest |"]


def test_other_tests_are_counted_by_file() -> None:
    assert "| test_other.py | 1, 0.5 s | 0.5 s |" == as_markdown(_OUTCOMES).splitlines()[-1]


def test_json_has_every_test() -> None:
    assert ["1.6.0", "1.8.0", None] == [
        (outcome["setting"] or {}).get("release") for outcome in json.loads(as_json(_OUTCOMES))
    ]


def test_a_setting_is_read_from_its_test_s_name() -> None:
    test_id = f"a/test_matrix.py::{CASES[0]}[{_G2P1}]"

    assert ("a/test_matrix.py", CASES[0], _G2P1) == parse_test_id(test_id)


def test_other_parameters_are_no_setting() -> None:
    assert ("a/b.py", "test_this", None) == parse_test_id("a/b.py::test_this[one Go-[x]]")
