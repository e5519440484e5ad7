"""Every bound of the node's own rooms, each with its reason."""

from __future__ import annotations

from typing import Final

__all__ = [
    "CLIENT_CONNECT_S",
    "JOIN_GIVE_UP_S",
    "MAX_ADDRESSES_PER_PEER",
    "MAX_CLIENT_LINE_BYTES",
    "MAX_CONCURRENT_REQUESTS",
    "MAX_CONFIG_FILE_BYTES",
    "MAX_OPERATION_TIMEOUT_S",
    "MAX_PEER_ADDRESSES",
    "MAX_PIN_METADATA_BYTES",
    "MAX_PIN_NAME_BYTES",
    "MAX_QUERY_FIELDS",
    "MAX_REQUEST_BODY_BYTES",
    "MAX_REQUEST_LINE_SLOP_BYTES",
    "MAX_STREAM_CHUNK_PINS",
    "SHUTDOWN_S",
    "STALLED_READER_S",
]

KIB: Final = 1024

MAX_CONFIG_FILE_BYTES: Final = 1024 * KIB
"""service.json and peerstore; real ones have a few KiB."""
MAX_PEER_ADDRESSES: Final = 1024
"""Lines of a peerstore: some addresses for each of a cluster's few dozen peers."""
MAX_ADDRESSES_PER_PEER: Final = 4
"""The one agreed on, and what was known before: a dial tries them in turn."""
JOIN_GIVE_UP_S: Final = 600.0
"""A new peer asks to be added for so long; a person has then had time to see why it is not."""
MAX_CONCURRENT_REQUESTS: Final = 1024
"""HTTP requests being answered at once: each holds some 50 KiB."""
MAX_REQUEST_BODY_BYTES: Final = 64 * KIB
"""Bodies hold one peer ID or multiaddr; a larger one is refused before it is read."""
MAX_REQUEST_LINE_SLOP_BYTES: Final = 4 * KIB
"""Added to ``max_header_bytes``, as Go's net/http does."""
MAX_PIN_NAME_BYTES: Final = 255
"""IPFS Cluster's limit for a pin's name."""
MAX_PIN_METADATA_BYTES: Final = 8 * KIB
"""All keys and values of one pin together; its URL must hold them."""
MAX_QUERY_FIELDS: Final = 128
MAX_STREAM_CHUNK_PINS: Final = 128
"""Pins encoded between two sends of a list: keeps one turn of the event loop below some ms."""
MAX_OPERATION_TIMEOUT_S: Final = 600.0
"""The longest ``?timeout=`` a client may ask for."""
CLIENT_CONNECT_S: Final = 5.0
"""A local daemon accepts at once; a far one within a few round trips."""
MAX_CLIENT_LINE_BYTES: Final = 4 * KIB
"""One line of ``pin add -``: a CID and a name."""
SHUTDOWN_S: Final = 10.0
"""From SIGTERM to the process's end; what has not stopped by then is abandoned."""
STALLED_READER_S: Final = 120.0
"""A client that takes nothing of its answer for so long is dropped; `pin ls | less` may pause."""
