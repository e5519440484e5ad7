"""The judge of histories agrees with whoever tries every order."""

from __future__ import annotations

import math
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.simulation.check_clients import ClientCheck
from tests.simulation.linearizability import Operation, why_not_linearizable
from tests.simulation.local_reads import LocalReads
from tests.simulation.seeds import run_seed


def tries_every_order(writes: dict[bytes, Operation], reads: list[Operation]) -> bool:
    """Tell whether some order explains the history, by trying all (unknown writes may be missing)."""
    certain = [w for w in writes.values() if w.ended < math.inf]
    unknown = [w for w in writes.values() if w.ended == math.inf]
    for chosen in range(1 << len(unknown)):
        taken = [w for place, w in enumerate(unknown) if chosen >> place & 1]
        kinds = [(w, True) for w in certain + taken] + [(r, False) for r in reads]
        if any(_explains(order) for order in permutations(kinds)):
            return True
    return False


def _explains(order: tuple[tuple[Operation, bool], ...]) -> bool:
    held = None
    for place, (operation, is_write) in enumerate(order):
        if any(later.ended < operation.began for later, _ in order[place + 1 :]):
            return False
        if is_write:
            held = operation.value
        elif operation.value != held:
            return False
    return True


TIMES = st.integers(0, 8)


@st.composite
def histories(draw: st.DrawFn) -> tuple[dict[bytes, Operation], list[Operation]]:
    writes = {}
    for number in range(draw(st.integers(0, 3))):
        began = draw(TIMES)
        ended = draw(st.one_of(st.just(math.inf), TIMES.map(lambda time, b=began: b + time)))
        writes[b"%d" % number] = Operation(b"%d" % number, began, ended)
    reads = []
    for _ in range(draw(st.integers(0, 3))):
        began = draw(TIMES)
        value = draw(st.sampled_from([None, b"0", b"1", b"2"]))
        reads.append(Operation(value, began, began + draw(TIMES)))
    return writes, reads


@settings(max_examples=600)
@given(histories())
def test_it_says_what_trying_every_order_says(
    history: tuple[dict[bytes, Operation], list[Operation]],
) -> None:
    assert tries_every_order(*history) == (why_not_linearizable(*history) is None)


A = {b"a": Operation(b"a", 0, 1)}
AB = {**A, b"b": Operation(b"b", 2, 3)}


@pytest.mark.parametrize(
    ("writes", "reads", "why"),
    [
        (A, [Operation(None, 2, 3)], "all of b'a' lies within"),
        (AB, [Operation(b"b", 4, 5), Operation(b"a", 6, 7)], "all of b'b' lies within|also"),
        (A, [Operation(b"x", 2, 3)], "nobody may have written"),
        ({b"a": Operation(b"a", 5, 6)}, [Operation(b"a", 1, 2)], "written later"),
    ],
    ids=["stale", "back-in-time", "invented", "from-the-future"],
)
def test_it_says_what_is_wrong(
    writes: dict[bytes, Operation], reads: list[Operation], why: str
) -> None:
    found = why_not_linearizable(writes, reads)

    assert found is not None
    assert [True] == [any(part in found for part in why.split("|"))]


def test_a_world_whose_servers_read_their_own_state_has_no_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the check by index put aside, that of the histories finds it."""

    def count(self: ClientCheck, *_: object) -> None:
        self.reads_done += 1

    monkeypatch.setattr(ClientCheck, "read", count)
    runs = (run_seed(seed, machine_type=LocalReads, is_judged=False) for seed in range(20))
    found = (run.violation.checker for run in runs if run.violation is not None)

    assert "linearisable history" in found
