"""The cluster that embedders test with."""

from __future__ import annotations

import pytest
import trio

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.errors import DurabilityLost, LocalProtocolError, NotLeader, OutcomeUnknown
from raft_over_libp2p.testing import ContractBroken, MemoryCluster, memory_cluster
from tests.testing.counting import Add, AddCodec, Counters

ONE = Add("a", 1)


def cluster_of(size: int, **options: object):
    return memory_cluster(size, state_machine=Counters, codec=AddCodec(), **options)


async def test_a_cluster_elects_a_leader_and_agrees(autojump_clock) -> None:
    async with cluster_of(3) as cluster:
        leader = await cluster.leader()

        assert 1 == await leader.raft.apply(ONE, timeout_s=5)


async def test_all_servers_catch_up_with_what_was_applied_anywhere(autojump_clock) -> None:
    async with cluster_of(3) as cluster:
        leader = await cluster.leader()
        await leader.raft.apply(ONE, timeout_s=5)

        await cluster.catch_up()

        assert [{"a": 1}] * 3 == [s.state_machine.counts for s in cluster.servers.values()]


async def test_a_crashed_leader_is_replaced_and_comes_back_with_its_disk(autojump_clock) -> None:
    async with cluster_of(3) as cluster:
        old = await cluster.leader()
        await old.raft.apply(ONE, timeout_s=5)
        await cluster.crash(old)
        new = await cluster.leader()
        await new.raft.apply(ONE, timeout_s=5)

        await cluster.start(old)

        await cluster.catch_up()
        assert {"a": 2} == old.state_machine.counts


async def test_a_cluster_of_one_has_its_operations_again_after_a_crash(autojump_clock) -> None:
    async with cluster_of(1) as cluster:
        server = await cluster.leader()
        await server.raft.apply(ONE, timeout_s=5)

        await cluster.crash(server)
        await cluster.start(server)

        await (await cluster.leader()).raft.barrier(timeout_s=5)
        assert {"a": 1} == server.state_machine.counts


async def test_a_restarted_server_starts_from_its_snapshot(autojump_clock) -> None:
    async with cluster_of(1, config=RaftConfig(trailing_logs=0)) as cluster:
        server = await cluster.leader()
        await server.raft.apply(ONE, timeout_s=5)
        await server.raft.snapshot(timeout_s=5)

        await cluster.restart(server)

        assert {"a": 1} == server.state_machine.counts


async def test_a_partition_leaves_the_minority_without_a_majority(autojump_clock) -> None:
    async with cluster_of(5) as cluster:
        old = await cluster.leader()
        near, *far = cluster.others(old)
        cluster.partition([old, near], far)

        with pytest.raises((OutcomeUnknown, NotLeader)):
            await old.raft.apply(ONE, timeout_s=5)
        new = await cluster.leader(among=far)

        assert new in far
        assert 1 == await new.raft.apply(ONE, timeout_s=5)


async def test_a_healed_cluster_agrees_again(autojump_clock) -> None:
    async with cluster_of(3) as cluster:
        old = await cluster.leader()
        cluster.isolate(old)
        new = await cluster.leader(among=cluster.others(old))
        await new.raft.apply(ONE, timeout_s=5)

        cluster.heal()

        await cluster.catch_up()
        assert {"a": 1} == old.state_machine.counts


async def test_a_server_that_is_added_learns_and_votes(autojump_clock) -> None:
    async with cluster_of(3) as cluster:
        leader = await cluster.leader()
        await leader.raft.apply(ONE, timeout_s=5)

        added = await cluster.add_server()
        await leader.raft.join(added.server_id, timeout_s=30)

        await cluster.catch_up()
        assert {"a": 1} == added.state_machine.counts
        assert leader.raft.configuration().is_voter(added.server_id)


async def test_a_condition_that_never_holds_ends_in_time(autojump_clock) -> None:
    async with cluster_of(1) as cluster:
        with pytest.raises(trio.TooSlowError):
            await cluster.wait_until(lambda: False, timeout_s=5)


async def test_a_stopped_server_has_no_raft_to_ask(autojump_clock) -> None:
    async with cluster_of(1) as cluster:
        server = await cluster.leader()
        await cluster.stop(server)

        with pytest.raises(LocalProtocolError, match="n1 does not run"):
            _ = server.raft


async def test_a_running_server_is_not_started_twice(autojump_clock) -> None:
    async with cluster_of(1) as cluster:
        with pytest.raises(LocalProtocolError, match="n1 runs already"):
            await cluster.start(cluster.servers["n1"])


async def test_a_name_is_given_once(autojump_clock) -> None:
    async with cluster_of(1) as cluster:
        with pytest.raises(LocalProtocolError, match="n1 already"):
            await cluster.add_server("n1")


async def test_what_ends_a_server_ends_the_block_with_it(autojump_clock) -> None:
    async def run() -> None:
        async with cluster_of(1) as cluster:
            server = await cluster.leader()
            server.disk.failing_syncs.add(server.disk.syncs + 1)
            await server.raft.apply(ONE, timeout_s=5)

    with pytest.raises(DurabilityLost):
        await run()


async def test_a_failed_assertion_comes_out_as_it_is(autojump_clock) -> None:
    async def run() -> None:
        async with cluster_of(3):
            raise ContractBroken("of the test")

    with pytest.raises(ContractBroken, match="of the test"):
        await run()


async def history(cluster: MemoryCluster[Add, Counters]) -> list[object]:
    """What an eventful half minute looks like from outside."""
    seen: list[object] = []
    for _ in range(3):
        leader = await cluster.leader()
        seen.append(
            (leader.server_id, leader.raft.current_term, await leader.raft.apply(ONE, timeout_s=5))
        )
        await cluster.crash(leader)
        seen.append((await cluster.leader()).server_id)
        await cluster.start(leader)
        await cluster.catch_up()
    return seen


async def test_a_seed_makes_the_same_elections_each_time(autojump_clock) -> None:
    seen = []
    for _ in range(3):
        async with cluster_of(3, seed=7) as cluster:
            seen.append(await history(cluster))

    assert [seen[0]] * 3 == seen


async def test_another_seed_makes_other_elections(autojump_clock) -> None:
    seen = []
    for seed in range(4):
        async with cluster_of(3, seed=seed) as cluster:
            seen.append(await history(cluster))

    assert any(other != seen[0] for other in seen)
