"""What a server counts and times of its own work."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import pytest
import trio

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core.ready import (
    Alarm,
    HeartbeatFailed,
    LeaderChanged,
    Role,
    RoleChanged,
    Write,
)
from raft_over_libp2p.raft.metrics import BOUNDS_S, Metrics
from raft_over_libp2p.types import BatchID, Index, LogEntry, ServerID, Term
from tests.core.logs import entry
from tests.raft.cluster import IDS, Cluster, ListFSM, running, wait_until_equal


def wrote(metrics: Metrics, batch: int, *indexes: int, at: float) -> None:
    write = Write(batch=BatchID(batch), append=tuple(entry(index, 1) for index in indexes))
    metrics.written(write, 10 * len(indexes), at)


def leading() -> Metrics:
    metrics = Metrics()
    metrics.observed(RoleChanged(Role.LEADER, Term(1)))
    return metrics


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.0011, 0.05, 2.5, 2.6, 1000.0])
def test_a_duration_counts_in_every_bound_it_is_within(seconds: float) -> None:
    metrics = Metrics()

    metrics.turned(1.0, 1.0 + seconds)

    turns = metrics.picture().turns
    assert (1, pytest.approx(seconds)) == (turns.count, turns.total_s)
    assert [bound for bound, n in zip(BOUNDS_S, turns.within, strict=True) if n] == [
        bound for bound in BOUNDS_S if bound >= turns.total_s
    ]


def test_a_write_is_timed_until_it_or_a_later_one_is_durable() -> None:
    metrics = Metrics()
    wrote(metrics, 1, 1, 2, at=10.0)
    wrote(metrics, 2, 3, at=10.5)
    wrote(metrics, 3, 4, at=10.75)

    metrics.persisted(BatchID(2), 11.0)

    picture = metrics.picture()
    assert (2, 1.5, 1.0) == (
        picture.writes.count, picture.writes.total_s, picture.writes.longest_s,
    )  # fmt: skip
    assert (4, 40) == (picture.entries_written, picture.bytes_written)


def test_a_write_that_failed_is_not_timed() -> None:
    metrics = Metrics()
    wrote(metrics, 1, 1, at=10.0)

    metrics.write_failed()
    metrics.persisted(BatchID(2), 99.0)

    assert 0 == metrics.picture().writes.count


def test_a_leader_times_its_entries_until_they_are_applied() -> None:
    metrics = leading()
    wrote(metrics, 1, 1, 2, at=10.0)
    wrote(metrics, 2, 3, at=10.0)

    metrics.applied(2, Index(2), 10.25, 10.5)

    picture = metrics.picture()
    assert (1, 0.25) == (picture.commits.count, picture.commits.total_s)
    assert (1, 0.25, 2) == (
        picture.applies.count, picture.applies.total_s, picture.entries_applied,
    )  # fmt: skip


def test_what_a_deposed_leader_had_under_way_is_not_timed() -> None:
    metrics = leading()
    wrote(metrics, 1, 1, at=10.0)

    metrics.observed(RoleChanged(Role.FOLLOWER, Term(2)))
    wrote(metrics, 2, 2, at=10.0)
    metrics.applied(2, Index(2), 99.0, 99.0)

    assert 0 == metrics.picture().commits.count


def test_what_is_observed_is_counted() -> None:
    metrics = Metrics()
    n1 = ServerID("n1")
    for seen in (
        *[RoleChanged(Role.CANDIDATE, Term(1))] * 3, *[RoleChanged(Role.LEADER, Term(3))] * 2,
        LeaderChanged(n1, Term(3)), LeaderChanged(None, Term(4)), *[Alarm(n1, "odd")] * 4,
        *[HeartbeatFailed(n1, None)] * 5,
    ):  # fmt: skip
        metrics.observed(seen)

    picture = metrics.picture()
    assert (3, 2, 1, 4, 5) == (
        picture.campaigns, picture.reigns, picture.leader_changes, picture.alarms,
        picture.heartbeats_failed,
    )  # fmt: skip


def test_batches_that_nobody_ends_take_no_more_memory() -> None:
    metrics = leading()
    for batch in range(1, 5000):
        wrote(metrics, batch, batch, at=float(batch))

    metrics.persisted(BatchID(5000), 5000.0)
    metrics.applied(0, Index(5000), 5000.0, 5000.0)

    picture = metrics.picture()
    assert (4999, 1024, 1024) == (
        picture.entries_written, picture.writes.count, picture.commits.count,
    )  # fmt: skip


async def test_a_cluster_counts_what_it_was_given(autojump_clock) -> None:
    async with running(config=replace(RaftConfig(), trailing_logs=0)) as cluster:
        leader = await cluster.leader()
        await leader.raft.apply_many([b"a", b"b"], timeout_s=5)
        await leader.raft.apply(b"c", timeout_s=5)
        await leader.raft.snapshot(timeout_s=5)
        await wait_until_equal(list(cluster.nodes.values()), [b"a", b"b", b"c"])
        led = leader.raft.metrics()
        followed = cluster.followers(leader)[0].raft.metrics()

    assert (1, 3, 1, 1) == (
        led.reigns, led.entries_applied, led.leader_changes, led.snapshots_begun,
    )  # fmt: skip
    assert 4 == led.entries_written  # with the one of its election
    assert 2 == led.commits.count  # one a write, from the first as leader on
    assert 0.001 <= led.commits.total_s / 2 < 0.05  # the network's delay, and no more
    assert (0, 0, 3) == (followed.reigns, followed.commits.count, followed.entries_applied)
    assert 0 < led.turns.count


async def test_the_state_machine_is_timed(autojump_clock: trio.testing.MockClock) -> None:
    class Slow(ListFSM):
        def apply(self, entries: Sequence[LogEntry]) -> Sequence[int]:
            autojump_clock.jump(0.25)
            return super().apply(entries)

    cluster = Cluster(1)
    node = cluster.nodes[IDS[0]]
    async with node.open(cluster.network, cluster.config) as raft:
        raft._driver._fsm = slow = Slow()
        await raft.wait_for_leader(timeout_s=10)
        await raft.apply(b"a", timeout_s=5)
        applies = raft.metrics().applies

    assert [b"a"] == slow.applied
    assert (1, pytest.approx(0.25)) == (applies.count, applies.total_s)


async def test_a_follower_that_takes_a_snapshot_counts_it(autojump_clock) -> None:
    async with running(config=replace(RaftConfig(), trailing_logs=0)) as cluster:
        leader = await cluster.leader()
        behind = cluster.followers(leader)[0]
        cluster.network.isolate(behind.server_id)
        await leader.raft.apply_many([json.dumps(n).encode() for n in range(50)], timeout_s=5)
        await leader.raft.snapshot(timeout_s=5)
        cluster.network.heal()
        await wait_until_equal([behind], leader.fsm.applied)

        assert (1, 0) == (
            behind.raft.metrics().snapshots_adopted, leader.raft.metrics().snapshots_adopted,
        )  # fmt: skip
