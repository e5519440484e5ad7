"""What a server says of itself and its cluster, at once and without asking anybody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import trio

from raft_over_libp2p.core.ready import Role
from raft_over_libp2p.core.status import CoreStatus
from raft_over_libp2p.errors import NoLeader
from raft_over_libp2p.raft.running import Running
from raft_over_libp2p.transport.interface import Link
from raft_over_libp2p.types import Configuration, Index, ServerID

__all__ = ["Inspecting", "RaftStatus"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftStatus:
    """One server's view of the cluster: the core's, and how each peer is reached."""

    core: CoreStatus
    links: Mapping[ServerID, Link]
    is_disk_full: bool


class Inspecting(Running):
    """The part of ``Raft`` that only looks."""

    def leader(self) -> ServerID | None:
        """Return who leads, as far as this server knows."""
        return self._driver.leader

    @property
    def is_leader(self) -> bool:
        return self._driver.role is Role.LEADER

    @property
    def applied_index(self) -> Index:
        """Index of the newest entry the state machine holds."""
        return self._driver.applied_index

    def configuration(self) -> Configuration:
        """Return the latest configuration, which may not be committed yet."""
        return self._driver.latest

    def status(self) -> RaftStatus:
        """Return a picture of this server and of how it reaches its peers."""
        driver = self._driver
        return RaftStatus(
            core=driver.core.status(trio.current_time()),
            links=driver.transport.links(),
            is_disk_full=driver.is_disk_full,
        )

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
