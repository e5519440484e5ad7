"""What a server tells of its peers: lag in entries, bytes and seconds, and the last failure."""

from __future__ import annotations

import trio

from raft_over_libp2p.core.status import ProgressMode
from raft_over_libp2p.raft.growth import Growth
from raft_over_libp2p.types import Index
from tests.raft.cluster import running, wait_until_equal


def test_the_age_is_that_of_the_first_entry_a_peer_lacks() -> None:
    growth = Growth()
    growth.grew(Index(5), 500, 10.0)
    growth.grew(Index(6), 100, 12.0)

    assert [4.0, 4.0, 2.0, 0.0] == [growth.age_s(Index(n), 14.0) for n in (0, 4, 5, 6)]
    assert [600, 600, 100, 0] == [growth.bytes_after(Index(n)) for n in (0, 4, 5, 6)]


def test_a_long_reign_keeps_few_samples_and_an_age_that_is_nearly_right() -> None:
    growth = Growth()
    for n in range(1, 100_001):
        growth.grew(Index(n), 10, float(n))

    assert len(growth._indexes) <= 1024
    for match in (0, 1000, 50_000, 99_000, 99_999):
        age_s = 99_999.0 - match
        assert age_s <= growth.age_s(Index(match), 100_000.0) <= age_s + 100_000 / 256
        lag_bytes = 10 * (100_000 - match)
        assert lag_bytes <= growth.bytes_after(Index(match)) <= lag_bytes + 1_000_000 / 256


def test_a_write_after_a_long_rest_is_young() -> None:
    growth = Growth()
    for n in range(1, 3001):
        growth.grew(Index(n), 10, float(n))
    growth.grew(Index(3001), 10, 9000.0)

    assert growth.age_s(Index(3000), 9001.0) == 1.0


def test_another_reign_begins_anew() -> None:
    growth = Growth()
    growth.grew(Index(5), 500, 10.0)
    growth.restart()
    growth.grew(Index(6), 100, 20.0)

    assert (1.0, 100) == (growth.age_s(Index(2), 21.0), growth.bytes_after(Index(2)))


def test_the_log_is_level_with_who_holds_all_of_it() -> None:
    growth = Growth()
    for n in range(1, 100_001):
        growth.grew(Index(n), 10, float(n))

    assert growth.age_s(Index(100_000), 100_000.0) == 0


async def test_a_leader_tells_how_far_a_peer_is_behind_and_since_when(autojump_clock) -> None:
    async with running() as cluster:
        leader = await cluster.leader()
        [gone, level] = cluster.followers(leader)
        await leader.raft.apply(b"before", timeout_s=5)
        await wait_until_equal([*cluster.nodes.values()], [b"before"])
        cluster.network.isolate(gone.server_id)
        await leader.raft.apply_many([b"x" * 1000] * 3, timeout_s=5)
        await trio.sleep(20)
        peers = leader.raft.status().peers

        behind = peers[gone.server_id]
        assert behind.lag_entries == 3
        assert behind.lag_s is not None
        assert 20 <= behind.lag_s < 21
        assert behind.lag_bytes is not None
        assert 3000 < behind.lag_bytes < 3600
        assert behind.mode in {ProgressMode.BACKING_OFF, ProgressMode.PROBE}
        assert not behind.is_connected
        assert behind.last_failure is not None
        assert behind.last_failure.ago_s < 3
        assert behind.inflight_calls is not None
        assert behind.inflight_calls <= cluster.config.max_inflight_appends
        assert behind.last_error
        there = peers[level.server_id]
        assert (0, 0, 0.0, "") == (
            there.lag_entries,
            there.lag_bytes,
            there.lag_s,
            there.last_error,
        )


async def test_a_failure_is_remembered_when_all_is_well_again(autojump_clock) -> None:
    async with running() as cluster:
        leader = await cluster.leader()
        [gone, _] = cluster.followers(leader)
        cluster.network.cut(leader.server_id, gone.server_id)
        await leader.raft.apply(b"a", timeout_s=5)
        await trio.sleep(12)
        cluster.network.heal()
        await wait_until_equal([gone], [b"a"])
        await trio.sleep(30)
        leader = await cluster.leader()
        peers = [peer for peer in leader.raft.status().peers.values() if peer.last_failure]

        assert all(peer.last_error == "" for peer in peers)
        assert [True] == [peer.last_failure.ago_s >= 29 for peer in peers if peer.last_failure]


async def test_a_follower_knows_no_progress_but_its_connections(autojump_clock) -> None:
    async with running() as cluster:
        leader = await cluster.leader()
        [follower, _] = cluster.followers(leader)
        peer = follower.raft.status().peers[leader.server_id]

        assert peer.is_connected
        assert (None, None, None) == (peer.lag_entries, peer.lag_bytes, peer.lag_s)
