"""What Raft drives: a state machine that entries are applied to, in order, on every server."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, TypeVar

from raft_over_libp2p.types import LogEntry

__all__ = ["FSM"]

Image = TypeVar("Image")
Result_co = TypeVar("Result_co", covariant=True)


class FSM(Protocol[Result_co, Image]):
    """A deterministic state machine that sees whole entries (hashicorp/raft ``BatchingFSM``).

    ``StateMachine`` is the same over operations of your own, and the one to begin with. This
    one sees each entry's index, term, time and extensions too.

    ``apply``, ``snapshot`` and ``adopt`` are called from the driver's turn: they must not
    block, and should take well below 50 ms. ``restore`` and the iterator that ``snapshot``
    returns run in another thread, while entries go on being applied: they must not look at
    anything that ``apply`` changes. An immutable state has that for nothing.
    """

    def apply(self, entries: Sequence[LogEntry]) -> Sequence[Result_co]:
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

    def restore(self, chunks: Iterable[bytes]) -> Image:
        """Return a state made of a snapshot's ``chunks``, without taking it on yet.

        Raises:
            ValueError: they are no snapshot.

        """
        ...

    def adopt(self, image: Image) -> None:
        """Let what ``restore`` returned take the place of the whole state."""
        ...
