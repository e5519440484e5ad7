"""The end of a run: every peer votes again, a daemon leads, and all hold one state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

import trio

from tests.chaos.peers import Peer, Standing

__all__ = ["HEAL_S", "Cluster", "settle"]

HEAL_S: Final = 180.0
"""Peers answer within seconds; a loaded machine starts five of them in some tens."""
_POLL_S: Final = 0.25


class Cluster(Protocol):
    """What can be asked of the peers together."""

    async def leader(self) -> tuple[Peer, Standing] | None: ...

    async def add(self, peer: Peer) -> None: ...

    async def transfer_to(self, target: Peer) -> bool: ...


async def settle(peers: Sequence[Peer], cluster: Cluster) -> dict[str, str] | None:
    """Return the state when all vote and hold the same, under a daemon; None after ``HEAL_S``.

    Whoever does not vote is added, however often: a removal that a fault asked for, and nobody
    waits for any more, may have waited for a leader, and take effect after everything healed.
    """
    with trio.move_on_after(HEAL_S):
        while True:
            found = await cluster.leader()
            if found is not None:
                leader, standing = found
                absent = [peer for peer in peers if peer.peer_id not in standing.voters]
                state = None
                if absent:
                    await cluster.add(absent[0])
                elif leader.member.language == "go":
                    await cluster.transfer_to(next(p for p in peers if p.member.language != "go"))
                else:
                    state = await _common_state(peers)
                if state is not None:
                    return state
            await trio.sleep(_POLL_S)
    return None


async def _common_state(peers: Sequence[Peer]) -> dict[str, str] | None:
    states = [await peer.pins() for peer in peers]
    standings = [await peer.standing() for peer in peers]
    applied = {None if standing is None else standing.applied_index for standing in standings}
    if None in states or len(applied) != 1 or any(state != states[0] for state in states):
        return None
    return states[0]
