"""Who leads, and by whose votes (Raft 5.2, 5.4.1)."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from raft_over_libp2p.core.ready import HardState
from raft_over_libp2p.types import ServerID, Term
from tests.simulation.violation import violated

if TYPE_CHECKING:
    from tests.simulation.check_commitment import CommitmentCheck
    from tests.simulation.server import Server

__all__ = ["STRANGERS_TERM", "ElectionCheck"]

STRANGERS_TERM = Term(1_000_000)
"""What a server that belongs to no configuration asks for; no member's term may go there."""


class ElectionCheck:
    """Knows every vote that became durable, and every leader there was."""

    def __init__(self, commitment: CommitmentCheck) -> None:
        self.commitment = commitment
        self.leaders: dict[Term, ServerID] = {}
        self.votes: dict[tuple[ServerID, Term], ServerID] = {}

    def vote_durable(self, voter: ServerID, hard_state: HardState) -> None:
        """Record a vote at the moment it is on the disk: one for each server and term."""
        if hard_state.term >= STRANGERS_TERM:
            violated("a stranger moves no term", f"{voter} went to {hard_state}")
        if hard_state.vote is None:
            return
        key = (voter, hard_state.term)
        first = self.votes.setdefault(key, hard_state.vote)
        if first != hard_state.vote:
            violated(
                "one vote a term",
                f"{voter} voted for {first} and then {hard_state.vote} in {hard_state.term}",
            )

    def forget(self, voter: ServerID) -> None:
        """``voter`` was removed and its disk emptied: what it voted for then binds it no more."""
        for key in [key for key in self.votes if key[0] == voter]:
            del self.votes[key]

    def leads(self, server: ServerID, term: Term) -> None:
        """Check that no one else ever said it led ``term``."""
        first = self.leaders.setdefault(term, server)
        if first != server:
            violated("election safety", f"{first} and {server} both lead term {term}")

    def elected(self, server: Server, term: Term) -> None:
        """Check a new leader: alone, by a majority of durable votes, with all that is committed."""
        self.leads(server.id, term)
        image = server.disk.image
        latest = image.latest.configuration
        # Before it was appended, the one before it was agreed on (mixed-cluster rule 10).
        if not any(placed.configuration.is_voter(server.id) for placed in image.placed[-2:]):
            violated("election by majority", f"{server.id} leads {term} and is no voter")
        voters = latest.voters
        votes = sum(1 for voter in voters if self.votes.get((voter, term)) == server.id)
        if votes <= len(voters) // 2:
            violated(
                "election by majority",
                f"{server.id} leads term {term} with {votes} durable votes of {voters}",
            )
        self._check_completeness(server, term)

    def _check_completeness(self, server: Server, term: Term) -> None:
        # By log matching (checked for every entry) the last entry stands for all before it.
        committed = self.commitment
        count = bisect_left(committed.committed_in, term)
        if count == 0:
            return
        entry = committed.entries[count - 1]
        log = server.log
        if len(log) < count or log[count - 1].term != entry.term:
            violated(
                "leader completeness",
                f"{server.id} leads term {term} without the committed ({entry.index}, {entry.term})",
            )
