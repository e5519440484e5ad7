"""Learners: servers that join as STAGING become voters, or leave nothing behind."""

from __future__ import annotations

import pytest

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core.membership_change import ChangeKind
from raft_over_libp2p.types import Suffrage
from tests.core.cluster import Cluster
from tests.core.solo import Solo

JOIN = ChangeKind.ADD_STAGING
QUICK = RaftConfig(join_timeout_s=3.0)


def suffrage(cluster: Cluster, name: str) -> Suffrage | None:
    members = cluster.leader().machine.status(cluster.now).configuration.servers
    return next((m.suffrage for m in members if m.id == name), None)


def joining() -> Solo:
    """Return the leader of a, b and c, to which d is being added; that is agreed on."""
    solo = Solo("a", "b", "c", config=QUICK)
    solo.lead_with_commit("b", "c")
    solo.change(JOIN, "d")
    solo.persist()
    solo.acknowledge_all("b")
    solo.acknowledge_all("c")
    return solo


def suffrages(solo: Solo) -> dict[str, Suffrage]:
    return {str(m.id): m.suffrage for m in solo.status.configuration.servers}


def keep_in_touch(solo: Solo, seconds: float, *peers: str) -> None:
    end = solo.now + seconds
    while solo.now < end:
        solo.wait(0.1)
        for peer in peers:
            for call in [*solo.heartbeats(peer), *solo.appends(peer)]:
                solo.respond(call, solo.success())
        solo.persist()


def test_who_joins_becomes_a_voter_when_it_has_caught_up() -> None:
    cluster = Cluster(["a", "b", "c"], blank=["d"])
    cluster.commit(*[b"%d" % i for i in range(500)])
    cluster.agree(JOIN, "d")
    assert cluster.run(3, lambda: suffrage(cluster, "d") is Suffrage.VOTER)
    cluster.commit(b"x")


def test_the_first_of_all_gets_its_second_voter() -> None:
    cluster = Cluster(["a"], blank=["b"])
    cluster.commit(b"x")
    cluster.agree(JOIN, "b")
    assert cluster.run(3, lambda: suffrage(cluster, "b") is Suffrage.VOTER)
    cluster.commit(b"y")


def test_who_cannot_be_reached_costs_no_quorum_and_leaves_nothing_behind() -> None:
    cluster = Cluster(["a"], blank=["b"], config=QUICK)
    cluster.commit(b"x")
    cluster.crash("b")
    cluster.agree(JOIN, "b")
    cluster.commit(b"y")
    cluster.run(2.5)
    assert suffrage(cluster, "b") is Suffrage.STAGING
    cluster.run(2)
    assert suffrage(cluster, "b") is None
    cluster.commit(b"z")


def test_another_leader_goes_on_with_it() -> None:
    """Rule 19: every Python leader adopts all Staging."""
    cluster = Cluster(["a", "b", "c"], blank=["d"])
    cluster.commit(b"x")
    cluster.crash("d")
    cluster.agree(JOIN, "d")
    cluster.run(0.5)
    cluster.crash(cluster.leader().server_id)
    cluster.leader()
    cluster.restart("d")
    assert cluster.run(3, lambda: suffrage(cluster, "d") is Suffrage.VOTER)


def test_a_nonvoter_stays_one() -> None:
    cluster = Cluster(["a", "b", "c"], blank=["d"])
    cluster.agree(ChangeKind.ADD_NONVOTER, "d")
    cluster.run(5)
    assert suffrage(cluster, "d") is Suffrage.NONVOTER


def test_silence_counts_from_the_last_answer() -> None:
    solo = joining()
    keep_in_touch(solo, 2, "b", "c")
    for call in solo.heartbeats("d")[-1:]:
        solo.respond(call, solo.success())
    keep_in_touch(solo, 2.5, "b", "c")
    assert suffrages(solo)["d"] is Suffrage.STAGING
    keep_in_touch(solo, 1, "b", "c")
    assert "d" not in suffrages(solo)


def test_a_voter_is_never_undone() -> None:
    solo = joining()
    solo.acknowledge_all("d")
    solo.turn()
    assert suffrages(solo)["d"] is Suffrage.VOTER
    keep_in_touch(solo, 20, "b", "c")
    assert suffrages(solo)["d"] is Suffrage.VOTER


def test_a_round_that_takes_an_election_timeout_is_followed_by_another() -> None:
    """Thesis 4.2.1."""
    solo = joining()
    held = solo.appends("d")
    keep_in_touch(solo, 1.2, "b", "c")
    for call in solo.heartbeats("d")[-1:]:
        solo.respond(call, solo.success())
    for call in held:
        solo.respond(call, solo.success())
    assert suffrages(solo)["d"] is Suffrage.STAGING
    solo.turn()
    assert suffrages(solo)["d"] is Suffrage.VOTER


def test_who_was_not_heard_lately_is_not_promoted() -> None:
    """Rule 19: the voters heard lately with the new one are the new majority."""
    solo = joining()
    held = solo.appends("d")
    keep_in_touch(solo, 0.7, "b", "c")
    solo.heartbeats("d")
    for call in held:
        solo.respond(call, solo.success())
    solo.turn()
    assert suffrages(solo)["d"] is Suffrage.STAGING, "what it answered was asked long ago"
    keep_in_touch(solo, 0.2, "b", "c", "d")
    assert suffrages(solo)["d"] is Suffrage.VOTER


def test_mixed_rule_19_a_change_made_meanwhile_is_respected() -> None:
    """Rule 19: promote with prev_index = the latest configuration's index."""
    solo = joining()
    solo.change(ChangeKind.REMOVE_SERVER, "d")
    solo.acknowledge_all("d")
    keep_in_touch(solo, 2, "b", "c")
    assert "d" not in suffrages(solo)


@pytest.mark.parametrize("seed", range(4))
def test_three_join_one_after_the_other(seed: int) -> None:
    cluster = Cluster(["a"], blank=["b", "c", "d"], seed=seed)
    cluster.jitter_s, cluster.disk_s = 0.02, 0.01
    for name in "bcd":
        cluster.agree(JOIN, name)
        assert cluster.run(5, lambda name=name: suffrage(cluster, name) is Suffrage.VOTER)
        cluster.run(0.5)
    cluster.crash(cluster.leader().server_id)
    cluster.commit(b"x")
