"""A heartbeat at a term known to be durable waits for no write (mixed-cluster rules 8 and 17)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raft_over_libp2p.types import CallID, Term
from tests.simulation.violation import violated

if TYPE_CHECKING:
    from tests.simulation.server import Server

__all__ = ["HeartbeatCheck"]


class HeartbeatCheck:
    """One machine's: the heartbeats of this turn, and the term it was told is durable."""

    __slots__ = ("calls", "told_term")

    def __init__(self, told_term: Term) -> None:
        self.told_term = told_term
        self.calls: list[CallID] = []

    def turn_ends(self, server: Server) -> None:
        """Check that the turn that took heartbeats in answered them."""
        if self.told_term == server.hard_state.term:
            for call in self.calls:
                if call in server.inbound:
                    violated(
                        "heartbeats are answered at once",
                        f"{server.id} holds back the answer to {server.inbound[call].request}",
                    )
        self.calls.clear()
