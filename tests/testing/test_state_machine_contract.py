"""Each promise of a state machine or codec, broken, is found by the check that names it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pytest

from raft_over_libp2p.limits import MAX_ENTRY_DATA_BYTES
from raft_over_libp2p.raft.state_machine import BytesCodec
from raft_over_libp2p.testing import ContractBroken, check_codec, check_state_machine
from tests.testing.counting import OPS, Add, AddCodec, Counters


def test_a_state_machine_that_keeps_its_contract_passes() -> None:
    check_state_machine(Counters, OPS, codec=AddCodec())


def test_a_state_machine_without_operations_passes() -> None:
    check_state_machine(Counters, [], codec=AddCodec())


def test_a_codec_of_bytes_passes() -> None:
    check_codec(BytesCodec(), [b"", b"a", bytes(1000)])


def found(make: type[Counters], what: str) -> None:
    with pytest.raises(ContractBroken, match=what):
        check_state_machine(make, OPS)


def test_results_that_come_from_outside_are_found() -> None:
    outside = itertools.count()

    class Dicey(Counters):
        def apply(self, ops: Sequence[Add]) -> list[int | None]:
            super().apply(ops)
            return [next(outside) for _ in ops]

    found(Dicey, "the same operations gave other results")


def test_a_state_that_comes_from_outside_is_found() -> None:
    outside = itertools.count()

    class Dicey(Counters):
        def apply(self, ops: Sequence[Add]) -> list[int | None]:
            results = super().apply(ops)
            self.counts["when"] = next(outside)
            return results

    found(Dicey, "the same operations made another state")


def test_results_that_depend_on_the_batch_are_found() -> None:
    class Batching(Counters):
        def apply(self, ops: Sequence[Add]) -> list[int | None]:
            super().apply(ops)
            return [self.counts.get(op.name) for op in ops]

    found(Batching, "other batches gave other results")


def test_a_batch_that_is_dropped_whole_is_found() -> None:
    class AllOrNothing(Counters):
        def apply(self, ops: Sequence[Add]) -> list[int | None]:
            before = dict(self.counts)
            results = super().apply(ops)
            if None in results:
                self.counts = before
            return [0 for _ in ops]

    found(AllOrNothing, "other batches made another state")


def test_too_few_results_are_found() -> None:
    class Short(Counters):
        def apply(self, ops: Sequence[Add]) -> list[int | None]:
            return [r for r in super().apply(ops) if r is not None]

    found(Short, "11 operations gave 10 results")


def test_a_snapshot_that_leaves_something_out_is_found() -> None:
    class Leaky(Counters):
        """Forgets in its snapshot who was refused, which its results tell of."""

        def __init__(self) -> None:
            super().__init__()
            self.refused = 0

        def apply(self, ops: Sequence[Add]) -> list[int | None]:
            results = []
            for result in super().apply(ops):
                self.refused += result is None
                results.append(self.refused)
            return results

    found(Leaky, "a restored state gave other results")


def test_a_restore_that_merges_is_found() -> None:
    class Merging(Counters):
        def adopt(self, image: dict[str, int]) -> None:
            self.counts.update(image)

    found(Merging, "an adopted snapshot is another state")


def test_a_restore_that_does_not_wait_for_adopt_is_found() -> None:
    class Hasty(Counters):
        def restore(self, chunks: Iterable[bytes]) -> dict[str, int]:
            self.counts = super().restore(chunks)
            return self.counts

    found(Hasty, "restore changed the state")


def test_a_restore_that_goes_by_the_chunks_it_wrote_is_found() -> None:
    class ByChunk(Counters):
        def snapshot(self) -> Iterator[bytes]:
            return iter([json.dumps(pair).encode() for pair in sorted(self.counts.items())])

        def restore(self, chunks: Iterable[bytes]) -> dict[str, int]:
            return dict(map(json.loads, chunks))

    found(ByChunk, "other chunks than they were written in")


def test_a_snapshot_of_a_state_that_goes_on_is_found() -> None:
    class Live(Counters):
        def snapshot(self) -> Iterator[bytes]:
            yield json.dumps(self.counts, sort_keys=True).encode()

    found(Live, "what was applied later is in the snapshot")


def test_a_restore_that_trips_over_damage_is_found() -> None:
    class Trusting(Counters):
        def restore(self, chunks: Iterable[bytes]) -> dict[str, int]:
            return {name: count + 0 for name, count in json.loads(b"".join(chunks)).items()}

    found(Trusting, "only a ValueError")


@dataclass
class Box:
    amount: int


class BoxCodec:
    def encode(self, op: Box) -> bytes:
        return b"%d" % op.amount

    def decode(self, data: bytes) -> Box:
        return Box(int(data))


class Spending:
    """Changes the operations it applies."""

    def apply(self, ops: Sequence[Box]) -> list[None]:
        for op in ops:
            op.amount = 0
        return [None for _ in ops]

    def snapshot(self) -> Iterator[bytes]:
        return iter([b""])

    def restore(self, chunks: Iterable[bytes]) -> None:
        if b"".join(chunks):
            raise ValueError("more than nothing")

    def adopt(self, image: None) -> None: ...


def test_operations_that_are_changed_when_applied_are_found() -> None:
    class Exact(BoxCodec):
        def decode(self, data: bytes) -> Box:
            if b"%d" % int(data) != data:
                raise ValueError(data)
            return super().decode(data)

    with pytest.raises(ContractBroken, match="applying changed an operation"):
        check_state_machine(Spending, [Box(1), Box(2)], codec=Exact())


class TestCodecs:
    def test_one_that_loses_something_is_found(self) -> None:
        class Lossy(AddCodec):
            def decode(self, data: bytes) -> Add:
                return Add(super().decode(data).name, 0)

        with pytest.raises(ContractBroken, match="comes back as"):
            check_codec(Lossy(), OPS)

    def test_one_that_encodes_otherwise_the_second_time_is_found(self) -> None:
        numbers = itertools.count()

        class Numbering(AddCodec):
            def encode(self, op: Add) -> bytes:
                return b"%d " % next(numbers) + json.dumps([op.name, op.amount]).encode()

            def decode(self, data: bytes) -> Add:
                return Add(*json.loads(data.split(b" ", 1)[1]))

        with pytest.raises(ContractBroken, match="other bytes than before"):
            check_codec(Numbering(), OPS)

    def test_one_that_raises_what_nobody_expects_is_found(self) -> None:
        class Trusting(AddCodec):
            def decode(self, data: bytes) -> Add:
                name, amount = json.loads(data)
                return Add(name, amount)

        with pytest.raises(ContractBroken, match="only a ValueError"):
            check_codec(Trusting(), [Add("a", 1)], seed=1)

    def test_an_operation_over_the_limit_is_found(self) -> None:
        with pytest.raises(ContractBroken, match="an entry takes"):
            check_codec(BytesCodec(), [bytes(MAX_ENTRY_DATA_BYTES + 1)])
