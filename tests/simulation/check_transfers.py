"""Handing over leadership (thesis 3.10; mixed-cluster rule 21): it ends, and blocks nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raft_over_libp2p.core.messages import RequestVoteRequest
from raft_over_libp2p.core.ready import Role, TransferEnded
from raft_over_libp2p.types import CallID, ServerID, Term
from tests.simulation.violation import violated

if TYPE_CHECKING:
    from tests.simulation.check_elections import ElectionCheck
    from tests.simulation.server import Server

__all__ = ["TransferCheck"]

_SLACK_TURNS = 3
"""A loop that stood still looks at its timers once more before it believes them."""


class TransferCheck:
    """One machine's transfer, and the campaigns that others asked it for."""

    def __init__(self, elections: ElectionCheck) -> None:
        self.elections = elections
        self._target: ServerID | None = None
        self._deadline = 0.0
        self._late_turns = 0
        self._asked: dict[CallID, Term] = {}
        self._may_override = False
        self._round: Term | None = None

    # -- the leader's side

    @property
    def is_open(self) -> bool:
        return self._target is not None

    def began(self, server: Server, target: ServerID) -> None:
        """``server`` accepted to hand over to ``target``."""
        if self._target is not None:
            violated("transfers", f"{server.id} begins a second transfer")
        if not server.log.latest.configuration.is_voter(target) or target == server.id:
            violated("transfers", f"{server.id} hands over to {target}")
        self._target = target
        self._deadline = server.local_now() + server.config.election_timeout_s
        self._late_turns = 0

    def ended(self, server: Server, ended: TransferEnded) -> None:
        """It is over; if ``server`` still leads, it takes proposals again at once."""
        if self._target is None or ended.target != self._target:
            violated("transfers", f"{server.id} says {ended}, but hands over to {self._target}")
        self._target = None
        world = server.world
        world.marks["transfer failed" if ended.error else "transfer done"] += 1
        if server.role is Role.LEADER:
            if not ended.error:
                violated("transfers", f"{server.id} leads on and says {ended}")
            world.push(world.now, world.workload.probe_after_transfer, (server, server.core))

    def turn_ends(self, server: Server) -> None:
        """Check that an open transfer is not late, and none is open on who does not lead."""
        if self._target is None:
            return
        if server.local_now() > self._deadline + 0.01:
            self._late_turns += 1
        if self._late_turns > _SLACK_TURNS:
            violated(
                "a transfer ends",
                f"{server.id}, {server.role.value}, has not heard the end of its transfer to "
                f"{self._target}, due at {self._deadline:.3f}",
            )

    def asks(self, server: Server, target: ServerID) -> None:
        """Check TimeoutNow as it leaves: its receiver holds all that its sender has."""
        world, log = server.world, server.log
        world.marks["TimeoutNow"] += 1
        if not log.latest.configuration.is_voter(target):
            violated("TimeoutNow to a voter", f"{server.id} asks {target} to campaign")
        disk = world.servers[target].disk
        if not disk.holds(len(log), log[-1].term):
            violated(
                "TimeoutNow at match = last",
                f"{server.id} of {len(log)} entries asks {target} of {len(disk.image)} to campaign",
            )

    # -- the target's side

    def was_asked(self, server: Server, call: CallID) -> None:
        """TimeoutNow comes in; note in which term."""
        self._asked[call] = server.status().term

    def answers(self, server: Server, call: CallID, peer: ServerID, *, obeys: bool) -> None:
        """``server`` answered ``peer`` that it campaigns, or that it does not."""
        term = self._asked.pop(call, None)
        if not obeys:
            return
        if term is None or self.elections.leaders.get(term) != peer:
            violated(
                "TimeoutNow from the term's leader only",
                f"{server.id} in {term} obeys {peer}; {self.elections.leaders} led",
            )
        self._may_override = True

    def campaigns(self, server: Server, request: RequestVoteRequest) -> None:
        """Check that a vote is asked for over the leader's head only in the round it asked for."""
        if not request.leadership_transfer:
            return
        if self._may_override:
            self._may_override, self._round = False, request.term
        if self._round != request.term:
            violated(
                "the transfer flag is for one round",
                f"{server.id} sends {request}; it was told to campaign in {self._round}",
            )
