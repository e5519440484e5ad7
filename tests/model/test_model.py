from __future__ import annotations

import pytest

from tests.model.bounds import BOUNDS, FAULTS, Bound, check

pytestmark = [pytest.mark.tlc, pytest.mark.slow, pytest.mark.timeout(600)]

_CHEAP = [bound for bound in BOUNDS if bound.is_cheap]


@pytest.mark.parametrize("bound", _CHEAP, ids=lambda bound: bound.name.replace(" ", "-"))
def test_the_model_breaks_no_invariant(bound: Bound) -> None:
    verdict = check(bound)

    assert (True, "", "") == (verdict.is_complete, verdict.violated, verdict.error)
    assert bound.states in {0, verdict.states}


@pytest.mark.parametrize(
    "bound",
    [bound for bound in FAULTS if bound.is_cheap],
    ids=lambda bound: bound.fault.replace(" ", "-"),
)
def test_a_seeded_fault_of_the_model_is_found(bound: Bound) -> None:
    assert bound.caught_by == check(bound).violated
