"""What a server can say about itself and its peers at one moment."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from raft_over_libp2p.core.ready import Role
from raft_over_libp2p.types import Configuration, Index, ServerID, Term

__all__ = ["CoreStatus", "PeerProgress", "ProgressMode"]


class ProgressMode(Enum):
    """How a leader sends entries to one peer."""

    PROBE = "probe"
    """One append at a time, until it is known where the logs agree."""
    REPLICATE = "replicate"
    """Pipelined, within the in-flight window."""
    SNAPSHOT = "snapshot"
    """It is being sent a snapshot: nothing but heartbeats goes out beside it."""
    BACKING_OFF = "backing-off"
    """The last call failed; the next is sent at ``retry_at``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerProgress:
    """A leader's view of one peer."""

    peer: ServerID
    mode: ProgressMode
    match_index: Index
    next_index: Index
    lag_entries: int
    inflight: int
    inflight_bytes: int
    last_contact_s: float | None
    """Seconds since the newest answered call was sent; None before the first answer."""
    last_error: str
    last_failure: str = ""
    """Why a call failed or was refused last, also when all is well since."""
    last_failure_s: float | None = None
    """Seconds since that; None before the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreStatus:
    """One server's view; ``peers`` is empty unless it leads."""

    server_id: ServerID
    role: Role
    term: Term
    leader: ServerID | None
    commit_index: Index
    applied_index: Index
    durable_index: Index
    first_index: Index
    last_index: Index
    last_log_term: Term
    snapshot_index: Index
    snapshot_term: Term
    configuration: Configuration
    configuration_index: Index
    configuration_committed: bool
    last_leader_contact_s: float | None
    """Seconds since a leader was heard, on a follower; None before the first time."""
    peers: tuple[PeerProgress, ...]
    transfer_target: ServerID | None = None
    """To whom this leader is handing over."""
    lease_left_s: float = 0.0
    """For how long this leader reads without a round of heartbeats; 0 without ``lease_reads``."""
