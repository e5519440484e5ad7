"""Lease reads on whole servers, and suspends, which end a lease."""

from __future__ import annotations

import time

import pytest
import trio

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.errors import ProposalRefused
from raft_over_libp2p.raft import suspension
from raft_over_libp2p.raft.suspension import SuspendWatch
from tests.raft.cluster import running

LEASED = RaftConfig(lease_reads=True)


class Clocks:
    """The two clocks, set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = {time.CLOCK_MONOTONIC: 1000.0, time.CLOCK_BOOTTIME: 5000.0}
        monkeypatch.setattr(suspension, "_boot_time_s", lambda: self.now_s[time.CLOCK_BOOTTIME])
        monkeypatch.setattr(suspension, "_monotonic_s", lambda: self.now_s[time.CLOCK_MONOTONIC])

    def run(self, seconds: float) -> None:
        for clock in self.now_s:
            self.now_s[clock] += seconds

    def suspend(self, seconds: float) -> None:
        self.now_s[time.CLOCK_BOOTTIME] += seconds


def test_time_that_both_clocks_count_is_no_suspend(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks(monkeypatch)
    watch = SuspendWatch()
    clocks.run(3600)

    assert not watch.has_stood_still()


def test_a_suspend_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks(monkeypatch)
    watch = SuspendWatch()
    clocks.suspend(0.5)

    assert watch.has_stood_still()
    assert not watch.has_stood_still()


def test_short_suspends_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = Clocks(monkeypatch)
    watch = SuspendWatch()
    told = []
    for _ in range(3):
        clocks.suspend(0.001)
        told.append(watch.has_stood_still())

    assert any(told)


def test_the_real_clocks_run_side_by_side() -> None:
    monotonic_s = suspension._monotonic_s()

    assert suspension._boot_time_s() >= monotonic_s


async def test_a_leader_reads_by_its_lease_until_its_machine_was_suspended(
    autojump_clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    clocks = Clocks(monkeypatch)
    async with running(config=LEASED) as cluster:
        leader = await cluster.leader()
        await leader.raft.apply(b"a", timeout_s=5)
        await trio.sleep(0.5)
        assert leader.raft.status().core.lease_left_s > 0
        cluster.network.isolate(leader.server_id)

        await leader.raft.read_index(timeout_s=0.1)
        clocks.suspend(0.5)
        with pytest.raises(ProposalRefused, match="nothing was read"):
            await leader.raft.read_index(timeout_s=0.1)


async def test_a_read_on_a_follower_uses_the_leader_s_lease(autojump_clock) -> None:
    async with running(config=LEASED) as cluster:
        leader = await cluster.leader()
        follower, other = cluster.followers(leader)
        await leader.raft.apply(b"a", timeout_s=5)
        await trio.sleep(0.5)
        cluster.network.partition([leader.server_id], [other.server_id])

        await follower.raft.read_index(timeout_s=5)

        assert [b"a"] == follower.fsm.applied
