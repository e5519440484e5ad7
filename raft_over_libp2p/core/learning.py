"""How servers that join become voters (thesis 4.2.1; mixed-cluster rule 19).

A joining server is a member of suffrage STAGING: it gets the log and does not vote, so that a
slow or unreachable one costs no quorum. Every leader takes care of all of them, whoever added
them, and a Go leader of none: it keeps them as nonvoters.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from raft_over_libp2p.core import reconfiguration
from raft_over_libp2p.core.membership_change import ChangeKind, MembershipChange
from raft_over_libp2p.core.progress import Progress
from raft_over_libp2p.core.quorum import majority
from raft_over_libp2p.core.server import Server
from raft_over_libp2p.errors import ProposalRefused
from raft_over_libp2p.types import Suffrage

if TYPE_CHECKING:
    from raft_over_libp2p.core.leadership import Leadership

__all__ = ["go_on"]


def go_on(server: Server, leadership: Leadership) -> None:
    """Promote one joining server that has caught up, or remove one that was silent too long.

    Silence counts from when it was added or this leader's reign began, whichever is later.
    One that was promoted is never removed for silence: it may be one of a majority.
    """
    if not reconfiguration.may_change(server, leadership):
        return
    latest = server.membership.latest
    for member in latest.configuration.servers:
        if member.suffrage is not Suffrage.STAGING:
            continue
        peer = leadership.peers[member.id]
        if server.now - peer.contact > server.config.join_timeout_s:
            change = MembershipChange(ChangeKind.REMOVE_SERVER, member.id)
        elif _has_caught_up(server, peer) and _makes_a_majority(server, leadership, peer):
            change = MembershipChange(ChangeKind.ADD_VOTER, member.id, member.address)
        else:
            continue
        with suppress(ProposalRefused):  # the window is full: later, then
            reconfiguration.append_change(server, leadership, change, latest.index)
        return


def _has_caught_up(server: Server, peer: Progress) -> bool:
    """Tell whether a round has just ended that took less than an election timeout.

    A round is the replication of all that was committed when it began (thesis 4.2.1): entries
    come in meanwhile, and a peer that needs long for them would hold up commitment as a voter.
    """
    if peer.round_goal is None or peer.match_index >= peer.round_goal:
        is_done = peer.round_goal is not None
        is_quick = server.now - peer.round_began_at < server.config.election_timeout_s
        peer.round_goal, peer.round_began_at = server.commit_index, server.now
        return is_done and is_quick
    return False


def _makes_a_majority(server: Server, leadership: Leadership, peer: Progress) -> bool:
    """Tell whether the voters heard lately are a majority when ``peer`` is one of them."""
    since = server.now - server.config.leader_lease_timeout_s
    if not peer.has_answered or peer.contact < since:
        return False
    heard = sum(voter.contact >= since for voter in leadership.voters)
    voters = len(leadership.voters) + leadership.is_voter
    return heard + leadership.is_voter + 1 >= majority(voters + 1)
