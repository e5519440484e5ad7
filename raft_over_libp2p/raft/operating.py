"""What an operator asks of a running server: to hand over, to keep a snapshot, to go by other times."""

from __future__ import annotations

from collections.abc import Iterable

import trio

from raft_over_libp2p.config import ReloadableConfig
from raft_over_libp2p.errors import OutcomeUnknown, ProposalRefused
from raft_over_libp2p.raft.running import Running
from raft_over_libp2p.raft.waiting import Waiter
from raft_over_libp2p.types import Index, ServerID

__all__ = ["Operating"]


class Operating(Running):
    """The part of ``Raft`` that operators use."""

    async def leadership_transfer(
        self, target: ServerID | None = None, *, timeout_s: float
    ) -> ServerID:
        """Hand leadership to ``target``, or the voter that is furthest; return who it is.

        Raises:
            NotLeader: this server does not lead.
            ProposalRefused: leadership stays here; says why.
            OutcomeUnknown: ``timeout_s`` ran out first.

        """
        self._check_open()
        driver = self._driver
        chosen = driver.core.transfer_leadership(target, trio.current_time())
        waiter: Waiter[ServerID] = Waiter()
        driver.transfer = waiter
        driver.wake()
        with trio.move_on_after(timeout_s):
            return await waiter.wait()
        raise OutcomeUnknown(f"handing over to {chosen} was not over within {timeout_s:g} s")

    def reloadable_config(self) -> ReloadableConfig:
        """Return what :meth:`reload_config` would change (``ReloadableConfig``)."""
        return self._driver.config.reloadable

    def reload_config(self, reloadable: ReloadableConfig) -> None:
        """Go by ``reloadable`` from now on, all of it or none (``ReloadConfig``).

        A timer that runs longer than the new times allow is set again; a leader speaks to
        its followers at once. ``trailing_logs`` counts from the next snapshot on. Timeouts
        belong to a cluster, not to a server: bring all servers to the new ones without
        delay. A transport's own times (``TransportTiming``) stay, and a leader's lease keeps its
        length until it leads anew.

        Raises:
            LocalProtocolError: nothing changed: it is out of range, or does not fit what
                cannot be reloaded; the message names the field.
            ProposalRefused: this server is shut down.

        """
        self._check_open()
        self._driver.reload_config(self._driver.config.reloaded(reloadable))

    async def restore(self, chunks: Iterable[bytes], *, timeout_s: float) -> Index:
        """Have the state in ``chunks`` take the place of the cluster's; return its index.

        ``chunks`` are what ``snapshot`` of the state machine gives, from this cluster or any
        other, 64 KiB or more each; they are read once, in another thread. Only the state is
        taken from them: members and term stay. What was agreed on before is replaced, not
        merged. Nothing else is taken while this goes on: proposals, changes of members and
        transfers are refused; reads go on. On return a majority holds the new state durably,
        and every server gets it. How it is made safe, and where it is not hashicorp/raft's
        ``Restore``: ``core.restoring``.

        Raises:
            NotLeader: definitely not restored.
            ProposalRefused: definitely not restored: something else is in progress, the
                chunks are no state or cannot be read, there is no room, or nothing was sent
                to anybody within ``timeout_s``; says which.
            OutcomeUnknown: some server holds it, and leadership was lost, or given up after
                ``timeout_s``: it becomes the cluster's state, or never does. Look at the state
                before doing it again. A Go follower that took it while the cluster did not
                keeps it until its next snapshot comes.

        """
        self._check_open()
        driver = self._driver
        if driver.is_disk_full:
            raise ProposalRefused("the disk is full; free some space on this peer or ask another")
        driver.snapshots.restore.check_idle()
        now = trio.current_time()
        driver.core.begin_restore(now + timeout_s, now)
        driver.wake()
        return await driver.snapshots.restore.ended(chunks)

    async def snapshot(self, *, timeout_s: float) -> Index:
        """Have a snapshot taken now, and the log compacted behind it; return its index.

        Raises:
            ProposalRefused: nothing new to snapshot, or it could not be taken; says why.
            OutcomeUnknown: it is still being written after ``timeout_s``.

        """
        self._check_open()
        driver = self._driver
        if not driver.core.snapshot_now(trio.current_time()):
            raise ProposalRefused("nothing new to snapshot")
        driver.wake()
        with trio.move_on_after(timeout_s):
            return await driver.snapshots.taken()
        raise OutcomeUnknown(f"the snapshot was not written within {timeout_s:g} s")
