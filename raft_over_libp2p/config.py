"""Raft's knobs, with hashicorp/raft's names and IPFS Cluster's defaults; times in seconds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace

from raft_over_libp2p import limits
from raft_over_libp2p.errors import LocalProtocolError

__all__ = ["RaftConfig", "ReloadableConfig"]

_MIN_TIMEOUT_S = 0.005
_MIN_LEASED_TIMEOUT_S = 0.25
"""Of which a hundredth, what clocks may differ by beyond 10 %, is more than an unnoticed suspend."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReloadableConfig:
    """What may change while a server runs (hashicorp/raft ``ReloadableConfig``)."""

    heartbeat_timeout_s: float
    election_timeout_s: float
    trailing_logs: int
    snapshot_interval_s: float
    snapshot_threshold: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftConfig:
    """How one server of a cluster behaves (hashicorp/raft ``Config``).

    Raises:
        LocalProtocolError: a value is out of range; the message names the field.

    """

    heartbeat_timeout_s: float = 1.0
    """A follower that hears nothing from a leader for this long (to twice this) campaigns."""
    election_timeout_s: float = 1.0
    """A candidate that does not win within this (to twice this) tries again."""
    commit_timeout_s: float = 0.05
    """A leader with nothing to send repeats the commit index after this long."""
    max_append_entries: int = 64
    """Entries in one AppendEntries."""
    max_inflight_appends: int = 4
    """AppendEntries in flight to one peer (hashicorp ``MaxRPCsInFlight``)."""
    leader_lease_timeout_s: float = 0.5
    """A leader that no majority answered for this long steps down."""
    trailing_logs: int = 10240
    """Entries kept behind a snapshot."""
    snapshot_interval_s: float = 120.0
    snapshot_threshold: int = 8192
    join_timeout_s: float = 30.0
    """A server that joins and is not heard for this long is removed again."""
    pre_vote_disabled: bool = False
    """Skip the pre-vote round; pre-vote requests are answered in any case."""
    lease_reads: bool = False
    """Answer reads without a round of heartbeats while voters promised to elect nobody else.

    Right only if the clocks of the voters differ in rate by at most 10 %, and every clock goes
    on, or is seen in ``CLOCK_BOOTTIME`` to have gone on, while its machine stands still: not in
    a virtual machine that is paused or moved with its clocks stopped. Only voters count that
    have this on too and are no Go peers; without enough of them reads cost a round as ever. A
    server that has it on elects nobody in its first ``election_timeout_s``, the longest promise
    it gives: let that time pass before it starts again with this off, or with a shorter
    ``election_timeout_s``. Mixed-cluster rule 6.
    """
    trusted_peers: frozenset[str] | None = None
    """Server IDs that may lead this server though they are not in its configuration.

    None: whoever holds the cluster's secret may, as among Go peers. A server that slept while
    members changed, and one that waits to be added, knows nobody who leads now: with a set it
    is lost unless the leader is in it. Votes need no such list (mixed-cluster rules 14, 24).
    """
    shutdown_on_remove: bool = False
    """Shut down once removed from the cluster, when the observation ``Removed`` is told.
    IPFS Cluster decides that itself."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name.endswith("_s") and value < _MIN_TIMEOUT_S:
                message = f"{field.name} is {value}; it must be at least {_MIN_TIMEOUT_S} s"
                raise LocalProtocolError(message)
        self._check(
            self.leader_lease_timeout_s <= self.heartbeat_timeout_s,
            "leader_lease_timeout_s must not be larger than heartbeat_timeout_s",
        )
        self._check(
            self.heartbeat_timeout_s <= self.election_timeout_s,
            "heartbeat_timeout_s must not be larger than election_timeout_s",
        )
        self._check(
            1 <= self.max_append_entries <= limits.MAX_APPEND_ENTRIES,
            f"max_append_entries must be from 1 to {limits.MAX_APPEND_ENTRIES}",
        )
        self._check(
            1 <= self.max_inflight_appends <= limits.MAX_INFLIGHT_APPENDS,
            f"max_inflight_appends must be from 1 to {limits.MAX_INFLIGHT_APPENDS}",
        )
        self._check(
            not self.lease_reads or self.heartbeat_timeout_s >= _MIN_LEASED_TIMEOUT_S,
            f"lease_reads needs a heartbeat_timeout_s of at least {_MIN_LEASED_TIMEOUT_S} s",
        )
        self._check(self.trailing_logs >= 0, "trailing_logs must not be negative")
        self._check(self.snapshot_threshold >= 1, "snapshot_threshold must be at least 1")

    @property
    def reloadable(self) -> ReloadableConfig:
        """The part of this that ``Raft.reload_config`` takes."""
        return ReloadableConfig(
            **{field.name: getattr(self, field.name) for field in fields(ReloadableConfig)}
        )

    def reloaded(self, reloadable: ReloadableConfig) -> RaftConfig:
        """Return this with ``reloadable`` in it.

        Raises:
            LocalProtocolError: it does not fit the rest; the message names the field.

        """
        # A start is quiet for one election timeout because no promise is longer (core.leases).
        self._check(
            not self.lease_reads or reloadable.election_timeout_s >= self.election_timeout_s,
            f"election_timeout_s is {self.election_timeout_s} s and must not be made shorter while "
            "lease_reads is on: stop this server for that time, and start it with the shorter one",
        )
        return replace(self, **asdict(reloadable))

    @staticmethod
    def _check(holds: bool, message: str) -> None:  # noqa: FBT001
        if not holds:
            raise LocalProtocolError(message)
