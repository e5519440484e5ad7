"""Operations with an ID: asked about, and never applied twice, through crashes of leaders."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
import trio

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.errors import (
    LocalProtocolError,
    NotLeader,
    OutcomeUnknown,
    ProposalRefused,
    RaftError,
)
from raft_over_libp2p.raft import RequestID, RequestOutcome, RequestState
from raft_over_libp2p.raft.request_id import frame_request, split_extensions
from raft_over_libp2p.types import Index
from tests.raft.cluster import Cluster, Node, running, wait_until_equal

OFTEN = RaftConfig(trailing_logs=0, snapshot_threshold=1)


class Restarting:
    """A cluster whose servers stop and start."""

    def __init__(self, cluster: Cluster, nursery: trio.Nursery) -> None:
        self.cluster = cluster
        self._nursery = nursery
        self._running: dict[str, tuple[trio.CancelScope, trio.Event]] = {}

    @property
    def up(self) -> list[Node]:
        return [node for name, node in self.cluster.nodes.items() if name in self._running]

    async def start(self, node: Node) -> None:
        scope, ended = trio.CancelScope(), trio.Event()

        async def run(*, task_status: trio.TaskStatus[None]) -> None:
            with scope:
                async with node.open(self.cluster.network, self.cluster.config):
                    task_status.started()
                    await trio.sleep_forever()
            ended.set()

        await self._nursery.start(run)
        self._running[node.server_id] = (scope, ended)

    async def stop(self, node: Node) -> None:
        scope, ended = self._running.pop(node.server_id)
        scope.cancel()
        await ended.wait()

    async def leader(self) -> Node:
        """Return who leads among those that run, once one does."""
        with trio.fail_after(120):
            while True:
                for node in self.up:
                    if node.raft.is_leader:
                        try:
                            await node.raft.read_index(timeout_s=2)
                        except RaftError:
                            continue
                        return node
                await trio.sleep(0.05)


@asynccontextmanager
async def restarting(config: RaftConfig | None = None) -> AsyncIterator[Restarting]:
    async with trio.open_nursery() as nursery:
        world = Restarting(Cluster(3, config), nursery)
        for node in world.cluster.nodes.values():
            await world.start(node)
        yield world
        for node in world.up:
            await world.stop(node)
        nursery.cancel_scope.cancel()


async def test_a_new_operation_is_applied_and_gives_its_result(autojump_clock) -> None:
    async with running() as cluster:
        raft = (await cluster.leader()).raft
        once = await raft.apply_once(b"a", raft.new_request_id(), timeout_s=5)

        assert (True, True, 0) == (once.is_new, once.has_result, once.result)
        assert raft.applied_index >= once.index


async def test_a_repeated_operation_is_not_applied_again_and_gives_the_same_result(
    autojump_clock,
) -> None:
    async with running() as cluster:
        leader = await cluster.leader()
        request = leader.raft.new_request_id()
        first = await leader.raft.apply_once(b"a", request, timeout_s=5)
        again = await leader.raft.apply_once(b"a", request, timeout_s=5)

        assert [b"a"] == leader.fsm.applied
        assert (False, first.index, True, 0) == (
            again.is_new,
            again.index,
            again.has_result,
            again.result,
        )


async def test_calls_side_by_side_with_one_id_append_one_entry(autojump_clock) -> None:
    async with running() as cluster:
        leader = await cluster.leader()
        request = leader.raft.new_request_id()
        found: list[tuple[Index, bool]] = []

        async def call() -> None:
            once = await leader.raft.apply_once(b"a", request, timeout_s=5)
            found.append((once.index, once.is_new))

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(call)

        assert [b"a"] == leader.fsm.applied
        assert len({index for index, _ in found}) == 1
        assert sum(is_new for _, is_new in found) == 1


async def test_the_callers_extensions_come_after_the_id_in_the_entry(autojump_clock) -> None:
    async with running() as cluster:
        leader = await cluster.leader()
        request = leader.raft.new_request_id()
        once = await leader.raft.apply_once(b"a", request, timeout_s=5, extensions=b"mine")
        [entry] = leader.raft._driver.folder.log.entries(once.index, once.index, 1000)

        assert (request, b"mine") == split_extensions(entry.extensions)


async def test_extensions_that_look_like_an_id_are_refused(autojump_clock) -> None:
    async with running() as cluster:
        raft = (await cluster.leader()).raft
        framed = frame_request(raft.new_request_id(), b"")
        with pytest.raises(LocalProtocolError):
            await raft.apply(b"a", timeout_s=5, extensions=framed)


async def test_a_follower_appends_nothing(autojump_clock) -> None:
    async with running() as cluster:
        leader = await cluster.leader()
        [follower, _] = cluster.followers(leader)
        request = leader.raft.new_request_id()
        with pytest.raises(NotLeader):
            await follower.raft.apply_once(b"a", request, timeout_s=5)
        with pytest.raises(NotLeader):
            await follower.raft.outcome(request, timeout_s=5)


async def test_an_id_from_the_future_is_refused(autojump_clock) -> None:
    async with running() as cluster:
        raft = (await cluster.leader()).raft
        with pytest.raises(ProposalRefused, match="another cluster"):
            await raft.apply_once(b"a", RequestID.new(Index(999)), timeout_s=5)


async def test_the_outcome_of_what_was_never_sent_is_not_done(autojump_clock) -> None:
    async with running() as cluster:
        raft = (await cluster.leader()).raft

        outcome = await raft.outcome(raft.new_request_id(), timeout_s=5)

        assert RequestOutcome(RequestState.NOT_DONE) == outcome


async def test_the_outcome_of_what_is_applied_names_its_entry(autojump_clock) -> None:
    async with running() as cluster:
        raft = (await cluster.leader()).raft
        request = raft.new_request_id()
        once = await raft.apply_once(b"a", request, timeout_s=5)

        assert RequestOutcome(RequestState.DONE, once.index) == await raft.outcome(
            request, timeout_s=5
        )


async def test_a_leader_that_dies_between_commit_and_answer_leaves_it_done(autojump_clock) -> None:
    async with restarting() as world:
        leader = await world.leader()
        request = leader.raft.new_request_id()
        with trio.move_on_after(0.004):  # the entry has left, and no answer is back
            await leader.raft.apply_once(b"a", request, timeout_s=5)
        await world.stop(leader)
        second = await world.leader()
        outcome = await second.raft.outcome(request, timeout_s=5)
        again = await second.raft.apply_once(b"a", request, timeout_s=5)

        assert RequestOutcome(RequestState.DONE, again.index) == outcome
        assert (False, [b"a"]) == (again.is_new, second.fsm.applied)


async def test_an_entry_that_gave_way_may_be_applied_by_a_retry(autojump_clock) -> None:
    async with restarting() as world:
        leader = await world.leader()
        request = leader.raft.new_request_id()
        world.cluster.network.isolate(leader.server_id)
        with pytest.raises((OutcomeUnknown, NotLeader)):
            await leader.raft.apply_once(b"a", request, timeout_s=0.2)
        await world.stop(leader)
        second = await world.leader()
        assert RequestOutcome(RequestState.NOT_DONE) == await second.raft.outcome(
            request, timeout_s=5
        )
        once = await second.raft.apply_once(b"a", request, timeout_s=5)
        world.cluster.network.heal()
        await world.start(leader)

        assert once.is_new
        await wait_until_equal([*world.cluster.nodes.values()], [b"a"])
        assert once.index == leader.raft._driver.requests.find(request)


async def test_a_server_that_restarts_knows_the_ids_in_its_log(autojump_clock) -> None:
    async with restarting() as world:
        leader = await world.leader()
        request = leader.raft.new_request_id()
        first = await leader.raft.apply_once(b"a", request, timeout_s=5)
        for node in list(world.cluster.nodes.values()):
            await world.stop(node)
        for node in world.cluster.nodes.values():
            await world.start(node)
        again = await (await world.leader()).raft.apply_once(b"a", request, timeout_s=5)

        assert (False, first.index) == (again.is_new, again.index)


async def test_compaction_makes_an_old_id_undecidable_and_nothing_is_applied(
    autojump_clock,
) -> None:
    async with running(config=OFTEN) as cluster:
        leader = await cluster.leader()
        request = leader.raft.new_request_id()
        await leader.raft.apply_once(b"a", request, timeout_s=5)
        await leader.raft.snapshot(timeout_s=5)
        while leader.raft._driver.requests.reaches(request):
            await leader.raft.apply(b"b", timeout_s=5)
        applied = list(leader.fsm.applied)
        with pytest.raises(OutcomeUnknown, match="ask the state"):
            await leader.raft.apply_once(b"a", request, timeout_s=5)
        outcome = await leader.raft.outcome(request, timeout_s=5)

        assert RequestOutcome(RequestState.TOO_OLD) == outcome
        assert applied == leader.fsm.applied


async def test_a_server_that_installed_a_snapshot_cannot_tell_of_what_it_covers(
    autojump_clock,
) -> None:
    async with restarting(OFTEN) as world:
        leader = await world.leader()
        [late, other] = world.cluster.followers(leader)
        request = leader.raft.new_request_id()
        await world.stop(late)
        await leader.raft.apply_once(b"a", request, timeout_s=5)
        await leader.raft.snapshot(timeout_s=5)
        await leader.raft.apply(b"b", timeout_s=5)
        await world.start(late)
        await wait_until_equal([late], [b"a", b"b"])
        await leader.raft.leadership_transfer(late.server_id, timeout_s=5)
        with pytest.raises(OutcomeUnknown):
            await late.raft.apply_once(b"a", request, timeout_s=5)

        assert [b"a", b"b"] == late.fsm.applied
        del other


@pytest.mark.parametrize("seed", range(40))
async def test_whatever_crashes_an_operation_is_agreed_on_at_most_once(
    seed: int, autojump_clock
) -> None:
    """Random cuts, stops, restarts, snapshots and retries; then all is healed."""
    dice = random.Random(seed)
    config = RaftConfig(trailing_logs=dice.choice((0, 4, 100)), snapshot_threshold=8)
    async with restarting(config) as world:
        first = await world.leader()
        requests = {b"op %d" % n: first.raft.new_request_id() for n in range(3)}
        for _ in range(30):
            await _step(world, dice, requests)
            await trio.sleep(dice.choice((0, 0.001, 0.05, 1.5)))
        world.cluster.network.heal()
        for node in world.cluster.nodes.values():
            if node not in world.up:
                await world.start(node)
        leader = await world.leader()
        for data, request in requests.items():
            state = (await leader.raft.outcome(request, timeout_s=20)).state
            count = leader.fsm.applied.count(data)
            expected = {
                RequestState.DONE: {1},
                RequestState.NOT_DONE: {0},
                RequestState.TOO_OLD: {0, 1},
            }
            assert count in expected[state]


async def _step(world: Restarting, dice: random.Random, requests: dict[bytes, RequestID]) -> None:
    roll = dice.random()
    node = dice.choice(list(world.cluster.nodes.values()))
    if roll < 0.5:
        data, request = dice.choice(list(requests.items()))
        for up in world.up:
            if up.raft.is_leader:
                with trio.move_on_after(dice.choice((0.001, 0.003, 0.5))), suppress(RaftError):
                    await up.raft.apply_once(data, request, timeout_s=1)
    elif roll < 0.6:
        world.cluster.network.isolate(node.server_id)
    elif roll < 0.75:
        world.cluster.network.heal()
    elif roll < 0.9:
        await (world.stop(node) if node in world.up else world.start(node))
    elif node in world.up:
        with suppress(RaftError):
            await node.raft.snapshot(timeout_s=1)
