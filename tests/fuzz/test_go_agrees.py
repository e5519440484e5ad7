"""Our decoders and Go's, on the same damaged bytes: both refuse, or both read the same.

``python -m tests.fuzz.against_go`` goes on where this stops.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.go_differences import DIFFERENCES, Difference, Disagreement, difference_of
from tests.fuzz.go_program import GoDecoders, running_decoders
from tests.fuzz.go_targets import GO_TARGETS
from tests.fuzz.mutation import mutated
from tests.interop.go_build import go_command

pytestmark = [pytest.mark.go, pytest.mark.timeout(120, func_only=True)]

_EXAMPLES = 250
_LISTED = Path(__file__).parents[2] / "docs" / "divergences.md"


@pytest.fixture(scope="module")
def go() -> Iterator[GoDecoders]:
    if go_command() is None:
        reason = "go is not installed: no decoder of Go's to compare with"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with running_decoders() as decoders:
        yield decoders


@pytest.mark.parametrize("name", GO_TARGETS)
def test_what_go_reads_is_read_and_as_the_same_value(go: GoDecoders, name: str) -> None:
    target = GO_TARGETS[name]

    @settings(
        max_examples=_EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(mutated(target.seeds()))
    def check(data: bytes) -> None:
        difference_of(go, target, data)

    check()


@pytest.mark.parametrize("name", GO_TARGETS)
def test_go_is_given_something_that_both_take(go: GoDecoders, name: str) -> None:
    target = GO_TARGETS[name]

    agreed = [
        data
        for data in target.seeds()
        if "value" in go.ask(target.number, data) and difference_of(go, target, data) is None
    ]

    assert agreed


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda one: one.row[:40])
def test_each_difference_is_listed_and_is_one(go: GoDecoders, difference: Difference) -> None:
    name, data = difference.example

    assert difference == difference_of(go, GO_TARGETS[name], data)
    assert difference.row in _LISTED.read_text()


def test_a_value_that_is_read_otherwise_is_found(go: GoDecoders) -> None:
    target = GO_TARGETS["RequestVote response"]

    def ours(data: bytes) -> tuple[Any, int | None]:
        value, consumed = target.ours(data)
        return [value[0] & 0xFF_FFFF, *value[1:]], consumed

    with pytest.raises(Disagreement, match="we read"):
        difference_of(go, replace(target, ours=ours), b"\xa0\x81\xa4Term\xce\x01\x00\x00\x00")


def test_what_is_refused_without_being_listed_is_found(go: GoDecoders) -> None:
    target = GO_TARGETS["TimeoutNow request"]

    def ours(data: bytes) -> tuple[Any, int | None]:
        raise target.refusals[0]("no")

    with pytest.raises(Disagreement, match="we refuse"):
        difference_of(go, replace(target, ours=ours), b"\x80")


def test_what_only_we_take_is_found(go: GoDecoders) -> None:
    target = GO_TARGETS["TimeoutNow request"]

    with pytest.raises(Disagreement, match="Go refuses"):
        difference_of(go, replace(target, ours=lambda _: ([], 1)), b"\xc1")
