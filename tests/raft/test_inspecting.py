"""What a server says of itself, under hashicorp/raft's names."""

from __future__ import annotations

import trio

from raft_over_libp2p.core.membership import PlacedConfiguration
from raft_over_libp2p.core.ready import Role
from raft_over_libp2p.types import Configuration, Index
from tests.raft.cluster import IDS, Cluster, running

GO_KEYS = {
    "state", "term", "last_log_index", "last_log_term", "commit_index", "applied_index",
    "fsm_pending", "last_snapshot_index", "last_snapshot_term", "protocol_version",
    "protocol_version_min", "protocol_version_max", "snapshot_version_min",
    "snapshot_version_max", "latest_configuration_index", "latest_configuration", "num_peers",
    "last_contact",
}  # fmt: skip
"""Those of ``Stats`` in hashicorp/raft 1.7.3's api.go."""


async def test_stats_have_hashicorps_keys(autojump_clock) -> None:
    async with running(1) as cluster:
        assert set((await cluster.leader()).raft.stats()) == GO_KEYS


async def test_a_leaders_stats_have_hashicorps_values(autojump_clock) -> None:
    async with running() as cluster:
        leader = await cluster.leader()
        await leader.raft.apply(b"a", timeout_s=5)
        await leader.raft.snapshot(timeout_s=5)

        stats = leader.raft.stats()

        term = str(leader.raft.current_term)
        servers = " ".join(f"{{Suffrage:Voter ID:{n} Address:{n}}}" for n in IDS[:3])
        assert {
            "state": "Leader",
            "term": term,
            "last_log_index": "3",
            "last_log_term": term,
            "commit_index": "3",
            "applied_index": "3",
            "fsm_pending": "0",
            "last_snapshot_index": "3",
            "last_snapshot_term": term,
            "protocol_version": "3",
            "protocol_version_min": "2",
            "protocol_version_max": "3",
            "snapshot_version_min": "0",
            "snapshot_version_max": "1",
            "latest_configuration_index": "1",
            "latest_configuration": f"[{servers}]",
            "num_peers": "2",
            "last_contact": "0",
        } == stats


async def test_a_server_that_heard_of_no_leader_says_never(autojump_clock) -> None:
    cluster = Cluster(3)
    alone = cluster.nodes[IDS[0]]
    async with alone.open(cluster.network, cluster.config) as raft:
        assert ("never", None) == (raft.stats()["last_contact"], raft.last_contact())


async def test_a_follower_says_how_long_ago_it_heard_the_leader(autojump_clock) -> None:
    async with running() as cluster:
        leader = await cluster.leader()
        follower = cluster.followers(leader)[0]
        await leader.raft.apply(b"a", timeout_s=5)
        cluster.network.isolate(follower.server_id)
        await trio.sleep(0.5)

        contact = follower.raft.last_contact()

        assert contact is not None
        assert 0.3 < contact < 0.7
        assert follower.raft.stats()["last_contact"].endswith("ms")


async def test_a_leader_is_in_contact_with_itself(autojump_clock) -> None:
    async with running(1) as cluster:
        assert 0.0 == (await cluster.leader()).raft.last_contact()


async def test_the_configuration_comes_with_the_index_that_changes_ask_for(
    autojump_clock,
) -> None:
    async with running(3) as cluster:
        leader = await cluster.leader()
        assert (
            PlacedConfiguration(Index(1), Configuration.of_voters(*IDS[:3]))
            == leader.raft.get_configuration()
        )
        prev_index = leader.raft.get_configuration().index

        index = await leader.raft.demote_voter(
            cluster.followers(leader)[0].server_id, timeout_s=5, prev_index=prev_index
        )

        assert index == leader.raft.get_configuration().index


async def test_the_leader_is_named_with_its_address(autojump_clock) -> None:
    async with running(1) as cluster:
        node = await cluster.leader()

        assert (node.server_id, node.server_id) == node.raft.leader_with_id()


async def test_without_a_leader_none_is_named(autojump_clock) -> None:
    cluster = Cluster(3)
    alone = cluster.nodes[IDS[0]]
    async with alone.open(cluster.network, cluster.config) as raft:
        assert raft.leader_with_id() is None


async def test_state_term_and_indexes_are_those_of_the_log(autojump_clock) -> None:
    async with running(1) as cluster:
        raft = (await cluster.leader()).raft
        await raft.apply(b"a", timeout_s=5)

        core = raft.status().core
        assert (Role.LEADER, core.term, core.last_index, core.commit_index) == (
            raft.state,
            raft.current_term,
            raft.last_index,
            raft.commit_index,
        )
