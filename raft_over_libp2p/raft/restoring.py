"""The bytes, the state and the caller of the one user's snapshot that is being restored."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final, Protocol

import trio

from raft_over_libp2p import limits
from raft_over_libp2p.core.events import Event, RestoreFailed, RestoreKept, RestoreWritten
from raft_over_libp2p.core.ready import RestoreEnded, SnapshotMeta
from raft_over_libp2p.errors import DurabilityLost, OutcomeUnknown, ProposalRefused, StorageError
from raft_over_libp2p.raft.fsm import FSM
from raft_over_libp2p.raft.waiting import Waiter
from raft_over_libp2p.storage.interface import SnapshotReader, SnapshotSink, SnapshotStore
from raft_over_libp2p.types import Index, Term

__all__ = ["UserRestore"]

_CHUNK_BYTES: Final = 256 * limits.KIB


class _InThread(Protocol):
    def __call__(self, work: Callable[[], object], /) -> Awaitable[object]: ...


class UserRestore:
    """What ``Raft.restore`` keeps between its caller, the core and the disk; one at a time.

    Called from the trio thread. The core decides what happens (``core.restoring``); what it
    asks is in ``core.ready``. Until :meth:`keep` a restart finds nothing of the snapshot.
    """

    def __init__(
        self,
        store: SnapshotStore,
        fsm: FSM[Any, Any],
        *,
        deliver: Callable[[Event], None],
        fail: Callable[[StorageError], None],
        in_thread: _InThread,
    ) -> None:
        self._store = store
        self._fsm = fsm
        self._deliver = deliver
        self._fail = fail
        self._in_thread = in_thread
        self._chunks: Iterable[bytes] | None = None
        self._waiter: Waiter[Index] | None = None
        self._meta: SnapshotMeta | None = None
        self._sink: SnapshotSink | None = None
        self._image: list[object] = []
        self._is_writing = False
        self._is_written = False

    def check_idle(self) -> None:
        """Refuse a second one, also while the first one's bytes are still being dropped.

        Raises:
            ProposalRefused: another one is in progress.

        """
        if self._waiter is not None or self._is_writing or self._sink is not None:
            raise ProposalRefused("a restore is in progress")

    async def ended(self, chunks: Iterable[bytes]) -> Index:
        """Return at which index the state of ``chunks`` stands, once the core has begun.

        Raises:
            ProposalRefused: it is definitely not restored; says why.
            OutcomeUnknown: it may be.

        """
        self._chunks = chunks
        self._waiter = Waiter()
        return await self._waiter.wait()

    # -- what the core asks

    def write(self, meta: SnapshotMeta, nursery: trio.Nursery) -> None:
        """Write and decode it in the background; then tell the core."""
        self._meta = meta
        self._is_writing = True
        nursery.start_soon(self._write, meta, self._chunks or ())

    async def _write(self, meta: SnapshotMeta, chunks: Iterable[bytes]) -> None:
        try:
            image = await self._in_thread(partial(self._write_all, meta, chunks))
        except DurabilityLost as error:
            self._fail(error)
        except (StorageError, ValueError) as error:
            self._sink = None
            self._is_writing = False
            self._deliver(RestoreFailed(str(error)))
        else:
            self._image = [image]
            self._is_writing = False
            self._is_written = True
            self._deliver(RestoreWritten(meta))

    def _write_all(self, meta: SnapshotMeta, chunks: Iterable[bytes]) -> object:
        sink = self._sink = self._store.create(meta, time.time_ns() // 1_000_000)
        try:
            for chunk in _of_the_caller(chunks):
                sink.write(chunk)
            sink.seal()
            reader = sink.read_back()
            try:
                return self._fsm.restore(_chunks(reader))
            finally:
                reader.close()
        except DurabilityLost:
            raise
        except BaseException:
            sink.cancel()
            raise

    def keep(self, meta: SnapshotMeta) -> Event:
        """Give it its name, durably; return what to tell the core before anything else.

        In this thread, because nothing may come between: one rename and two syncs of directories.

        Raises:
            DurabilityLost: stop this server.

        """
        if self._sink is None or self._meta != meta:
            return RestoreFailed("its bytes are gone")
        try:
            self._sink.finish()
        except DurabilityLost:
            raise
        except StorageError as error:
            return RestoreFailed(str(error))
        return RestoreKept(meta)

    def take_image(self) -> object:
        """Return the state to adopt; nothing is left here."""
        image = self._image.pop()
        self._forget()
        return image

    def drop(self) -> None:
        """Forget it, or as soon as it was written: the core is then told, and asks again."""
        if not self._is_writing:
            if self._sink is not None:
                self._sink.cancel()
            self._forget()

    def _forget(self) -> None:
        self._sink = self._meta = self._chunks = None
        self._image.clear()
        self._is_written = False

    # -- for the transport

    def sink_at(self, index: Index, term: Term) -> SnapshotSink | None:
        """Return what is being restored at that place, if it is whole."""
        meta = self._meta
        is_there = self._is_written and meta is not None
        return (
            self._sink if is_there and meta and (meta.index, meta.term) == (index, term) else None
        )

    # -- the end

    def tell(self, ended: RestoreEnded, index: Index) -> None:
        """Tell the caller what the core says; ``index`` is where the state stands now."""
        waiter, self._waiter = self._waiter, None
        if waiter is None:
            return
        if not ended.error:
            waiter.set_value(index)
        elif ended.is_unknown:
            waiter.set_error(OutcomeUnknown(f"the snapshot may yet be restored: {ended.error}"))
        else:
            waiter.set_error(ProposalRefused(f"nothing was restored: {ended.error}"))

    def abandon(self, why: str) -> None:
        """Tell the caller that the core is gone, and drop what there is."""
        self.tell(RestoreEnded(why, is_unknown=self._is_written), Index(0))
        self.drop()


def _of_the_caller(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield ``chunks``; whatever their source raises is the caller's to hear, and ends no server."""
    try:
        yield from chunks
    except Exception as error:
        raise ValueError(f"the snapshot could not be read: {error!r}") from error


def _chunks(reader: SnapshotReader) -> Iterator[bytes]:
    while chunk := reader.read(_CHUNK_BYTES):
        yield chunk
