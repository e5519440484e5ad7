"""What is committed, by independent count, and what is applied (Raft 5.4.2, 5.4.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raft_over_libp2p.core.ready import Role
from raft_over_libp2p.core.status import CoreStatus
from raft_over_libp2p.types import Configuration, LogEntry, Term
from tests.simulation.entry_log import EntryLog
from tests.simulation.snapshot_store import digest_after
from tests.simulation.violation import violated

if TYPE_CHECKING:
    from tests.simulation.server import Server

__all__ = ["CommitmentCheck"]


class CommitmentCheck:
    """The one sequence of committed entries, which every server must agree with."""

    def __init__(self) -> None:
        self.entries = EntryLog()
        self.digests = [0]
        """What the state is after each of them, replayed from the beginning."""
        self.committed_in: list[Term] = []
        """The term whose leader committed each entry; it never falls."""
        self.handed_out: int = 0
        """The highest index any server has handed out to be applied."""

    def claim(self, server: Server, index: int) -> None:
        """``server`` said that ``index`` is committed: count, if nobody said so before."""
        if index <= len(self.entries):
            return
        status = server.status()
        term = server.leading_term
        if term is None:
            violated(
                "commitment",
                f"{server.id} does not lead and says {index} is committed; leaders committed "
                f"{len(self.entries)}",
            )
        log = server.log
        if status.commit_index > len(log):
            violated("commitment", f"{server.id} committed {status.commit_index} of {len(log)}")
        counted: int = status.commit_index
        while counted > index and log[counted - 1].term != term:
            counted -= 1
        self._count(server, counted, term)
        new = log[len(self.entries) : counted]
        self.entries.add(new)
        for entry in new:
            self.digests.append(digest_after(self.digests[-1], entry))
            self.committed_in.append(term)

    def deposed(self, server: Server) -> None:
        """``server`` leads no more: what it had committed and told nobody, it may yet apply."""
        if server.status().commit_index > len(self.entries):
            self.claim(server, len(self.entries) + 1)

    def _count(self, server: Server, index: int, term: Term) -> None:
        entry = server.log[index - 1]
        if entry.term != term:
            violated(
                "commitment of own term only",
                f"{server.id}, leader of {term}, committed {entry!r} of term {entry.term}",
            )
        # A leader counts by its latest configuration. What it committed just before it
        # appended that one, and told nobody, it counted by the one before.
        latest, before = server.log.latest, server.log.in_force_at(index)
        if server.is_go and len(server.log.in_force_at(index - 1).configuration.voters) == 1:
            # A sole Go voter agrees with itself on who is to be the second (raft.go: it counts
            # by the old configuration until the new one is stored). Every majority of two has it.
            before = server.log.in_force_at(index - 1)
        if not self._is_held(server, latest.configuration, index, term) and (
            latest is before or not self._is_held(server, before.configuration, index, term)
        ):
            violated(
                "commitment by majority",
                f"{server.id} committed ({index}, {term}), which is not durable on a majority of "
                f"{latest}",
            )

    @staticmethod
    def _is_held(server: Server, by: Configuration, index: int, term: Term) -> bool:
        servers = server.world.servers
        voters = by.voters
        holders = sum([servers[voter].disk.holds(index, term) for voter in voters])
        return holders > len(voters) // 2

    def apply(self, server: Server, entries: list[LogEntry]) -> None:
        """Check what ``server`` was handed to apply: next in order, own durable, the agreed one."""
        last = entries[-1].index
        self.claim(server, last)
        agreed, image = self.entries, server.disk.image
        expected: int = server.applied
        for entry in entries:
            expected += 1
            if entry.index != expected:
                violated(
                    "apply in order",
                    f"{server.id} is handed {entry!r} after {expected - 1} was applied",
                )
            first = agreed[expected - 1]
            if first is not entry and first != entry:
                violated("state machine safety", f"{server.id} applies {entry!r}, others {first!r}")
            if len(image) < expected or image[expected - 1].term != entry.term:
                violated(
                    "apply only what is durable",
                    f"{server.id} is handed {entry!r}; its disk holds {len(image)} entries",
                )
        self.handed_out = max(self.handed_out, int(last))

    def status(self, server: Server, status: CoreStatus) -> None:
        """Check what a server says about itself."""
        if status.commit_index < server.commit_index:
            violated(
                "commit never goes back",
                f"{server.id} went from {server.commit_index} to {status.commit_index}",
            )
        server.commit_index = status.commit_index
        if status.last_index != len(server.log) or status.commit_index > status.last_index:
            violated(
                "commit within the log",
                f"{server.id} says commit {status.commit_index}, last {status.last_index}; "
                f"it wrote {len(server.log)} entries",
            )
        if not status.applied_index <= server.applied <= status.commit_index:
            violated(
                "commit within the log",
                f"{server.id} says applied {status.applied_index} of {status.commit_index}; "
                f"it was handed {server.applied}",
            )
        disk = server.disk
        if status.durable_index > len(disk.image) and not disk.snapshots.covers(
            status.durable_index
        ):
            violated(
                "durable is durable",
                f"{server.id} says {status.durable_index} is durable; "
                f"its disk holds {len(server.disk.image)}",
            )
        if status.term < server.disk.hard_state.term:
            violated(
                "term never goes back",
                f"{server.id} is in {status.term}, its disk in {server.disk.hard_state.term}",
            )
        if status.role is not Role.LEADER and status.peers:
            violated("status", f"{server.id} does not lead and reports on peers")
