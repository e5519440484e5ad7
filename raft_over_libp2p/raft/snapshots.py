"""Snapshots between the core, the state machine, the disk and the transport.

Writing, verifying and decoding a snapshot take seconds for a large state: they run in a
thread of their own, one at a time, while the driver goes on. The driver's task only takes a
reference to the state and swaps one in.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

import trio

from raft_over_libp2p import limits
from raft_over_libp2p.core.events import (
    Event,
    SnapshotNotStored,
    SnapshotNotTaken,
    SnapshotStored,
    SnapshotTaken,
)
from raft_over_libp2p.core.messages import InstallSnapshotRequest
from raft_over_libp2p.core.ready import OWN_RESTORE, Call, Output, SnapshotMeta, StoreSnapshot
from raft_over_libp2p.errors import (
    CorruptSnapshot,
    DurabilityLost,
    LocalProtocolError,
    ProposalRefused,
    StorageError,
)
from raft_over_libp2p.raft.fsm import FSM
from raft_over_libp2p.raft.restoring import UserRestore
from raft_over_libp2p.raft.spooling import (
    Content,
    Part,
    PartialSnapshots,
    ResumableSpooled,
    Spooled,
)
from raft_over_libp2p.raft.waiting import Waiter
from raft_over_libp2p.storage.interface import (
    SnapshotInfo,
    SnapshotReader,
    SnapshotSink,
    SnapshotStore,
)
from raft_over_libp2p.transport.interface import PartialSpool, SnapshotSource, Spool
from raft_over_libp2p.types import CallID, Index, ServerID, Term

__all__ = ["Snapshots"]

T = TypeVar("T")

_CHUNK_BYTES: Final = 256 * 1024
"""Read at a time when a state is prepared."""


class Snapshots:
    """Takes, keeps, gives out and takes in snapshots; it is the transport's ``SnapshotExchange``.

    Called from the trio thread; ``deliver`` hands events to the driver, and ``fail`` a disk
    that cannot be trusted any more.
    """

    def __init__(
        self,
        store: SnapshotStore,
        fsm: FSM[Any, Any],
        *,
        deliver: Callable[[Event], None],
        fail: Callable[[StorageError], None],
        wants: Callable[[InstallSnapshotRequest], bool],
        is_inline: bool,
    ) -> None:
        self._store = store
        self._fsm = fsm
        self._deliver = deliver
        self._fail = fail
        self._wants = wants
        self._is_inline = is_inline
        self._one_at_a_time = trio.CapacityLimiter(1)
        self._nursery: trio.Nursery | None = None
        self._spooled: dict[CallID, Spooled] = {}
        self._partial = PartialSnapshots()
        self._storing: Content | None = None
        """What is being verified, where its sender can resume."""
        self._prepared: dict[CallID, object] = {}
        self.restore = UserRestore(
            store, fsm, deliver=deliver, fail=fail, in_thread=self._in_thread
        )
        self._taking: Waiter[Index] | None = None
        self._told: tuple[Index, str] | None = None
        """What the core was told of the last snapshot taken, until its waiter is answered."""

    @property
    def holds_any(self) -> bool:
        """Whether bytes or a prepared state of some call wait for the core's word."""
        return bool(self._spooled or self._prepared)

    def run_in(self, nursery: trio.Nursery) -> None:
        """Do the background work in ``nursery`` from now on."""
        self._nursery = nursery
        nursery.start_soon(self._partial.drop_old)

    def restore_newest(self, meta: SnapshotMeta | None) -> None:
        """Bring the state machine to the snapshot that recovery chose; before anything runs.

        Raises:
            CorruptSnapshot: it does not decode.

        """
        if meta is not None:
            info = self._info(meta.index, meta.term)
            self._fsm.adopt(self._prepare(info))

    # -- taking our own

    async def taken(self) -> Index:
        """Return the index of the next snapshot that is taken.

        Raises:
            ProposalRefused: it could not be taken; says why.

        """
        if self._taking is None:
            self._taking = Waiter()
        return await self._taking.wait()

    def take(self, meta: SnapshotMeta) -> None:
        """Take a snapshot of the state machine as it is now, and tell the core when it is kept."""
        try:
            chunks = self._fsm.snapshot()
        except ValueError as error:
            self._tell_taken(meta.index, str(error))
            return
        self._start(self._take, meta, chunks)

    async def _take(self, meta: SnapshotMeta, chunks: Iterator[bytes]) -> None:
        try:
            await self._in_thread(lambda: self._write(meta, chunks))
        except DurabilityLost as error:
            self._fail(error)
        except StorageError as error:
            self._tell_taken(meta.index, str(error))
        else:
            self._tell_taken(meta.index, "")

    def _write(self, meta: SnapshotMeta, chunks: Iterator[bytes]) -> None:
        sink = self._store.create(meta, time.time_ns() // 1_000_000)
        try:
            for chunk in chunks:
                sink.write(chunk)
        except StorageError:
            raise
        except BaseException:
            sink.cancel()
            raise
        sink.finish()

    def _tell_taken(self, index: Index, reason: str) -> None:
        self._deliver(SnapshotNotTaken(index, reason) if reason else SnapshotTaken(index))
        self._told = (index, reason)

    def answer_waiters(self) -> None:
        """Tell who waits for a snapshot, at the end of the turn in which the core heard of it."""
        if self._told is None:
            return
        (index, reason), self._told = self._told, None
        waiter, self._taking = self._taking, None
        if waiter is None:
            return
        if reason:
            waiter.set_error(ProposalRefused(f"no snapshot was taken: {reason}"))
        else:
            waiter.set_value(index)

    # -- those of a leader

    def spool(self, call: CallID, peer: ServerID, request: InstallSnapshotRequest) -> Spool | None:
        """Return where the bytes of ``request`` go; None when it is stale, or there is no room."""
        del peer  # one at a time a peer is the transport's rule
        if not self._wants(request):
            return None
        sink = self._new_sink(_meta(request))
        if sink is None:
            return None
        spooled = Spooled(sink, request.size_bytes, partial(self._forget, call))
        self._spooled[call] = spooled
        return spooled

    def resume(
        self, call: CallID, peer: ServerID, request: InstallSnapshotRequest, sha256: bytes
    ) -> PartialSpool | None:
        """Do as :meth:`spool`, with what an earlier stream brought of the same snapshot."""
        content = Content(_meta(request), request.size_bytes, sha256)
        part = self._partial.take(peer, content)
        if not self._wants(request) or content == self._storing:
            # Installed, overtaken or being installed: the core can answer without its bytes.
            if part is not None:
                part.sink.cancel()
            return None
        if part is None:
            sink = self._new_sink(content.meta)
            if sink is None:
                return None
            part = Part(sink)
        spooled = ResumableSpooled(
            part,
            content,
            forget=partial(self._forget, call),
            keep=partial(self._partial.keep, peer),
            is_wanted=partial(self._wants, request),
        )
        self._spooled[call] = spooled
        return spooled

    def _new_sink(self, meta: SnapshotMeta) -> SnapshotSink | None:
        """Begin a snapshot in the store; None when there is no room for it, or the disk fails."""
        if len(self._spooled) >= limits.MAX_SNAPSHOTS_SPOOLED:
            return None
        self._partial.make_room(limits.MAX_SNAPSHOTS_SPOOLED - len(self._spooled) - 1)
        try:
            return self._store.create(meta, time.time_ns() // 1_000_000)
        except DurabilityLost as error:
            self._fail(error)
        except StorageError:
            pass  # the core is told that nothing was stored when it asks for it
        return None

    def drop_partial(self) -> None:
        """Give back the disk's space that half received snapshots take."""
        self._partial.make_room(0)

    def _forget(self, call: CallID) -> None:
        self._spooled.pop(call, None)

    def store(self, stored: StoreSnapshot) -> None:
        """Verify what was spooled for a call, make it durable, prepare a state, tell the core."""
        spooled = self._spooled.pop(stored.call, None)
        if spooled is None:
            reason = "its bytes were dropped, or there was no room for them"
            self._deliver(SnapshotNotStored(stored.call, reason))
        else:
            self._start(self._keep, stored, spooled)

    async def _keep(self, stored: StoreSnapshot, spooled: Spooled) -> None:
        if isinstance(spooled, ResumableSpooled):
            self._storing = spooled.content
        try:
            prepared = await self._in_thread(lambda: self._finish(stored, spooled))
        except DurabilityLost as error:
            self._fail(error)
        except (StorageError, ValueError) as error:
            self._deliver(SnapshotNotStored(stored.call, str(error)))
        else:
            self._prepared[stored.call] = prepared
            self._deliver(SnapshotStored(stored.call, stored.meta))
        finally:
            self._storing = None

    def _finish(self, stored: StoreSnapshot, spooled: Spooled) -> object:
        if spooled.error is not None:
            raise spooled.error
        if spooled.sink.size_bytes != spooled.announced_bytes:
            spooled.sink.cancel()
            message = f"the snapshot at {stored.meta.index} has {spooled.sink.size_bytes} bytes"
            raise CorruptSnapshot(f"{message}, and {spooled.announced_bytes} were announced")
        info = spooled.sink.finish()
        try:
            return self._prepare(info)
        except (CorruptSnapshot, ValueError):
            # Recovery must never choose what does not decode.
            self._store.remove(info)
            raise

    def write_restore(self, meta: SnapshotMeta) -> None:
        """Have the user's snapshot written."""
        if self._nursery is not None:
            self.restore.write(meta, self._nursery)

    def adopt(self, stored: StoreSnapshot) -> None:
        """Let the state prepared for a call take the place of the state machine."""
        if stored.call == OWN_RESTORE:
            self._fsm.adopt(self.restore.take_image())
        else:
            self._fsm.adopt(self._prepared.pop(stored.call))
        self._partial.drop_up_to(stored.meta.index)

    def drop(self, call: CallID) -> None:
        """Forget whatever came with ``call``."""
        self._prepared.pop(call, None)
        spooled = self._spooled.pop(call, None)
        if spooled is not None:
            spooled.cancel()

    # -- giving them out

    def with_size(self, output: Output) -> Output:
        """Return ``output`` with the size of the snapshot it sends, which the core does not know.

        One that is gone leaves as it is, and then fails in the transport.
        """
        if not isinstance(output, Call) or not isinstance(output.request, InstallSnapshotRequest):
            return output
        request = output.request
        sink = self.restore.sink_at(request.last_log_index, request.last_log_term)
        if sink is not None:
            return replace(output, request=replace(request, size_bytes=sink.size_bytes))
        try:
            info = self._info(request.last_log_index, request.last_log_term)
        except StorageError:
            return output
        return replace(output, request=replace(request, size_bytes=info.size_bytes))

    async def open_snapshot(self, index: Index, term: Term) -> SnapshotSource:
        """Return the snapshot at ``index`` and ``term``, verified; the caller closes it.

        Raises:
            StorageError: there is none such, or it is damaged.

        """
        sink = self.restore.sink_at(index, term)
        return await self._in_thread(lambda: self._open(index, term, sink))

    def _open(self, index: Index, term: Term, sink: SnapshotSink | None) -> SnapshotReader:
        if sink is not None:
            with suppress(LocalProtocolError):  # it was kept or dropped just now
                return sink.read_back()
        return self._store.open(self._info(index, term))

    def _info(self, index: Index, term: Term) -> SnapshotInfo:
        for info in self._store.list():
            if (info.meta.index, info.meta.term) == (index, term):
                return info
        raise StorageError(f"there is no snapshot at entry {index} of term {term}")

    def _prepare(self, info: SnapshotInfo) -> object:
        reader = self._store.open(info)
        try:
            return self._fsm.restore(_chunks(reader))
        except ValueError as error:
            raise CorruptSnapshot(
                f"snapshot {info.snapshot_id} does not decode: {error}"
            ) from error
        finally:
            reader.close()

    # -- the background

    def _start(self, job: Callable[..., object], *args: object) -> None:
        if self._nursery is not None:
            self._nursery.start_soon(job, *args)  # type: ignore[arg-type]

    async def _in_thread(self, work: Callable[[], T]) -> T:
        if self._is_inline:
            await trio.lowlevel.checkpoint()
            return work()
        return await trio.to_thread.run_sync(work, limiter=self._one_at_a_time)

    def close(self) -> None:
        """Drop what was being taken in, and tell who waits that nothing comes."""
        for spooled in list(self._spooled.values()):
            spooled.cancel()
        self._spooled.clear()
        self.drop_partial()
        self._prepared.clear()
        self.restore.abandon("this server is shutting down")
        if self._taking is not None:
            self._taking.set_error(ProposalRefused("this server is shutting down"))
            self._taking = None


def _meta(request: InstallSnapshotRequest) -> SnapshotMeta:
    return SnapshotMeta(
        index=request.last_log_index,
        term=request.last_log_term,
        configuration=request.configuration,
        configuration_index=request.configuration_index,
    )


def _chunks(reader: SnapshotReader) -> Iterator[bytes]:
    while chunk := reader.read(_CHUNK_BYTES):
        yield chunk
