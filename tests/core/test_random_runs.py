"""Seeded runs with crashes, lost writes, cut links, overtaking and doubled messages."""

from __future__ import annotations

import random

import pytest

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core.ready import Role, RoleChanged
from raft_over_libp2p.types import Index, ServerID
from tests.core.cluster import Cluster

FAST = RaftConfig(max_append_entries=3, max_inflight_appends=3)


class Watch:
    """What must hold at every step (Raft Figure 3)."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.leaders: dict[int, ServerID] = {}
        self.agreed: dict[int, tuple[int, bytes]] = {}
        self.looked: dict[ServerID, int] = {}
        self.applied: dict[ServerID, int] = {}

    def look(self) -> None:
        for node in self.cluster.nodes.values():
            for seen in node.observations[self.looked.get(node.server_id, 0) :]:
                if isinstance(seen, RoleChanged) and seen.role is Role.LEADER:
                    assert self.leaders.setdefault(seen.term, node.server_id) == node.server_id
            self.looked[node.server_id] = len(node.observations)
            start = min(self.applied.get(node.server_id, 0), len(node.applied))
            for item in node.applied[start:]:
                assert self.agreed.setdefault(item.index, (item.term, item.data)) == (
                    item.term,
                    item.data,
                )
            self.applied[node.server_id] = len(node.applied)
            self.look_at_log(node.server_id)

    def look_at_log(self, server_id: ServerID) -> None:
        node = self.cluster.nodes[server_id]
        status = node.machine.status(self.cluster.now)
        assert status.applied_index <= status.commit_index <= status.last_index
        assert status.applied_index <= status.durable_index <= status.last_index
        assert [e.index for e in node.applied] == list(range(1, len(node.applied) + 1))

    def logs_match(self) -> None:
        """Log Matching: same index and term, same log before it."""
        nodes = list(self.cluster.nodes.values())
        for one in nodes:
            for other in nodes:
                pairs = list(zip(one.log.kept, other.log.kept, strict=False))
                same = [i for i, (x, y) in enumerate(pairs) if x.term == y.term]
                if same:
                    assert all(x == y for x, y in pairs[: same[-1] + 1])


def disturb(cluster: Cluster, dice: random.Random) -> None:
    name = dice.choice(list(cluster.nodes))
    node = cluster.nodes[name]
    action = dice.randrange(8)
    if action == 0 and node.is_up:
        cluster.crash(name)
    elif action in {1, 2} and not node.is_up:
        cluster.restart(name)
    elif action == 3:
        cluster.isolate(name)
    elif action == 4:
        other = dice.choice(list(cluster.nodes))
        cluster.cut.add((name, other))
    elif action in {5, 6}:
        cluster.heal()


def propose(cluster: Cluster, number: int, dice: random.Random) -> None:
    for leader in cluster.leaders():
        data = [b"%d-%d" % (number, i) for i in range(dice.randrange(1, 8))]
        cluster.nodes[leader].machine.propose(data, cluster.now)


@pytest.mark.parametrize("seed", range(24))
def test_safety_holds_under_faults_and_progress_returns_after_them(seed: int) -> None:
    """Figure 3: election safety, log matching, state machine safety; then liveness after heal."""
    dice = random.Random(seed)
    size = dice.choice([3, 3, 5])
    cluster = Cluster(list("abcde"[:size]), seed=seed, config=FAST)
    cluster.jitter_s = dice.choice([0, 0.01, 0.2])
    cluster.disk_s = dice.choice([0, 0.005, 0.1])
    cluster.duplicated = dice.choice([0, 0.2])
    watch = Watch(cluster)
    for number in range(100):
        propose(cluster, number, dice)
        cluster.run(dice.choice([0.01, 0.1, 0.5, 1.5]))
        watch.look()
        if dice.random() < 0.4:
            disturb(cluster, dice)
    watch.logs_match()

    cluster.heal()
    cluster.jitter_s = 0.001
    for name, node in cluster.nodes.items():
        if not node.is_up:
            cluster.restart(name)
    cluster.run(15)
    leader = cluster.leader()
    last = Index(cluster.propose(leader, b"the end"))
    assert cluster.run(15, lambda: all(len(n.applied) >= last for n in cluster.nodes.values())), (
        "no progress after healing"
    )
    watch.look()
    assert len({tuple(e.data for e in n.applied) for n in cluster.nodes.values()}) == 1
