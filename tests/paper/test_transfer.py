"""Thesis 3.10: leadership is handed over without an election timeout."""

from __future__ import annotations

import pytest

from raft_over_libp2p.core.ready import TransferEnded
from raft_over_libp2p.types import ServerID
from tests.core.cluster import Cluster, Node


def hand_over(cluster: Cluster, target: str | None = None) -> tuple[Node, ServerID]:
    first = cluster.leader()
    name = ServerID(target) if target else None
    return first, first.machine.transfer_leadership(name, cluster.now)


@pytest.mark.parametrize("seed", range(5))
def test_the_target_leads_within_a_few_messages(seed: int) -> None:
    cluster = Cluster(["a", "b", "c"], seed=seed)
    cluster.commit(b"x")
    first, target = hand_over(cluster)
    assert cluster.run(0.1, lambda: cluster.leaders() == [target])
    cluster.commit(b"y")
    assert TransferEnded(target, "") in first.observations


def test_a_named_target_that_lags_is_brought_up_first() -> None:
    cluster = Cluster(["a", "b", "c"])
    cluster.commit(b"x")
    first = cluster.leader()
    target = next(n for n in "abc" if n != first.server_id)
    cluster.propose(first, *[b"%d" % i for i in range(1000)])
    hand_over(cluster, target)
    assert cluster.run(0.5, lambda: cluster.leaders() == [target])
    cluster.commit(b"y")
    assert len(cluster[target].applied) == len(first.applied)


def test_a_target_that_falls_leaves_the_leader_in_office() -> None:
    """3.10: if the transfer does not complete in time, the leader resumes."""
    cluster = Cluster(["a", "b", "c"])
    cluster.commit(b"x")
    first, target = hand_over(cluster)
    cluster.crash(target)
    cluster.run(1.5)
    assert cluster.leader() is first
    assert [o.target for o in first.observations if isinstance(o, TransferEnded)] == [target]
    cluster.commit(b"y")


def test_leadership_goes_round() -> None:
    cluster = Cluster(["a", "b", "c"])
    cluster.commit(b"x")
    for name in "abcabc":
        if cluster.leader().server_id != name:
            hand_over(cluster, name)
            assert cluster.run(0.2, lambda name=name: cluster.leaders() == [name])
            cluster.commit(name.encode())
    assert len({tuple(e.data for e in n.applied) for n in cluster.nodes.values()}) == 1
