"""``python -m tests.interop [--full] [--report FILE] [pytest's arguments]``: all cases, counted.

``--full`` runs the matrix in all its settings; ``--patience 3`` gives its clusters timers three
times as long, for a machine that does much else. After the tests come the tables of the cases with
their times, which ``--report`` also writes to a file (``.md``, or ``.json`` with every test),
and one line that counts the cases.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from tests.interop.matrix.report import Outcome

__all__ = ["main"]

_HERE: Final = Path(__file__).resolve().parent


class _Count:
    """Counts what came of each case; a failure outside the test itself counts, too."""

    def __init__(self) -> None:
        self._passed: set[str] = set()
        self._failed: set[str] = set()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._seconds[report.nodeid] += report.duration
        if report.failed:
            self._failed.add(report.nodeid)
        elif report.when == "call" and report.passed:
            self._passed.add(report.nodeid)

    def outcomes(self) -> list[Outcome]:
        # Not before pytest began: it warns of modules that it can rewrite no more.
        from tests.interop.matrix.report import Outcome, parse_test_id

        return [
            Outcome(*parse_test_id(test_id), test_id not in self._failed, self._seconds[test_id])
            for test_id in sorted(self._passed | self._failed)
        ]

    def __str__(self) -> str:
        passed, failed = len(self._passed - self._failed), len(self._failed)
        return f"interop: {passed + failed} cases, {passed} passed, {failed} failed"


def main(arguments: list[str]) -> int:
    """Run the cases and return pytest's exit code; without ``go`` that is a failure here."""
    parser = argparse.ArgumentParser(prog="tests.interop", allow_abbrev=False)
    parser.add_argument("--full", action="store_true", help="all settings of the matrix")
    parser.add_argument("--report", type=Path, help="write the tables here, too: .md or .json")
    parser.add_argument("--patience", default="1", help="how much longer Raft's timers are")
    options, rest = parser.parse_known_args(arguments)
    os.environ["CI"] = "true"  # what cannot run has not passed
    os.environ["INTEROP_PATIENCE"] = options.patience
    if options.full:
        os.environ["INTEROP_FULL"] = "1"
    count = _Count()
    code = pytest.main([str(_HERE), *rest], plugins=[count])
    outcomes = count.outcomes()
    from tests.interop.matrix.report import as_json, as_markdown

    if options.report is not None:
        write = as_json if options.report.suffix == ".json" else as_markdown
        options.report.write_text(write(outcomes) + "\n")
    sys.stdout.write(f"{as_markdown(outcomes)}\n\n{count}\n")
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
