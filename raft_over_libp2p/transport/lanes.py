"""Which of the streams to a peer a call travels on."""

from __future__ import annotations

from enum import Enum
from typing import Final

from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    InstallSnapshotRequest,
    LeaseRequest,
    ReadIndexRequest,
    Request,
)

__all__ = ["Lane", "lane_of"]


class Lane(Enum):
    """One stream to one peer. Calls of a lane leave in order and are answered in order.

    Heartbeats share their stream with nothing else: a Go peer answers a heartbeat behind an
    append on one stream only after the append (mixed-cluster rule 17).
    """

    HEARTBEATS = "heartbeats"
    APPENDS = "appends"
    CALLS = "calls"
    READS = "reads"
    """Followers' reads, on a protocol of ours."""
    LEASES = "leases"
    """Promises of voters, on a protocol of ours."""
    SNAPSHOTS = "snapshots"
    """A new stream for each."""


_LANES: Final = {
    InstallSnapshotRequest: Lane.SNAPSHOTS,
    ReadIndexRequest: Lane.READS,
    LeaseRequest: Lane.LEASES,
}


def lane_of(request: Request) -> Lane:
    """Return the lane of ``request``; votes and TimeoutNow share one."""
    if isinstance(request, AppendEntriesRequest):
        return Lane.HEARTBEATS if request.is_heartbeat else Lane.APPENDS
    return _LANES.get(type(request), Lane.CALLS)
