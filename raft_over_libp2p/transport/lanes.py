"""Which of the streams to a peer a call travels on."""

from __future__ import annotations

from enum import Enum

from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    InstallSnapshotRequest,
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
    SNAPSHOTS = "snapshots"
    """A new stream for each."""


def lane_of(request: Request) -> Lane:
    """Return the lane of ``request``: heartbeats, appends, snapshots, or all other calls."""
    if isinstance(request, AppendEntriesRequest):
        return Lane.HEARTBEATS if request.is_heartbeat else Lane.APPENDS
    return Lane.SNAPSHOTS if isinstance(request, InstallSnapshotRequest) else Lane.CALLS
