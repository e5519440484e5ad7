"""A machine with a fault that every judge of reads must notice."""

from __future__ import annotations

from raft_over_libp2p.core.machine import Machine
from raft_over_libp2p.core.ready import ReadState

__all__ = ["LocalReads"]


class LocalReads(Machine):
    """Answers reads at once from what is applied here, whoever leads."""

    def read_index(self, token: int, now: float) -> None:
        self._server.ready.read_states.append(ReadState(token, self._server.applied_index))
