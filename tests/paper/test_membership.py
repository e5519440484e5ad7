"""Thesis chapter 4: the members of a cluster change, one at a time."""

from __future__ import annotations

import pytest

from raft_over_libp2p.core.membership_change import ChangeKind
from raft_over_libp2p.core.ready import Removed
from raft_over_libp2p.errors import ProposalRefused
from raft_over_libp2p.types import Configuration, ServerID
from tests.core.cluster import Cluster, Node
from tests.core.logs import configuration_entry

ADD, REMOVE = ChangeKind.ADD_VOTER, ChangeKind.REMOVE_SERVER


def configuration(cluster: Cluster, node: Node) -> Configuration:
    return node.machine.status(cluster.now).configuration


def test_a_cluster_grows_one_server_at_a_time() -> None:
    """4.1: the cluster configuration is changed by adding or removing a single server."""
    cluster = Cluster(["a"], blank=["b", "c", "d"])
    for name in "bcd":
        cluster.agree(ADD, name)
    cluster.commit(b"x")
    assert {configuration(cluster, n).voters for n in cluster.nodes.values()} == {
        ("a", "b", "c", "d")
    }
    assert {n.applied[-1].data for n in cluster.nodes.values()} == {b"x"}


def test_a_cluster_shrinks_one_server_at_a_time() -> None:
    """4.1."""
    cluster = Cluster(["a", "b", "c", "d"])
    first = cluster.leader().server_id
    leaving = [name for name in "abcd" if name != first]
    for name in leaving:
        cluster.agree(REMOVE, name)
        cluster.crash(name)
    cluster.commit(b"x")
    assert configuration(cluster, cluster.leader()).voters == (first,)


def test_a_server_uses_the_latest_configuration_in_its_log_committed_or_not() -> None:
    """4.1."""
    cluster = Cluster(["a", "b", "c"], blank=["d"])
    cluster.commit(b"x")
    leader = cluster.leader()
    followers = [n for n in "abc" if n != leader.server_id]
    cluster.partition([leader.server_id, followers[0]], [followers[1], "d"])
    cluster.change(ADD, "d")
    cluster.run(0.2)
    assert configuration(cluster, cluster[followers[0]]).voters == ("a", "b", "c", "d")
    assert cluster.commit_index(leader) == 3, "two of four are no majority"


def test_an_uncommitted_configuration_is_rolled_back_with_its_entry() -> None:
    """4.1: a server must be prepared to fall back to the previous configuration in its log."""
    cluster = Cluster(["a", "b", "c"], blank=["d"])
    cluster.commit(b"x")
    old = cluster.leader()
    cluster.isolate(old.server_id)
    cluster.change(ADD, "d")
    assert cluster.run(20, lambda: bool(set(cluster.leaders()) - {old.server_id}))
    cluster.heal()
    assert cluster.run(5, lambda: len(cluster.leaders()) == 1)
    cluster.run(2)
    assert configuration(cluster, old).voters == ("a", "b", "c")


class TestTheBugInTheSingleServerAlgorithm:
    """Ongaro, raft-dev, 10 July 2015, and the remedy: first commit an entry of the own term.

    Of four servers, a leads term 2 and appends a change that adds e, to its own log only.
    Another leads term 3. Were it to remove a at once, its three could agree on that without
    anybody who saw the other change, and a, e and one more agree on the other one later.
    """

    def cluster(self) -> Cluster:
        adds_e = configuration_entry(2, 2, "a", "b", "c", "d", "e")
        cluster = Cluster(["a", "b", "c", "d"], logs={"a": [adds_e]}, blank=["e"])
        cluster.crash("a")
        return cluster

    def test_a_new_leader_changes_nothing_before_an_entry_of_its_term_is_committed(self) -> None:
        cluster = self.cluster()
        leader = cluster.leader()
        with pytest.raises(ProposalRefused, match="no entry of this term is committed"):
            cluster.change_at(leader, REMOVE, "a")

    def test_after_that_the_forgotten_change_can_never_be_agreed_on(self) -> None:
        cluster = self.cluster()
        cluster.agree(REMOVE, "a")
        leader = cluster.leader()
        cluster.restart("a")
        cluster.run(5)
        cluster.crash(leader.server_id)  # neither does it come back when the leader falls
        cluster.commit(b"x")
        for name in "bcd":
            assert set(configuration(cluster, cluster[name]).voters) == {"b", "c", "d"}
        assert cluster["e"].applied == []


def test_a_leader_that_removes_itself_leads_until_that_is_agreed_on() -> None:
    """4.2.2: it manages the cluster while it does not include itself in majorities."""
    cluster = Cluster(["a", "b", "c"])
    cluster.commit(b"x")
    first = cluster.leader()
    index = cluster.change(REMOVE, first.server_id)
    assert cluster.run(5, lambda: first.server_id not in cluster.leaders())
    assert cluster.commit_index(first) >= index
    assert cluster.leader() is not first
    assert cluster.run(10, lambda: Removed(index) in first.observations)
    assert len(configuration(cluster, cluster.leader()).voters) == 2


def test_a_leader_that_removes_itself_does_not_count_itself() -> None:
    """4.2.2: of two that are left, both must have the entry."""
    cluster = Cluster(["a", "b", "c"])
    cluster.commit(b"x")
    first = cluster.leader()
    others = [n for n in "abc" if n != first.server_id]
    cluster.crash(others[0])
    index = cluster.change(REMOVE, first.server_id)
    cluster.run(0.2)
    assert cluster.commit_index(first) == index - 1


def test_a_removed_server_does_not_disrupt_the_cluster() -> None:
    """4.2.3."""
    cluster = Cluster(["a", "b", "c", "d"])
    cluster.commit(b"x")
    first = cluster.leader()
    name = next(n for n in "abcd" if n != first.server_id)
    cluster.isolate(name)
    cluster.agree(REMOVE, name)
    cluster.run(15)  # longer than it is told of its removal
    term = first.hard_state.term
    cluster.heal()
    cluster.run(20)
    assert (cluster.leader(), first.hard_state.term) == (first, term)


def test_votes_are_given_to_candidates_outside_the_voters_own_configuration() -> None:
    """4.1: it would deadlock otherwise: d has the log that must win, and b does not know d."""
    added = configuration_entry(2, 1, "a", "b", "d")
    cluster = Cluster(["a", "b"], logs={"a": [added]}, blank=["d"])
    d = cluster["d"]
    d.log.kept.extend(cluster["a"].log.kept)
    cluster.crash("d")
    cluster.restart("d")
    cluster.crash("a")
    assert cluster.run(30, lambda: cluster.leaders() == [ServerID("d")])


def test_a_new_server_is_given_the_whole_log() -> None:
    cluster = Cluster(["a", "b", "c"], blank=["d"])
    cluster.commit(*[b"%d" % i for i in range(500)])
    index = cluster.agree(ADD, "d")
    assert cluster.run(5, lambda: len(cluster["d"].applied) >= index)
    assert cluster["d"].log.kept == cluster.leader().log.kept
