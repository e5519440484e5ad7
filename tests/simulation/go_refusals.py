"""Where Go voters leave a cluster without a leader, whatever our servers do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raft_over_libp2p.core.ready import Role

if TYPE_CHECKING:
    from tests.simulation.server import Server
    from tests.simulation.world import World

__all__ = ["nobody_electable_without_go"]


def nobody_electable_without_go(world: World, held: Server | None) -> bool:
    """Tell whether nobody leads, and nobody can be elected because Go voters refuse.

        A Go voter refuses whoever is not in the latest configuration that it knows, a newer log or
        not (mixed-cluster rule 14: real Go peers do), and one of a release before 1.7 answers no
        pre-vote. Who is electable but for that, is not electable with it; and somebody is who would be.
    ``held`` stands still, and votes for nobody in either case.
    """
    if any(server.role is Role.LEADER for server in world.everyone):
        return False
    free = [server for server in world.everyone if server is not held]
    could = [server for server in free if _can_win(world, server, held, heeds_go=False)]
    return bool(could) and not any(_can_win(world, server, held, heeds_go=True) for server in could)


def _can_win(world: World, candidate: Server, held: Server | None, *, heeds_go: bool) -> bool:
    latest = candidate.log.latest.configuration
    if not latest.is_voter(candidate.id):
        # By the one before it, too, ours campaign; a Go peer that appended its own removal
        # does not, though it may hold the only log that can win (rule 10).
        before = [placed.configuration for placed in candidate.log.placed[-2:-1]]
        if (candidate.is_go and heeds_go) or not any(c.is_voter(candidate.id) for c in before):
            return False
    voters = [world.servers[voter] for voter in latest.voters if world.servers[voter] is not held]
    votes = sum(
        voter is candidate
        or (_is_behind(voter, candidate) and not (heeds_go and _refuses(world, voter, candidate)))
        for voter in voters
    )
    return votes >= latest.quorum()


def _is_behind(voter: Server, candidate: Server) -> bool:
    return _place(voter) <= _place(candidate)


def _place(server: Server) -> tuple[int, int]:
    log = server.log
    return (log[-1].term, len(log)) if log else (0, 0)


def _refuses(world: World, voter: Server, candidate: Server) -> bool:
    if not voter.is_go:
        return False
    known = voter.log.latest.configuration
    if known.servers and not known.is_voter(candidate.id):
        return True
    asks_first = not (candidate.is_go or candidate.config.pre_vote_disabled)
    return world.profile.go_is_1_6 and asks_first
