"""What may stand in a log, and what may be removed from one (Raft 5.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from raft_over_libp2p.core.ready import Write
from raft_over_libp2p.types import NO_TERM, LogEntry, Term
from tests.simulation.violation import violated

if TYPE_CHECKING:
    from tests.simulation.check_commitment import CommitmentCheck
    from tests.simulation.server import Server

__all__ = ["LogCheck"]


class LogCheck:
    """Keeps (index, term) -> (term of the entry before, the entry) for every entry ever written or sent."""

    def __init__(self, commitment: CommitmentCheck) -> None:
        self.commitment = commitment
        self._known: dict[tuple[int, int], tuple[Term, LogEntry]] = {}

    def entries(self, where: str, previous_term: Term, entries: Sequence[LogEntry]) -> None:
        """Check log matching: one (index, term) has one content and one past."""
        known = self._known
        for entry in entries:
            first = known.get((entry.index, entry.term))
            if first is None:
                known[entry.index, entry.term] = (previous_term, entry)
            elif first[0] != previous_term or (first[1] is not entry and first[1] != entry):
                violated(
                    "log matching",
                    f"{where}: {entry!r} after term {previous_term}, "
                    f"but it was {first[1]!r} after term {first[0]}",
                )
            if entry.term < previous_term:
                violated("log matching", f"{where}: {entry!r} after term {previous_term}")
            previous_term = entry.term

    def write(self, server: Server, write: Write) -> None:
        """Check a batch against the log it changes, before ``server.log`` takes it over."""
        log = server.log
        length = len(log)
        if write.reset_to is not None:
            # Whether it may be discarded, the snapshots' checker tells.
            log, length = self.commitment.entries, write.reset_to - 1
        if write.truncate_from is not None:
            length = write.truncate_from - 1
            self._check_truncation(server, write, length)
        if write.append:
            if write.append[0].index != length + 1:
                violated(
                    "contiguous writes",
                    f"{server.id} appends at {write.append[0].index} to a log of {length}",
                )
            previous = log[length - 1].term if length else NO_TERM
            for position, entry in enumerate(write.append, start=length + 1):
                if entry.index != position:
                    violated("contiguous writes", f"{server.id} writes {entry!r} at {position}")
            self.entries(f"{server.id} writes", previous, write.append)

    def _check_truncation(self, server: Server, write: Write, length: int) -> None:
        log, committed = server.log, self.commitment.entries
        if not 0 <= length < len(log):
            violated("truncation", f"{server.id} truncates from {length + 1} a log of {len(log)}")
        if length < server.commit_index:
            violated(
                "no truncation of what is committed",
                f"{server.id} truncates from {length + 1}, and its commit index is "
                f"{server.commit_index}",
            )
        if length < len(committed) and log[length].term == committed[length].term:
            violated(
                "no truncation of what is committed",
                f"{server.id} removes the committed {committed[length]!r}",
            )
        # Several appends in one turn may go there and back; one alone never has to.
        if server.turn_appends == 1 and write.append and write.append[0].term == log[length].term:
            violated(
                "no truncation of matching entries",
                f"{server.id} removes {len(log) - length} entries from {log[length]!r} on, "
                "and writes the same one again",
            )
