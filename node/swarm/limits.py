"""Every bound of the swarm's own layers, each with its reason."""

from __future__ import annotations

from typing import Final

__all__ = [
    "ACCEPT_BACKLOG",
    "FIRST_BYTES_S",
    "FOREIGN_STREAMS_BURST",
    "FOREIGN_STREAMS_PER_S",
    "GOODBYE_S",
    "HALF_CLOSED_S",
    "INITIAL_WINDOW_BYTES",
    "KEEPALIVE_EVERY_S",
    "LARGE_WINDOW_BYTES",
    "MAX_DATA_FRAME_BYTES",
    "MAX_QUEUED_BYTES",
    "MAX_QUEUED_CONTROL_BYTES",
    "MAX_STREAMS",
    "MAX_WINDOWS_BYTES",
    "NEW_STREAMS_BURST",
    "NEW_STREAMS_BURST_OF_STRANGER",
    "NEW_STREAMS_PER_S",
    "NEW_STREAMS_PER_S_OF_STRANGER",
]

KIB: Final = 1024
MIB: Final = 1024 * KIB

INITIAL_WINDOW_BYTES: Final = 256 * KIB
"""What yamux lets each side send on a new stream before it is asked for more."""
LARGE_WINDOW_BYTES: Final = 4 * MIB
"""The window of a stream that carried more than its first one: appends and snapshots.
py-libp2p grows to 16 MiB with any stream that is read often, however little."""
MAX_WINDOWS_BYTES: Final = 64 * MIB
"""All windows of one connection: what its peer can make us hold. Above it none is enlarged."""
MAX_DATA_FRAME_BYTES: Final = 64 * KIB
"""One frame of ours: a heartbeat waits behind no more of another stream."""
MAX_QUEUED_BYTES: Final = 256 * KIB
"""Bytes queued to the socket; above it writers wait, so a heartbeat's queue stays short."""
MAX_QUEUED_CONTROL_BYTES: Final = 4 * MIB
"""The same with window updates and pings, which nobody waits for: above it the peer asks
without reading the answers, and the connection ends."""
MAX_STREAMS: Final = 1024
"""Streams of one connection, either side's. py-libp2p blocks for ever at 256 (trap 10)."""
ACCEPT_BACKLOG: Final = 256
"""Streams the peer opened and nobody took yet, as in go-yamux; further ones are reset."""
NEW_STREAMS_PER_S: Final = 1000
"""Streams a member may open on a connection: a Go peer opens one for every call, and forwards some
600 pins a second. More than that are reset before anything is done for them."""
NEW_STREAMS_BURST: Final = 1024
"""So many at once: as many as may be open."""
NEW_STREAMS_PER_S_OF_STRANGER: Final = 50
"""Those of a peer outside the configuration: it asks who we are and to be added, and little more."""
NEW_STREAMS_BURST_OF_STRANGER: Final = 256
FOREIGN_STREAMS_PER_S: Final = 20
"""Streams for py-libp2p, which cost it some eighty scheduler steps each: identify, ping, pubsub."""
FOREIGN_STREAMS_BURST: Final = ACCEPT_BACKLOG
"""So many at once: calls of a stock py-libp2p peer, which waits for our half of the negotiation."""
KEEPALIVE_EVERY_S: Final = 5.0
"""A peer of whom nothing came in one such interval is asked for a sign of life, and is dead when
nothing comes in the next: 10 to 15 s after its last byte (go-yamux: 30 to 40 s)."""
FIRST_BYTES_S: Final = 0.2
"""So long a stream's proposal may take to come before py-libp2p serves it, who then speaks first."""
HALF_CLOSED_S: Final = 60.0
"""A stream whose peer does not end its side for so long after ours is reset."""
GOODBYE_S: Final = 0.2
"""How long closing waits for queued bytes to leave."""
