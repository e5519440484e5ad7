"""What a server says of itself and its cluster, at once and without asking anybody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import trio

from raft_over_libp2p.core.membership import PlacedConfiguration
from raft_over_libp2p.core.ready import Role
from raft_over_libp2p.core.status import CoreStatus
from raft_over_libp2p.errors import NoLeader
from raft_over_libp2p.raft.metrics import RaftMetrics
from raft_over_libp2p.raft.peer_status import PeerStatus, peer_statuses
from raft_over_libp2p.raft.running import Running
from raft_over_libp2p.raft.stats import stats_of
from raft_over_libp2p.transport.interface import Link
from raft_over_libp2p.types import Configuration, Index, ServerID, Term

__all__ = ["Inspecting", "RaftStatus"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftStatus:
    """One server's view of the cluster: the core's, and how each peer is reached."""

    core: CoreStatus
    links: Mapping[ServerID, Link]
    is_disk_full: bool
    peers: Mapping[ServerID, PeerStatus]
    """Each member but this server: its connection, lag, what is in flight, its last failure."""


class Inspecting(Running):
    """The part of ``Raft`` that only looks."""

    def leader(self) -> ServerID | None:
        """Return who leads, as far as this server knows."""
        return self._driver.leader

    def leader_with_id(self) -> tuple[str, ServerID] | None:
        """Return the leader's address and ID, None when unknown (``LeaderWithID``).

        The address is what the configuration says; on this network it is the ID, too.
        """
        leader = self._driver.leader
        if leader is None:
            return None
        servers = self._driver.latest.servers
        return next((s.address for s in servers if s.id == leader), leader), leader

    @property
    def state(self) -> Role:
        """The role of this server (``State``)."""
        return self._driver.role

    @property
    def is_leader(self) -> bool:
        return self._driver.role is Role.LEADER

    @property
    def applied_index(self) -> Index:
        """Index of the newest entry the state machine holds."""
        return self._driver.applied_index

    @property
    def commit_index(self) -> Index:
        """Index of the newest entry known to be agreed on (``CommitIndex``)."""
        return self._core_status().commit_index

    @property
    def last_index(self) -> Index:
        """Index of the newest entry in the log, agreed on or not (``LastIndex``)."""
        return self._core_status().last_index

    @property
    def current_term(self) -> Term:
        """The newest term this server knows of (``CurrentTerm``)."""
        return self._core_status().term

    def last_contact(self) -> float | None:
        """Return the seconds since a leader was heard; None: never since it started.

        On the leader it is 0 (hashicorp/raft ``LastContact``, which gives the time itself).
        """
        return 0.0 if self.is_leader else self._core_status().last_leader_contact_s

    def get_configuration(self) -> PlacedConfiguration:
        """Return the latest configuration and the index of its entry (``GetConfiguration``).

        It may not be agreed on yet: ``status().core.configuration_committed`` tells. The
        index is what the calls that change members take as ``prev_index``.
        """
        core = self._core_status()
        return PlacedConfiguration(core.configuration_index, core.configuration)

    def configuration(self) -> Configuration:
        """Return the latest configuration, which may not be committed yet."""
        return self._driver.latest

    def status(self) -> RaftStatus:
        """Return a picture of this server and of how it reaches its peers."""
        driver = self._driver
        core, links = self._core_status(), driver.transport.links()
        return RaftStatus(
            core=core,
            links=links,
            is_disk_full=driver.is_disk_full,
            peers=peer_statuses(core, links, driver.growth, trio.current_time()),
        )

    def stats(self) -> dict[str, str]:
        """Return hashicorp/raft's ``Stats``: its keys, and its values as text."""
        return stats_of(self._core_status(), fsm_pending=self._driver.fsm_pending)

    def metrics(self) -> RaftMetrics:
        """Return what this server has done since it started, counted and timed."""
        return self._driver.metrics.picture()

    def _core_status(self) -> CoreStatus:
        return self._driver.core.status(trio.current_time())

    def no_leader(self, message: str) -> NoLeader:
        """Return a ``NoLeader`` that says which voters are not reached, and why."""
        voters = self._driver.latest.voters
        return NoLeader(
            message,
            {
                peer: link.last_error or "not connected"
                for peer, link in self._driver.transport.links().items()
                if peer in voters and not link.is_connected
            },
        )
