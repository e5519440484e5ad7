"""Raft as one plain object: events and times in, duties out. No I/O, no clock, no await.

Contract
--------
One owner calls a machine from one thread, in this loop::

    machine.handle(event, now)            # any number of times
    machine.handle_timer(now)             # when next_timer() <= now, after the events
    machine.propose(...) / read_index(...)
    ready = machine.take_ready()          # once a turn; do what core.ready says

``now`` is a monotonic clock in seconds and never goes back. Inputs are drained before
timers (mixed-cluster rule 22). Nothing that a peer sent makes a method raise; only broken
promises of the owner do (``InvariantViolation``, ``LocalProtocolError``).

When a write fails, drop the machine at once, handing out nothing more it produced: after
an I/O error stop the process (``DurabilityLost``); after a full disk build a new machine
from what is on the disk, with ``campaign_after_write`` and with the numbering continued
(``next_call``, ``next_batch``), so that this server leaves its leadership before anything
else (mixed-cluster rule 9).
"""

from __future__ import annotations

from collections.abc import Sequence

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core.events import Event
from raft_over_libp2p.core.interfaces import ConfigurationCodec, InitialState, LogReader, Random
from raft_over_libp2p.core.ready import Ready
from raft_over_libp2p.core.status import CoreStatus
from raft_over_libp2p.types import ZERO_GO_TIME, BatchID, CallID, Index, LogType, ServerID, Term

__all__ = ["Machine"]


class Machine:
    """One Raft server (Raft Figure 2 and thesis 4, 6, 9.6), speaking hashicorp/raft's RPCs."""

    def __init__(
        self,
        *,
        server_id: ServerID,
        config: RaftConfig,
        log: LogReader,
        initial: InitialState,
        rng: Random,
        codec: ConfigurationCodec,
        now: float,
    ) -> None:
        """Start as a follower of ``initial``'s term, from what ``log`` and ``initial`` hold."""
        raise NotImplementedError

    # -- inputs

    def handle(self, event: Event, now: float) -> None:
        """Take in one event. The one door: heartbeats come through it too."""
        raise NotImplementedError

    def handle_timer(self, now: float) -> None:
        """Do what is due at ``now``; call it when ``next_timer()`` has come."""
        raise NotImplementedError

    def next_timer(self) -> float:
        """Return when ``handle_timer`` must be called next; ``math.inf`` if never."""
        raise NotImplementedError

    def propose(
        self,
        data: Sequence[bytes],
        now: float,
        *,
        type: LogType = LogType.COMMAND,  # noqa: A002
        extensions: bytes = b"",
        appended_at: bytes = ZERO_GO_TIME,
    ) -> tuple[Index, Term]:
        """Append one entry for each of ``data`` and return the first one's index and their term.

        They are durable and agreed on only when they come out in ``Ready.committed`` with
        that term; when another term's entry comes out at their index, they never will be.
        After a RoleChanged away from leader their outcome is unknown.

        Raises:
            NotLeader: nothing was appended.
            ProposalRefused: an entry is over ``MAX_ENTRY_DATA_BYTES`` or the uncommitted
                window is full; nothing was appended.

        """
        raise NotImplementedError

    def read_index(self, token: int, now: float) -> None:
        """Register a linearisable read (thesis 6.4, mixed-cluster rule 5).

        A ``ReadState`` or ``ReadRefused`` with ``token`` comes out of some later ``Ready``.

        Raises:
            NotLeader: this server does not lead.
            ProposalRefused: too many reads wait already.

        """
        raise NotImplementedError

    # -- outputs

    def take_ready(self) -> Ready:
        """Return everything owed since the last call (see ``core.ready``) and forget it."""
        raise NotImplementedError

    def status(self, now: float) -> CoreStatus:
        """Return a picture of this server at ``now``; costs some microseconds a peer."""
        raise NotImplementedError

    @property
    def next_call(self) -> CallID:
        """The number the next outgoing call would get."""
        raise NotImplementedError

    @property
    def next_batch(self) -> BatchID:
        """The number the next write would get."""
        raise NotImplementedError
