"""What a running daemon tells its operator: who and where it is, who leads, who is missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

import trio

from node.consensus import Consensus
from node.standing import Standing
from node.swarm_addresses import SwarmAddresses
from raft_over_libp2p.errors import RaftError

__all__ = ["Say", "tell_leaders", "tell_who_is_here"]

Say: TypeAlias = Callable[[str, str], None]
"""Tells the operator a fact: its name and its value."""

_WATCH_S: Final = 0.5
"""How often the watcher looks for a change of leader; for the operator's eyes only."""
_REMIND_S: Final = 30.0
"""How often a peer without a leader says whom it cannot reach."""
_FIRST_REMINDER_S: Final = 5.0


def tell_who_is_here(
    consensus: Consensus,
    addresses: SwarmAddresses,
    say: Say,
    *,
    peername: str,
    folder: str,
    listening: Sequence[str],
    urls: Sequence[str],
    is_private: bool,
) -> None:
    """Tell what an operator needs to reach this peer, and whom it counts as members."""
    own = consensus.peer_id
    say("peer ID", f"{own}  {peername}")
    say("folder", folder)
    for address in listening:
        say("listening", f"{address}/p2p/{own}")
    for url in urls:
        say("API", url)
    if not is_private:
        say("warning", "no cluster secret: any libp2p peer may connect")
    known = addresses.lines()
    for member in consensus.peers():
        there = [line for line in known if line.endswith(f"/p2p/{member}")]
        where = "this peer" if member == own else ", ".join(there) or "no address known"
        say("member", f"{member}  {where}")


async def tell_leaders(
    consensus: Consensus, standing: Standing, addresses: SwarmAddresses, say: Say
) -> None:
    """Tell who leads, whenever that changes, and who is missing while nobody does; for ever."""
    known: tuple[str | None, int] | None = None
    remind_at = trio.current_time() + _FIRST_REMINDER_S
    while True:
        core = consensus.status().core
        seen = (core.leader, core.term)
        if seen != known and core.leader is not None:
            who = "this peer" if core.leader == core.server_id else core.leader
            say("leader", f"{who}, term {core.term}")
            known = seen
        elif core.leader is None and not standing.is_removed:
            if known is not None and known[0] is not None:
                say("leader", "none; the last one is not heard")
                known, remind_at = seen, trio.current_time() + _FIRST_REMINDER_S
            if trio.current_time() >= remind_at:
                say("waiting", _why_no_leader(consensus, addresses))
                remind_at = trio.current_time() + _REMIND_S
        await trio.sleep(_WATCH_S)


def _why_no_leader(consensus: Consensus, addresses: SwarmAddresses) -> str:
    members = consensus.peers()
    if consensus.peer_id not in members:
        own = next(iter(addresses.own_lines()), "MULTIADDR")
        known = "is no member of the cluster it knows" if members else "belongs to no cluster yet"
        return f"this peer {known}; on a member run `raft-node peers add {own}`"
    try:
        consensus.leader()
    except RaftError as error:
        return str(error)
    return "a leader was found"
