"""Raft §7 and thesis chapter 5: log compaction, in clusters that go on meanwhile."""

from __future__ import annotations

import pytest

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core.membership_change import ChangeKind
from raft_over_libp2p.core.messages import InstallSnapshotRequest
from raft_over_libp2p.types import Index
from tests.core.cluster import Cluster, Node

FEW = RaftConfig(trailing_logs=5, snapshot_threshold=20, snapshot_interval_s=0.5)


def status(cluster: Cluster, node: Node):
    return node.machine.status(cluster.now)


def fill(cluster: Cluster, entries: int = 100) -> Index:
    """Agree on many entries, and let the live servers take their snapshots."""
    last = cluster.commit(*[b"%d" % i for i in range(entries)])
    cluster.run(2)
    return last


def test_each_server_takes_snapshots_of_its_own() -> None:
    """5.1: servers take snapshots independently, covering just the committed entries."""
    cluster = Cluster(["a", "b", "c"], config=FEW)
    last = fill(cluster)
    for node in cluster.nodes.values():
        assert status(cluster, node).snapshot_index == last
        assert [e.index for e in node.log.kept] == list(range(last - 4, last + 1))


def test_a_server_restarts_from_its_snapshot() -> None:
    cluster = Cluster(["a", "b", "c"], config=FEW)
    last = fill(cluster)
    for name in "abc":
        cluster.crash(name)
    for name in "abc":
        cluster.restart(name)
    assert all(len(node.applied) == last for node in cluster.nodes.values())
    cluster.commit(b"x")
    states = [[e.data for e in n.applied] for n in cluster.nodes.values()]
    assert states[0] == states[1] == states[2]


def test_a_laggard_is_sent_the_snapshot_and_then_the_entries() -> None:
    """§7: the leader must occasionally send snapshots to followers that lag behind."""
    cluster = Cluster(["a", "b", "c"], config=FEW)
    cluster.commit(b"x")
    name = next(n for n in "abc" if n != cluster.leader().server_id)
    cluster.crash(name)
    fill(cluster)
    cluster.restart(name)
    cluster.commit(b"y")
    assert cluster[name].applied == cluster.leader().applied
    assert cluster.requests(InstallSnapshotRequest)


def test_a_new_server_is_sent_the_snapshot() -> None:
    """5.1: ... or a new server that joins the cluster."""
    cluster = Cluster(["a", "b", "c"], blank=["d"], config=FEW)
    fill(cluster)
    cluster.agree(ChangeKind.ADD_VOTER, "d")
    cluster.commit(b"y")
    assert cluster["d"].applied == cluster.leader().applied
    assert status(cluster, cluster["d"]).configuration.voters == ("a", "b", "c", "d")


def test_the_configuration_comes_with_the_snapshot() -> None:
    """5.1: the snapshot metadata must include the latest configuration as of its last index."""
    cluster = Cluster(["a", "b", "c", "d"], blank=["e"], config=FEW)
    name = next(n for n in "abcd" if n != cluster.leader().server_id)
    cluster.agree(ChangeKind.REMOVE_SERVER, name)
    fill(cluster)
    cluster.agree(ChangeKind.ADD_VOTER, "e")
    fill(cluster)
    members = set(status(cluster, cluster.leader()).configuration.ids)
    assert set(status(cluster, cluster["e"]).configuration.ids) == members == set("abcde") - {name}


def test_writes_go_on_while_a_snapshot_is_written() -> None:
    """5.1: writing a snapshot must not delay normal operations."""
    cluster = Cluster(["a", "b", "c"], config=FEW)
    cluster.snapshot_s = 5.0
    fill(cluster)
    leader = cluster.leader()
    last = cluster.commit(b"x")
    assert status(cluster, leader).snapshot_index == 0
    cluster.run(6)
    assert 0 < status(cluster, leader).snapshot_index < last


def test_a_wiped_voter_comes_back_by_snapshot() -> None:
    cluster = Cluster(["a", "b", "c"], config=FEW)
    fill(cluster)
    name = next(n for n in "abc" if n != cluster.leader().server_id)
    node = cluster[name]
    cluster.crash(name)
    node.log.kept, node.log.first = [], 1
    node.snapshots.clear()
    cluster.agree(ChangeKind.REMOVE_SERVER, name)
    cluster.agree(ChangeKind.ADD_VOTER, name)
    cluster.restart(name)
    cluster.commit(b"y")
    assert node.applied == cluster.leader().applied


@pytest.mark.parametrize("seed", range(12))
def test_all_states_are_the_same_whatever_falls(seed: int) -> None:
    """State machine safety across snapshots, crashes, installs and slow disks."""
    config = RaftConfig(trailing_logs=2, snapshot_threshold=8, snapshot_interval_s=0.2)
    cluster = Cluster(["a", "b", "c"], config=config, seed=seed)
    cluster.jitter_s, cluster.disk_s, cluster.snapshot_s = 0.02, 0.01, 0.3
    cluster.duplicated = 0.1
    dice = cluster.rng
    for _ in range(12):
        name = dice.choice("abc")
        leader = cluster.leader()
        cluster.propose(leader, *[b"%d" % i for i in range(dice.randrange(1, 30))])
        cluster.run(dice.uniform(0, 1))
        cluster.crash(name)
        cluster.run(dice.uniform(0, 2))
        if len(cluster.leaders()) == 1:
            cluster.propose(cluster.leader(), *[b"x"] * 20)
            cluster.run(1)
        cluster.restart(name)
    cluster.run(5)
    cluster.commit(b"end", seconds=30)
    states = [n.applied for n in cluster.nodes.values()]
    assert states[0] == states[1] == states[2]
    assert len(cluster.requests(InstallSnapshotRequest)) > 0
