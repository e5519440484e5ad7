"""Parts of snapshots that wait for the rest: how many, how large, how long."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
import trio.testing

from raft_over_libp2p import limits
from raft_over_libp2p.core.events import Event
from raft_over_libp2p.core.messages import InstallSnapshotRequest
from raft_over_libp2p.errors import StorageError
from raft_over_libp2p.raft.snapshots import Snapshots
from raft_over_libp2p.raft.spooling import ResumableSpooled
from raft_over_libp2p.storage.snapshot_store import FileSnapshotStore
from raft_over_libp2p.testing.fake_filesystem import FakeFileSystem
from raft_over_libp2p.types import CallID, Configuration, Index, ServerID, Term
from tests.raft.cluster import ListFSM

LEADER, OTHER, THIRD = (ServerID(name) for name in ("n1", "n2", "n3"))
DATA = b"0123456789"
HASH = hashlib.sha256(DATA).digest()
REQUEST = InstallSnapshotRequest(
    term=Term(3),
    leader=LEADER,
    last_log_index=Index(9),
    last_log_term=Term(2),
    configuration=Configuration.of_voters(LEADER),
    configuration_index=Index(1),
    size_bytes=len(DATA),
)


class World:
    def __init__(self) -> None:
        self.fs = FakeFileSystem()
        self.fs.mkdir("/raft")
        self.is_wanted = True
        self.calls = 0
        self.snapshots = Snapshots(
            FileSnapshotStore(self.fs, "/raft"),
            ListFSM(),
            deliver=self._deliver,
            fail=self._fail,
            wants=lambda _: self.is_wanted,
            is_inline=True,
        )

    def _deliver(self, event: Event) -> None:
        raise AssertionError(event)

    def _fail(self, error: StorageError) -> None:
        raise error

    def resume(
        self,
        peer: ServerID = LEADER,
        request: InstallSnapshotRequest = REQUEST,
        sha256: bytes = HASH,
    ) -> ResumableSpooled:
        self.calls += 1
        spool = self.snapshots.resume(CallID(self.calls), peer, request, sha256)
        assert isinstance(spool, ResumableSpooled)
        return spool

    def leave_part(self, peer: ServerID = LEADER, data: bytes = DATA[:4]) -> None:
        spool = self.resume(peer)
        spool.write(data)
        spool.suspend()

    def unfinished(self) -> int:
        return len(self.fs.listdir("/raft/snapshots"))


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    made = World()
    async with trio.open_nursery() as nursery:
        made.snapshots.run_in(nursery)
        yield made
        nursery.cancel_scope.cancel()


async def test_a_part_is_there_for_the_next_stream_of_the_same_snapshot(autojump_clock) -> None:
    async with world() as w:
        w.leave_part()
        spool = w.resume()
        assert spool.size_bytes == 4
        spool.write(DATA[4:])

        assert HASH == spool.sha256()
        assert w.unfinished() == 1


@pytest.mark.parametrize(
    ("request_", "sha256"),
    [
        (REQUEST, bytes(32)),
        (replace(REQUEST, size_bytes=11), HASH),
        (replace(REQUEST, last_log_index=Index(10)), HASH),
        (replace(REQUEST, last_log_term=Term(3)), HASH),
        (replace(REQUEST, configuration=Configuration.of_voters(OTHER)), HASH),
    ],
)
async def test_another_snapshot_of_the_peer_begins_at_the_start(
    request_: InstallSnapshotRequest, sha256: bytes, autojump_clock
) -> None:
    async with world() as w:
        w.leave_part()

        assert w.resume(request=request_, sha256=sha256).size_bytes == 0
        assert w.unfinished() == 1


async def test_a_new_term_of_its_leader_changes_no_snapshot(autojump_clock) -> None:
    async with world() as w:
        w.leave_part()

        assert w.resume(request=replace(REQUEST, term=Term(4))).size_bytes == 4


async def test_another_leader_begins_at_the_start_and_leaves_the_part_alone(autojump_clock) -> None:
    async with world() as w:
        w.leave_part()

        assert w.resume(OTHER).size_bytes == 0
        assert w.resume().size_bytes == 4


async def test_the_oldest_part_gives_way_to_a_snapshot_that_comes(autojump_clock) -> None:
    async with world() as w:
        w.leave_part(LEADER)
        w.leave_part(OTHER)
        w.leave_part(THIRD)

        assert w.unfinished() == limits.MAX_SNAPSHOTS_SPOOLED
        assert w.resume(LEADER).size_bytes == 0
        assert w.resume(THIRD).size_bytes == 4


async def test_parts_take_only_so_much_of_the_disk(
    autojump_clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_SNAPSHOT_BYTES_KEPT", 7)
    async with world() as w:
        w.leave_part(LEADER)
        w.leave_part(OTHER)

        assert w.unfinished() == 1
        assert w.resume(OTHER).size_bytes == 4


async def test_a_part_is_dropped_when_its_time_is_over(autojump_clock) -> None:
    async with world() as w:
        w.leave_part()
        await trio.sleep(limits.SNAPSHOT_KEPT_S - 1)
        assert w.unfinished() == 1
        await trio.sleep(2)

        assert w.unfinished() == 0


async def test_a_snapshot_that_is_not_wanted_keeps_no_part(autojump_clock) -> None:
    async with world() as w:
        w.leave_part()
        w.is_wanted = False

        assert w.snapshots.resume(CallID(99), LEADER, REQUEST, HASH) is None
        assert w.unfinished() == 0


async def test_a_spool_is_of_no_use_once_its_snapshot_is_not_wanted(autojump_clock) -> None:
    async with world() as w:
        spool = w.resume()
        assert spool.is_of_use
        w.is_wanted = False

        assert not spool.is_of_use


async def test_a_full_disk_ends_a_spool_and_leaves_no_part(autojump_clock) -> None:
    async with world() as w:
        capacity_bytes = w.fs.capacity_bytes
        spool = w.resume()
        spool.write(DATA[:4])
        w.fs.capacity_bytes = 0
        spool.write(DATA[4:])
        assert not spool.is_of_use
        spool.suspend()
        w.fs.capacity_bytes = capacity_bytes

        assert w.resume().size_bytes == 0


async def test_parts_are_gone_when_the_server_stops_or_its_disk_is_full(autojump_clock) -> None:
    async with world() as w:
        w.leave_part()
        w.snapshots.drop_partial()
        assert w.unfinished() == 0
        w.leave_part()
        w.snapshots.close()

        assert w.unfinished() == 0
