"""What holds for every test: no warnings, no network but loopback, and in CI no skips."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from tests.model.tlc import is_java_here

# Examples are the same on every run: a failure is a bug with its example, never a flake.
settings.register_profile(
    "project",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("project")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs TLC where it cannot be run."""
    judged = [item for item in items if item.get_closest_marker("tlc") is not None]
    if judged and not is_java_here():
        for item in judged:
            item.add_marker(pytest.mark.skip(reason="TLC needs java and mvn"))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail the run when CI skipped a test: there every tool a test may need is present."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not os.environ.get("CI") or reporter is None or hasattr(session.config, "workerinput"):
        return
    if reporter.stats.get("skipped") and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter) -> None:
    """Name what CI must not have skipped."""
    if os.environ.get("CI"):
        for report in terminalreporter.stats.get("skipped", ()):
            terminalreporter.write_line(
                f"FAILED (skipped in CI): {report.nodeid}: {report.longrepr}"
            )
