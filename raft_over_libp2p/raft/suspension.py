"""Time that trio's clock does not count: the machine was suspended.

trio's clock is ``CLOCK_MONOTONIC`` on Linux, which stands still during a suspend, so a leader would
believe in promises that ended meanwhile (``core.leases``). ``CLOCK_BOOTTIME`` counts it, and is
otherwise the same clock: their difference is constant from one suspend to the next.
"""

from __future__ import annotations

import sys
import time
from typing import Final

from raft_over_libp2p.errors import LocalProtocolError

__all__ = ["SuspendWatch"]

_NOTICED_S: Final = 0.002
"""A difference that grew by this much is a suspend; one may be seen in a mere preemption between
the two clocks' readings, which costs a lease and no more."""


def _boot_time_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _monotonic_s() -> float:
    return time.clock_gettime(time.CLOCK_MONOTONIC)


class SuspendWatch:
    """Tells of suspends, none of which it misses that is longer than 2 ms.

    Shorter ones may add up to 2 ms in all, which the least ``heartbeat_timeout_s`` that
    ``RaftConfig`` takes with leases leaves room for.
    """

    def __init__(self) -> None:
        """Begin now.

        Raises:
            LocalProtocolError: this system has no clock that counts suspends.

        """
        if sys.platform != "linux":
            raise LocalProtocolError("lease_reads needs CLOCK_BOOTTIME, which only Linux has")
        self._begin()

    def _begin(self) -> None:
        # Boot time is read first here and last below: what passes between the two readings
        # makes this difference smaller and that one larger, and never hides a suspend.
        boot_s = _boot_time_s()
        self._difference_s = boot_s - _monotonic_s()

    def has_stood_still(self) -> bool:
        """Tell whether the clock stood still since the last time this said so."""
        now_s = _monotonic_s()
        if _boot_time_s() - now_s - self._difference_s < _NOTICED_S:
            return False
        self._begin()
        return True
