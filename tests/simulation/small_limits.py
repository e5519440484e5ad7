"""The core's limits made so small that a short run meets them: caches that evict, windows that fill."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from raft_over_libp2p import limits

__all__ = ["small_limits"]

_SMALL = {
    "MAX_APPLY_BATCH_ENTRIES": 3,
    "MAX_FRAME_SENT_BYTES": 400,
    "MAX_INFLIGHT_APPEND_BYTES": 600,
    "MAX_LOG_CACHE_BYTES": 1500,
    "MAX_PENDING_READS": 2,
    "MAX_UNCOMMITTED_BYTES": 2000,
}
"""An entry of the workload is charged with about 100 bytes."""


@contextmanager
def small_limits() -> Iterator[None]:
    """Have them in force for the length of a with statement; the core reads them each time."""
    before = {name: getattr(limits, name) for name in _SMALL}
    for name, value in _SMALL.items():
        setattr(limits, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(limits, name, value)
