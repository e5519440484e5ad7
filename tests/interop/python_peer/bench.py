"""A closed loop inside the leader, as the Go peer's ``bench.go``."""

from __future__ import annotations

import os
import time
from typing import Any, Final

import trio

from raft_over_libp2p.raft import Raft
from tests.interop.python_peer.console import CommandFailed

__all__ = ["bench"]

_APPLY_TIMEOUT_S: Final = 10.0


async def bench(
    raft: Raft[bytes, Any], *, warm_up_s: float, seconds: float, payload_bytes: int, in_flight: int
) -> dict[str, float]:
    """Run ``in_flight`` clients: each proposes, waits until applied here, and proposes again.

    What started before the warm-up ended is not counted.
    """
    payload = os.urandom(payload_bytes)
    start = time.perf_counter() + warm_up_s
    end = start + seconds
    took: list[float] = []

    async def client() -> None:
        while (began := time.perf_counter()) < end:
            await raft.apply(payload, timeout_s=_APPLY_TIMEOUT_S)
            if began >= start:
                took.append(time.perf_counter() - began)

    async with trio.open_nursery() as nursery:
        for _ in range(in_flight):
            nursery.start_soon(client)
    elapsed = time.perf_counter() - start
    if not took:
        raise CommandFailed("nothing was committed in time")
    took.sort()
    return {
        "commits": len(took),
        "seconds": elapsed,
        "commits_per_s": len(took) / elapsed,
        "p50_us": took[len(took) // 2] * 1e6,
        "p99_us": took[len(took) * 99 // 100] * 1e6,
    }
