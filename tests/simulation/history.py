"""What the clients of a world saw, as histories of registers, judged as a whole at the end.

The payloads that clients write are numbers; each is a write to the register ``number % REGISTERS``,
and each read asks for one register. The judge knows neither indexes nor terms: only who asked for
what when, and what came back when. ``check_clients`` judges the same reads by index, at once.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from typing import TYPE_CHECKING

from raft_over_libp2p.types import LogType
from tests.simulation.linearizability import Operation, why_not_linearizable
from tests.simulation.violation import violated

if TYPE_CHECKING:
    from tests.simulation.check_commitment import CommitmentCheck
    from tests.simulation.server import Server

__all__ = ["REGISTERS", "History"]

REGISTERS = 4


class History:
    """Every operation of a world's clients, from when it was asked to when it was answered."""

    def __init__(self, commitment: CommitmentCheck) -> None:
        self._commitment = commitment
        self._writes: dict[bytes, Operation] = {}
        self._reads: list[tuple[int, Operation]] = []
        self._waiting: dict[Server, list[tuple[int, int, Operation]]] = defaultdict(list)
        """Reads that were confirmed and wait for their server to apply: until which index."""
        self._applied: list[list[int]] = [[] for _ in range(REGISTERS)]
        """Where each register was written, in the agreed sequence."""
        self._followed = 0

    def writes(self, payloads: list[bytes], now: float) -> None:
        """Clients ask for ``payloads`` to be written."""
        for payload in payloads:
            self._writes[payload] = Operation(payload, now)

    def wrote(self, payload: bytes, now: float) -> None:
        """It was answered that ``payload`` is written."""
        self._writes[payload].ended = now

    def refused(self, payload: bytes) -> None:
        """It was answered that ``payload`` never will be: a read of it is a read of nothing."""
        del self._writes[payload]

    def confirmed(self, server: Server, token: int, began: float, index: int) -> None:
        """A read is answered when ``server`` has applied up to ``index``."""
        self._waiting[server].append((index, token % REGISTERS, Operation(None, began)))
        self.applied(server)

    def applied(self, server: Server) -> None:
        """``server`` applied something: answer the reads that waited for it."""
        waiting = self._waiting.get(server)
        if not waiting:
            return
        now = server.world.now
        still = []
        for index, register, read in waiting:
            if server.applied < index:
                still.append((index, register, read))
                continue
            read.value, read.ended = self._value(register, server.applied), now
            self._reads.append((register, read))
        self._waiting[server] = still

    def crashed(self, server: Server) -> None:
        """``server`` is gone, and with it who waited there: they read nothing."""
        self._waiting.pop(server, None)

    def _value(self, register: int, applied: int) -> bytes | None:
        """Return what a server that applied so much of the agreed sequence has in ``register``."""
        entries = self._commitment.entries
        while self._followed < len(entries):
            entry = entries[self._followed]
            self._followed += 1
            if entry.type is LogType.COMMAND and entry.data.isdigit():
                self._applied[int(entry.data) % REGISTERS].append(self._followed)
        places = self._applied[register]
        newest = bisect_right(places, applied) - 1
        return entries[places[newest] - 1].data if newest >= 0 else None

    def judge(self) -> int:
        """Return how many reads were judged.

        Raises:
            Violation: no order of the operations explains what was read.

        """
        for register in range(REGISTERS):
            writes = {p: w for p, w in self._writes.items() if int(p) % REGISTERS == register}
            reads = [read for of, read in self._reads if of == register]
            why = why_not_linearizable(writes, reads)
            if why is not None:
                violated("linearisable history", f"register {register}: {why}")
        return len(self._reads)
