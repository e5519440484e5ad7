"""What can be wrong with a peer ID, an identity or a secret. No message holds a secret."""

from __future__ import annotations

__all__ = ["InvalidClusterSecret", "InvalidIdentity", "InvalidPeerID"]


class InvalidPeerID(ValueError):
    """Text or bytes that are not a libp2p peer ID."""


class InvalidIdentity(ValueError):
    """An identity that cannot be used: malformed, of another key type, or readable by others."""


class InvalidClusterSecret(ValueError):
    """A cluster secret that is not 32 bytes in hex."""
