"""Who belongs to the cluster, and how that changes (thesis 4.1, Ongaro 2015; mixed-cluster rules 10, 14)."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from raft_over_libp2p.core.messages import RequestVoteRequest
from raft_over_libp2p.core.ready import Removed, Role, Write
from raft_over_libp2p.core.status import CoreStatus
from raft_over_libp2p.types import NO_INDEX, Index, LogType, ServerID, Term
from tests.simulation.violation import violated

if TYPE_CHECKING:
    from tests.simulation.check_commitment import CommitmentCheck
    from tests.simulation.server import Server

__all__ = ["MembershipCheck"]


class MembershipCheck:
    """Judges by the configurations in the logs, whatever a machine believes."""

    def __init__(self, commitment: CommitmentCheck) -> None:
        self.commitment = commitment

    def write(self, server: Server, write: Write) -> None:
        """Check what a leader appends, before ``server.log`` takes it over."""
        term = server.leading_term
        if term is None:
            return
        for position, entry in enumerate(write.append):
            if entry.type is LogType.CONFIGURATION and entry.term == term:
                self._appended(server, write, position, term)

    def _appended(self, server: Server, write: Write, position: int, term: Term) -> None:
        world, entry = server.world, write.append[position]
        world.marks["configuration appended"] += 1
        # It may have committed what it told nobody yet.
        world.commitment.deposed(server)
        agreed = self.commitment.entries
        open_before = [p for p in server.log.placed if p.index > len(agreed)]
        twice = any(e.type is LogType.CONFIGURATION for e in write.append[:position])
        if open_before or twice:
            violated(
                "one configuration at a time",
                f"{server.id} appends {entry!r} while {open_before} is not agreed on",
            )
        # Terms in the agreed sequence never fall. (Another may lead by now, who agreed on more.)
        first_of_term = bisect_left(agreed, term, key=lambda agreed_on: agreed_on.term)
        if first_of_term == len(agreed) or agreed[first_of_term].term != term:
            violated(
                "a configuration after a commit of the own term",
                f"{server.id} appends {entry!r}; agreed on are {len(agreed)} entries, the last "
                f"{agreed[-1] if agreed else None!r}",
            )

    @staticmethod
    def proposed(server: Server, prev_index: Index) -> None:
        """A change was taken though it asked for ``prev_index`` to be the latest (rule 19)."""
        if prev_index not in {NO_INDEX, server.log.latest.index}:
            violated(
                "a change of what was seen",
                f"{server.id} changes {server.log.latest}, though asked to change {prev_index}",
            )

    def status(self, server: Server, status: CoreStatus) -> None:
        """Check what a server believes, across restarts, truncations and snapshots."""
        latest = server.log.latest
        if (status.configuration_index, status.configuration) != (
            latest.index,
            latest.configuration,
        ):
            violated(
                "the configuration in force",
                f"{server.id} goes by {status.configuration} of {status.configuration_index}; "
                f"its log and snapshot say {latest}",
            )
        if latest.index < server.agreed_configuration_index:
            violated(
                "configurations never go back",
                f"{server.id} knew the one of {server.agreed_configuration_index} to be agreed "
                f"on, and now goes by {latest}",
            )
        # What is not durable here may be known to be agreed on, and still be lost in a crash.
        committed = server.log.in_force_at(min(status.commit_index, status.durable_index))
        server.agreed_configuration_index = max(server.agreed_configuration_index, committed.index)
        if (
            status.role is Role.LEADER
            and latest.index <= status.commit_index
            and not latest.configuration.is_voter(server.id)
        ):
            violated(
                "a removed leader ends",
                f"{server.id} leads {status.term} though {latest} is agreed on",
            )

    def removed(self, server: Server, removed: Removed) -> None:
        """Check that who is told of its removal was removed, or gave up in its latest one."""
        server.world.marks["removal told"] += 1
        agreed = self.commitment.entries
        placed = agreed.in_force_at(removed.index)
        if removed.index > len(agreed):
            # Nobody told it whether that is agreed on; those who vote there refuse it.
            server.world.marks["removal presumed"] += 1
            placed = server.log.latest
        if placed.index != removed.index or placed.configuration.has(server.id):
            violated("only the removed are told", f"{server.id} is told {removed}, but {placed}")

    @staticmethod
    def is_shout(server: Server, peer: ServerID, request: RequestVoteRequest) -> bool:
        """Tell whether ``request`` comes from somebody whose removal ``server`` knows and has agreed on.

        Such a server is never ahead of who holds its removal, so it may move no term.
        """
        log = server.log
        known = [p for p in log.placed if p.index >= log.in_force_at(server.applied).index]
        if not known or any(placed.configuration.has(peer) for placed in known):
            return False
        ours = (log[-1].term, len(log))
        return (request.last_log_term, request.last_log_index) <= ours

    @staticmethod
    def shouted(server: Server, before: Term, request: RequestVoteRequest) -> None:
        """Check that nothing came of it."""
        server.world.marks["shout of a removed server"] += 1
        if server.hard_state.term != before:
            violated(
                "a removed server moves no term",
                f"{server.id} went from {before} to {server.hard_state.term} after {request}",
            )
