"""Linearisable reads, and waiting for what was applied."""

from __future__ import annotations

import math

import trio

from raft_over_libp2p.errors import ProposalRefused
from raft_over_libp2p.raft.running import Running
from raft_over_libp2p.types import Index

__all__ = ["Reading"]


class Reading(Running):
    """The part of ``Raft`` that says when the state may be read."""

    async def read_index(self, *, timeout_s: float) -> Index:
        """Return once this server's state holds every write acknowledged before the call.

        On any member. Who does not lead asks the leader, on a protocol of ours. Reads made
        together share one request and one round of heartbeats (thesis 6.4); with
        ``RaftConfig.lease_reads`` the round is left out while the leader's lease holds.

        Raises:
            NotLeader: nothing was read: no leader is known, or it was lost before the read was
                confirmed; names the leader known now.
            ReadIndexUnsupported: nothing was read: the leader is a Go peer. (A follower of one
                cannot read by a barrier either: only the leader's log takes one.)
            ProposalRefused: nothing was read: too many reads wait, no majority confirmed the
                leader in ``timeout_s``, or this server was behind what it confirmed.

        """
        self._check_open()
        with trio.move_on_after(timeout_s):
            index = await self._driver.reads.read_index(self._driver.wake)
            await self.wait_applied(index, timeout_s=math.inf)
            return index
        raise ProposalRefused(
            f"no majority confirmed a read within {timeout_s} s; nothing was read"
        )

    async def verify_leader(self, *, timeout_s: float) -> None:
        """Return when a majority of voters confirmed, after the call, that this server leads.

        hashicorp/raft's ``VerifyLeader``, by the rule of :meth:`read_index`: Go's also counts
        answers to earlier calls, nonvoters', and its own vote where it has none.

        Raises:
            NotLeader: this server does not lead, or stopped leading before it was confirmed.
            ProposalRefused: no majority answered in ``timeout_s``, or too many reads wait.

        """
        self._check_open()
        with trio.move_on_after(timeout_s):
            await self._driver.reads.read_index(self._driver.wake, on_leader=True)
            return
        raise ProposalRefused(f"no majority confirmed this leader within {timeout_s} s")

    async def wait_applied(self, index: Index, *, timeout_s: float) -> None:
        """Return when the state machine holds ``index``.

        Raises:
            ProposalRefused: it does not within ``timeout_s``.

        """
        with trio.move_on_after(timeout_s):
            while self._driver.applied_index < index:
                await self.changed()
            return
        raise ProposalRefused(f"entry {index} was not applied within {timeout_s} s")
