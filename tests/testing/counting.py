"""A small state machine that keeps its contract, for others to break."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Add:
    name: str
    amount: int


class AddCodec:
    def encode(self, op: Add) -> bytes:
        return json.dumps([op.name, op.amount]).encode()

    def decode(self, data: bytes) -> Add:
        form = json.loads(data)
        if not (
            isinstance(form, list)
            and [str, int] == [type(part) for part in form]
            and self.encode(Add(*form)) == data
        ):
            raise ValueError(f"{data!r} adds nothing")
        return Add(*form)


class Counters:
    """Named counts; an addition gives the count after it, and None below zero, where it is not done."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def apply(self, ops: Sequence[Add]) -> list[int | None]:
        return [self._add(op) for op in ops]

    def _add(self, op: Add) -> int | None:
        count = self.counts.get(op.name, 0) + op.amount
        if count < 0:
            return None
        self.counts[op.name] = count
        return count

    def snapshot(self) -> Iterator[bytes]:
        return iter([json.dumps(self.counts, sort_keys=True).encode()])

    def restore(self, chunks: Iterable[bytes]) -> dict[str, int]:
        counts = json.loads(b"".join(chunks))
        if not isinstance(counts, dict) or not all(type(n) is int for n in counts.values()):
            raise ValueError("no counts")
        return counts

    def adopt(self, image: dict[str, int]) -> None:
        self.counts = image


OPS = [
    Add("a", 3), Add("b", 1), Add("a", -5), Add("a", 3), Add("c", 7), Add("b", 0), Add("c", -7),
    Add("d", 1), Add("a", 3), Add("e", 2), Add("b", 9),
]  # fmt: skip
