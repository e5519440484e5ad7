"""Operations on their way from a caller to the log and back."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import trio

from raft_over_libp2p import limits
from raft_over_libp2p.core.machine import Machine
from raft_over_libp2p.core.ready import Role
from raft_over_libp2p.errors import (
    LocalProtocolError,
    NotLeader,
    OutcomeUnknown,
    ProposalRefused,
)
from raft_over_libp2p.raft.request_id import RequestID, is_framed
from raft_over_libp2p.raft.request_table import RequestTable
from raft_over_libp2p.raft.waiting import Waiter
from raft_over_libp2p.types import NO_INDEX, Index, LogEntry, LogType, ServerID, Term
from raft_over_libp2p.wire.go_time import go_time

__all__ = ["Proposal", "Proposals"]


class Proposal:
    """Operations one caller proposed together, from its call to their results."""

    __slots__ = (
        "data",
        "extensions",
        "first",
        "repeats",
        "request",
        "results",
        "size_bytes",
        "term",
        "type",
        "waiter",
    )

    def __init__(
        self,
        data: tuple[bytes, ...],
        kind: LogType,
        extensions: bytes,
        request: RequestID | None = None,
    ) -> None:
        self.data = data
        self.type = kind
        self.extensions = extensions
        self.size_bytes = sum(map(len, data)) + len(extensions) * len(data)
        self.waiter: Waiter[list[Any]] = Waiter()
        self.first = Index(0)
        """Index of its first entry; 0 until it was handed to the core."""
        self.term = Term(0)
        self.results: list[Any] = []
        self.request = request
        """The ID that ``extensions`` hold."""
        self.repeats: Index | None = None
        """Where the log holds ``request`` already: then nothing was appended."""

    @property
    def last(self) -> int:
        """Index of its last entry."""
        return self.first + len(self.data) - 1


class Proposals:
    """Those not handed in yet, and those in the log whose outcome is awaited.

    Bounded by ``MAX_PROPOSALS_QUEUED`` and ``MAX_PROPOSAL_BYTES_QUEUED``, over both.
    """

    def __init__(self) -> None:
        self._new: list[Proposal] = []
        self._in_log: deque[Proposal] = deque()
        self.has_requests = False
        """Whether any that is new has a request ID."""
        self._count = 0
        self._bytes = 0

    @property
    def has_new(self) -> bool:
        return bool(self._new)

    async def propose(
        self, proposal: Proposal, wake: Callable[[], None], *, timeout_s: float
    ) -> list[Any]:
        """Queue ``proposal``, ``wake`` the driver, and return the results; see ``Raft.apply``."""
        if proposal.request is None and proposal.extensions and is_framed(proposal.extensions):
            raise LocalProtocolError("these extensions begin as a request ID does")
        count, size = len(proposal.data), proposal.size_bytes
        if self._count + count > limits.MAX_PROPOSALS_QUEUED:
            raise ProposalRefused(f"{self._count} operations wait already; try again later")
        if self._bytes + size > limits.MAX_PROPOSAL_BYTES_QUEUED:
            raise ProposalRefused(f"{self._bytes} bytes wait already; try again later")
        self._count += count
        self._bytes += size
        self._new.append(proposal)
        self.has_requests = self.has_requests or proposal.request is not None
        wake()
        try:
            with trio.move_on_after(timeout_s):
                return await proposal.waiter.wait()
        finally:
            self._count -= count
            self._bytes -= size
            if not proposal.first and proposal in self._new:
                self._new.remove(proposal)
        if not proposal.first:
            raise ProposalRefused(f"the operation was not proposed within {timeout_s:g} s")
        message = f"no majority agreed on entry {proposal.first} within {timeout_s:g} s"
        raise OutcomeUnknown(f"{message}; it may still be applied")

    async def await_entry(
        self, index: Index, term: Term, wake: Callable[[], None], *, timeout_s: float
    ) -> None:
        """Return when the entry that the core appended by itself at ``index`` is applied.

        To be called right after the core gave the number; errors as for :meth:`propose`.
        """
        proposal = Proposal((b"",), LogType.CONFIGURATION, b"")
        proposal.first, proposal.term = index, term
        self._in_log.append(proposal)
        wake()
        with trio.move_on_after(timeout_s):
            await proposal.waiter.wait()
            return
        message = f"no majority agreed on entry {index} within {timeout_s:g} s"
        raise OutcomeUnknown(f"{message}; it may still be applied")

    def hand_in(self, core: Machine, requests: RequestTable, now: float) -> None:
        """Give the core all that is new, a run of the same kind in one call.

        ``requests`` must know the core's log as it is now, where :attr:`has_requests`.
        """
        proposals, self._new, self.has_requests = self._new, [], False
        appended_at = go_time(time.time_ns())
        start = 0
        while start < len(proposals):
            if proposals[start].request is not None:
                self._hand_in_once(core, proposals[start], requests, now, appended_at)
                start += 1
                continue
            kind, extensions = proposals[start].type, proposals[start].extensions
            end = start + 1
            while (
                end < len(proposals)
                and proposals[end].type is kind
                and proposals[end].extensions == extensions
            ):
                end += 1
            self._hand_in_run(core, proposals[start:end], now, appended_at)
            start = end

    def _hand_in_once(
        self,
        core: Machine,
        proposal: Proposal,
        requests: RequestTable,
        now: float,
        appended_at: bytes,
    ) -> None:
        """Give the core an operation with a request ID, unless the log may hold it already."""
        request, status = proposal.request, core.status(now)
        if request is None:
            raise LocalProtocolError("no request ID")
        index = requests.find(request)
        if index is not None:
            if status.role is Role.LEADER or index <= status.applied_index:
                proposal.repeats = index
                proposal.waiter.set_value([])
            else:
                proposal.waiter.set_error(NotLeader(status.leader))
        elif status.role is not Role.LEADER:
            proposal.waiter.set_error(NotLeader(status.leader))
        elif request.since > status.last_index:
            message = f"the request ID is of another cluster: valid since entry {request.since}"
            proposal.waiter.set_error(ProposalRefused(message))
        elif not requests.reaches(request):
            proposal.waiter.set_error(
                OutcomeUnknown(
                    f"entries up to {requests.known_after} are compacted, so nobody can tell "
                    f"whether request {request} was applied; it is not applied now: ask the state"
                )
            )
        else:
            self._hand_in_run(core, [proposal], now, appended_at)
            if proposal.first:
                requests.appended(request, proposal.first)

    def _hand_in_run(
        self, core: Machine, run: list[Proposal], now: float, appended_at: bytes
    ) -> None:
        data = [one for proposal in run for one in proposal.data]
        try:
            index, term = core.propose(
                data,
                now,
                type=run[0].type,
                extensions=run[0].extensions,
                appended_at=appended_at,
            )
        except NotLeader as error:
            for proposal in run:
                proposal.waiter.set_error(NotLeader(error.leader))
        except ProposalRefused as error:
            if len(run) == 1:
                run[0].waiter.set_error(error)
                return
            for proposal in run:  # one too large must not take the others with it
                self._hand_in_run(core, [proposal], now, appended_at)
        else:
            for proposal in run:
                proposal.first, proposal.term = index, term
                index = Index(index + len(proposal.data))
                self._in_log.append(proposal)

    def resolve(
        self, batch: Sequence[LogEntry], results: Sequence[Any], leader: ServerID | None
    ) -> None:
        """Give the proposers of the applied ``batch`` their ``results``, those of its commands."""
        if not self._in_log:
            return
        if len(results) != len(batch):
            rest = iter(results)
            results = [next(rest) if e.type is LogType.COMMAND else None for e in batch]
        start, last = batch[0].index, batch[-1].index
        while self._in_log and self._in_log[0].first <= last:
            proposal = self._in_log[0]
            if proposal.first + len(proposal.results) < start:
                why = "a snapshot took its place before its result was known"
                self._in_log.popleft().waiter.set_error(_unknown(proposal, why))
                continue
            low = max(proposal.first, start)
            if batch[low - start].term != proposal.term:
                # Another leader's entry stands there, so this one never can.
                self._in_log.popleft().waiter.set_error(NotLeader(leader))
                continue
            proposal.results.extend(results[low - start : proposal.last - start + 1])
            if proposal.last > last:
                return
            self._in_log.popleft().waiter.set_value(proposal.results)

    def fail_in_log(self, why: str, *, after: Index = NO_INDEX) -> None:
        """Tell those with entries ``after`` that index that nobody knows what becomes of them."""
        in_log, self._in_log = self._in_log, deque()
        for proposal in in_log:
            if proposal.last <= after:
                self._in_log.append(proposal)
                continue
            proposal.waiter.set_error(_unknown(proposal, why))

    def fail_all(self, why: str) -> None:
        """Tell everybody; those not handed in were definitely not applied."""
        self.fail_in_log(why)
        new, self._new = self._new, []
        for proposal in new:
            proposal.waiter.set_error(ProposalRefused(f"nothing was proposed: {why}"))


def _unknown(proposal: Proposal, why: str) -> OutcomeUnknown:
    return OutcomeUnknown(f"entry {proposal.first} may still be applied: {why}")
