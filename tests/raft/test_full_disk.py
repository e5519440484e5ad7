"""A server whose disk is full leads no more, refuses what it cannot keep, and comes back (rule 9)."""

from __future__ import annotations

import pytest
import trio

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.errors import OutcomeUnknown, ProposalRefused
from tests.raft.cluster import Node, running, wait_until_equal


async def overfill(node: Node) -> None:
    """Have a leader take more than its disk has room for."""
    node.fs.capacity_bytes = 0
    with pytest.raises((OutcomeUnknown, ProposalRefused)):
        await node.raft.apply_many([bytes(60000)] * 8, timeout_s=5)


async def test_rule_9_a_leader_whose_disk_is_full_leaves_its_term_at_once(autojump_clock) -> None:
    """Mixed-cluster rule 9: leadership ends before anything else, and nothing is written twice."""
    async with running() as cluster:
        leader = await cluster.leader()

        await overfill(leader)

        assert not leader.raft.is_leader


async def test_rule_9_a_cluster_goes_on_when_its_leader_has_no_room(autojump_clock) -> None:
    async with running() as cluster:
        old = await cluster.leader()
        term = old.raft.status().core.term
        await overfill(old)

        with trio.fail_after(60):
            new = await cluster.leader()
            while new.raft.status().core.term == term:
                await new.raft.changed()
                new = await cluster.leader()

        await new.raft.apply(b"small", timeout_s=20)
        assert [b"small"] == new.fsm.applied


async def test_rule_9_a_server_takes_part_again_when_its_disk_has_room(autojump_clock) -> None:
    async with running() as cluster:
        old = await cluster.leader()
        await overfill(old)
        old.fs.capacity_bytes = None
        with trio.fail_after(60):
            new = await cluster.leader()

        await new.raft.apply_many([bytes(60000)] * 8, timeout_s=20)

        await wait_until_equal([old], new.fsm.applied)


async def test_rule_9_a_server_waits_for_space_where_its_log_cannot_be_begun_behind_a_snapshot(
    autojump_clock,
) -> None:
    """The snapshot is durable, so neither the old log nor an empty one fits what is on the disk."""
    async with running(config=RaftConfig(trailing_logs=0)) as cluster:
        leader = await cluster.leader()
        behind = next(node for node in cluster.nodes.values() if node is not leader)
        cluster.network.isolate(behind.server_id)
        await leader.raft.apply_many([b"%d" % number for number in range(30)], timeout_s=5)
        await leader.raft.snapshot(timeout_s=5)

        def fill_up_when_it_is_there() -> None:
            snapshots = behind.fs.listdir("/peer/raft/snapshots")
            if any(not name.endswith(".tmp") for name in snapshots):
                behind.fs.capacity_bytes = 0
                behind.fs.full_writes = set(range(behind.fs.writes, behind.fs.writes + 100_000))

        behind.fs.after_change = fill_up_when_it_is_there
        cluster.network.heal()
        await trio.sleep(20)
        with pytest.raises(ProposalRefused, match="full"):
            await behind.raft.apply(b"x", timeout_s=1)

        behind.fs.after_change = behind.fs.capacity_bytes = None
        behind.fs.full_writes = set()
        await wait_until_equal([behind], leader.fsm.applied)
