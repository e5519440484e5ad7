"""Each judge finds what it is for: in histories of servers that lie, and in ones tampered with."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.broken_server import BrokenServer, Lie, serve_broken
from tests.chaos.checking import build_checker
from tests.chaos.history import (
    ABSENT,
    Kind,
    Operation,
    Outcome,
    impossible_reads,
    judged,
    lost_writes,
    read_history,
    write_history,
)
from tests.chaos.judging import judge
from tests.chaos.workload import Workload

_CALLS = 1500


@pytest.fixture(scope="session")
def checker() -> Path:
    if shutil.which("go") is None:
        pytest.skip("go is not installed: porcupine cannot be built")
    return build_checker()


class _Bounded(Workload):
    """Ends by itself after so many calls."""

    def _count(self, call: Operation) -> None:
        super()._count(call)
        if len(self.history) >= _CALLS:
            self.end()


async def _recorded(lie: Lie, seed: int) -> tuple[list[Operation], BrokenServer]:
    async with serve_broken(lie, seed) as server:
        workload = _Bounded(seed, [server], clients=8)
        await workload.run()
    assert lie == "none" or server.lies > 0
    return workload.history, server


@pytest.mark.go
@pytest.mark.slow
async def test_a_sound_server_is_found_sound(checker: Path, tmp_path: Path) -> None:
    history, server = await _recorded("none", 1)

    judgement = judge(checker, history, server.pins, tmp_path)

    assert ([], []) == (judgement.violations, judgement.lost)
    assert judgement.operations == len(judged(history))
    assert judgement.operations > _CALLS / 2


@pytest.mark.go
@pytest.mark.slow
@pytest.mark.parametrize("lie", ["stale read", "forgotten write", "refusal of what was done"])
async def test_a_server_that_lies_now_and_then_is_found_out_and_drawn(
    checker: Path, tmp_path: Path, lie: Lie
) -> None:
    history, server = await _recorded(lie, 2)

    judgement = judge(checker, history, server.pins, tmp_path)

    illegal = [text.split()[0] for text in judgement.violations if "linearisable" in text]
    assert illegal
    assert {f"{cid}.html" for cid in illegal} == _drawings(tmp_path)
    has_impossible = any("impossible" in text for text in judgement.violations)
    assert (lie == "refusal of what was done") == has_impossible


def _drawings(folder: Path) -> set[str]:
    return {path.name for path in folder.glob("*.html")}


@pytest.mark.go
@pytest.mark.slow
async def test_one_stale_read_among_many_is_found(checker: Path, tmp_path: Path) -> None:
    history, server = await _recorded("none", 3)
    place, stale = _stale_read(history)

    judgement = judge(
        checker, [*history[:place], stale, *history[place + 1 :]], server.pins, tmp_path
    )

    assert [f"{stale.cid} is not linearisable"] == judgement.violations


def _stale_read(history: Sequence[Operation]) -> tuple[int, Operation]:
    """Return a read, with its place, that sees what a write before it had replaced."""
    for place, read in reversed(list(enumerate(history))):
        if read.kind != "read":
            continue
        pins = [
            call
            for call in history
            if call.kind == "pin" and call.cid == read.cid and call.return_ns < read.invoke_ns
        ]
        for older in pins:
            if any(older.return_ns < newer.invoke_ns for newer in pins):
                return place, replace(read, value=older.value)
    raise AssertionError("no read to tamper with")


def _call(
    kind: Kind, value: str, began: int, ended: int, outcome: Outcome = "done", cid: str = "c"
) -> Operation:
    return Operation(1, 1, kind, cid, value, began, ended, outcome)


def test_an_acknowledged_write_that_is_not_in_the_final_state_is_lost() -> None:
    kept, gone = _call("pin", "v1", 0, 1), _call("pin", "v2", 2, 3)

    assert [] == lost_writes([kept, gone], {"c": "v2"})
    assert [gone] == lost_writes([kept, gone], {"c": "v1"})
    assert [kept, gone] == lost_writes([kept, gone], {})


def test_of_two_writes_at_once_either_may_be_the_last() -> None:
    one, other = _call("pin", "v1", 0, 5), _call("pin", "v2", 1, 4)

    assert [] == lost_writes([one, other], {"c": "v1"})
    assert [] == lost_writes([one, other], {"c": "v2"})


def test_an_unpin_accounts_for_an_absent_pin_unless_it_came_before() -> None:
    pin = _call("pin", "v1", 2, 3)

    assert [] == lost_writes([pin, _call("unpin", ABSENT, 4, 5)], {})
    assert [pin] == lost_writes([_call("unpin", ABSENT, 0, 1), pin], {})
    assert [] == lost_writes([_call("unpin", ABSENT, 0, 1, "unknown"), pin], {})
    assert [pin] == lost_writes([pin, _call("unpin", ABSENT, 4, 5, "not-done")], {})


def test_an_unpin_that_was_acknowledged_and_undone_is_lost() -> None:
    unpin = _call("unpin", ABSENT, 2, 3)

    assert [unpin] == lost_writes([_call("pin", "v1", 0, 1), unpin], {"c": "v1"})


def test_an_unknown_write_may_come_out_last() -> None:
    late, acknowledged = _call("pin", "v1", 0, 1, "unknown"), _call("pin", "v2", 2, 3)

    assert [] == lost_writes([late, acknowledged], {"c": "v1"})


def test_a_value_that_was_refused_or_never_written_must_not_be_read() -> None:
    refused = _call("pin", "v1", 0, 1, "not-done")
    seen, invented = _call("read", "v1", 2, 3), _call("read", "v9", 2, 3)

    assert [seen, invented] == impossible_reads([refused, seen, invented])


def test_a_value_of_another_cid_must_not_be_read() -> None:
    pins = [_call("pin", "v1", 0, 1, cid="c"), _call("pin", "v2", 0, 1, "unknown", cid="d")]
    mixed_up = _call("read", "v1", 2, 3, cid="d")

    assert [mixed_up] == impossible_reads([*pins, mixed_up, _call("read", "v2", 2, 3, cid="d")])


def test_only_calls_that_may_have_taken_effect_are_judged() -> None:
    kept = [
        _call("pin", "v1", 0, 1),
        _call("pin", "v2", 0, 1, "unknown"),
        _call("unpin", ABSENT, 0, 1, "unknown"),
        _call("read", "v2", 2, 3),
    ]
    left_out = [
        _call("pin", "v3", 0, 1, "unknown"),  # seen by nobody
        _call("pin", "v4", 0, 1, "not-done"),
        _call("unpin", ABSENT, 0, 1, "not-done"),
        _call("read", ABSENT, 0, 1, "unknown"),
        _call("read", ABSENT, 0, 1, "not-done"),
    ]

    assert kept == judged([*left_out, *kept])


def test_a_history_is_read_as_it_was_written(tmp_path: Path) -> None:
    history = [_call("pin", "v1", 0, 1), _call("read", ABSENT, 0, 1, "unknown")]

    write_history(tmp_path / "history", history)

    assert history == read_history(tmp_path / "history")
