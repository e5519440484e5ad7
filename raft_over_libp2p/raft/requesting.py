"""Operations that can be asked about: applied once, however often they are sent."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

import trio

from raft_over_libp2p.core.ready import Role
from raft_over_libp2p.errors import NotLeader, OutcomeUnknown
from raft_over_libp2p.raft.proposals import Proposal
from raft_over_libp2p.raft.reading import Reading
from raft_over_libp2p.raft.request_id import RequestID, frame_request
from raft_over_libp2p.types import Index, LogType

__all__ = ["AppliedOnce", "RequestOutcome", "RequestState", "Requesting"]

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class AppliedOnce(Generic[Result]):
    """The operation is applied, at ``index`` of the log, and nowhere else."""

    index: Index
    is_new: bool
    """Whether this call appended it; otherwise an earlier one did."""
    has_result: bool
    """Whether ``result`` is known: always if new; else it may have been forgotten."""
    result: Result | None


class RequestState(Enum):
    """What became of an operation, as far as the leader's log tells."""

    DONE = "done"
    """Applied, durable on a majority."""
    NOT_DONE = "not done"
    """In no log that can still be agreed on: only a call that is under way, or a later one,
    can have it applied."""
    TOO_OLD = "too old to tell"
    """The log was compacted beyond where the ID is valid from; ask the state."""


@dataclass(frozen=True, slots=True)
class RequestOutcome:
    """The answer to :meth:`Requesting.outcome`; ``index`` is the entry's, if it is done."""

    state: RequestState
    index: Index | None = None


class Requesting(Reading):
    """The part of ``Raft`` for operations with a :class:`RequestID`."""

    def new_request_id(self) -> RequestID:
        """Return an ID for one operation, valid with every leader of this cluster."""
        return RequestID.new(self._driver.applied_index)

    async def outcome(self, request: RequestID, *, timeout_s: float) -> RequestOutcome:
        """Say what became of the operation with this ID, without applying anything.

        Raises:
            NotLeader: this server does not lead, or stopped leading meanwhile.
            OutcomeUnknown: it is in the log, and was not agreed on within ``timeout_s``, or
                gave way to another leader's entry: ask again.
            ProposalRefused: no majority confirmed this leader in time, or it is closing.

        """
        self._check_open()
        driver = self._driver
        deadline = trio.current_time() + timeout_s
        term = driver.role_changed.term
        # The index it gives is beyond an entry of this term that is agreed on: an older entry
        # that is not in this log can be agreed on no more.
        await self.read_index(timeout_s=timeout_s)
        if driver.role is not Role.LEADER or driver.role_changed.term != term:
            raise NotLeader(driver.leader)
        index = driver.requests.find(request)
        if index is not None:
            await self._until_applied(request, index, deadline)
            return RequestOutcome(RequestState.DONE, index)
        if driver.requests.reaches(request):
            return RequestOutcome(RequestState.NOT_DONE)
        return RequestOutcome(RequestState.TOO_OLD)

    async def _apply_once(
        self, data: bytes, request: RequestID, timeout_s: float, extensions: bytes
    ) -> AppliedOnce[Any]:
        deadline = trio.current_time() + timeout_s
        framed = frame_request(request, extensions)
        proposal = Proposal((data,), LogType.COMMAND, framed, request)
        results = await self._propose(proposal, timeout_s)
        if proposal.repeats is None:
            return AppliedOnce(
                index=proposal.first, is_new=True, has_result=True, result=results[0]
            )
        await self._until_applied(request, proposal.repeats, deadline)
        requests = self._driver.requests
        has_result = requests.has_result(request)
        return AppliedOnce(
            index=proposal.repeats,
            is_new=False,
            has_result=has_result,
            result=requests.result(request) if has_result else None,
        )

    async def _until_applied(self, request: RequestID, index: Index, deadline: float) -> None:
        """Return when the entry of ``request`` at ``index`` is applied."""
        driver = self._driver
        with trio.move_on_at(deadline):
            while driver.requests.find(request) == index:
                if driver.applied_index >= index:
                    return
                await self.changed()
            raise OutcomeUnknown(
                f"entry {index} of request {request} is not in this log any more: ask the leader"
            )
        raise OutcomeUnknown(f"request {request} is entry {index}, which is not agreed on yet")
