"""The address of a peer: where it listens, and who it must be."""

from __future__ import annotations

__all__ = ["split_peer_address"]


def split_peer_address(text: str) -> tuple[str, str]:
    """Split ``/ip4/.../tcp/.../p2p/<ID>`` into the peer ID and the address before it.

    Raises:
        ValueError: it is not such a multiaddr; the message says what is expected.

    """
    from multiaddr import Multiaddr
    from multiaddr.exceptions import Error

    expected = "expected a multiaddr such as /ip4/10.0.0.1/tcp/9096/p2p/12D3Koo..."
    try:
        normal = str(Multiaddr(text))
    except (Error, ValueError) as error:
        raise ValueError(f"{text!r} is not a multiaddr ({error}); {expected}") from error
    address, marker, peer = normal.rpartition("/p2p/")
    if not marker or not address or "/" in peer:
        raise ValueError(f"{text!r} does not end in a peer's ID; {expected}")
    return peer, address
