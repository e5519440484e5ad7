"""Operations agreed on in order and applied to a state: go-libp2p-consensus, typed.

The state is an immutable value: applying a batch gives a new one and swaps a reference, so
``log_head()`` costs nothing, stays valid for ever, and never waits for a write.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Generic, Protocol, Self, TypeVar

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core.interfaces import Random
from raft_over_libp2p.errors import InconsistentState, NoState
from raft_over_libp2p.raft import FSM, OpCodec, Raft
from raft_over_libp2p.storage.interface import Stores
from raft_over_libp2p.transport.interface import Transport
from raft_over_libp2p.types import Index, LogEntry

__all__ = ["OpCodec", "OpLog", "State", "new_fsm"]

OpT = TypeVar("OpT")
_OpT_contra = TypeVar("_OpT_contra", contravariant=True)
StateT = TypeVar("StateT", bound="State[Any]")


class State(Protocol[_OpT_contra]):
    """An immutable value that operations turn into another (go-libp2p-consensus ``State``)."""

    def apply(self, ops: Sequence[_OpT_contra]) -> Self:
        """Return the state after ``ops``, in order; deterministic.

        Raises:
            ValueError: an operation cannot be applied, and none was. The others are then
                applied one by one, and the state is inconsistent.

        """
        ...

    def merge(self, payload: bytes) -> Self:
        """Return this state after a rollback entry's ``payload`` (go-libp2p-raft ``stateOp``).

        Raises:
            ValueError: ``payload`` is none; this makes the state inconsistent.

        """
        ...

    def snapshot_chunks(self) -> Iterator[bytes]:
        """Return the state as bytes, in chunks of 64 KiB or more; run in another thread."""
        ...

    def restore(self, chunks: Iterable[bytes]) -> Self:
        """Return a state of the same kind that holds just what ``chunks`` say.

        Raises:
            ValueError: they are no snapshot.

        """
        ...


class _OpFSM(Generic[StateT, OpT]):
    """Applies entries as go-libp2p-raft's FSM does, except that each is decoded afresh.

    What decodes as an operation is applied. What does not is tried as a rollback entry,
    which also ends an inconsistency. What is neither makes the state inconsistent: later
    operations are applied, but the state is not given out.
    """

    def __init__(
        self, state: StateT, codec: OpCodec[OpT], applied: Callable[[Sequence[OpT]], None]
    ) -> None:
        self.state = state
        self._applied = applied
        self._empty = state
        self.is_agreed = False
        self.inconsistent_since: Index | None = None
        self._codec = codec

    def apply(self, entries: Sequence[LogEntry]) -> Sequence[StateT]:
        decode = self._codec.decode
        ops: list[OpT] = []
        decoded: list[LogEntry] = []
        for entry in entries:
            try:
                ops.append(decode(entry.data))
                decoded.append(entry)
            except ValueError:
                self._apply(ops, decoded)
                ops, decoded = [], []
                self._merge(entry)
        self._apply(ops, decoded)
        self.is_agreed = True
        return [self.state] * len(entries)

    def _apply(self, ops: Sequence[OpT], entries: Sequence[LogEntry]) -> None:
        self._applied(ops)
        try:
            self.state = self.state.apply(ops)
        except ValueError:
            for op, entry in zip(ops, entries, strict=True):
                try:
                    self.state = self.state.apply([op])
                except ValueError:
                    self._mark_inconsistent(entry)

    def _merge(self, entry: LogEntry) -> None:
        try:
            self.state = self.state.merge(entry.data)
        except ValueError:
            self._mark_inconsistent(entry)
        else:
            self.inconsistent_since = None

    def _mark_inconsistent(self, entry: LogEntry) -> None:
        if self.inconsistent_since is None:
            self.inconsistent_since = entry.index

    def snapshot(self) -> Iterator[bytes]:
        if self.inconsistent_since is not None:
            raise ValueError("an inconsistent state is not kept")
        return self.state.snapshot_chunks()

    def restore(self, chunks: Iterable[bytes]) -> StateT:
        # The state only says of what kind the new one is: restoring replaces, never merges.
        return self._empty.restore(chunks)

    def adopt(self, image: StateT) -> None:
        self.state = image
        self.is_agreed = True
        self.inconsistent_since = None


def new_fsm(
    state: StateT,
    codec: OpCodec[OpT],
    applied: Callable[[Sequence[OpT]], None] = lambda _ops: None,
) -> FSM[StateT, StateT]:
    """Return what :meth:`OpLog.open` drives, for ``recover_cluster``; ``snapshot`` has its state."""
    return _OpFSM(state, codec, applied)


class OpLog(Generic[StateT, OpT]):
    """A log of operations that a cluster agrees on, and the state they make; see :meth:`open`."""

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        *,
        folder: Stores,
        transport: Transport,
        state: StateT,
        codec: OpCodec[OpT],
        config: RaftConfig | None = None,
        rng: Random | None = None,
        sync_inline: bool = False,
        applied: Callable[[Sequence[OpT]], None] = lambda _ops: None,
    ) -> AsyncIterator[OpLog[StateT, OpT]]:
        """Run a Raft server whose entries are operations on ``state``; errors as ``Raft.open_fsm``.

        ``state`` is what the log's operations start from; it must be the same on every server.
        ``applied`` is told of the operations of each batch before they are applied, also of
        those replayed at a start; it must not block, and must not raise.
        """
        fsm: _OpFSM[StateT, OpT] = _OpFSM(state, codec, applied)
        async with Raft.open_fsm(
            folder=folder,
            transport=transport,
            fsm=fsm,
            config=config,
            rng=rng,
            sync_inline=sync_inline,
        ) as raft:
            yield cls(raft, fsm, codec)

    def __init__(
        self, raft: Raft[bytes, StateT], fsm: _OpFSM[StateT, OpT], codec: OpCodec[OpT]
    ) -> None:
        self.raft = raft
        self._fsm = fsm
        self._codec = codec

    async def commit_op(self, op: OpT, *, timeout_s: float) -> None:
        """Have ``op`` agreed on, durable on a majority, and applied here (``CommitOp``).

        Raises:
            NotLeader, ProposalRefused: definitely not applied.
            OutcomeUnknown: it may be.

        """
        await self.raft.apply(self._codec.encode(op), timeout_s=timeout_s)

    async def commit_ops(self, ops: Sequence[OpT], *, timeout_s: float) -> None:
        """Have ``ops`` agreed on in order; after an error, ask the state which were applied."""
        encode = self._codec.encode
        await self.raft.apply_many([encode(op) for op in ops], timeout_s=timeout_s)

    async def rollback(self, payload: bytes, *, timeout_s: float) -> None:
        """Commit a rollback entry, on the leader only (go-libp2p-consensus ``Rollback``).

        ``payload`` goes to ``State.merge`` on every server; it ends an inconsistency. Errors
        as in :meth:`commit_op`.
        """
        await self.raft.apply(payload, timeout_s=timeout_s)

    @property
    def local_state(self) -> StateT:
        """What was applied here so far, agreed on or not, consistent or not."""
        return self._fsm.state

    def log_head(self) -> StateT:
        """Return the newest agreed state this server knows (``GetLogHead``); never blocks.

        Raises:
            NoState: nothing has been agreed on yet.
            InconsistentState: an entry could not be applied.

        """
        since = self._fsm.inconsistent_since
        if since is not None:
            raise InconsistentState(
                f"entry {since} is neither an operation nor a rollback, so the state on this node "
                "is not consistent; a rollback entry or a snapshot makes it so again"
            )
        if not self._fsm.is_agreed:
            raise NoState("no state has been agreed upon yet")
        return self._fsm.state

    async def subscribe(self) -> AsyncIterator[StateT]:
        """Yield each new agreed state, the newest one when several came meanwhile (``Subscribe``).

        Ends with ``ProposalRefused`` when the server is shut down.
        """
        seen: StateT | None = None
        while True:
            if self._fsm.state is not seen and self._fsm.is_agreed:
                seen = self._fsm.state
                yield seen
            else:
                await self.raft.changed()
