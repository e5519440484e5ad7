"""A peer that can be reached elsewhere than the log says tells the cluster so."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import trio

from node.own_addresses import is_loopback
from raft_over_libp2p.errors import RaftError

if TYPE_CHECKING:
    from node.consensus import Consensus
    from node.swarm_addresses import SwarmAddresses

__all__ = ["address_to_announce", "keep_own_address_agreed"]

logger = logging.getLogger(__name__)

_SETTLE_S: Final = 2.0
"""A new leader logs the addresses it knows first; then this peer's may be agreed on already."""
_LOOK_S: Final = 30.0
"""How often is looked again: an address changes with a restart, a leader more often."""


async def keep_own_address_agreed(
    consensus: Consensus,
    addresses: SwarmAddresses,
    *,
    is_explicit: bool,
    told: Callable[[str], None],
) -> None:
    """Log this peer's address whenever it votes, is in sync, and the log has another; for ever.

    Tries once under each leader: a Go leader takes no address, and one that does not reach
    this peer at it would not the next minute.
    """
    tried: object = None
    while True:
        try:
            await consensus.wait_for_sync(timeout_s=math.inf)
            await trio.sleep(_SETTLE_S)
            address = address_to_announce(
                addresses.agreed_own, addresses.own, is_explicit=is_explicit
            )
            core = consensus.status().core
            attempt = (address, core.leader, core.term)
            if address is not None and attempt != tried:
                tried = attempt
                line = f"{address}/p2p/{consensus.peer_id}"
                await consensus.log_add_peer(line)
                told(f"the cluster knows this peer at {line}")
        except RaftError as error:
            logger.warning("this peer's address is not agreed on: %s", error)
        await trio.sleep(_LOOK_S)


def address_to_announce(agreed: str | None, own: Sequence[str], *, is_explicit: bool) -> str | None:
    """Return which of ``own``, best first, the log should have in place of ``agreed``; None for none.

    An agreed address that is one of them stays, and a name stays where the operator announces
    nothing (``is_explicit``), since nobody can tell that it is not this peer's. A loopback
    address never takes the place of one that others can reach.
    """
    if not own or agreed in own:
        return None
    if agreed is not None:
        if is_loopback(own[0]) and not is_loopback(agreed):
            return None
        if agreed.startswith("/dns") and not is_explicit:
            return None
    return own[0]
