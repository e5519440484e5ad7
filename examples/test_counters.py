"""Tests of a state of your own. Run them: pytest examples/test_counters.py"""

from __future__ import annotations

import pytest
from counters import Add, AddCodec, Counters
from trio.testing import MockClock

from raft_over_libp2p import NotLeader, OutcomeUnknown
from raft_over_libp2p.testing import check_state_machine, memory_cluster

OPS = [Add("a", 3), Add("b", 1), Add("a", -5), Add("a", 3), Add("b", 0), Add("c", 7), Add("c", -7)]


def test_counters_keep_the_contract_of_a_state_machine() -> None:
    check_state_machine(Counters, OPS, codec=AddCodec())


async def test_counts_outlive_a_leader(autojump_clock: MockClock) -> None:
    async with memory_cluster(3, state_machine=Counters, codec=AddCodec()) as cluster:
        leader = await cluster.leader()
        await leader.raft.apply(Add("a", 1), timeout_s=5)
        await cluster.crash(leader)

        successor = await cluster.leader()
        assert 3 == await successor.raft.apply(Add("a", 2), timeout_s=5)

        await cluster.start(leader)
        await cluster.catch_up()
        assert {"a": 3} == leader.state_machine.counts


async def test_a_minority_adds_nothing(autojump_clock: MockClock) -> None:
    async with memory_cluster(3, state_machine=Counters, codec=AddCodec(), seed=1) as cluster:
        cut_off = await cluster.leader()
        cluster.isolate(cut_off)
        with pytest.raises((NotLeader, OutcomeUnknown)):
            await cut_off.raft.apply(Add("a", 1), timeout_s=5)
        leader = await cluster.leader(among=cluster.others(cut_off))
        assert 5 == await leader.raft.apply(Add("a", 5), timeout_s=5)

        cluster.heal()
        await cluster.catch_up()
        assert {"a": 5} == cut_off.state_machine.counts
