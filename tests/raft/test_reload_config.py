from __future__ import annotations

from dataclasses import replace

import pytest
import trio

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.errors import LocalProtocolError, ProposalRefused
from tests.raft.cluster import running


async def test_a_reloaded_config_is_given_back(autojump_clock) -> None:
    async with running(1) as cluster:
        raft = (await cluster.leader()).raft
        wanted = replace(raft.reloadable_config(), trailing_logs=7)

        raft.reload_config(wanted)

        assert wanted == raft.reloadable_config()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("heartbeat_timeout_s", 0.001),
        ("election_timeout_s", 0.001),
        ("snapshot_interval_s", 0.001),
        ("trailing_logs", -1),
        ("snapshot_threshold", 0),
    ],
)
async def test_a_value_out_of_range_is_refused_by_name_and_nothing_changes(
    field: str, value: float, autojump_clock
) -> None:
    async with running(1) as cluster:
        raft = (await cluster.leader()).raft
        before = raft.reloadable_config()

        with pytest.raises(LocalProtocolError, match=field):
            raft.reload_config(replace(before, **{"trailing_logs": 9, field: value}))

        assert before == raft.reloadable_config()


async def test_a_heartbeat_timeout_below_the_leaders_lease_is_refused(autojump_clock) -> None:
    async with running(1) as cluster:
        raft = (await cluster.leader()).raft

        with pytest.raises(LocalProtocolError, match="leader_lease_timeout_s"):
            raft.reload_config(replace(raft.reloadable_config(), heartbeat_timeout_s=0.4))


async def test_rule_6_an_election_timeout_is_not_made_shorter_than_a_promise_already_given(
    autojump_clock,
) -> None:
    async with running(1, RaftConfig(election_timeout_s=3.0, lease_reads=True)) as cluster:
        raft = (await cluster.leader()).raft
        before = raft.reloadable_config()

        with pytest.raises(LocalProtocolError, match="election_timeout_s is 3"):
            raft.reload_config(replace(before, election_timeout_s=2.0))

        assert before == raft.reloadable_config()


async def test_followers_that_go_by_shorter_times_notice_a_dead_leader_sooner(
    autojump_clock,
) -> None:
    slow = RaftConfig(heartbeat_timeout_s=60.0, election_timeout_s=60.0)
    async with running(config=slow) as cluster:
        with trio.fail_after(600):
            for node in cluster.nodes.values():
                while node.raft.leader() is None:
                    await node.raft.changed()
            leader = await cluster.leader()
        await leader.raft.apply(b"a", timeout_s=60)
        for node in cluster.nodes.values():
            quick = replace(
                node.raft.reloadable_config(), heartbeat_timeout_s=1.0, election_timeout_s=1.0
            )
            node.raft.reload_config(quick)
        await leader.raft.shutdown()

        others = cluster.followers(leader)
        with trio.fail_after(15):
            while not any(node.raft.is_leader for node in others):
                await others[0].raft.changed()


async def test_a_cluster_keeps_its_leader_when_its_times_get_shorter(autojump_clock) -> None:
    slow = RaftConfig(heartbeat_timeout_s=60.0, election_timeout_s=60.0)
    async with running(config=slow) as cluster:
        with trio.fail_after(600):
            for node in cluster.nodes.values():
                while node.raft.leader() is None:
                    await node.raft.changed()
            leader = await cluster.leader()
        await leader.raft.apply(b"a", timeout_s=60)
        term = leader.raft.current_term
        for node in (leader, *cluster.followers(leader)):
            quick = replace(
                node.raft.reloadable_config(), heartbeat_timeout_s=1.0, election_timeout_s=1.0
            )
            node.raft.reload_config(quick)

        await trio.sleep(30)

        assert {(leader.server_id, term)} == {
            (node.raft.leader(), node.raft.current_term) for node in cluster.nodes.values()
        }


async def test_a_shorter_snapshot_interval_counts_from_now(autojump_clock) -> None:
    config = RaftConfig(snapshot_interval_s=10_000, snapshot_threshold=1)
    async with running(1, config) as cluster:
        raft = (await cluster.leader()).raft
        await raft.apply(b"a", timeout_s=5)

        raft.reload_config(replace(raft.reloadable_config(), snapshot_interval_s=1.0))

        await trio.sleep(3)
        assert raft.status().core.snapshot_index > 0


async def test_trailing_logs_count_from_the_next_snapshot_on(autojump_clock) -> None:
    async with running(1) as cluster:
        raft = (await cluster.leader()).raft
        await raft.apply_many([b"a"] * 10, timeout_s=5)

        raft.reload_config(replace(raft.reloadable_config(), trailing_logs=0))
        await raft.snapshot(timeout_s=5)

        core = raft.status().core
        assert core.snapshot_index < core.first_index


async def test_a_shut_down_server_refuses_another_config(autojump_clock) -> None:
    async with running(1) as cluster:
        raft = (await cluster.leader()).raft
        config = raft.reloadable_config()
        await raft.shutdown()

        with pytest.raises(ProposalRefused):
            raft.reload_config(config)
