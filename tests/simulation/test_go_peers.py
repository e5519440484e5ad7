"""Clusters of ours and of Go peers, as the model in ``go_raft.py`` has them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core import replication, snapshot_sending
from raft_over_libp2p.core.messages import RequestVoteRequest
from raft_over_libp2p.core.ready import HardState, Role
from raft_over_libp2p.types import Index, LogEntry, ServerID, Term
from tests.simulation.go_fault import GoFault
from tests.simulation.go_raft import GoRaft
from tests.simulation.go_server import GoServer
from tests.simulation.profile import Profile
from tests.simulation.seeds import run_seed
from tests.simulation.violation import Violation
from tests.simulation.world import World

_SEEDS = range(2000, 2030)


def _mixed(seed: int) -> Profile:
    """Return a world of three to five voters, of which the second, or the second and fourth, are Go's."""
    return Profile(
        voters=3 + seed % 3,
        go_peers=frozenset({1, 3} if seed % 3 else {1}),
        raft=RaftConfig(snapshot_threshold=4, snapshot_interval_s=0.1, trailing_logs=seed % 4),
        client_every_s=0.05,
        proposal_size=4,
        drop=0.02,
        crash_every_s=2.0,
        partition_every_s=2.0,
        pause_every_s=3.0,
        snapshot_every_s=1.0,
        slow_snapshot=0.2,
        snapshot_broken=0.2,
        disk_full_every_s=4.0,
    )


def _run_mixed() -> tuple[list[Violation], Counter[str]]:
    found, marks = [], Counter[str]()
    for seed in _SEEDS:
        outcome = run_seed(seed, 3000, profile=_mixed(seed))
        marks += outcome.marks
        if outcome.violation is not None:
            found.append(outcome.violation)
    return found, marks


@pytest.mark.slow
def test_clusters_of_both_languages_break_no_rule_and_recover() -> None:
    found, marks = _run_mixed()

    assert found == []
    for thing in (
        "Go: elected",
        "Go: truncation",
        "Go: snapshot installed",
        "Go: main loop held by a snapshot",
        "Go: prev check blind to the snapshot",
        "Go: log kept above a snapshot",
        "Go: a voter held while the others recover",
    ):
        assert marks[thing], thing
    assert marks["Go's own fault"] <= len(_SEEDS) // 5


@pytest.mark.slow
def test_a_leader_that_caps_no_commit_index_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mixed-cluster rule 1, where the first to see it is a Go follower."""
    monkeypatch.setattr(replication, "min", lambda first, _: first, raising=False)

    assert {v.checker for v in _run_mixed()[0]} >= {"sent commit is covered"}


@pytest.mark.slow
def test_a_leader_that_heals_no_stale_tail_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mixed-cluster rule 15: the Go peer rejects for ever."""
    monkeypatch.setattr(
        snapshot_sending, "require_beyond", lambda server, peer, _: peer.back_off(server.now, "")
    )

    assert {v.checker for v in _run_mixed()[0]} == {"recovery"}


@pytest.mark.slow
def test_a_leader_that_sends_any_snapshot_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mixed-cluster rule 4: state and configuration of the Go peer go back."""
    monkeypatch.setattr(snapshot_sending, "_may_have_applied", lambda *_: Index(0))

    outcomes = [run_seed(seed) for seed in (293, 409, *range(700, 760))]

    found = {outcome.violation.checker for outcome in outcomes if outcome.violation is not None}
    assert found == {"a late snapshot rolls nothing back"}


class TestGosOwnFaults:
    """What no rule for our servers prevents is told from what they do."""

    def peer(self, **changes: object) -> GoServer:
        world = World(1, replace(Profile(go_peers=frozenset({1})), **changes))  # type: ignore[arg-type]
        world.start()
        server = world.servers[ServerID("s2")]
        assert isinstance(server, GoServer)
        return server

    def raft(self, server: GoServer) -> GoRaft:
        assert server.raft is not None
        return server.raft

    def test_a_term_and_its_vote_are_two_writes(self) -> None:
        server = self.peer()
        voting = self.raft(server).persist_vote(Term(5), ServerID("s1"))
        next(voting)
        next(voting)

        assert (server.go_disk.vote_term, server.go_disk.vote_candidate) == (5, None)

    def test_a_vote_that_was_torn_is_its_own_fault(self) -> None:
        server = self.peer()
        disk, raft = server.go_disk, self.raft(server)
        disk.set_vote_term(Term(5))
        disk.vote_candidate = ServerID("s3")
        raft.term = Term(5)
        request = RequestVoteRequest(
            term=Term(5),
            candidate=ServerID("s3"),
            last_log_index=Index(1),
            last_log_term=Term(1),
        )

        with pytest.raises(GoFault, match="a torn vote"):
            list(raft._may_grant(request))

    def test_a_term_that_goes_back_is_its_own_fault(self) -> None:
        raft = self.raft(self.peer())
        raft.term = Term(9)

        with pytest.raises(GoFault, match="went back to term 7"):
            list(raft.set_term(Term(7)))

    def test_a_leader_of_another_term_than_it_was_elected_in_is_its_own_fault(self) -> None:
        raft = self.raft(self.peer())
        raft.term = Term(9)

        with pytest.raises(GoFault, match="was elected in 8 and leads 9"):
            list(raft.lead(Term(8)))

    def test_what_a_go_leader_does_to_a_go_follower_is_theirs(self) -> None:
        server = self.peer(go_peers=frozenset({0, 1}))
        entry = LogEntry(Index(2), Term(1))
        server.go_disk.store_logs([entry])

        with pytest.raises(GoFault, match="sent commit is covered"):
            server.check_commit(ServerID("s1"), 2, 1)

    def test_what_our_leader_does_to_a_go_follower_is_ours(self) -> None:
        server = self.peer()
        server.go_disk.store_logs([LogEntry(Index(2), Term(1))])

        with pytest.raises(Violation, match="sent commit is covered"):
            server.check_commit(ServerID("s1"), 2, 1)

    def test_the_checkers_see_a_log_with_a_hole_only_up_to_there(self) -> None:
        server = self.peer()
        server.go_disk.store_logs([LogEntry(Index(4), Term(1))])

        assert len(server.disk.image) == 1
        assert server.go_disk.last_log == (4, 1)
        assert server.disk.hard_state == HardState(Term(1))
        assert server.role is Role.FOLLOWER
