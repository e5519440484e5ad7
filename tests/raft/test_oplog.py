from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import trio

from raft_over_libp2p.errors import InconsistentState, NoState
from raft_over_libp2p.oplog import OpLog
from raft_over_libp2p.storage.data_folder import DataFolder
from raft_over_libp2p.transport.memory import MemoryNetwork
from raft_over_libp2p.types import Configuration
from raft_over_libp2p.wire.configuration import GoConfigurationCodec
from tests.raft.cluster import IDS, Node


@dataclass(frozen=True)
class Total:
    """A sum that takes no 13; a rollback entry ``=N`` sets it."""

    value: int = 0

    def apply(self, ops: Sequence[int]) -> Total:
        if 13 in ops:
            raise ValueError(13)
        return Total(self.value + sum(ops))

    def merge(self, payload: bytes) -> Total:
        if not payload.startswith(b"="):
            raise ValueError(payload)
        return Total(int(payload[1:]))

    def snapshot_chunks(self) -> Iterator[bytes]:
        return iter([b"%d" % self.value])

    def restore(self, chunks: Iterable[bytes]) -> Total:
        return Total(int(b"".join(chunks)))


class Decimal:
    def encode(self, op: int) -> bytes:
        return b"%d" % op

    def decode(self, data: bytes) -> int:
        return int(data)


@asynccontextmanager
async def single() -> AsyncIterator[OpLog[Total, int]]:
    """An operation log on a cluster of one that leads already."""
    node = Node(IDS[0], IDS[:1])
    with DataFolder.open("/peer/raft", IDS[0], fs=node.fs, segment_bytes=65536) as folder:
        folder.bootstrap(Configuration.of_voters(IDS[0]), GoConfigurationCodec())
        async with OpLog.open(
            folder=folder,
            transport=MemoryNetwork().transport(IDS[0]),
            state=Total(),
            codec=Decimal(),
            rng=random.Random(1),
            sync_inline=True,
        ) as log:
            await log.raft.wait_for_leader(timeout_s=10)
            yield log


async def test_before_the_first_operation_there_is_no_agreed_state(autojump_clock) -> None:
    async with single() as log:
        with pytest.raises(NoState):
            log.log_head()


async def test_committed_operations_are_in_the_log_head(autojump_clock) -> None:
    async with single() as log:
        await log.commit_op(2, timeout_s=5)
        await log.commit_ops([3, 4], timeout_s=5)

        assert Total(9) == log.log_head()


async def test_a_log_head_taken_earlier_does_not_change(autojump_clock) -> None:
    async with single() as log:
        await log.commit_op(2, timeout_s=5)
        earlier = log.log_head()

        await log.commit_op(3, timeout_s=5)

        assert Total(2) == earlier


async def test_an_entry_that_is_neither_operation_nor_rollback_makes_the_state_inconsistent(
    autojump_clock,
) -> None:
    async with single() as log:
        await log.raft.apply(b"neither", timeout_s=5)

        with pytest.raises(InconsistentState, match="entry 3"):
            log.log_head()


async def test_operations_are_applied_while_the_state_is_inconsistent(autojump_clock) -> None:
    async with single() as log:
        await log.commit_op(1, timeout_s=5)
        await log.raft.apply(b"neither", timeout_s=5)
        await log.commit_op(2, timeout_s=5)
        await log.raft.apply(b"=100", timeout_s=5)
        await log.commit_op(5, timeout_s=5)

        assert Total(105) == log.log_head()


async def test_an_operation_the_state_cannot_take_makes_it_inconsistent(autojump_clock) -> None:
    async with single() as log:
        await log.raft.apply_many([b"1", b"13", b"2"], timeout_s=5)

        with pytest.raises(InconsistentState, match="entry 4"):
            log.log_head()


async def test_the_operations_beside_one_the_state_cannot_take_are_applied(autojump_clock) -> None:
    async with single() as log:
        await log.raft.apply_many([b"1", b"13", b"2"], timeout_s=5)

        assert Total(3) == log._fsm.state


async def test_a_rollback_entry_ends_an_inconsistency(autojump_clock) -> None:
    async with single() as log:
        await log.raft.apply_many([b"1", b"neither", b"2", b"=7", b"1"], timeout_s=5)

        assert Total(8) == log.log_head()


async def test_a_subscriber_sees_the_newest_state_and_not_each(autojump_clock) -> None:
    async with single() as log:
        states = log.subscribe()
        await log.commit_op(1, timeout_s=5)
        assert Total(1) == await anext(states)

        await log.commit_op(2, timeout_s=5)
        await log.commit_op(3, timeout_s=5)

        assert Total(6) == await anext(states)
        await states.aclose()


async def test_a_subscriber_waits_for_the_next_change(autojump_clock) -> None:
    async with single() as log:
        states = log.subscribe()
        seen: list[Total] = []

        async def follow() -> None:
            seen.append(await anext(states))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            await log.commit_op(1, timeout_s=5)

        assert [Total(1)] == seen
        await states.aclose()
