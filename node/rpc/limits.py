"""Every bound of the RPC between peers' components, each with its reason."""

from __future__ import annotations

from typing import Final

__all__ = [
    "MAX_CONCURRENT_CALLS_OUT",
    "MAX_CONCURRENT_CALLS_SERVED",
    "MAX_RPC_ERROR_BYTES",
    "MAX_RPC_MESSAGE_BYTES",
    "MAX_RPC_NAME_BYTES",
    "MAX_RPC_READ_BYTES",
    "REQUEST_ARRIVES_S",
]

MAX_RPC_MESSAGE_BYTES: Final = 256 * 1024
"""One call or answer with its header: a pin with all its metadata takes some KiB."""
MAX_RPC_NAME_BYTES: Final = 256
"""gorpc's ``MaxServiceIDLength``."""
MAX_RPC_ERROR_BYTES: Final = 4096
"""An error's text as we send it."""
MAX_RPC_READ_BYTES: Final = 64 * 1024
"""Taken from a stream at a time."""
MAX_CONCURRENT_CALLS_OUT: Final = 64
"""Streams to one leader: a Go peer resets streams above its resource limits, and 256 at once
lost 8 in a hundred calls there. More callers wait their turn."""
MAX_CONCURRENT_CALLS_SERVED: Final = 256
"""Calls being served, over all peers; further streams are reset."""
REQUEST_ARRIVES_S: Final = 10.0
"""From a stream's opening to its whole request: ends streams that send nothing."""
