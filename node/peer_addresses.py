"""What the component asks of whoever knows where peers are: the daemon's swarm and peerstore."""

from __future__ import annotations

from typing import Protocol

from keys.peer_id import PeerID

__all__ = ["NoAddresses", "PeerAddresses", "PeerNotReached"]


class PeerNotReached(Exception):
    """A peer does not answer at the address given, or is somebody else; says which."""


class PeerAddresses(Protocol):
    """The address book of one peer; addresses are multiaddr bytes that end in ``/p2p/<ID>``."""

    async def reach(self, peer: PeerID, multiaddr: bytes | None, *, timeout_s: float) -> None:
        """Connect to ``peer``, at ``multiaddr`` or where it is known to be.

        Nothing is remembered.

        Raises:
            PeerNotReached: it does not answer there, or another peer does.

        """
        ...

    def remember(self, peer: PeerID, multiaddr: bytes) -> None:
        """Know ``peer`` at ``multiaddr`` from now on, across restarts: durable on return."""
        ...

    def forget(self, peer: PeerID) -> None:
        """Forget where ``peer`` is; durable on return."""
        ...

    def known(self, peer: PeerID) -> bytes | None:
        """Return the best address known of ``peer``."""
        ...


class NoAddresses:
    """For programs that keep addresses themselves: everybody is taken to be reachable."""

    async def reach(self, peer: PeerID, multiaddr: bytes | None, *, timeout_s: float) -> None:
        pass

    def remember(self, peer: PeerID, multiaddr: bytes) -> None:
        pass

    def forget(self, peer: PeerID) -> None:
        pass

    def known(self, peer: PeerID) -> bytes | None:
        del peer
        return None
