"""The bytes of snapshots that come in, whole or in parts, before the core decides about them.

A part that a broken stream left behind is kept for the stream that goes on with it: one for
each peer, few in all, for some minutes (``limits``). It is an unfinished snapshot on disk, and
its hash so far is in memory: a restart drops both.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import trio

from raft_over_libp2p import limits
from raft_over_libp2p.core.ready import SnapshotMeta
from raft_over_libp2p.errors import StorageError
from raft_over_libp2p.storage.interface import SnapshotSink
from raft_over_libp2p.types import Index, ServerID

__all__ = ["Content", "Part", "PartialSnapshots", "ResumableSpooled", "Spooled"]


class Spooled:
    """The bytes of one InstallSnapshot, on their way into the store."""

    def __init__(self, sink: SnapshotSink, size_bytes: int, forget: Callable[[], None]) -> None:
        self.sink = sink
        self.announced_bytes = size_bytes
        self.error: StorageError | None = None
        self._forget = forget

    def write(self, chunk: bytes) -> None:
        if self.error is None:
            try:
                self.sink.write(chunk)
            except StorageError as error:
                self.error = error

    def cancel(self) -> None:
        self._forget()
        if self.error is None:
            self.sink.cancel()


@dataclass(frozen=True, slots=True)
class Content:
    """Which snapshot it is (mixed-cluster rule 25): another hash is another snapshot."""

    meta: SnapshotMeta
    size_bytes: int
    sha256: bytes


class Part:
    """What came of a snapshot so far."""

    def __init__(self, sink: SnapshotSink) -> None:
        self.sink = sink
        self.hash = hashlib.sha256()


class ResumableSpooled(Spooled):
    """A spool that leaves its part behind; ``transport.interface.PartialSpool``."""

    def __init__(
        self,
        part: Part,
        content: Content,
        *,
        forget: Callable[[], None],
        keep: Callable[[Content, Part], None],
        is_wanted: Callable[[], bool],
    ) -> None:
        super().__init__(part.sink, content.size_bytes, forget)
        self.content = content
        self._part = part
        self._keep = keep
        self._is_wanted = is_wanted

    @property
    def size_bytes(self) -> int:
        return self.sink.size_bytes

    @property
    def is_of_use(self) -> bool:
        return self.error is None and self._is_wanted()

    def write(self, chunk: bytes) -> None:
        super().write(chunk)
        self._part.hash.update(chunk)

    def sha256(self) -> bytes:
        return self._part.hash.digest()

    def suspend(self) -> None:
        if self.error is not None or not self.size_bytes:
            self.cancel()
            return
        self._forget()
        self._keep(self.content, self._part)


@dataclass(slots=True)
class _Kept:
    content: Content
    part: Part
    until: float


class PartialSnapshots:
    """Parts that wait for a stream to go on with them; the oldest gives way."""

    def __init__(self) -> None:
        self._kept: dict[ServerID, _Kept] = {}
        """Oldest first."""
        self._changed = trio.Event()

    def __len__(self) -> int:
        return len(self._kept)

    def take(self, peer: ServerID, content: Content) -> Part | None:
        """Return what is kept of ``content`` from ``peer``, which is kept no more.

        A part of another snapshot from that peer is dropped: the peer has given it up.
        """
        kept = self._kept.pop(peer, None)
        if kept is None:
            return None
        if kept.content == content:
            return kept.part
        kept.part.sink.cancel()
        return None

    def keep(self, peer: ServerID, content: Content, part: Part) -> None:
        """Keep ``part`` for a later stream of ``peer``."""
        self._drop(peer)
        self._kept[peer] = _Kept(content, part, trio.current_time() + limits.SNAPSHOT_KEPT_S)
        self.make_room(limits.MAX_SNAPSHOTS_SPOOLED)
        while sum(k.part.sink.size_bytes for k in self._kept.values()) > (
            limits.MAX_SNAPSHOT_BYTES_KEPT
        ):
            self._drop(next(iter(self._kept)))
        self._changed.set()

    def make_room(self, count: int) -> None:
        """Keep at most ``count`` parts: the newest."""
        while len(self._kept) > count:
            self._drop(next(iter(self._kept)))

    def drop_up_to(self, index: Index) -> None:
        """Drop parts of snapshots that are no news any more."""
        for peer, kept in list(self._kept.items()):
            if kept.content.meta.index <= index:
                self._drop(peer)

    async def drop_old(self) -> None:
        """Drop each part when its time is over; until cancelled."""
        while True:
            self._changed = trio.Event()
            now = trio.current_time()
            for peer, kept in list(self._kept.items()):
                if kept.until <= now:
                    self._drop(peer)
            next_end = min((kept.until for kept in self._kept.values()), default=math.inf)
            with trio.move_on_at(next_end):
                await self._changed.wait()

    def _drop(self, peer: ServerID) -> None:
        kept = self._kept.pop(peer, None)
        if kept is not None:
            kept.part.sink.cancel()
