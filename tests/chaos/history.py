"""Calls of clients, what became of them, and what can be judged of them without a search.

A call is *done*, *not-done*, or *unknown*: an unknown write may take effect at any time after
it began, or never. Every pin writes a value that no other call writes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Final, Literal, TypeAlias

__all__ = [
    "ABSENT",
    "Kind",
    "Operation",
    "Outcome",
    "impossible_reads",
    "judged",
    "lost_writes",
    "read_history",
    "write_history",
    "write_judged",
]

Kind: TypeAlias = Literal["pin", "unpin", "read"]
Outcome: TypeAlias = Literal["done", "not-done", "unknown"]

ABSENT: Final = ""
"""What a read of an unpinned CID sees."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One call. ``value`` is what a pin wrote, or what a read saw; times are monotonic."""

    client: int
    peer: int
    kind: Kind
    cid: str
    value: str
    invoke_ns: int
    return_ns: int
    outcome: Outcome
    detail: str = ""
    """What the peer said of a call that was not done."""


def write_history(path: Path, history: Iterable[Operation]) -> None:
    """Write one JSON line a call."""
    with path.open("w") as file:
        file.writelines(json.dumps(asdict(call)) + "\n" for call in history)


def read_history(path: Path) -> list[Operation]:
    """Return what :func:`write_history` wrote."""
    return [Operation(**json.loads(line)) for line in path.read_text().splitlines()]


def judged(history: Iterable[Operation]) -> list[Operation]:
    """Return the calls that a judge of linearisability must explain.

    Left out are calls that were not done, reads without an answer, and unknown pins whose
    value nobody saw: such a pin has a place in every valid order that exists without it (the
    end), and none can be needed, for what stands behind it would have to be a write.
    """
    history = list(history)
    seen = {call.value for call in history if call.kind == "read" and call.outcome == "done"}
    return [call for call in history if _is_judged(call, seen)]


def _is_judged(call: Operation, seen: set[str]) -> bool:
    match call.outcome, call.kind:
        case "done", _:
            return True
        case "unknown", "pin":
            return call.value in seen
        case "unknown", "unpin":
            return True
    return False


def write_judged(path: Path, calls: Iterable[Operation]) -> None:
    """Write ``calls`` for the judge (``go/main.go``); an unknown one has no return."""
    with path.open("w") as file:
        for call in calls:
            line = {
                "kind": call.kind,
                "cid": call.cid,
                "value": call.value,
                "client": call.client,
                "invoke": call.invoke_ns,
                "return": call.return_ns if call.outcome == "done" else None,
            }
            file.write(json.dumps(line) + "\n")


def impossible_reads(history: Sequence[Operation]) -> list[Operation]:
    """Return the reads of a value that nobody wrote there, or whose write was "not done"."""
    possible = {
        (call.cid, call.value)
        for call in history
        if call.kind == "pin" and call.outcome != "not-done"
    }
    return [
        call
        for call in history
        if call.kind == "read"
        and call.outcome == "done"
        and call.value != ABSENT
        and (call.cid, call.value) not in possible
    ]


def lost_writes(history: Iterable[Operation], final: Mapping[str, str]) -> list[Operation]:
    """Return the acknowledged writes that the ``final`` state (value by CID) does not account for.

    A write is accounted for when the final value is its own, or that of a write which may
    have come after it: one that is unknown, or that ended after this one began. So each CID
    gives at most its last acknowledged writes.
    """
    lost: list[Operation] = []
    writes = [call for call in history if call.kind != "read" and call.outcome != "not-done"]
    for cid, group in groupby(sorted(writes, key=lambda call: call.cid), lambda call: call.cid):
        calls = list(group)
        value = final.get(cid, ABSENT)
        causes = [call for call in calls if _writes(call) == value]
        if any(call.outcome == "unknown" for call in causes):
            continue
        latest_ns = max((call.return_ns for call in causes), default=-1)
        lost += [c for c in calls if c.outcome == "done" and c.invoke_ns > latest_ns]
    return lost


def _writes(call: Operation) -> str:
    return call.value if call.kind == "pin" else ABSENT
