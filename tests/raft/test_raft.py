from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
import trio
import trio.testing

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core.ready import Role, RoleChanged
from raft_over_libp2p.errors import (
    DurabilityLost,
    NoLeader,
    NotLeader,
    OutcomeUnknown,
    ProposalRefused,
    ReadIndexUnsupported,
)
from raft_over_libp2p.limits import (
    MAX_ENTRY_DATA_BYTES,
    MAX_PROPOSAL_BYTES_QUEUED,
    MAX_PROPOSALS_QUEUED,
)
from raft_over_libp2p.types import Index
from tests.raft.cluster import IDS, Cluster, Node, running, wait_until_equal


async def test_three_servers_elect_a_leader_that_all_of_them_know(autojump_clock) -> None:
    async with running() as cluster:
        leader = await cluster.leader()

        assert {leader.server_id} == {node.raft.leader() for node in cluster.nodes.values()}


async def test_an_applied_operation_gives_its_result_and_reaches_every_server(
    autojump_clock,
) -> None:
    async with running() as cluster:
        leader = await cluster.leader()

        results = [await leader.raft.apply(data, timeout_s=5) for data in (b"a", b"b", b"c")]

        assert [0, 1, 2] == results
        await wait_until_equal([*cluster.nodes.values()], [b"a", b"b", b"c"])


async def test_operations_proposed_together_keep_their_order_and_results(autojump_clock) -> None:
    async with running() as cluster:
        leader = await cluster.leader()
        data = [b"%d" % number for number in range(200)]

        results = await leader.raft.apply_many(data, timeout_s=5)

        assert list(range(200)) == results
        assert data == leader.fsm.applied


async def test_concurrent_callers_each_get_the_result_of_their_own_operation(
    autojump_clock,
) -> None:
    async with running() as cluster:
        leader = await cluster.leader()
        results: dict[bytes, object] = {}

        async def call(data: bytes) -> None:
            results[data] = await leader.raft.apply(data, timeout_s=5)

        async with trio.open_nursery() as nursery:
            for number in range(64):
                nursery.start_soon(call, b"%d" % number)

        assert {data: place for place, data in enumerate(leader.fsm.applied)} == results


async def test_a_follower_refuses_an_operation_and_names_the_leader(autojump_clock) -> None:
    async with running() as cluster:
        leader = await cluster.leader()
        follower = cluster.followers(leader)[0]

        with pytest.raises(NotLeader) as caught:
            await follower.raft.apply(b"a", timeout_s=5)

        assert leader.server_id == caught.value.leader


async def test_a_leader_cut_off_answers_unknown_within_the_deadline(autojump_clock) -> None:
    async with running() as cluster:
        leader = await cluster.leader()
        cluster.network.isolate(leader.server_id)
        started = trio.current_time()

        with pytest.raises(OutcomeUnknown):
            await leader.raft.apply(b"lost?", timeout_s=5)

        assert trio.current_time() - started <= 5


async def test_the_others_elect_a_new_leader_when_the_leader_is_cut_off(autojump_clock) -> None:
    async with running() as cluster:
        old = await cluster.leader()
        cluster.network.isolate(old.server_id)
        others = cluster.followers(old)

        with trio.fail_after(30):
            while not any(node.raft.is_leader for node in others):
                await others[0].raft.changed()

        (new,) = [node for node in others if node.raft.is_leader]
        assert 0 == await new.raft.apply(b"a", timeout_s=5)


async def test_a_deposed_leader_catches_up_and_drops_what_was_never_agreed_on(
    autojump_clock,
) -> None:
    async with running() as cluster:
        old = await cluster.leader()
        cluster.network.isolate(old.server_id)
        with pytest.raises(OutcomeUnknown):
            await old.raft.apply(b"never agreed on", timeout_s=5)
        others = cluster.followers(old)
        with trio.fail_after(30):
            while not any(node.raft.is_leader for node in others):
                await others[0].raft.changed()
        (new,) = [node for node in others if node.raft.is_leader]
        await new.raft.apply(b"agreed on", timeout_s=5)

        cluster.network.heal()

        await wait_until_equal([*cluster.nodes.values()], [b"agreed on"])


async def test_without_a_quorum_waiting_for_a_leader_names_who_is_not_reached(
    autojump_clock,
) -> None:
    cluster = Cluster(3)
    alone = cluster.nodes[IDS[0]]
    async with alone.open(cluster.network, cluster.config):
        with pytest.raises(NoLeader) as caught:
            await alone.raft.wait_for_leader(timeout_s=20)

    assert {IDS[1], IDS[2]} == set(caught.value.unreachable)


async def test_a_single_voter_leads_and_agrees_with_itself(autojump_clock) -> None:
    async with running(1) as cluster:
        node = await cluster.leader()

        assert 0 == await node.raft.apply(b"a", timeout_s=5)


async def test_a_restarted_server_applies_its_log_again(autojump_clock) -> None:
    cluster = Cluster(1)
    node = cluster.nodes[IDS[0]]
    async with node.open(cluster.network, cluster.config) as raft:
        await raft.wait_for_leader(timeout_s=10)
        await raft.apply_many([b"a", b"b"], timeout_s=5)

    async with node.open(cluster.network, cluster.config):
        await wait_until_equal([node], [b"a", b"b"])


async def test_a_read_on_the_leader_waits_for_what_was_acknowledged_before(autojump_clock) -> None:
    async with running() as cluster:
        leader = await cluster.leader()
        await leader.raft.apply(b"a", timeout_s=5)
        last = leader.raft.status().core.last_index

        assert last <= await leader.raft.read_index(timeout_s=5)


async def test_a_read_on_a_follower_waits_for_what_was_acknowledged_before(autojump_clock) -> None:
    async with running() as cluster:
        leader = await cluster.leader()
        follower = cluster.followers(leader)[0]
        await leader.raft.apply(b"a", timeout_s=5)

        await follower.raft.read_index(timeout_s=5)

        assert follower.fsm.applied == [b"a"]


async def test_a_follower_of_a_go_leader_says_that_it_confirms_no_read(autojump_clock) -> None:
    async with running() as cluster:
        leader = await cluster.leader()
        cluster.network.speak_only_go(leader.server_id)

        with pytest.raises(ReadIndexUnsupported) as caught:
            await cluster.followers(leader)[0].raft.read_index(timeout_s=5)

        assert leader.server_id == caught.value.leader


async def test_a_follower_of_a_leader_that_is_cut_off_reads_nothing(autojump_clock) -> None:
    async with running() as cluster:
        leader = await cluster.leader()
        cluster.network.isolate(leader.server_id)

        with pytest.raises((NotLeader, ProposalRefused)):
            await cluster.followers(leader)[0].raft.read_index(timeout_s=5)


async def test_a_leader_is_verified_and_a_follower_is_not(autojump_clock) -> None:
    async with running() as cluster:
        leader = await cluster.leader()

        await leader.raft.verify_leader(timeout_s=5)
        with pytest.raises(NotLeader) as caught:
            await cluster.followers(leader)[0].raft.verify_leader(timeout_s=5)

        assert leader.server_id == caught.value.leader


async def test_a_leader_that_is_cut_off_is_not_verified(autojump_clock) -> None:
    async with running() as cluster:
        leader = await cluster.leader()
        cluster.network.isolate(leader.server_id)

        with pytest.raises((NotLeader, ProposalRefused)):
            await leader.raft.verify_leader(timeout_s=5)


async def test_a_leader_that_is_cut_off_confirms_no_read(autojump_clock) -> None:
    async with running() as cluster:
        leader = await cluster.leader()
        cluster.network.isolate(leader.server_id)

        with pytest.raises((NotLeader, ProposalRefused)):
            await leader.raft.read_index(timeout_s=5)


async def test_a_barrier_returns_after_everything_before_it_is_applied(autojump_clock) -> None:
    async with running() as cluster:
        leader = await cluster.leader()
        await leader.raft.apply(b"a", timeout_s=5)

        index = await leader.raft.barrier(timeout_s=5)

        assert leader.raft.applied_index >= index
        assert [b"a"] == leader.fsm.applied


async def test_an_operation_over_the_size_limit_is_refused_and_its_neighbours_are_not(
    autojump_clock,
) -> None:
    async with running() as cluster:
        leader = await cluster.leader()
        outcomes: list[object] = []

        async def call(data: bytes) -> None:
            try:
                outcomes.append(await leader.raft.apply(data, timeout_s=5))
            except ProposalRefused:
                outcomes.append("refused")

        async with trio.open_nursery() as nursery:
            for data in (b"a", bytes(MAX_ENTRY_DATA_BYTES + 1), b"b"):
                nursery.start_soon(call, data)

        assert {0, 1, "refused"} == set(outcomes)


async def test_more_operations_than_the_limit_are_refused_at_once(autojump_clock) -> None:
    async with running() as cluster:
        leader = await cluster.leader()

        with pytest.raises(ProposalRefused, match="wait already"):
            await leader.raft.apply_many([b""] * (MAX_PROPOSALS_QUEUED + 1), timeout_s=5)

        assert [] == leader.fsm.applied


async def test_more_bytes_than_the_limit_are_refused_at_once(autojump_clock) -> None:
    async with running() as cluster:
        leader = await cluster.leader()
        data = [bytes(MAX_ENTRY_DATA_BYTES)] * (
            MAX_PROPOSAL_BYTES_QUEUED // MAX_ENTRY_DATA_BYTES + 1
        )

        with pytest.raises(ProposalRefused, match="bytes wait already"):
            await leader.raft.apply_many(data, timeout_s=5)

        assert [] == leader.fsm.applied


async def test_a_cancelled_caller_does_not_undo_its_operation(autojump_clock) -> None:
    async with running() as cluster:
        leader = await cluster.leader()

        with trio.move_on_after(0.0005):
            await leader.raft.apply(b"a", timeout_s=5)

        await wait_until_equal([*cluster.nodes.values()], [b"a"])


async def test_what_waits_at_a_shutdown_is_told_its_outcome(autojump_clock) -> None:
    outcomes: list[type[Exception]] = []

    async def call(node: Node) -> None:
        try:
            await node.raft.apply(b"a", timeout_s=60)
        except (OutcomeUnknown, ProposalRefused, NotLeader) as error:
            outcomes.append(type(error))

    async with trio.open_nursery() as nursery, running() as cluster:
        leader = await cluster.leader()
        cluster.network.isolate(leader.server_id)
        nursery.start_soon(call, leader)
        await trio.testing.wait_all_tasks_blocked()

    assert [OutcomeUnknown] == outcomes


async def test_calls_after_the_end_are_refused(autojump_clock) -> None:
    async with running(1) as cluster:
        node = await cluster.leader()

    with pytest.raises(ProposalRefused):
        await node.raft.apply(b"a", timeout_s=5)


async def test_an_observer_hears_of_the_election(autojump_clock) -> None:
    cluster = Cluster(1)
    node = cluster.nodes[IDS[0]]
    async with node.open(cluster.network, cluster.config) as raft:
        with raft.observe() as observations:
            roles = []
            with trio.fail_after(30):
                async for observation in observations:
                    if isinstance(observation, RoleChanged):
                        roles.append(observation.role)
                    if roles and roles[-1] is Role.LEADER:
                        break

    assert [Role.CANDIDATE, Role.LEADER] == list(dict.fromkeys(roles))


async def test_a_failing_disk_stops_the_server_with_one_plain_error(autojump_clock) -> None:
    cluster = Cluster(1)
    node = cluster.nodes[IDS[0]]

    async def run_until_it_fails() -> None:
        async with node.open(cluster.network, cluster.config) as raft:
            await raft.wait_for_leader(timeout_s=10)
            node.fs.failing_syncs.add(node.fs.syncs + 1)
            await raft.apply(b"a", timeout_s=5)

    with pytest.raises(DurabilityLost):
        await run_until_it_fails()


async def fill_and_compact(leader: Node, count: int = 30) -> None:
    """Have some entries agreed on and kept by a snapshot alone."""
    await leader.raft.apply_many([b"%d" % number for number in range(count)], timeout_s=5)
    await leader.raft.snapshot(timeout_s=5)


async def test_a_snapshot_lets_the_log_behind_it_go(autojump_clock) -> None:
    async with running(config=RaftConfig(trailing_logs=0)) as cluster:
        leader = await cluster.leader()

        await fill_and_compact(leader)

        await leader.raft.apply(b"after", timeout_s=5)
        core = leader.raft.status().core
        assert core.snapshot_index < core.first_index


async def test_a_server_restarts_from_its_snapshot_and_what_follows(autojump_clock) -> None:
    cluster = Cluster(1, RaftConfig(trailing_logs=0))
    node = cluster.nodes[IDS[0]]
    async with node.open(cluster.network, cluster.config) as raft:
        await raft.wait_for_leader(timeout_s=10)
        await raft.apply_many([b"a", b"b"], timeout_s=5)
        await raft.snapshot(timeout_s=5)
        await raft.apply(b"c", timeout_s=5)

    async with node.open(cluster.network, cluster.config):
        await wait_until_equal([node], [b"a", b"b", b"c"])


async def test_a_snapshot_with_nothing_new_is_refused(autojump_clock) -> None:
    async with running(1) as cluster:
        leader = await cluster.leader()
        await leader.raft.apply(b"a", timeout_s=5)
        await leader.raft.snapshot(timeout_s=5)

        with pytest.raises(ProposalRefused, match="nothing new"):
            await leader.raft.snapshot(timeout_s=5)


async def test_a_server_with_an_empty_folder_catches_up_by_snapshot(autojump_clock) -> None:
    cluster = Cluster(3, RaftConfig(trailing_logs=0))
    first, second, third = cluster.nodes.values()
    async with (
        first.open(cluster.network, cluster.config),
        second.open(cluster.network, cluster.config),
    ):
        cluster.nodes.pop(third.server_id)
        leader = await cluster.leader()
        await fill_and_compact(leader)
        expected = list(leader.fsm.applied)

        async with third.open(cluster.network, cluster.config):
            await wait_until_equal([third], expected)

            assert third.raft.status().core.snapshot_index > 0


async def test_a_follower_restarted_after_an_install_has_the_state_again(autojump_clock) -> None:
    cluster = Cluster(3, RaftConfig(trailing_logs=0))
    first, second, third = cluster.nodes.values()
    async with (
        first.open(cluster.network, cluster.config),
        second.open(cluster.network, cluster.config),
    ):
        cluster.nodes.pop(third.server_id)
        leader = await cluster.leader()
        await fill_and_compact(leader)
        expected = list(leader.fsm.applied)
        async with third.open(cluster.network, cluster.config):
            await wait_until_equal([third], expected)

        async with third.open(cluster.network, cluster.config):
            await wait_until_equal([third], expected)


async def test_an_added_voter_gets_the_log_and_counts(autojump_clock) -> None:
    cluster = Cluster(2)
    fresh = Node(IDS[2], ())
    async with AsyncExitStack() as stack:
        for node in cluster.nodes.values():
            await stack.enter_async_context(node.open(cluster.network, cluster.config))
        await stack.enter_async_context(fresh.open(cluster.network, cluster.config))
        leader = await cluster.leader()
        await leader.raft.apply(b"a", timeout_s=5)

        await leader.raft.add_voter(fresh.server_id, timeout_s=5)

        await wait_until_equal([fresh], [b"a"])
        assert leader.raft.configuration().is_voter(fresh.server_id)


async def test_a_removed_leader_steps_down_and_the_others_go_on(autojump_clock) -> None:
    async with running() as cluster:
        leader = await cluster.leader()

        await leader.raft.remove_server(leader.server_id, timeout_s=5)

        others = cluster.followers(leader)
        with trio.fail_after(30):
            while not any(node.raft.is_leader for node in others):
                await others[0].raft.changed()
        (new,) = [node for node in others if node.raft.is_leader]
        await new.raft.apply(b"a", timeout_s=5)
        assert not leader.raft.is_leader


async def test_a_leader_whose_own_disk_holds_its_removal_last_is_told_that_it_is_done(
    autojump_clock, monkeypatch
) -> None:
    """The other voters agree on it; what a server does not hold durably it does not apply."""
    async with running() as cluster, trio.open_nursery() as nursery:
        leader = await cluster.leader()
        driver = leader.raft._driver
        removed_at = []

        async def remove() -> None:
            removed_at.append(await leader.raft.remove_server(leader.server_id, timeout_s=5))

        with monkeypatch.context() as disk:
            disk.setattr(driver.log_writer, "flush", lambda: None)
            nursery.start_soon(remove)
            while leader.raft.is_leader:
                await leader.raft.changed()
        assert removed_at == []
        driver.wake()  # its disk goes on

    assert [leader.raft.status().core.configuration_index] == removed_at


async def test_a_write_that_a_majority_holds_is_done_though_its_leader_was_overtaken(
    autojump_clock, monkeypatch
) -> None:
    async with running() as cluster, trio.open_nursery() as nursery:
        leader = await cluster.leader()
        driver = leader.raft._driver
        results = []

        async def apply() -> None:
            results.append(await leader.raft.apply(b"a", timeout_s=5))

        with monkeypatch.context() as disk:
            disk.setattr(driver.log_writer, "flush", lambda: None)
            nursery.start_soon(apply)
            for follower in cluster.followers(leader):
                await follower.raft.wait_applied(Index(3), timeout_s=5)
            await leader.raft.leadership_transfer(timeout_s=5)
        assert results == []
        driver.wake()

    assert [0] == results


async def test_a_change_on_a_follower_is_refused(autojump_clock) -> None:
    async with running() as cluster:
        leader = await cluster.leader()

        with pytest.raises(NotLeader):
            await cluster.followers(leader)[0].raft.remove_server(IDS[0], timeout_s=5)


async def test_a_change_with_a_stale_prev_index_is_refused(autojump_clock) -> None:
    async with running() as cluster:
        leader = await cluster.leader()
        await leader.raft.apply(b"a", timeout_s=5)

        with pytest.raises(ProposalRefused, match="configuration changed since"):
            await leader.raft.remove_server(
                cluster.followers(leader)[0].server_id, timeout_s=5, prev_index=Index(7)
            )


async def test_a_demoted_voter_stays_a_member_and_gets_the_log(autojump_clock) -> None:
    async with running() as cluster:
        leader = await cluster.leader()
        demoted = cluster.followers(leader)[0]

        await leader.raft.demote_voter(demoted.server_id, timeout_s=5)

        await leader.raft.apply(b"a", timeout_s=5)
        await wait_until_equal([demoted], [b"a"])
        assert not leader.raft.configuration().is_voter(demoted.server_id)
