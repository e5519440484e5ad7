"""Raft's settings: their defaults, their limits, and who is trusted to lead."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import pytest
import trio

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core.messages import InstallSnapshotRequest
from raft_over_libp2p.errors import LocalProtocolError
from raft_over_libp2p.types import CallID, Configuration, Index, ServerID, Term
from tests.raft.cluster import IDS, Cluster, Node, running, wait_until_equal


def test_the_defaults_are_hashicorps() -> None:
    """``DefaultConfig`` of 1.7.3; IPFS Cluster sets ``ShutdownOnRemove`` to false."""
    config = RaftConfig()

    assert (1.0, 1.0, 0.05, 0.5, 120.0) == (
        config.heartbeat_timeout_s, config.election_timeout_s, config.commit_timeout_s,
        config.leader_lease_timeout_s, config.snapshot_interval_s,
    )  # fmt: skip
    assert (64, 10240, 8192) == (
        config.max_append_entries, config.trailing_logs, config.snapshot_threshold,
    )  # fmt: skip
    assert (False, False) == (config.pre_vote_disabled, config.shutdown_on_remove)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"heartbeat_timeout_s": 0.004}, "heartbeat_timeout_s is 0.004"),
        ({"election_timeout_s": 0.004}, "election_timeout_s is 0.004"),
        ({"commit_timeout_s": 0.0}, "commit_timeout_s is 0.0"),
        ({"snapshot_interval_s": 0.004}, "snapshot_interval_s is 0.004"),
        ({"leader_lease_timeout_s": 0.004}, "leader_lease_timeout_s is 0.004"),
        ({"max_append_entries": 0}, "max_append_entries must be from 1 to 1024"),
        ({"max_append_entries": 1025}, "max_append_entries must be from 1 to 1024"),
        ({"leader_lease_timeout_s": 1.1}, "leader_lease_timeout_s must not be larger than"),
        ({"heartbeat_timeout_s": 1.1}, "heartbeat_timeout_s must not be larger than election"),
    ],
)
def test_what_hashicorp_refuses_is_refused_by_name(settings: dict[str, Any], why: str) -> None:
    """``ValidateConfig`` of 1.7.3, case by case."""
    with pytest.raises(LocalProtocolError, match=why):
        RaftConfig(**settings)


@pytest.mark.parametrize("is_trusted", [True, False])
async def test_who_waits_to_be_added_is_led_by_whom_it_trusts_alone(
    is_trusted: bool, autojump_clock: trio.testing.MockClock
) -> None:
    """Its log comes by a snapshot and by entries; untrusted, neither leaves anything behind."""
    cluster = Cluster(3, RaftConfig(trailing_logs=0))
    async with AsyncExitStack() as stack:
        for node in cluster.nodes.values():
            await stack.enter_async_context(node.open(cluster.network, cluster.config))
        leader = await cluster.leader()
        await leader.raft.apply_many([b"a", b"b"], timeout_s=5)
        await leader.raft.snapshot(timeout_s=5)
        await leader.raft.apply(b"c", timeout_s=5)
        fresh = Node(IDS[3], ())
        trusted = frozenset(IDS[:3] if is_trusted else IDS[4:])
        config = replace(cluster.config, trusted_peers=trusted)
        async with fresh.open(cluster.network, config) as waiting:
            await leader.raft.add_nonvoter(fresh.server_id, timeout_s=5)
            if is_trusted:
                await wait_until_equal([fresh], [b"a", b"b", b"c"])
                assert leader.server_id == waiting.leader()
                return
            await trio.sleep(30)

            assert (0, 0, None) == (waiting.current_term, waiting.last_index, waiting.leader())
            failure = leader.raft.status().peers[fresh.server_id].last_failure
            assert failure is not None
            assert f"{leader.server_id} is neither a member nor trusted" in failure.reason


@pytest.mark.parametrize(("sender", "is_taken"), [("n2", True), ("n4", True), ("x", False)])
async def test_no_room_is_given_to_the_snapshot_of_who_may_not_lead(
    sender: str, is_taken: bool, autojump_clock: trio.testing.MockClock
) -> None:
    config = RaftConfig(trusted_peers=frozenset({"n4"}))
    async with running(config=config) as cluster:
        leader = await cluster.leader()
        request = InstallSnapshotRequest(
            term=Term(9),
            leader=ServerID(sender),
            last_log_index=Index(99),
            last_log_term=Term(8),
            configuration=Configuration.of_voters(*IDS[:3]),
            configuration_index=Index(1),
            size_bytes=10,
        )

        spool = leader.raft._driver.snapshots.spool(CallID(10**6), ServerID(sender), request)

        assert is_taken == (spool is not None)
        if spool is not None:
            spool.cancel()
