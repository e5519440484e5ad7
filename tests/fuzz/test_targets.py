"""Every decoder against damaged bytes, in bounded time and the same each run.

``python -m tests.fuzz`` goes on where this stops, guided by coverage.
"""

from __future__ import annotations

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz import target as target_module
from tests.fuzz.mutation import mutated
from tests.fuzz.registry import TARGETS
from tests.fuzz.target import Finding, Target, run_one

_EXAMPLES = 80
_UNHURRIED = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)


@pytest.mark.parametrize("name", TARGETS)
def test_a_decoder_takes_or_refuses_whatever_it_is_given(name: str) -> None:
    target = TARGETS[name]

    @settings(
        max_examples=_EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=_UNHURRIED,
    )
    @given(mutated(target.seeds()))
    def check(data: bytes) -> None:
        run_one(target, data)

    check()


@pytest.mark.parametrize("name", TARGETS)
def test_a_target_is_given_something_that_it_takes(name: str) -> None:
    target = TARGETS[name]

    assert any(run_one(target, data) for data in target.seeds())


def _raises(error: Exception) -> Target:
    def run(_data: bytes) -> None:
        raise error

    return Target("seeded", run, lambda: [b""], (ValueError,))


def test_what_a_decoder_does_not_document_is_a_finding() -> None:
    with pytest.raises(Finding, match="seeded raised TypeError: no; input 00ff"):
        run_one(_raises(TypeError("no")), b"\x00\xff")


def test_what_it_documents_is_a_refusal() -> None:
    assert not run_one(_raises(ValueError("no")), b"")


def test_what_takes_too_long_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(target_module, "SLOWEST_S", 0.0)

    def run(_data: bytes) -> None:
        while time.process_time() == began:
            pass

    began = time.process_time()
    with pytest.raises(Finding, match="seeded took"):
        run_one(Target("seeded", run, lambda: [b""], ()), b"")


def test_a_fault_that_one_changed_byte_shows_is_found() -> None:
    """The examples are enough to meet a fault of the kind that decoders have."""

    def run(data: bytes) -> None:
        if any(byte >= 0xDC for byte in data):
            raise TypeError("unhashable type: 'list'")

    target = Target("seeded", run, lambda: [b"\x82\xa4Name\xa1a"], ())

    @settings(max_examples=_EXAMPLES, derandomize=True, database=None, deadline=None)
    @given(st.data())
    def check(data: st.DataObject) -> None:
        run_one(target, data.draw(mutated(target.seeds())))

    with pytest.raises(Finding):
        check()
