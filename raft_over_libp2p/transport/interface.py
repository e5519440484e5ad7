"""What the driver asks of a transport. It has two forms: libp2p streams, and memory for tests."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import trio
from trio import TaskStatus

from raft_over_libp2p.core.events import Event
from raft_over_libp2p.core.messages import InstallSnapshotRequest
from raft_over_libp2p.core.ready import Output
from raft_over_libp2p.types import CallID, Index, ServerID, Term

__all__ = [
    "Deliver",
    "Link",
    "PartialSpool",
    "SnapshotExchange",
    "SnapshotSource",
    "Spool",
    "Transport",
]

Deliver: TypeAlias = Callable[[Event], None]
"""Hands an event to the driver; returns at once, never raises, called from the trio thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """How one peer is reached now."""

    peer: ServerID
    is_connected: bool
    last_error: str
    """Why the last attempt failed, in words for an operator; empty when it did not."""
    snapshot_bytes_sent: int = 0
    """How much of the snapshot being sent to it has left; 0 while none is."""
    snapshot_bytes_total: int = 0
    """The size of the snapshot being sent to it; 0 while none is."""
    last_failure: str = ""
    """Why an attempt or a connection failed last, also when it stands again."""
    last_failure_s: float | None = None
    """Seconds since that; None before the first."""


class SnapshotSource(Protocol):
    """The bytes of one snapshot, for one reader; ``storage.interface.SnapshotReader`` is one."""

    @property
    def size_bytes(self) -> int:
        """How many bytes there are in all."""
        ...

    def read(self, max_bytes: int) -> bytes:
        """Return the next bytes, ``max_bytes`` unless the end is nearer; none at the end.

        Called from the trio thread: the file was read whole not long ago, so it is in memory.

        Raises:
            StorageError: it cannot be read.

        """
        ...

    def seek(self, offset: int) -> None:
        """Go on reading at byte ``offset``, which is not beyond the end."""
        ...

    def close(self) -> None:
        """Release it; idempotent."""
        ...


class Spool(Protocol):
    """Where the bytes of one snapshot from a peer go, until the core decides about it."""

    def write(self, chunk: bytes) -> None:
        """Take in the next bytes; at once, without an fsync. Raises nothing.

        What fails here, as on a full disk, the driver tells the core when it is asked to
        store the snapshot.
        """
        ...

    def cancel(self) -> None:
        """Drop what was written: its request will not be delivered. Raises nothing."""
        ...


class PartialSpool(Spool, Protocol):
    """A spool that may hold the begin of its snapshot already, from a stream that broke."""

    @property
    def size_bytes(self) -> int:
        """How many bytes it holds."""
        ...

    @property
    def is_of_use(self) -> bool:
        """Whether more bytes are worth sending: nothing failed, and the snapshot is still wanted."""
        ...

    def sha256(self) -> bytes:
        """Return the hash of what it holds."""
        ...

    def suspend(self) -> None:
        """Keep what it holds for a later stream, within limits. Touched no more after this."""
        ...


class SnapshotExchange(Protocol):
    """Snapshots as the transport needs them; the driver has the store."""

    async def open_snapshot(self, index: Index, term: Term) -> SnapshotSource:
        """Return the snapshot at ``index`` and ``term``, verified; the caller closes it.

        Cancelling it leaves nothing open.

        Raises:
            StorageError: there is none such, or it is damaged.

        """
        ...

    def spool(self, call: CallID, peer: ServerID, request: InstallSnapshotRequest) -> Spool | None:
        """Return where the ``request.size_bytes`` bytes go that follow; None drops them.

        Once they are all written, ``RequestReceived(call, peer, request)`` is delivered and the
        spool is touched no more; when they do not come, ``cancel`` is called instead.
        """
        ...

    def resume(
        self, call: CallID, peer: ServerID, request: InstallSnapshotRequest, sha256: bytes
    ) -> PartialSpool | None:
        """Return where the bytes of ``request`` go that are still missing; None wants none.

        Holds what ``suspend`` kept of the same snapshot: of ``peer``, with this hash, size,
        index, term and configuration. Otherwise as :meth:`spool`.
        """
        ...


class Transport(Protocol):
    """Carries RPCs to and from peers, named by server ID.

    Promises: each ``Call`` is answered by exactly one ``ResponseReceived`` or ``CallFailed``,
    within the transport's call timeout; calls to one peer of one kind (heartbeats; appends;
    others) leave in the order given. Each ``RequestReceived`` has a call number never used
    before; its ``Reply`` leaves on its own stream in the order the requests came, and a
    ``Reply`` to a call whose stream is gone is dropped silently. ``send`` never blocks.

    A ``Call`` of an InstallSnapshot has a stream of its own, on which the snapshot's bytes
    follow the request; it holds up no other call, and is given up when its time is over
    (``TransportTiming.snapshot_timeout_s``), when the peer is no longer a member, or when
    another InstallSnapshot to the same peer is given. An InstallSnapshot that comes is
    delivered when all of its bytes are here, and never otherwise.
    """

    async def run(
        self,
        deliver: Deliver,
        snapshots: SnapshotExchange | None = None,
        *,
        task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled; ``started`` once inbound calls are answered. Closes its streams.

        Without ``snapshots`` none is sent, and the bytes of those that come are dropped.
        """
        ...

    def send(self, outputs: Sequence[Output]) -> None:
        """Queue calls and replies: one encode each, one wake-up per peer."""
        ...

    def set_members(self, members: Collection[ServerID]) -> None:
        """Tell who is in the latest or committed configuration: whom to keep a connection to,
        and whose streams get a member's limits.
        """
        ...

    def links(self) -> Mapping[ServerID, Link]:
        """Return how each member but ourselves is reached."""
        ...
