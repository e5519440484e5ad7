"""Who a peer is: its private key, its peer ID, and the secret of its cluster.

Everything is imported on first use, so that commands which need no key start fast.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keys.cluster_secret import ClusterSecret
    from keys.errors import InvalidClusterSecret, InvalidIdentity, InvalidPeerID
    from keys.identity import Identity
    from keys.peer_id import PeerID

__all__ = [
    "ClusterSecret",
    "Identity",
    "InvalidClusterSecret",
    "InvalidIdentity",
    "InvalidPeerID",
    "PeerID",
]

_HOMES = {
    "ClusterSecret": "keys.cluster_secret",
    "Identity": "keys.identity",
    "InvalidClusterSecret": "keys.errors",
    "InvalidIdentity": "keys.errors",
    "InvalidPeerID": "keys.errors",
    "PeerID": "keys.peer_id",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
