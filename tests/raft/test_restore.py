"""``Raft.restore`` (hashicorp/raft ``Restore``) in whole clusters; the core's side is in the transcripts."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack

import pytest
import trio

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.errors import NotLeader, OutcomeUnknown, ProposalRefused
from raft_over_libp2p.raft import Raft
from raft_over_libp2p.storage.data_folder import DataFolder
from raft_over_libp2p.storage.recovery import load_initial_state
from raft_over_libp2p.types import Index, LogType
from raft_over_libp2p.wire.configuration import GoConfigurationCodec
from tests.raft.cluster import Cluster, ListFSM, Node, running, wait_until_equal


def snapshot_of(*applied: bytes) -> list[bytes]:
    return [json.dumps([data.hex() for data in applied]).encode()]


def failing() -> Iterator[bytes]:
    yield b"["
    raise RuntimeError("the backup's disk is gone")


def snapshots_of(node: Node) -> list[str]:
    return node.fs.listdir("/peer/raft/snapshots")


async def filled(cluster: Cluster) -> Node:
    leader = await cluster.leader()
    await leader.raft.apply_many([b"old %d" % n for n in range(5)], timeout_s=5)
    await wait_until_equal(list(cluster.nodes.values()), [b"old %d" % n for n in range(5)])
    return leader


@pytest.mark.parametrize("size", [1, 2, 3, 5])
async def test_every_server_ends_with_just_the_restored_state(
    autojump_clock: trio.testing.MockClock, size: int
) -> None:
    async with running(size) as cluster:
        leader = await filled(cluster)
        before = leader.raft.applied_index
        index = await leader.raft.restore(snapshot_of(b"new"), timeout_s=10)
        assert (before + 1, [b"new"]) == (index, leader.fsm.applied)
        await wait_until_equal(list(cluster.nodes.values()), [b"new"])
        await leader.raft.apply(b"more", timeout_s=5)
        await wait_until_equal(list(cluster.nodes.values()), [b"new", b"more"])
        assert leader.raft.is_leader


async def test_a_restart_finds_the_restored_state(autojump_clock: trio.testing.MockClock) -> None:
    async with running(1) as cluster:
        leader = await filled(cluster)
        await leader.raft.restore(snapshot_of(b"new"), timeout_s=10)
        await leader.raft.apply(b"more", timeout_s=5)
    (node,) = cluster.nodes.values()
    async with node.open(cluster.network, cluster.config) as raft:
        await raft.wait_for_leader(timeout_s=30)
        await wait_until_equal([node], [b"new", b"more"])


async def test_restoring_twice_is_a_matter_of_two_entries(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running(3) as cluster:
        leader = await filled(cluster)
        first = await leader.raft.restore(snapshot_of(b"one"), timeout_s=10)
        second = await leader.raft.restore(snapshot_of(b"two"), timeout_s=10)
        assert first < second
        await wait_until_equal(list(cluster.nodes.values()), [b"two"])


async def test_a_follower_does_not_restore(autojump_clock: trio.testing.MockClock) -> None:
    async with running(3) as cluster:
        leader = await filled(cluster)
        with pytest.raises(NotLeader):
            await cluster.followers(leader)[0].raft.restore(snapshot_of(b"new"), timeout_s=10)


@pytest.mark.parametrize(
    ("chunks", "why"),
    [
        (lambda: [b"no JSON"], "nothing was restored: Expecting value"),
        (failing, "the snapshot could not be read: RuntimeError"),
    ],
)
async def test_what_is_no_state_is_refused_and_nothing_changes(
    autojump_clock: trio.testing.MockClock, chunks: Callable[[], Iterable[bytes]], why: str
) -> None:
    async with running(3) as cluster:
        leader = await filled(cluster)
        before = list(leader.fsm.applied)
        with pytest.raises(ProposalRefused, match=why):
            await leader.raft.restore(chunks(), timeout_s=10)
        assert (True, before, []) == (
            leader.raft.is_leader, leader.fsm.applied, snapshots_of(leader),
        )  # fmt: skip
        await leader.raft.apply(b"goes on", timeout_s=5)
        await wait_until_equal(list(cluster.nodes.values()), [*before, b"goes on"])


async def leader_among(nodes: Sequence[Node]) -> Node:
    with trio.fail_after(30):
        while not (leading := [node for node in nodes if node.raft.is_leader]):
            await nodes[0].raft.changed()
    return leading[0]


def refuse_snapshots(node: Node) -> None:
    """Have this server say that it cannot take a snapshot in."""

    def restore(_chunks: Iterable[bytes]) -> list[bytes]:
        raise ValueError("not now")

    node.fsm.restore = restore  # type: ignore[method-assign]


async def expect_unknown(leader: Node, timeout_s: float, why: str) -> None:
    with pytest.raises(OutcomeUnknown, match=f"may yet be restored: {why}"):
        await leader.raft.restore(snapshot_of(b"new"), timeout_s=timeout_s)


async def test_nothing_else_is_taken_meanwhile_and_a_read_sees_the_old_state(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running(3) as cluster:
        leader = await filled(cluster)
        before = list(leader.fsm.applied)
        for follower in cluster.followers(leader):
            refuse_snapshots(follower)
        other = cluster.followers(leader)[0].server_id
        refused: list[str] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_unknown, leader, 0.5, "it took too long")
            await trio.sleep(0.2)
            for call in (
                leader.raft.apply(b"x", timeout_s=1),
                leader.raft.restore(snapshot_of(b"y"), timeout_s=1),
                leader.raft.leadership_transfer(timeout_s=1),
                leader.raft.remove_server(other, timeout_s=1),
            ):
                with pytest.raises(ProposalRefused) as error:
                    await call
                refused.append(str(error.value))
            await leader.raft.read_index(timeout_s=1)
            assert before == leader.fsm.applied
        assert ["a restore is in progress"] * 4 == refused


async def test_one_that_cannot_be_finished_ends_the_reign_and_the_old_state_goes_on(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Nobody took it, but this leader cannot know: it never writes another entry at that place."""
    async with running(3) as cluster:
        leader = await filled(cluster)
        before = list(leader.fsm.applied)
        term = leader.raft.status().core.term
        for follower in cluster.followers(leader):
            refuse_snapshots(follower)
        await expect_unknown(leader, 0.5, "it took too long")
        assert [] == snapshots_of(leader)
        assert not leader.raft.is_leader
        again = await cluster.leader()
        assert again.raft.status().core.term > term
        await again.raft.apply(b"goes on", timeout_s=5)
        await wait_until_equal(list(cluster.nodes.values()), [*before, b"goes on"])


async def test_a_leader_without_a_majority_keeps_its_state_and_a_follower_that_took_it_is_healed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """One of four others took the snapshot; the majority never hears of it (rule 11)."""
    config = RaftConfig(snapshot_threshold=4, trailing_logs=0, snapshot_interval_s=1)
    async with running(5, config) as cluster:
        leader = await filled(cluster)
        before = list(leader.fsm.applied)
        first, *others = cluster.followers(leader)
        for follower in others:
            refuse_snapshots(follower)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_unknown, leader, 20, "this server leads no more")
            with trio.fail_after(10):
                while first.fsm.applied != [b"new"]:
                    await first.raft.changed()
            cluster.network.partition(
                [leader.server_id, first.server_id], [node.server_id for node in others]
            )
        assert before == leader.fsm.applied
        newer = await leader_among(others)
        for follower in others:
            del follower.fsm.restore
        cluster.network.heal()
        await newer.raft.apply_many([b"%d" % n for n in range(10)], timeout_s=5)
        expected = [*before, *(b"%d" % n for n in range(10))]
        await wait_until_equal([leader, *others], expected)
        await newer.raft.apply(b"last", timeout_s=5)
        await wait_until_equal(list(cluster.nodes.values()), [*expected, b"last"])


async def test_what_a_majority_took_survives_the_leader(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running(3) as cluster:
        leader = await filled(cluster)
        followers = cluster.followers(leader)
        await leader.raft.restore(snapshot_of(b"new"), timeout_s=10)
        cluster.network.isolate(leader.server_id)
        newer = await leader_among(followers)
        await newer.raft.apply(b"more", timeout_s=5)
        cluster.network.heal()
        await wait_until_equal(list(cluster.nodes.values()), [b"new", b"more"])


async def test_a_full_disk_of_the_leader_is_told_and_nothing_changes(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running(3) as cluster:
        leader = await filled(cluster)
        before = list(leader.fsm.applied)
        leader.fs.full_writes = {leader.fs.writes + 1}
        with pytest.raises(ProposalRefused, match="nothing was restored: no space"):
            await leader.raft.restore(snapshot_of(b"new"), timeout_s=10)
        assert (before, []) == (leader.fsm.applied, snapshots_of(leader))
        await leader.raft.restore(snapshot_of(b"new"), timeout_s=10)
        await wait_until_equal(list(cluster.nodes.values()), [b"new"])


async def test_a_server_that_shuts_down_tells_the_caller(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running(3) as cluster:
        leader = await filled(cluster)
        for follower in cluster.followers(leader):
            refuse_snapshots(follower)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_unknown, leader, 10, "this server is shutting down")
            await trio.sleep(0.2)
            await leader.raft.shutdown()


async def test_a_nonvoter_gets_it_too(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with running(3) as cluster:
        leader = await filled(cluster)
        demoted = cluster.followers(leader)[0]
        await leader.raft.demote_voter(demoted.server_id, timeout_s=5)
        await leader.raft.restore(snapshot_of(b"new"), timeout_s=10)
        await wait_until_equal(list(cluster.nodes.values()), [b"new"])


async def test_it_works_with_threads_and_on_real_time() -> None:
    cluster = Cluster(3)
    async with AsyncExitStack() as stack:
        for node in cluster.nodes.values():
            await stack.enter_async_context(
                node.open(cluster.network, cluster.config, sync_inline=False)
            )
        leader = await filled(cluster)
        await leader.raft.restore(snapshot_of(b"new"), timeout_s=10)
        await wait_until_equal(list(cluster.nodes.values()), [b"new"])


async def test_a_crash_at_any_step_leaves_the_old_state_or_the_restored_one(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Until the snapshot has its name a restart finds nothing of it; from then on, all of it."""
    async with running(1) as cluster:
        leader = await filled(cluster)
        old = list(leader.fsm.applied)
        found: list[list[bytes]] = []
        dice = random.Random(11)

        def check() -> None:
            for _ in range(2):
                image = leader.fs.crash(dice)
                with DataFolder.open("/peer/raft", leader.server_id, fs=image) as stores:
                    found.append(_state_in(stores))

        for directory in ("/", "/peer"):
            leader.fs.sync_directory(directory)
        leader.fs.after_change = check
        await leader.raft.restore(snapshot_of(b"new"), timeout_s=10)
        leader.fs.after_change = None
    assert [b"new"] in found
    assert all(state in (old, [b"new"]) for state in found)
    first_new = found.index([b"new"])
    assert first_new > 10


def _state_in(stores: DataFolder) -> list[bytes]:
    """Return what a server that starts from ``stores`` holds when its log is agreed on."""
    initial = load_initial_state(stores, GoConfigurationCodec())
    fsm = ListFSM()
    info = stores.snapshots.newest_restorable()
    if info is not None:
        fsm.adopt(fsm.restore([stores.snapshots.open(info).read(1 << 20)]))
    low, last = Index(initial.applied_index + 1), stores.log.last_index()
    kept = stores.log.entries(low, last, 1 << 20)
    fsm.apply([entry for entry in kept if entry.type is LogType.COMMAND])
    return fsm.applied


async def test_one_that_is_given_up_while_it_is_written_leaves_nothing_and_another_may_follow() -> (
    None
):
    """Its bytes take longer than the caller waits: definitely not done, and dropped when written."""
    cluster = Cluster(1)
    (node,) = cluster.nodes.values()
    released = threading.Event()

    def slow() -> Iterator[bytes]:
        released.wait(10)
        yield from snapshot_of(b"slow")

    async with node.open(cluster.network, cluster.config, sync_inline=False) as raft:
        await filled(cluster)
        with pytest.raises(ProposalRefused, match="nothing was restored: it took too long"):
            await raft.restore(slow(), timeout_s=1)
        with pytest.raises(ProposalRefused, match="a restore is in progress"):
            await raft.restore(snapshot_of(b"new"), timeout_s=1)
        released.set()
        with trio.fail_after(10):
            while snapshots_of(node) or not await _restored(raft):
                await trio.lowlevel.checkpoint()
        assert [b"new"] == node.fsm.applied


async def _restored(raft: Raft[bytes, int]) -> bool:
    try:
        await raft.restore(snapshot_of(b"new"), timeout_s=5)
    except ProposalRefused:
        return False
    return True
