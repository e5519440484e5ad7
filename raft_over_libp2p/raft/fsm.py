"""What Raft drives: a state machine that entries are applied to, in order, on every server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from raft_over_libp2p.types import LogEntry

__all__ = ["FSM"]


class FSM(Protocol):
    """A deterministic state machine (hashicorp/raft ``BatchingFSM``).

    ``apply``, ``snapshot`` and ``adopt`` are called from the driver's turn: they must not
    block, and should take well below 50 ms. ``prepare`` and the iterator that ``snapshot``
    returns run in another thread, while entries go on being applied: they must not look at
    anything that ``apply`` changes. An immutable state has that for nothing.
    """

    def apply(self, entries: Sequence[LogEntry]) -> Sequence[object]:
        """Apply ``entries``, all of type COMMAND, and return one result for each.

        The result of an entry proposed here is handed to its proposer. Whatever this raises
        stops the server: an entry that cannot be applied must become part of the state, the
        same on every server.
        """
        ...

    def snapshot(self) -> Iterator[bytes]:
        """Return the state as it is now, in chunks (64 KiB or more each, but the last).

        Raises:
            ValueError: there is no state to keep now; no snapshot is taken.

        """
        ...

    def prepare(self, chunks: Iterable[bytes]) -> object:
        """Return a state made of a snapshot's ``chunks``, without taking it on yet.

        Raises:
            ValueError: they are no snapshot.

        """
        ...

    def adopt(self, prepared: object) -> None:
        """Let what ``prepare`` returned take the place of the whole state."""
        ...
