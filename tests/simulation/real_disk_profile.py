"""Which seeds run on the project's own storage code, and what goes wrong with their disks."""

from __future__ import annotations

import random
from dataclasses import dataclass

__all__ = ["RealDiskProfile"]

_SHARE = 0.15


@dataclass(frozen=True, slots=True, kw_only=True)
class RealDiskProfile:
    """Each is a probability, but for ``segment_bytes``, the size of new log segments."""

    segment_bytes: int = 1024
    kill_share: float = 0.4
    """Of the crashes: the process alone dies, and what it wrote and did not sync is still seen."""
    io_fails: float = 0.0
    """Per sync of the log and per snapshot: the disk reports EIO, and the server stops for good."""
    dies_at_start: float = 0.0
    """Per start: power fails in it, and it begins anew."""
    bit_flips: float = 0.0
    """Per start: one bit of one file has changed while the server was down."""

    @staticmethod
    def draw(seed: int) -> RealDiskProfile | None:
        """Return what the disks of ``seed`` are like; None for the model of a disk."""
        dice = random.Random(f"real disk {seed}")
        if dice.random() >= _SHARE:
            return None
        return RealDiskProfile(
            segment_bytes=dice.choice((1024, 1024, 2048, 4096)),
            kill_share=dice.choice((0.0, 0.4, 0.8)),
            io_fails=dice.choice((0.0, 0.002, 0.02)),
            dies_at_start=dice.choice((0.0, 0.2, 0.5)),
            bit_flips=dice.choice((0.0, 0.3)),
        )
