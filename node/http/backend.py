"""What the HTTP API asks of the peer it serves: the agreed pinset, and who is in the cluster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from keys.peer_id import PeerID
from node.peer_description import PeerDescription
from pinstate.pin import Pin
from pinstate.state import PinState
from raft_over_libp2p.raft import RaftMetrics, RaftStatus

__all__ = ["AgreedPinset", "Leadership", "PeerDirectory"]


class AgreedPinset(Protocol):
    """The part of :class:`node.consensus.Consensus` that the API uses; errors as there."""

    async def log_pin(self, pin: Pin, *, timeout_s: float | None = None) -> None: ...

    async def log_unpin(self, pin: Pin, *, timeout_s: float | None = None) -> None: ...

    async def log_add_peer(self, multiaddr: str, *, timeout_s: float | None = None) -> None: ...

    async def add_peer(self, peer: PeerID, *, timeout_s: float | None = None) -> None: ...

    async def log_rm_peer(self, peer: PeerID, *, timeout_s: float | None = None) -> None: ...

    def state(self) -> PinState: ...

    async def linearizable_state(self, *, timeout_s: float | None = None) -> PinState: ...

    def peers(self) -> list[PeerID]: ...

    def status(self) -> RaftStatus: ...

    def metrics(self) -> RaftMetrics: ...


class PeerDirectory(Protocol):
    """Knows this peer, and asks the others."""

    def describe_self(self) -> PeerDescription: ...

    async def describe_peer(self, peer: PeerID) -> PeerDescription:
        """Return one peer; one that is not reached carries ``error``."""
        ...

    async def describe_peers(self) -> Sequence[PeerDescription]:
        """Return every member, this one included; one that is not reached carries ``error``."""
        ...


class Leadership(Protocol):
    """Hands leadership over, from whichever peer it is asked; errors as ``Consensus``."""

    async def transfer(self, target: PeerID | None, *, timeout_s: float) -> PeerID: ...
