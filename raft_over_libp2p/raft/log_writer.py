"""How a core's writes become durable: all that waits is one write and one fdatasync.

``trio.to_thread`` would cost as much as the fsync itself for each batch; a thread of our own
that is handed work through a queue costs a tenth of that, and by its nature commits in groups:
whatever arrived while one fsync ran is the next batch.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from raft_over_libp2p.core.ready import HardState, Write
from raft_over_libp2p.errors import StorageError
from raft_over_libp2p.storage.interface import LogStore, StableStore
from raft_over_libp2p.types import BatchID, Index, LogEntry

__all__ = ["InlineLogWriter", "LogThread", "LogWriter", "MergedWrite", "merge_writes"]


@dataclass(frozen=True, slots=True)
class MergedWrite:
    """Several writes as one: the same disk afterwards as if they had been made in order."""

    last_batch: BatchID
    hard_state: HardState | None
    reset_to: Index | None
    truncate_from: Index | None
    append: Sequence[LogEntry]
    remove_prefix: Index | None


def merge_writes(writes: Sequence[Write]) -> MergedWrite:
    """Return one write with the effect of ``writes``, which is not empty, in order.

    The newest hard state goes first, which is safe: nothing waits for the entries of an
    earlier write alone, as ``Persisted`` is told only of the last. A reset makes all that was
    to be written to the log before it needless, and ``remove_prefix`` comes last.
    """
    hard_state: HardState | None = None
    reset_to = truncate_from = remove_prefix = None
    append: list[LogEntry] = []
    for write in writes:
        hard_state = write.hard_state or hard_state
        if write.reset_to is not None:
            reset_to, truncate_from, remove_prefix = write.reset_to, None, None
            append = []
        if write.truncate_from is not None:
            # Entries that an earlier write of this group appended are simply not written.
            while append and append[-1].index >= write.truncate_from:
                append.pop()
            if not append and (truncate_from is None or write.truncate_from < truncate_from):
                truncate_from = write.truncate_from
        append.extend(write.append)
        remove_prefix = write.remove_prefix or remove_prefix
    return MergedWrite(writes[-1].batch, hard_state, reset_to, truncate_from, append, remove_prefix)


class LogWriter(Protocol):
    """Makes a core's writes durable, in order, and reports each group of them.

    After a failure nothing more of that generation is written: the owner goes on with
    ``next_generation`` or closes. What is queued is bounded by what the core lets a leader
    or follower have outstanding (``MAX_UNCOMMITTED_BYTES``; a follower answers only what is
    durable).
    """

    def start(self) -> None: ...

    def submit(self, write: Write) -> None:
        """Queue ``write``; returns at once."""
        ...

    def probe(self) -> None:
        """Ask for an empty write, to learn whether a full disk has room again (batch 0)."""
        ...

    def flush(self) -> None:
        """End a turn: what was submitted in it may be written now."""
        ...

    def next_generation(self) -> None:
        """Go on after a failure: what was submitted before is forgotten."""
        ...

    def close(self) -> None:
        """Finish what was submitted, then end; blocks for that long."""
        ...


class _GroupCommit:
    """Writes a group of one generation and reports it, in whatever thread it is called."""

    def __init__(
        self,
        log: LogStore,
        stable: StableStore,
        persisted: Callable[[int, BatchID], None],
        failed: Callable[[int, StorageError], None],
    ) -> None:
        self._log = log
        self._stable = stable
        self._persisted = persisted
        self._failed = failed
        self._failed_generation = -1

    def write(self, generation: int, writes: Sequence[Write]) -> None:
        """Make ``writes`` durable; none at all is a probe."""
        if generation <= self._failed_generation:
            return
        try:
            last_batch = BatchID(0)
            if writes:
                merged = merge_writes(writes)
                last_batch = merged.last_batch
                if merged.hard_state is not None:
                    self._stable.save(merged.hard_state)
                if merged.reset_to is not None:
                    self._log.reset(merged.reset_to)
                if merged.append or merged.truncate_from is not None:
                    self._log.write(merged.truncate_from, merged.append)
                if merged.remove_prefix is not None:
                    self._log.remove_prefix(merged.remove_prefix)
            else:
                self._log.write(None, ())
        except StorageError as error:
            self._failed_generation = generation
            self._failed(generation, error)
        else:
            self._persisted(generation, last_batch)


class InlineLogWriter:
    """Writes at the end of the turn, in the driver's own thread.

    For disks whose fsync takes less than a hand-off to another thread, and for tests on a
    fake clock, where no thread may be waited for. Reports are made before ``flush`` returns.
    """

    def __init__(
        self,
        log: LogStore,
        stable: StableStore,
        *,
        persisted: Callable[[int, BatchID], None],
        failed: Callable[[int, StorageError], None],
    ) -> None:
        self._commit = _GroupCommit(log, stable, persisted, failed)
        self._generation = 0
        self._waiting: list[Write] = []
        self._is_probed = False

    def start(self) -> None:
        pass

    def submit(self, write: Write) -> None:
        self._waiting.append(write)

    def probe(self) -> None:
        self._is_probed = True

    def flush(self) -> None:
        if self._waiting or self._is_probed:
            waiting, self._waiting, self._is_probed = self._waiting, [], False
            self._commit.write(self._generation, waiting)

    def next_generation(self) -> None:
        self._generation += 1
        self._waiting = []

    def close(self) -> None:
        self.flush()


@dataclass(frozen=True, slots=True)
class _Submitted:
    generation: int
    write: Write | None
    """None is a probe."""


class LogThread:
    """Writes in a thread of its own, while the driver goes on: what arrives meanwhile is the
    next group.

    ``persisted`` and ``failed`` are called in that thread: they must only pass the word on
    (``TrioToken.run_sync_soon``).
    """

    def __init__(
        self,
        log: LogStore,
        stable: StableStore,
        *,
        persisted: Callable[[int, BatchID], None],
        failed: Callable[[int, StorageError], None],
    ) -> None:
        self._commit = _GroupCommit(log, stable, persisted, failed)
        self._queue: queue.SimpleQueue[_Submitted | None] = queue.SimpleQueue()
        self._generation = 0
        self._thread = threading.Thread(target=self._run, name="raft-log", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, write: Write) -> None:
        self._queue.put(_Submitted(self._generation, write))

    def probe(self) -> None:
        self._queue.put(_Submitted(self._generation, None))

    def flush(self) -> None:
        pass

    def next_generation(self) -> None:
        self._generation += 1

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        is_last = False
        while not is_last:
            group, is_last = self._next_group()
            for generation, writes in group.items():
                self._commit.write(generation, writes)

    def _next_group(self) -> tuple[dict[int, list[Write]], bool]:
        """Wait for a submission, then take all that wait, by generation in order."""
        group: dict[int, list[Write]] = {}
        item = self._queue.get()
        while item is not None:
            writes = group.setdefault(item.generation, [])
            if item.write is not None:
                writes.append(item.write)
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return group, False
        return group, True
