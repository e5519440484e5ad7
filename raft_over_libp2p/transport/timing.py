"""How long a transport waits: for answers, for dials, for a silent peer."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.errors import LocalProtocolError
from raft_over_libp2p.transport.lanes import Lane

__all__ = ["TransportTiming"]

SNAPSHOT_BYTES_PER_TIMEOUT: Final = 256 * 1024
"""hashicorp/raft's ``DefaultTimeoutScale``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportTiming:
    """Times of a transport, in seconds.

    Raises:
        LocalProtocolError: a value is not positive; the message names the field.

    """

    network_timeout_s: float = 10.0
    """From ``send`` to the answer of a call other than a heartbeat (IPFS Cluster's
    ``network_timeout``)."""
    heartbeat_call_timeout_s: float = 1.0
    """The same for a heartbeat: one unanswered for a heartbeat timeout has lost its purpose."""
    read_timeout_s: float = 2.0
    """The same for a follower's read and for a voter's promise: a leader that no majority
    confirms steps down sooner, and the reads behind a lost request wait for it."""
    dial_timeout_s: float = 3.0
    """One attempt to connect (IPFS Cluster's ``dial_peer_timeout``)."""
    redial_min_s: float = 0.05
    """Wait after the first failed dial; doubles with each failure, jittered."""
    redial_max_s: float = 1.0
    silence_s: float = 2.0
    """A peer that leaves calls unanswered and sends nothing for this long is asked for a sign of
    life by the muxer, and disconnected if it gives none for as long again. Where the muxer
    cannot ask (a stock host), it is disconnected after ``network_timeout_s``."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise LocalProtocolError(f"{field.name} is {value}; it must be positive")
        if self.redial_max_s < self.redial_min_s:
            raise LocalProtocolError("redial_max_s must not be smaller than redial_min_s")

    @staticmethod
    def of(config: RaftConfig, *, network_timeout_s: float = 10.0) -> TransportTiming:
        """Return the times that fit ``config``: heartbeats wait for one heartbeat timeout."""
        return TransportTiming(
            network_timeout_s=network_timeout_s,
            heartbeat_call_timeout_s=config.heartbeat_timeout_s,
            read_timeout_s=min(2 * config.election_timeout_s, network_timeout_s),
            silence_s=min(2 * config.heartbeat_timeout_s, network_timeout_s),
        )

    def snapshot_timeout_s(self, size_bytes: int) -> float:
        """Return how long sending a snapshot of that size and its answer may take, as Go has it.

        hashicorp/raft ``net_transport.go`` InstallSnapshot: the timeout for each 256 KiB.
        """
        return self.network_timeout_s * max(1.0, size_bytes / SNAPSHOT_BYTES_PER_TIMEOUT)

    def call_timeout_s(self, lane: Lane) -> float:
        """Return how long a call on ``lane`` may stay unanswered."""
        if lane is Lane.HEARTBEATS:
            return self.heartbeat_call_timeout_s
        is_read = lane in {Lane.READS, Lane.LEASES}
        return self.read_timeout_s if is_read else self.network_timeout_s
