"""What Raft drives: a state machine that entries are applied to, in order, on every server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from raft_over_libp2p.types import LogEntry

__all__ = ["FSM"]


class FSM(Protocol):
    """A deterministic state machine (hashicorp/raft ``BatchingFSM``).

    It is called from the driver's turn: it must not block, and should take well below 50 ms
    for ``MAX_APPLY_BATCH_ENTRIES`` entries.
    """

    def apply(self, entries: Sequence[LogEntry]) -> Sequence[object]:
        """Apply ``entries``, all of type COMMAND, and return one result for each.

        The result of an entry proposed here is handed to its proposer. Whatever this raises
        stops the server: an entry that cannot be applied must become part of the state, the
        same on every server.
        """
        ...
