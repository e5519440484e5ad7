"""Adding, demoting and removing servers, one at a time (thesis 4.1)."""

from __future__ import annotations

import trio

from raft_over_libp2p.core.membership_change import ChangeKind, MembershipChange
from raft_over_libp2p.errors import OutcomeUnknown, ProposalRefused
from raft_over_libp2p.raft.inspecting import Inspecting
from raft_over_libp2p.raft.reading import Reading
from raft_over_libp2p.types import NO_INDEX, Index, ServerID

__all__ = ["ChangingMembers"]


class ChangingMembers(Inspecting, Reading):
    """The part of ``Raft`` that changes who belongs to the cluster."""

    async def change_membership(
        self, change: MembershipChange, *, timeout_s: float, prev_index: Index = NO_INDEX
    ) -> Index:
        """Have one server added, demoted or removed; return the new configuration's index.

        Agreed on, and durable on a majority of the new configuration, when it returns. With
        ``prev_index`` it is refused unless the latest configuration stands at that index.

        Raises:
            NotLeader: definitely not changed.
            ProposalRefused: definitely not changed: another change is open, or the rules
                forbid it; says which.
            OutcomeUnknown: leadership was lost, or ``timeout_s`` ran out, on the way.

        """
        deadline = trio.current_time() + timeout_s
        # A change needs a committed entry of this term (thesis 4.1) and a majority that
        # answers: without one nothing is changed at all.
        await self.verify_leader(timeout_s=timeout_s)
        driver = self._driver
        now = trio.current_time()
        index, term = driver.core.change_membership(change, now, prev_index=prev_index)
        await driver.proposals.await_entry(index, term, driver.wake, timeout_s=deadline - now)
        return index

    async def add_voter(
        self,
        server_id: ServerID,
        *,
        timeout_s: float,
        address: str = "",
        prev_index: Index = NO_INDEX,
    ) -> Index:
        """Add a voter at once (hashicorp/raft ``AddVoter``); see :meth:`join` for the safer way."""
        change = MembershipChange(ChangeKind.ADD_VOTER, server_id, address or server_id)
        return await self.change_membership(change, timeout_s=timeout_s, prev_index=prev_index)

    async def add_nonvoter(
        self,
        server_id: ServerID,
        *,
        timeout_s: float,
        address: str = "",
        prev_index: Index = NO_INDEX,
    ) -> Index:
        """Add a member that gets the log and does not vote (``AddNonvoter``)."""
        change = MembershipChange(ChangeKind.ADD_NONVOTER, server_id, address or server_id)
        return await self.change_membership(change, timeout_s=timeout_s, prev_index=prev_index)

    async def demote_voter(
        self, server_id: ServerID, *, timeout_s: float, prev_index: Index = NO_INDEX
    ) -> Index:
        """Take the vote of a member, which stays one (``DemoteVoter``)."""
        change = MembershipChange(ChangeKind.DEMOTE_VOTER, server_id)
        return await self.change_membership(change, timeout_s=timeout_s, prev_index=prev_index)

    async def remove_server(
        self, server_id: ServerID, *, timeout_s: float, prev_index: Index = NO_INDEX
    ) -> Index:
        """Remove a member; a leader that removes itself steps down then (``RemoveServer``)."""
        change = MembershipChange(ChangeKind.REMOVE_SERVER, server_id)
        return await self.change_membership(change, timeout_s=timeout_s, prev_index=prev_index)

    async def join(
        self, server_id: ServerID, *, timeout_s: float, prev_index: Index = NO_INDEX
    ) -> Index:
        """Add a member that becomes a voter when it has caught up, and costs no quorum before.

        Returns the index of the configuration in which it votes. One that is not heard of for
        ``join_timeout_s`` is removed again.

        Raises:
            NotLeader, ProposalRefused: definitely no member, or no longer one.
            OutcomeUnknown: it is, or may be, a member; whether it will vote is open.

        """
        deadline = trio.current_time() + timeout_s
        change = MembershipChange(ChangeKind.ADD_STAGING, server_id, server_id)
        index = await self.change_membership(change, timeout_s=timeout_s, prev_index=prev_index)
        with trio.move_on_at(deadline):
            # Its promotion must be agreed on too, or the next change would be refused.
            while not (
                self.configuration().is_voter(server_id)
                and self.status().core.configuration_committed
            ):
                if not self.configuration().has(server_id):
                    raise ProposalRefused(
                        f"{server_id} was not heard of after it was added, and removed again"
                    )
                if not self.is_leader:
                    raise OutcomeUnknown(
                        f"{server_id} is a member; whether it votes is up to the next leader"
                    )
                await self.changed()
            return max(index, self.status().core.configuration_index)
        raise OutcomeUnknown(f"{server_id} is a member, and had not caught up in {timeout_s:g} s")
