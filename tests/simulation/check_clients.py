"""What clients were promised: acknowledged writes stay, and reads see them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raft_over_libp2p.types import LogEntry, LogType, Term
from tests.simulation.history import History
from tests.simulation.violation import violated

if TYPE_CHECKING:
    from tests.simulation.check_commitment import CommitmentCheck
    from tests.simulation.server import Server

__all__ = ["ClientCheck"]


class ClientCheck:
    """Every write has its own payload, so a history needs no search to be judged.

    The value model is the sequence of writes itself: a read at an index sees the writes up to
    it. A read is linearisable iff its index is at least that of every write which anybody
    could have known of when it began: acknowledged, applied anywhere, or seen by an earlier read.
    """

    def __init__(self, commitment: CommitmentCheck) -> None:
        self.commitment = commitment
        self.history = History(commitment)
        self.acknowledged: dict[bytes, int] = {}
        self.reads_done = 0
        self._seen_by_reads = 0

    def floor(self) -> int:
        """Return the least index a read that begins now may have."""
        return max(self.commitment.handed_out, self._seen_by_reads)

    def read(self, server: Server, floor: int, index: int) -> None:
        """Check a read that ends now and began when :meth:`floor` returned ``floor``."""
        if index < floor:
            violated("linearisable reads", f"{server.id} reads at {index}, but {floor} was visible")
        self.commitment.claim(server, index)
        self.reads_done += 1
        self._seen_by_reads = max(self._seen_by_reads, index)

    def came_out(self, entry: LogEntry, term: Term, data: bytes, now: float) -> None:
        """``entry`` came out where ``data`` was proposed in ``term``: acknowledge it, if it is that."""
        if entry.term == term:
            if entry.data != data:
                violated("client writes", f"{entry!r} came out with another payload than {data!r}")
            self.acknowledged[data] = entry.index
            self.history.wrote(data, now)
        else:
            self.history.refused(data)

    def final(self) -> None:
        """At the end: each write is in the agreed sequence at most once, the acknowledged ones are.

        And the histories of the registers that the writes make have an order that explains them.
        """
        self.history.judge()
        seen: dict[bytes, int] = {}
        for entry in self.commitment.entries:
            if entry.type is LogType.COMMAND:
                if entry.data in seen:
                    violated("client writes", f"{entry.data!r} is committed twice")
                seen[entry.data] = entry.index
        for data, index in self.acknowledged.items():
            if seen.get(data) != index:
                violated("client writes", f"the acknowledged {data!r} at {index} is lost")
