"""``Raft[Op, Result]``: operations and results of a program's own types."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager

import pytest

from raft_over_libp2p.errors import LocalProtocolError
from raft_over_libp2p.raft import OpCodec, Raft
from raft_over_libp2p.storage.data_folder import DataFolder
from raft_over_libp2p.testing.fake_filesystem import FakeFileSystem
from raft_over_libp2p.transport.memory import MemoryNetwork
from raft_over_libp2p.types import Configuration, LogEntry, ServerID
from raft_over_libp2p.wire.configuration import GoConfigurationCodec

N1 = ServerID("n1")


class Sum:
    """Adds numbers up; the result of an addition is the sum after it."""

    def __init__(self) -> None:
        self.total = 0

    def apply(self, ops: Sequence[int]) -> list[int]:
        results = []
        for op in ops:
            self.total += op
            results.append(self.total)
        return results

    def snapshot(self) -> Iterator[bytes]:
        return iter([b"%d" % self.total])

    def restore(self, chunks: Iterable[bytes]) -> int:
        return int(b"".join(chunks))

    def adopt(self, image: int) -> None:
        self.total = image


class Decimal:
    def encode(self, op: int) -> bytes:
        return b"%d" % op

    def decode(self, data: bytes) -> int:
        return int(data)


class AsBytes:
    """Writes what ``Decimal`` does not read."""

    def encode(self, op: int) -> bytes:
        return b"not a number"

    def decode(self, data: bytes) -> int:
        return 0


class Forgetful(Sum):
    """Gives too few results."""

    def apply(self, ops: Sequence[int]) -> list[int]:
        return super().apply(ops)[1:]


def disk() -> FakeFileSystem:
    fs = FakeFileSystem()
    fs.mkdir("/peer")
    return fs


@asynccontextmanager
async def single(
    machine: Sum, fs: FakeFileSystem, codec: OpCodec[int] | None = None
) -> AsyncIterator[Raft[int, int]]:
    with DataFolder.open("/peer/raft", N1, fs=fs, segment_bytes=65536) as folder:
        if folder.is_fresh:
            folder.bootstrap(Configuration.of_voters(N1), GoConfigurationCodec())
        async with Raft.open(
            folder=folder,
            transport=MemoryNetwork().transport(N1),
            state_machine=machine,
            codec=codec or Decimal(),
            rng=random.Random(1),
            sync_inline=True,
        ) as raft:
            await raft.wait_for_leader(timeout_s=10)
            yield raft


async def test_an_operation_gives_the_state_machines_result(autojump_clock) -> None:
    async with single(Sum(), disk()) as raft:
        assert 5 == await raft.apply(5, timeout_s=5)


async def test_operations_given_together_give_their_results_in_order(autojump_clock) -> None:
    async with single(Sum(), disk()) as raft:
        assert [1, 3, 6] == await raft.apply_many([1, 2, 3], timeout_s=5)


async def test_a_state_machine_is_brought_up_to_date_from_snapshot_and_log(
    autojump_clock,
) -> None:
    fs = disk()
    async with single(Sum(), fs) as raft:
        await raft.apply(5, timeout_s=5)
        await raft.snapshot(timeout_s=5)
        await raft.apply(6, timeout_s=5)
    machine = Sum()

    async with single(machine, fs) as raft:
        await raft.barrier(timeout_s=5)

        assert 11 == machine.total


async def test_what_the_codec_cannot_encode_is_not_proposed(autojump_clock) -> None:
    class Refusing(Decimal):
        def encode(self, op: int) -> bytes:
            raise ValueError(op)

    async with single(Sum(), disk(), Refusing()) as raft:
        last = raft.status().core.last_index

        with pytest.raises(ValueError, match="7"):
            await raft.apply(7, timeout_s=5)

        assert last == raft.status().core.last_index


async def test_an_entry_that_does_not_decode_stops_the_server_and_names_it(
    autojump_clock,
) -> None:
    fs = disk()
    async with single(Sum(), fs, AsBytes()) as raft:
        await raft.apply(1, timeout_s=5)

    with pytest.raises(LocalProtocolError, match="entry 3 does not decode"):
        async with single(Sum(), fs) as raft:
            await raft.barrier(timeout_s=5)


async def test_a_state_machine_with_too_few_results_stops_the_server(autojump_clock) -> None:
    with pytest.raises(LocalProtocolError, match="0 results for 1 operations"):
        async with single(Forgetful(), disk()) as raft:
            await raft.apply(1, timeout_s=5)


async def test_an_fsm_sees_whole_entries(autojump_clock) -> None:
    seen: list[LogEntry] = []

    class Entries(Sum):
        def apply(self, entries: Sequence[LogEntry]) -> list[int]:
            seen.extend(entries)
            return [entry.index for entry in entries]

    with DataFolder.open("/peer/raft", N1, fs=disk(), segment_bytes=65536) as folder:
        folder.bootstrap(Configuration.of_voters(N1), GoConfigurationCodec())
        async with Raft.open_fsm(
            folder=folder,
            transport=MemoryNetwork().transport(N1),
            fsm=Entries(),
            rng=random.Random(1),
            sync_inline=True,
        ) as raft:
            await raft.wait_for_leader(timeout_s=10)

            index = await raft.apply(b"op", timeout_s=5, extensions=b"beside")

    assert [(index, b"op", b"beside")] == [(e.index, e.data, e.extensions) for e in seen]
