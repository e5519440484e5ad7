"""How a leader changes the members of its cluster, one at a time (thesis 4.1, Ongaro 2015)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raft_over_libp2p import limits
from raft_over_libp2p.core.membership import PlacedConfiguration
from raft_over_libp2p.core.membership_change import MembershipChange, next_configuration
from raft_over_libp2p.core.server import Server
from raft_over_libp2p.errors import ProposalRefused
from raft_over_libp2p.types import NO_INDEX, Index, LogType, Term

if TYPE_CHECKING:
    from raft_over_libp2p.core.leadership import Leadership

__all__ = ["append_change", "may_change"]


def may_change(server: Server, leadership: Leadership) -> bool:
    """Tell whether the latest configuration may be followed by another one.

    It must be agreed on: of two changes that differ by one server each, majorities need not
    overlap. And an entry of this leader's term must be (Ongaro 2015): otherwise a change
    that an earlier leader left behind may still be agreed on, and be the second one.
    """
    is_stable = server.membership.is_latest_committed and leadership.has_own_term_commit()
    return is_stable and server.transfer is None and server.restoring is None


def append_change(
    server: Server, leadership: Leadership, change: MembershipChange, prev_index: Index
) -> tuple[Index, Term]:
    """Append what ``change`` makes of the latest configuration; it holds at once.

    The new configuration alone counts whether it is agreed on, also when it is the second
    voter of a cluster of one (thesis 4.1). hashicorp/raft lets the old one count there: its
    change is then committed on one of two servers, and lost with that one.

    Raises:
        ProposalRefused: nothing was appended.

    """
    server.check_takes_writes()
    latest = server.membership.latest
    if prev_index not in {NO_INDEX, latest.index}:
        raise ProposalRefused(
            f"configuration changed since {prev_index} (latest is {latest.index})"
        )
    if not leadership.has_own_term_commit():
        raise ProposalRefused("no entry of this term is committed yet: try again")
    if not server.membership.is_latest_committed:
        raise ProposalRefused(
            f"another membership change is open (entry {latest.index}): try again"
        )
    configuration = next_configuration(latest.configuration, change)
    data = server.codec.encode(configuration)
    if len(data) > limits.MAX_ENTRY_DATA_BYTES:
        raise ProposalRefused(f"the configuration would have {len(data)} bytes")
    index, term = leadership.append(LogType.CONFIGURATION, (data,))
    server.append_configuration(PlacedConfiguration(index, configuration))
    leadership.use_configuration(index)
    return index, term
