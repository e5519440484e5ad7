"""One server of a Raft cluster, as its program sees it (hashicorp/raft ``api.go``)."""

from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import trio

from raft_over_libp2p import limits
from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core.interfaces import Random
from raft_over_libp2p.core.membership_change import ChangeKind, MembershipChange
from raft_over_libp2p.core.ready import Observation, Role
from raft_over_libp2p.core.status import CoreStatus
from raft_over_libp2p.errors import NoLeader, OutcomeUnknown, ProposalRefused
from raft_over_libp2p.raft.driver import Driver
from raft_over_libp2p.raft.fsm import FSM
from raft_over_libp2p.raft.proposals import Proposal
from raft_over_libp2p.raft.single_error import single_error
from raft_over_libp2p.raft.waiting import Waiter
from raft_over_libp2p.storage.data_folder import DataFolder
from raft_over_libp2p.transport.interface import Link, Transport
from raft_over_libp2p.types import NO_INDEX, Configuration, Index, LogType, ServerID

__all__ = ["Raft", "RaftStatus"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RaftStatus:
    """One server's view of the cluster: the core's, and how each peer is reached."""

    core: CoreStatus
    links: Mapping[ServerID, Link]
    is_disk_full: bool


class Raft:
    """One server of a cluster, running; made by :meth:`open`.

    Every call must come from the trio thread that opened it. A call answers *done* by
    returning, *definitely not done* by ``NotLeader``, ``NoLeader`` or ``ProposalRefused``,
    and *unknown* by ``OutcomeUnknown``; running out of ``timeout_s`` raises one of these too.
    Cancelling a call does not undo it: what was proposed may still be committed.
    """

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        *,
        folder: DataFolder,
        transport: Transport,
        fsm: FSM,
        config: RaftConfig | None = None,
        rng: Random | None = None,
        sync_inline: bool = False,
    ) -> AsyncIterator[Raft]:
        """Run a server on ``folder`` and ``transport`` until the block ends.

        Leaving the block fails what is still waiting, stops the transport, finishes the
        writes under way and returns when nothing runs any more. ``folder`` stays open: it is
        its opener's. ``sync_inline`` writes in this thread instead of one of its own: for
        disks whose fsync is faster than a hand-off between threads.

        Raises:
            CorruptLog: the folder cannot be trusted.
            DurabilityLost: a write failed while running; the block is cancelled.

        """
        driver = Driver(
            folder,
            transport,
            fsm,
            config or RaftConfig(),
            rng or random.SystemRandom(),
            sync_inline=sync_inline,
        )
        raft = cls(driver)
        driver.log_writer.start()
        try:
            with single_error():
                async with trio.open_nursery() as nursery:
                    driver.snapshots.run_in(nursery)
                    await nursery.start(transport.run, driver.deliver, driver.snapshots)
                    nursery.start_soon(driver.run)
                    try:
                        yield raft
                    finally:
                        raft._is_closed = True
                        driver.end("this server is shutting down")
                        nursery.cancel_scope.cancel()
        finally:
            driver.log_writer.close()

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._is_closed = False

    @property
    def server_id(self) -> ServerID:
        return self._driver.folder.server_id

    def leader(self) -> ServerID | None:
        """Return who leads, as far as this server knows."""
        return self._driver.leader

    @property
    def is_leader(self) -> bool:
        return self._driver.role is Role.LEADER

    @property
    def applied_index(self) -> Index:
        """Index of the newest entry the state machine holds."""
        return self._driver.applied_index

    def configuration(self) -> Configuration:
        """Return the latest configuration, which may not be committed yet."""
        return self._driver.latest

    def status(self) -> RaftStatus:
        """Return a picture of this server and of how it reaches its peers."""
        driver = self._driver
        return RaftStatus(
            core=driver.core.status(trio.current_time()),
            links=driver.transport.links(),
            is_disk_full=driver.is_disk_full,
        )

    # -- writing

    async def apply(self, data: bytes, *, timeout_s: float, extensions: bytes = b"") -> object:
        """Have ``data`` agreed on and applied; return what this server's FSM gave for it.

        Durable on a majority when it returns (hashicorp/raft ``Apply``).

        Raises:
            NotLeader: definitely not applied; names the leader where one is known.
            ProposalRefused: definitely not applied: too large, too many waiting, closing.
            OutcomeUnknown: leadership was lost, or ``timeout_s`` ran out, on the way.

        """
        return (await self.apply_many((data,), timeout_s=timeout_s, extensions=extensions))[0]

    async def apply_many(
        self, data: Sequence[bytes], *, timeout_s: float, extensions: bytes = b""
    ) -> list[object]:
        """Have all of ``data`` agreed on, in order and side by side; errors as in :meth:`apply`."""
        proposal = Proposal(tuple(data), LogType.COMMAND, extensions)
        return await self._propose(proposal, timeout_s) if data else []

    async def barrier(self, *, timeout_s: float) -> Index:
        """Return when all that was committed before is applied here, on the leader (``Barrier``).

        Errors as in :meth:`apply`.
        """
        proposal = Proposal((b"",), LogType.BARRIER, b"")
        await self._propose(proposal, timeout_s)
        return proposal.first

    async def _propose(self, proposal: Proposal, timeout_s: float) -> list[object]:
        self._check_open()
        if self._driver.is_disk_full:
            raise ProposalRefused("the disk is full; free some space on this peer or ask another")
        return await self._driver.proposals.propose(
            proposal, self._driver.wake, timeout_s=timeout_s
        )

    # -- membership, leadership, snapshots

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
        await self.read_index(timeout_s=timeout_s)
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

    # -- reading

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

    # -- following events

    async def wait_for_leader(self, *, timeout_s: float) -> ServerID:
        """Return who leads as soon as this server knows.

        Raises:
            NoLeader: nobody within ``timeout_s``; names the voters it cannot reach, and why.

        """
        with trio.move_on_after(timeout_s):
            while (leader := self._driver.leader) is None:
                await self.changed()
            return leader
        raise self.no_leader(f"no leader was elected within {timeout_s:g} s")

    def no_leader(self, message: str) -> NoLeader:
        """Return a ``NoLeader`` that says which voters are not reached, and why."""
        voters = self._driver.latest.voters
        return NoLeader(
            message,
            {
                peer: link.last_error or "not connected"
                for peer, link in self._driver.transport.links().items()
                if peer in voters and not link.is_connected
            },
        )

    async def changed(self) -> None:
        """Return after the next change of leader, role, configuration or applied index.

        Raises:
            ProposalRefused: this server is shut down.

        """
        self._check_open()
        await self._driver.changed()
        self._check_open()

    @contextmanager
    def observe(self) -> Iterator[trio.MemoryReceiveChannel[Observation]]:
        """Give a channel of what the core observes (hashicorp/raft ``Observer``).

        Raft never waits for an observer: beyond ``MAX_OBSERVATIONS_QUEUED`` new ones are lost
        to it until it reads.
        """
        send, receive = trio.open_memory_channel[Observation](limits.MAX_OBSERVATIONS_QUEUED)
        self._driver.observers.append(send)
        try:
            with receive:
                yield receive
        finally:
            self._driver.observers.remove(send)
            send.close()

    def _check_open(self) -> None:
        if self._is_closed:
            raise ProposalRefused("this server is shut down")
