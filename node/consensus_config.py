"""The knobs of the component, with IPFS Cluster's names."""

from __future__ import annotations

from dataclasses import dataclass, field

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.errors import LocalProtocolError

__all__ = ["ConsensusConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsensusConfig:
    """The component's knobs, with IPFS Cluster's names; times in seconds.

    Raises:
        LocalProtocolError: a value is out of range; the message names it.

    """

    commit_retries: int = 2
    """How often an operation is tried at most; only what was definitely not done is retried."""
    commit_retry_delay_s: float = 0.2
    leader_timeout_s: float = 15.0
    """How long a call waits for somebody to lead (Cluster's ``wait_for_leader_timeout``)."""
    network_timeout_s: float = 10.0
    """How long a call waits for the leader's answer."""
    raft_max_snapshots: int = 5
    raft: RaftConfig = field(default_factory=RaftConfig)

    def __post_init__(self) -> None:
        if self.commit_retries < 1:
            raise LocalProtocolError("commit_retries counts attempts; it must be at least 1")
        if self.raft_max_snapshots < 1:
            raise LocalProtocolError("raft_max_snapshots must be at least 1")
        for name in ("commit_retry_delay_s", "leader_timeout_s", "network_timeout_s"):
            if not getattr(self, name) > 0:
                raise LocalProtocolError(f"{name} must be positive")
