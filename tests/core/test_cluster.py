from __future__ import annotations

from tests.core.cluster import Cluster


def test_three_servers_elect_one_leader_and_agree() -> None:
    cluster = Cluster(["a", "b", "c"])
    cluster.leader()
    last = cluster.commit(b"x", b"y")
    assert last == 4
    logs = [[e.data for e in n.applied][2:] for n in cluster.nodes.values()]
    assert logs == [[b"x", b"y"]] * 3


def test_a_single_voter_leads_and_commits_alone() -> None:
    cluster = Cluster(["a"])
    cluster.commit(b"x")
    assert cluster["a"].applied[-1].data == b"x"


def test_a_killed_leader_is_replaced_and_catches_up() -> None:
    cluster = Cluster(["a", "b", "c"])
    old = cluster.leader()
    cluster.commit(b"x")
    cluster.crash(old.server_id)
    cluster.commit(*[b"%d" % i for i in range(500)])
    cluster.restart(old.server_id)
    cluster.commit(b"last")
    logs = [[e.data for e in n.applied] for n in cluster.nodes.values()]
    assert logs[0] == logs[1] == logs[2]


def test_a_follower_that_restarts_under_an_idle_leader_applies_what_is_agreed_on() -> None:
    """Heartbeats carry no commit index: the leader says it again to who was away."""
    cluster = Cluster(["a", "b", "c"])
    leader = cluster.leader()
    cluster.commit(b"x")
    cluster.run(1.0)
    follower = next(name for name in cluster.nodes if name != leader.server_id)
    cluster.crash(follower)
    cluster.run(3.0)

    cluster.restart(follower)

    assert cluster.run(5.0, lambda: cluster[follower].applied == leader.applied)
