"""Tests of the model need Java; tests/conftest.py makes a skip a failure in CI."""

from __future__ import annotations

import pytest

from tests.model.tlc import is_java_here


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs TLC where it cannot be run."""
    for item in items:
        if item.get_closest_marker("tlc") is not None and not is_java_here():
            item.add_marker(pytest.mark.skip(reason="TLC needs java and mvn"))
