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
        """Return once this leader's state holds every write acknowledged before the call.

        Reads made together share one round of heartbeats (thesis 6.4).

        Raises:
            NotLeader: this server does not lead, or stopped leading before it was confirmed.
            ProposalRefused: too many reads wait, or no majority answered in ``timeout_s``.

        """
        self._check_open()
        with trio.move_on_after(timeout_s):
            index = await self._driver.reads.read_index(self._driver.wake)
            await self.wait_applied(index, timeout_s=math.inf)
            return index
        message = f"no majority confirmed this leader within {timeout_s} s; nothing was read"
        raise ProposalRefused(message)

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
