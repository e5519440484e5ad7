"""Whether this peer still belongs to its cluster, as its Raft observes it."""

from __future__ import annotations

from collections.abc import Callable

from pinstate.state import PinState
from raft_over_libp2p.core.ready import ConfigurationChanged, Removed
from raft_over_libp2p.raft import Raft

__all__ = ["Standing"]


class Standing:
    """Knows of a removal, and of being added again; :meth:`follow` keeps it up to date.

    A removal is told when it is agreed on and no leader is heard any more: a peer that is
    added again replays its old removal while it catches up, and must not take it for news
    (ipfs-cluster's issue 718).
    """

    def __init__(self) -> None:
        self.is_removed = False

    async def follow(self, raft: Raft[bytes, PinState], told: Callable[[str], None]) -> None:
        """Tell what an operator must know of a removal, until cancelled."""
        with raft.observe() as observations:
            async for observation in observations:
                if isinstance(observation, Removed):
                    self.is_removed = True
                    told(
                        f"this peer was removed from the cluster (entry {observation.index}): it "
                        "votes and campaigns no more. Its folder is kept. Stop it; or have it "
                        "back with `raft-node peers add` on a member"
                    )
                elif (
                    self.is_removed
                    and isinstance(observation, ConfigurationChanged)
                    and observation.configuration.has(raft.server_id)
                ):
                    self.is_removed = False
                    told("this peer is a member again")
