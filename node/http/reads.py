"""Answers that come from this peer's own copy of the pinset, and say how fresh they are.

Like IPFS Cluster's they need no quorum. ``?consistency=linearizable`` asks for one that holds
everything acknowledged before it was asked; it fails when no leader can be asked.
"""

from __future__ import annotations

from typing import Final

from starlette.datastructures import QueryParams

from node.http.backend import AgreedPinset
from node.http.outcomes import Refusal
from node.http.pin_options import timeout_of
from pinstate.state import PinState
from raft_over_libp2p.core.ready import Role
from raft_over_libp2p.errors import NoState

__all__ = ["freshness_headers", "pinset_to_read"]

_CONSISTENCIES: Final = frozenset({"local", "linearizable"})


async def pinset_to_read(
    consensus: AgreedPinset, query: QueryParams, *, timeout_s: float
) -> tuple[PinState, dict[str, str]]:
    """Return the pinset a read asks for, and headers that tell how fresh it is.

    Raises:
        Refusal: ``consistency`` is neither ``local`` nor ``linearizable``.
        RaftError: it cannot be had.

    """
    consistency = query.get("consistency", "local")
    if consistency not in _CONSISTENCIES:
        raise Refusal(400, f"consistency is local or linearizable, not {consistency[:40]!r}")
    try:
        if consistency == "linearizable":
            state = await consensus.linearizable_state(timeout_s=timeout_of(query, timeout_s))
        else:
            state = consensus.state()
    except NoState:
        state = PinState()  # nothing agreed on is nothing pinned, as Go answers
    return state, freshness_headers(consensus) | {"X-Raft-Consistency": consistency}


def freshness_headers(consensus: AgreedPinset) -> dict[str, str]:
    """Return the index applied here, seconds since a leader was heard, and who leads."""
    core = consensus.status().core
    contact = 0.0 if core.role is Role.LEADER else core.last_leader_contact_s
    return {
        "X-Raft-Applied-Index": str(core.applied_index),
        "X-Raft-Last-Contact": "never" if contact is None else f"{contact:.3f}",
        "X-Raft-Leader": core.leader or "",
    }
