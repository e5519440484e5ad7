"""What the driver asks of a transport. It has two forms: libp2p streams, and memory for tests."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import trio
from trio import TaskStatus

from raft_over_libp2p.core.events import Event
from raft_over_libp2p.core.ready import Output
from raft_over_libp2p.types import ServerID

__all__ = ["Deliver", "Link", "Transport"]

Deliver: TypeAlias = Callable[[Event], None]
"""Hands an event to the driver; returns at once, never raises, called from the trio thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """How one peer is reached now."""

    peer: ServerID
    is_connected: bool
    last_error: str
    """Why the last attempt failed, in words for an operator; empty when it did not."""


class Transport(Protocol):
    """Carries RPCs to and from peers, named by server ID.

    Promises: each ``Call`` is answered by exactly one ``ResponseReceived`` or ``CallFailed``,
    within the transport's call timeout; calls to one peer of one kind (heartbeats; appends;
    others) leave in the order given. Each ``RequestReceived`` has a call number never used
    before; its ``Reply`` leaves on its own stream in the order the requests came, and a
    ``Reply`` to a call whose stream is gone is dropped silently. ``send`` never blocks.
    """

    async def run(
        self, deliver: Deliver, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Serve until cancelled; ``started`` once inbound calls are answered. Closes its streams."""
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
