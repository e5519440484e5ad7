"""Every bound of this package, each with its reason."""

from __future__ import annotations

from typing import Final

__all__ = [
    "MAX_CID_TEXT_CHARS",
    "MAX_DIAGNOSTIC_CHARS",
    "MAX_RECORD_BYTES",
    "SNAPSHOT_CHUNK_BYTES",
    "UNPACK_SLICE_BYTES",
]

KIB: Final = 1024
MIB: Final = 1024 * KIB

MAX_CID_TEXT_CHARS: Final = 2 * KIB
"""Longer text is no CID: base58 and base36 take quadratic time, and real CIDs have 46 to 110."""
MAX_DIAGNOSTIC_CHARS: Final = 128
"""How much of a bad value an error message repeats."""
MAX_RECORD_BYTES: Final = 2 * MIB
"""One key and value of a snapshot: an entry of the log has at most 1 MiB, and so has its pin."""
SNAPSHOT_CHUNK_BYTES: Final = 256 * KIB
"""One piece of a snapshot being written: large enough for the disk, small enough for a turn."""
UNPACK_SLICE_BYTES: Final = 64 * KIB
"""What is fed to the unpacker at once, so that a large chunk does not fill its buffer."""
