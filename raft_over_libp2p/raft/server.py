"""One server of a Raft cluster, as its program sees it (hashicorp/raft ``api.go``)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core.interfaces import Random
from raft_over_libp2p.core.trace import Tracer
from raft_over_libp2p.raft.changing_members import ChangingMembers
from raft_over_libp2p.raft.driver import Driver
from raft_over_libp2p.raft.fsm import FSM
from raft_over_libp2p.raft.observing import Observing
from raft_over_libp2p.raft.operating import Operating
from raft_over_libp2p.raft.proposals import Proposal
from raft_over_libp2p.raft.request_id import RequestID
from raft_over_libp2p.raft.requesting import AppliedOnce, Requesting
from raft_over_libp2p.raft.running import running
from raft_over_libp2p.raft.state_machine import BytesCodec, DecodingFSM, OpCodec, StateMachine
from raft_over_libp2p.storage.interface import Stores
from raft_over_libp2p.transport.interface import Transport
from raft_over_libp2p.types import Index, LogType

__all__ = ["Raft"]

Op = TypeVar("Op")
Result = TypeVar("Result")


class Raft(ChangingMembers, Observing, Operating, Requesting, Generic[Op, Result]):
    """One server of a cluster, running; made by :meth:`open`.

    ``Op`` is what is proposed, and ``Result`` what the state machine gives for it.

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
        folder: Stores,
        transport: Transport,
        state_machine: StateMachine[Op, Result, Any],
        codec: OpCodec[Op],
        config: RaftConfig | None = None,
        rng: Random | None = None,
        sync_inline: bool = False,
        tracer: Tracer | None = None,
    ) -> AsyncIterator[Raft[Op, Result]]:
        """Run a server on ``folder`` and ``transport`` until the block ends.

        ``state_machine`` is as it was before the first operation, the same on every server:
        the snapshot and the log of ``folder`` bring it up to date. ``codec`` says how its
        operations stand in the log.

        Leaving the block fails what is still waiting, stops the transport, finishes the
        writes under way and returns when nothing runs any more. ``folder`` stays open: it is
        its opener's. ``sync_inline`` writes in this thread instead of one of its own: for
        disks whose fsync is faster than a hand-off between threads. ``tracer`` is told each
        transition of the core at once (``core.trace``); for tests that hold them against a model.

        Raises:
            CorruptLog: the folder cannot be trusted.
            CorruptSnapshot: its snapshot cannot be restored.
            DurabilityLost: a write failed while running; the block is cancelled.
            LocalProtocolError: an agreed entry does not decode with ``codec``, or the state
                machine broke its contract; the block is cancelled.

        """
        async with running(
            folder=folder,
            transport=transport,
            fsm=DecodingFSM(state_machine, codec),
            config=config,
            rng=rng,
            sync_inline=sync_inline,
            tracer=tracer,
        ) as driver:
            yield cls(driver, codec)

    @staticmethod
    @asynccontextmanager
    async def open_fsm(
        *,
        folder: Stores,
        transport: Transport,
        fsm: FSM[Result, Any],
        config: RaftConfig | None = None,
        rng: Random | None = None,
        sync_inline: bool = False,
        tracer: Tracer | None = None,
    ) -> AsyncIterator[Raft[bytes, Result]]:
        """Run a server whose operations are bytes, and whose ``fsm`` sees whole entries.

        As :meth:`open` in all else.
        """
        async with running(
            folder=folder,
            transport=transport,
            fsm=fsm,
            config=config,
            rng=rng,
            sync_inline=sync_inline,
            tracer=tracer,
        ) as driver:
            yield Raft(driver, BytesCodec())

    def __init__(self, driver: Driver, codec: OpCodec[Op]) -> None:
        super().__init__(driver)
        self._encode = codec.encode

    async def apply(self, op: Op, *, timeout_s: float, extensions: bytes = b"") -> Result:
        """Have ``op`` agreed on and applied; return what this server's state machine gave for it.

        Durable on a majority when it returns (hashicorp/raft ``Apply``). ``extensions`` are
        kept beside it in the log entry (``ApplyLog``). What ``codec.encode`` raises comes
        through, and nothing was proposed.

        Raises:
            NotLeader: definitely not applied; names the leader where one is known.
            ProposalRefused: definitely not applied: too large, too many waiting, closing.
            OutcomeUnknown: leadership was lost, or ``timeout_s`` ran out, on the way.

        """
        proposal = Proposal((self._encode(op),), LogType.COMMAND, extensions)
        result: Result = (await self._propose(proposal, timeout_s))[0]
        return result

    async def apply_once(
        self, op: Op, request: RequestID, *, timeout_s: float, extensions: bytes = b""
    ) -> AppliedOnce[Result]:
        """Do as :meth:`apply`, and never twice for the same ``request``, whoever leads.

        Make the ID with :meth:`new_request_id`, keep it while the outcome is unknown, and
        send the same ``op`` with it again, here or to another server of this package. The ID
        goes into the entry's extensions, before yours. A Go leader knows nothing of it.

        Raises:
            NotLeader: nothing was appended now; an earlier call's outcome is as unknown as it was.
            ProposalRefused: likewise; see :meth:`apply`.
            OutcomeUnknown: as in :meth:`apply`, or the log was compacted beyond where the ID
                is valid from, so that it is not applied again. :meth:`outcome` tells.

        """
        return await self._apply_once(self._encode(op), request, timeout_s, extensions)

    async def apply_many(
        self, ops: Sequence[Op], *, timeout_s: float, extensions: bytes = b""
    ) -> list[Result]:
        """Have all of ``ops`` agreed on, in order and side by side; errors as in :meth:`apply`."""
        encode = self._encode
        proposal = Proposal(tuple([encode(op) for op in ops]), LogType.COMMAND, extensions)
        return await self._propose(proposal, timeout_s) if ops else []

    async def barrier(self, *, timeout_s: float) -> Index:
        """Return when all that was committed before is applied here, on the leader (``Barrier``).

        Errors as in :meth:`apply`.
        """
        proposal = Proposal((b"",), LogType.BARRIER, b"")
        await self._propose(proposal, timeout_s)
        return proposal.first
