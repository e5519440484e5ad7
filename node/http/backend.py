"""What the HTTP API asks of the peer it serves: the agreed pinset, and who is in the cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from keys.peer_id import PeerID
from node.peer_description import PeerDescription
from pinstate.pin import Pin
from pinstate.state import PinState
from raft_over_libp2p.raft import RaftStatus

__all__ = ["AgreedPinset", "PeerDirectory"]


class AgreedPinset(Protocol):
    """The part of :class:`node.consensus.Consensus` that the API uses; errors as there."""

    async def log_pin(self, pin: Pin, *, timeout_s: float | None = None) -> None: ...

    async def log_unpin(self, pin: Pin, *, timeout_s: float | None = None) -> None: ...

    def state(self) -> PinState: ...

    async def linearizable_state(self, *, timeout_s: float | None = None) -> PinState: ...

    def peers(self) -> list[PeerID]: ...

    def status(self) -> RaftStatus: ...


class PeerDirectory(Protocol):
    """Knows this peer, and asks the others."""

    def describe_self(self) -> PeerDescription: ...

    async def describe_peers(self) -> Sequence[PeerDescription]:
        """Return every member, this one included; one that is not reached carries ``error``."""
        ...
