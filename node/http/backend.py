"""What the HTTP API asks of the peer it serves: the agreed pinset, and who is in the cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from keys.peer_id import PeerID
from pinstate.pin import Pin
from pinstate.state import PinState
from raft_over_libp2p.raft import RaftStatus

__all__ = ["AgreedPinset", "IPFSDescription", "PeerDescription", "PeerDirectory"]


class AgreedPinset(Protocol):
    """The part of :class:`node.consensus.Consensus` that the API uses; errors as there."""

    async def log_pin(self, pin: Pin, *, timeout_s: float | None = None) -> None: ...

    async def log_unpin(self, pin: Pin, *, timeout_s: float | None = None) -> None: ...

    def state(self) -> PinState: ...

    async def linearizable_state(self, *, timeout_s: float | None = None) -> PinState: ...

    def peers(self) -> list[PeerID]: ...

    def status(self) -> RaftStatus: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class IPFSDescription:
    """The IPFS daemon a peer pins on."""

    id: str = ""
    addresses: tuple[str, ...] = ()
    error: str = "no IPFS daemon is attached to this peer"


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerDescription:
    """What a peer says of itself (IPFS Cluster's ``api.ID``); text forms throughout."""

    id: str
    peername: str = ""
    addresses: tuple[str, ...] = ()
    cluster_peers: tuple[str, ...] = ()
    cluster_peers_addresses: tuple[str, ...] = ()
    version: str = ""
    rpc_protocol_version: str = ""
    error: str = ""
    """Why the rest is missing, when the peer was not reached."""
    ipfs: IPFSDescription = field(default_factory=IPFSDescription)


class PeerDirectory(Protocol):
    """Knows this peer, and asks the others."""

    def describe_self(self) -> PeerDescription: ...

    async def describe_peers(self) -> Sequence[PeerDescription]:
        """Return every member, this one included; one that is not reached carries ``error``."""
        ...
