from __future__ import annotations

import pytest
import trio
import trio.testing

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core.ready import (
    HeartbeatFailed,
    HeartbeatResumed,
    LeaderChanged,
    Removed,
    Role,
    RoleChanged,
)
from raft_over_libp2p.errors import ProposalRefused
from raft_over_libp2p.limits import MAX_OBSERVATIONS_QUEUED
from raft_over_libp2p.raft.observers import Observer, PeerChanged
from raft_over_libp2p.types import Index, ServerID, Term
from tests.raft.cluster import IDS, Cluster, running


async def test_an_observer_is_told_only_of_what_it_wants(autojump_clock) -> None:
    cluster = Cluster(1)
    node = cluster.nodes[IDS[0]]
    async with node.open(cluster.network, cluster.config) as raft:
        with raft.observe(lambda seen: isinstance(seen, LeaderChanged)) as observer:
            await raft.wait_for_leader(timeout_s=10)

            assert LeaderChanged(node.server_id, raft.current_term) == await anext(observer)


async def test_what_does_not_fit_an_observers_queue_is_dropped_and_counted() -> None:
    observer = Observer(lambda _seen: True)

    for number in range(MAX_OBSERVATIONS_QUEUED + 3):
        observer.tell(RoleChanged(Role.FOLLOWER, Term(number)))

    assert (MAX_OBSERVATIONS_QUEUED, 3) == (observer.observed, observer.dropped)


async def test_an_observation_ends_with_its_server(autojump_clock) -> None:
    async with running(1) as cluster:
        node = await cluster.leader()
        with node.raft.observe() as observer:
            await node.raft.shutdown()

            assert [] == [seen async for seen in observer]


async def test_a_leader_tells_of_a_peer_that_falls_silent_and_is_heard_again(
    autojump_clock,
) -> None:
    def is_of_heartbeats(seen: object) -> bool:
        return isinstance(seen, HeartbeatFailed | HeartbeatResumed)

    async with running() as cluster:
        leader = await cluster.leader()
        await leader.raft.apply(b"a", timeout_s=5)
        silent = cluster.followers(leader)[0].server_id
        with leader.raft.observe(is_of_heartbeats) as observer, trio.fail_after(30):
            cluster.network.isolate(silent)
            failed = await anext(observer)
            cluster.network.heal()
            resumed = await anext(observer)

    assert (HeartbeatFailed, silent) == (type(failed), failed.peer)
    assert HeartbeatResumed(silent) == resumed


async def test_every_server_tells_of_a_peer_that_is_removed_and_one_that_is_added(
    autojump_clock,
) -> None:
    async with running() as cluster:
        leader = await cluster.leader()
        witness, leaving = cluster.followers(leader)
        with witness.raft.observe(lambda seen: isinstance(seen, PeerChanged)) as observer:
            await leader.raft.remove_server(leaving.server_id, timeout_s=5)
            removed = await anext(observer)
            await leader.raft.add_voter(leaving.server_id, timeout_s=5)
            added = await anext(observer)

    assert (leaving.server_id, True) == (removed.peer.id, removed.removed)
    assert (leaving.server_id, False) == (added.peer.id, added.removed)


async def test_leader_changes_begin_with_how_it_is_and_go_on_to_the_newest(
    autojump_clock,
) -> None:
    async with running() as cluster:
        old = await cluster.leader()
        witness = cluster.followers(old)[0]
        changes = witness.raft.leader_changes()
        assert LeaderChanged(old.server_id, old.raft.current_term) == await anext(changes)
        target = cluster.followers(old)[1]

        await old.raft.leadership_transfer(target.server_id, timeout_s=5)

        with trio.fail_after(10):
            async for changed in changes:
                if changed.leader == target.server_id:
                    break
        await changes.aclose()
    assert target.raft.current_term == changed.term


async def test_state_changes_show_a_second_reign_by_its_term(autojump_clock) -> None:
    async with running() as cluster:
        old = await cluster.leader()
        states = old.raft.state_changes()
        first = await anext(states)
        other = cluster.followers(old)[0]
        await old.raft.leadership_transfer(other.server_id, timeout_s=5)
        with trio.fail_after(10):
            while not other.raft.is_leader:
                await other.raft.changed()
        await other.raft.leadership_transfer(old.server_id, timeout_s=5)
        with trio.fail_after(10):
            while not old.raft.is_leader:
                await old.raft.changed()

        newest = await anext(states)

        await states.aclose()
    assert (Role.LEADER, Role.LEADER) == (first.role, newest.role)
    assert first.term < newest.term


async def test_changes_end_when_the_server_shuts_down(autojump_clock) -> None:
    seen: list[Role] = []

    async def follow(cluster: Cluster) -> None:
        seen.extend([changed.role async for changed in cluster.nodes[IDS[0]].raft.state_changes()])

    async with trio.open_nursery() as nursery, running(1) as cluster:
        node = await cluster.leader()
        nursery.start_soon(follow, cluster)
        await trio.testing.wait_all_tasks_blocked()
        await node.raft.shutdown()

    assert [Role.LEADER] == seen


async def test_a_server_that_was_shut_down_refuses_calls_and_says_why(autojump_clock) -> None:
    async with running(1) as cluster:
        node = await cluster.leader()
        await node.raft.shutdown()

        with pytest.raises(ProposalRefused, match="shutdown was called"):
            await node.raft.apply(b"a", timeout_s=5)


async def test_a_server_that_was_shut_down_is_silent_and_the_others_go_on(
    autojump_clock,
) -> None:
    async with running() as cluster:
        old = await cluster.leader()

        await old.raft.shutdown()

        others = cluster.followers(old)
        with trio.fail_after(30):
            while not any(node.raft.is_leader for node in others):
                await others[0].raft.changed()


@pytest.mark.parametrize("is_leader", [True, False])
async def test_with_shutdown_on_remove_a_removed_server_shuts_down(
    is_leader: bool, autojump_clock
) -> None:
    async with running(config=RaftConfig(shutdown_on_remove=True)) as cluster:
        leader = await cluster.leader()
        leaving = leader if is_leader else cluster.followers(leader)[0]
        with leaving.raft.observe(lambda seen: isinstance(seen, Removed)) as observer:
            await leader.raft.remove_server(leaving.server_id, timeout_s=5)

            with trio.fail_after(60):
                assert 1 == len([seen async for seen in observer])

        with pytest.raises(ProposalRefused, match="removed from the cluster"):
            await leaving.raft.changed()


async def test_without_shutdown_on_remove_a_removed_server_goes_on_answering(
    autojump_clock,
) -> None:
    async with running() as cluster:
        leader = await cluster.leader()
        leaving = cluster.followers(leader)[0]
        with leaving.raft.observe(lambda seen: isinstance(seen, Removed)) as observer:
            await leader.raft.remove_server(leaving.server_id, timeout_s=5)
            with trio.fail_after(60):
                await anext(observer)

        assert leaving.raft.commit_index >= Index(1)
        assert not leaving.raft.configuration().has(ServerID(leaving.server_id))
