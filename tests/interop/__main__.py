"""``python -m tests.interop [pytest's arguments]``: all cases, and one line that counts them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import pytest

__all__ = ["main"]

_HERE: Final = Path(__file__).resolve().parent


class _Count:
    """Counts what came of each case; a failure outside the test itself counts, too."""

    def __init__(self) -> None:
        self._passed: set[str] = set()
        self._failed: set[str] = set()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed.add(report.nodeid)
        elif report.when == "call" and report.passed:
            self._passed.add(report.nodeid)

    def __str__(self) -> str:
        passed, failed = len(self._passed - self._failed), len(self._failed)
        return f"interop: {passed + failed} cases, {passed} passed, {failed} failed"


def main(arguments: list[str]) -> int:
    """Run the cases and return pytest's exit code; without ``go`` that is a failure here."""
    os.environ["CI"] = "true"  # what cannot run has not passed
    count = _Count()
    code = pytest.main([str(_HERE), *arguments], plugins=[count])
    sys.stdout.write(f"{count}\n")
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
