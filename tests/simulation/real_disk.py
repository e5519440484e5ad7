"""One server's disk as it really is: the project's storage code on a fake file system.

What is asked of it is what ``Disk`` is asked, so that the world and its checkers see no difference:

- A batch that is submitted is only queued. When the world says that its sync returned, it is
  written by ``InlineLogWriter`` as the driver's: all that share the sync are one write.
- ``image``, ``hard_state`` and ``snapshots`` mirror what the storage code said is durable, and
  nothing else; the checkers count majorities on them. The machine reads the real log.
- A crash ends the write that is under way at any change it makes to the file system (or lets it
  end, with nobody told). What is found by the next start is, by the dice, all that programs saw
  (the process was killed) or any legal image of a power loss: any subset of what was not synced,
  writes torn, names lost.
- A start is ``DataFolder.open`` and ``load_initial_state``, as the driver's. Before it goes on, what
  was found must be the mirror, or the mirror with the hard state, the reset and the entries of the
  write that was under way, in this order; and what recovery makes of it must be what ``Disk.recover``
  makes of the mirror. Then it is the mirror.
- A full disk fails some write of the batch, which may be there in part, and all after it.
- A sync that fails ends the process; the bytes it was for are seen until power is lost.
- A bit flipped in a file of a server that is down is refused at the start (and then restored), or
  reported as a torn batch or an unusable snapshot, or changes nothing that is read.

All that is drawn here comes from dice of their own, so that other seeds are what they were.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from raft_over_libp2p.core.interfaces import InitialState
from raft_over_libp2p.core.ready import HardState, SnapshotMeta, Write
from raft_over_libp2p.errors import DiskFull, DurabilityLost, StorageError
from raft_over_libp2p.raft.log_writer import InlineLogWriter, merge_writes
from raft_over_libp2p.storage.data_folder import DataFolder
from raft_over_libp2p.storage.recovery import load_initial_state
from raft_over_libp2p.testing.fake_filesystem import FakeFileSystem
from raft_over_libp2p.types import BatchID, Index, LogEntry, ServerID, Term
from raft_over_libp2p.wire.configuration import GoConfigurationCodec
from raft_over_libp2p.wire.log_entry import encode_entry
from tests.simulation.disk import Disk
from tests.simulation.disk_faults import (
    after_power_loss,
    breaking,
    copy_of,
    file_sizes,
    full_from,
    power_failing,
)
from tests.simulation.entry_log import EntryLog
from tests.simulation.real_disk_profile import RealDiskProfile
from tests.simulation.real_snapshots import RealSnapshots
from tests.simulation.violation import violated

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["RealDisk"]

_CODEC: Final = GoConfigurationCodec()
_FOLDER: Final = "/data/raft"
_ALL_BYTES: Final = 1 << 40


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What a start may find; up to ``may_go`` entries may be gone from its beginning."""

    hard_state: HardState
    image: EntryLog
    may_go: int = 0

    def is_found(self, state: HardState, first: int, entries: Sequence[LogEntry]) -> bool:
        image = self.image
        return (
            self.hard_state == state
            and image.first <= first <= max(image.first, self.may_go + 1)
            and image[first - 1 :] == list(entries)
        )


class RealDisk(Disk):
    """Of one server; made anew when its folder is emptied."""

    __slots__ = (
        "_failure",
        "_is_down",
        "_profile",
        "_was_cut_short",
        "_writer",
        "_writing",
        "dice",
        "folder",
        "fs",
        "is_broken",
        "real_snapshots",
        "server_id",
        "was_flipped",
        "world",
    )

    folder: DataFolder

    def __init__(
        self,
        world: World,
        profile: RealDiskProfile,
        server_id: ServerID,
        hard_state: HardState,
        entries: Sequence[LogEntry],
        record: Callable[[HardState], None],
    ) -> None:
        """Make the folder of a server that is down, with what ``Disk`` is made with."""
        super().__init__(
            hard_state,
            entries,
            record,
            agreed=world.commitment.entries,
            retain=world.profile.retain,
        )
        self.world = world
        self.dice: random.Random = world.disk_dice
        self.server_id = server_id
        self.fs = FakeFileSystem()
        self.is_broken = False
        self.was_flipped = False
        """Whether a bit that nobody noticed may still be wrong in a snapshot."""
        self._profile = profile
        self._writing: Write | None = None
        """What was handed to the storage code, which did not say that it is durable."""
        self._failure: StorageError | None = None
        self._was_cut_short = False
        self.snapshots = self.real_snapshots = RealSnapshots(world.profile.retain, self)
        self.fs.mkdir("/data")
        self.fs.sync_directory("/")
        self.folder = self._open(self.fs)
        if hard_state != self.folder.stable.load():
            self.folder.stable.save(hard_state)
        _encode(entries)
        self.folder.log.write(None, entries)
        self._writer = self._new_writer()
        self._is_down = True

    # -- LogReader

    def first_index(self) -> Index:
        return self.folder.log.first_index()

    def last_index(self) -> Index:
        return self.folder.log.last_index()

    def term(self, index: Index) -> Term:
        self._check_readable(index, index)
        return self.folder.log.term(index)

    def entries(self, low: Index, high: Index, max_bytes: int) -> Sequence[LogEntry]:
        self._check_readable(low, high)
        return self.folder.log.entries(low, high, max_bytes)

    # -- writing

    def complete(self) -> BatchID:
        """Write what the sync was for.

        Raises:
            DurabilityLost: the disk failed; the process has to end.

        """
        write = self._begin()
        if self.draws_io_error():
            with breaking(self.fs, self.dice), self.noting_breakage():
                self._write()
        else:
            self._write()
        self._writing = None
        for _ in range(self.flushing):
            self.queue.popleft()
        self.flushing = 0
        self._apply(write)
        self.image.first = self.first_index()
        if len(self.image) != self.last_index():
            violated("storage", f"the log ends at {self.last_index()} after {write}")
        return write.batch

    def fail_full(self, dice: random.Random) -> None:
        """No space for some write of the batch, nor for any after it."""
        del dice
        write = self._begin()
        # (The first of them may be the hard state, or begin a segment.)
        least = sum((write.hard_state is not None, write.reset_to is not None, _has_batch(write)))
        try:
            with full_from(self.fs, self.dice, self.dice.randint(1, least)):
                self._write()
        except DiskFull:
            self.world.marks["real disk: full"] += 1
        # (Else it took nothing: entries that were appended and truncated before the sync.)
        self._forget()

    def crash(self, dice: random.Random) -> int:
        """The process dies, in the midst of the write that is under way."""
        del dice
        submitted = len(self.queue)
        if self.flushing and not self.is_broken and self.dice.random() < 0.9:
            self._begin()
            with power_failing(self.fs, self.dice):
                self._write()
        self._forget()
        self._is_down = True
        return submitted

    def draws_io_error(self) -> bool:
        """Tell whether the disk reports EIO now."""
        chance = self._profile.io_fails
        return bool(chance) and self.world.has_faults and self.dice.random() < chance

    @contextmanager
    def noting_breakage(self) -> Iterator[None]:
        """Note that nothing may be written any more by this process."""
        try:
            yield
        except DurabilityLost:
            self.world.marks["real disk: EIO"] += 1
            self.is_broken = True
            raise

    def _begin(self) -> Write:
        """Return what is being synced as one write."""
        writes = [self.queue[position] for position in range(self.flushing)]
        for write in writes:
            _encode(write.append)
            self._writer.submit(write)
        merged = merge_writes(writes)
        self._writing = Write(
            batch=merged.last_batch,
            hard_state=merged.hard_state,
            truncate_from=merged.truncate_from,
            append=tuple(merged.append),
            reset_to=merged.reset_to,
            remove_prefix=merged.remove_prefix,
        )
        return self._writing

    def _write(self) -> None:
        self._failure = None
        self._writer.flush()
        if self._failure is not None:
            raise self._failure

    def _new_writer(self) -> InlineLogWriter:
        def persisted(generation: int, batch: BatchID) -> None:
            del generation, batch

        def failed(generation: int, error: StorageError) -> None:
            del generation
            self._failure = error

        return InlineLogWriter(
            self.folder.log, self.folder.stable, persisted=persisted, failed=failed
        )

    # -- starting

    def recover(self) -> None:
        """Start from what is on the disk: anew after a crash, or in a process that had no space."""
        try:
            self._start_at_last()
        except StorageError as error:
            violated("storage", f"{self.server_id} refuses what a crash left: {error}")

    def _start_at_last(self) -> None:
        if self._is_down:
            self._end_process()
            while self.world.has_faults and self.dice.random() < self._profile.dies_at_start:
                self.world.marks["real disk: power fails in a start"] += 1
                self._die_at_start()
                self._end_process()
            self._flip_a_bit()
        self._start()

    def _start(self) -> None:
        """Do as the driver does before it makes its machine, and check what comes of it."""
        if self._is_down:
            self.folder = self._open(self.fs)
            self._is_down = self.is_broken = False
        self._take_over_what_is_found()
        initial = self._load(self.folder)
        super().recover()
        self._check(initial)
        self._writer = self._new_writer()
        self._writing = None
        self._was_cut_short = False

    def _die_at_start(self) -> None:
        """Power fails during a start, or right after it: what it went by must stay."""
        if self.dice.random() < 0.5:
            self._start()
            self._is_down = True
            return
        self._was_cut_short = True
        with power_failing(self.fs, self.dice):
            self._load(self._open(self.fs))

    def _end_process(self) -> None:
        if self.dice.random() < self._profile.kill_share:
            self.world.marks["real disk: killed"] += 1
            self.fs.kill()
        else:
            self.world.marks["real disk: power lost"] += 1
            if self.fs.has_unsynced():
                self.world.marks["real disk: power lost with writes unsynced"] += 1
            self.fs = after_power_loss(self.fs, self.dice)

    def _open(self, fs: FakeFileSystem) -> DataFolder:
        return DataFolder.open(
            _FOLDER,
            self.server_id,
            fs=fs,
            segment_bytes=self._profile.segment_bytes,
            snapshots_retained=self.real_snapshots.retain,
            entropy=self.dice.randbytes,
        )

    @staticmethod
    def _load(folder: DataFolder) -> InitialState:
        return load_initial_state(folder, _CODEC)

    def _take_over_what_is_found(self) -> None:
        state, first, entries = _found(self.folder)
        self.real_snapshots.reload()
        newest = self.real_snapshots.newest
        outcomes = self._outcomes()
        if self._was_cut_short and newest is not None:
            outcomes += [_recovered(outcome, newest.meta, self.agreed) for outcome in outcomes]
        for outcome in outcomes:
            if outcome.is_found(state, first, entries):
                self.image = outcome.image.clone()
                self.image.first = first
                self._set_hard_state(state)
                return
        violated(
            "storage",
            f"{self.server_id} finds {state} and entries {first} to {first + len(entries) - 1}; "
            f"durable were {self.hard_state} and {self.image.first} to {len(self.image)}, "
            f"and {self._writing} was under way",
        )

    def _outcomes(self) -> list[_Outcome]:
        """Return what the write that was under way may have left, stage by stage."""
        outcomes = [_Outcome(self.hard_state, self.image)]
        write = self._writing
        if write is None:
            return outcomes
        state = write.hard_state or self.hard_state
        outcomes.append(_Outcome(state, self.image))
        may_go = write.remove_prefix or 0
        image = self.image.clone()
        if write.reset_to is not None:
            image.reset(write.reset_to, self.agreed)
            outcomes.append(_Outcome(state, image.clone()))
        if write.truncate_from is not None:
            image.cut(write.truncate_from)
        image.add(write.append)
        outcomes.append(_Outcome(state, image, may_go))
        return outcomes

    def _check(self, initial: InitialState) -> None:
        """Compare what recovery made of the disk with what it should have made of it."""
        image, newest = self.image, self.real_snapshots.newest
        configurations = tuple(
            image[placed.index - 1]
            for placed in image.placed
            if newest is None or placed.index > newest.meta.index
        )
        meta = newest.meta if newest is not None else None
        expected = (self.hard_state, image[image.first - 1 :], image.first, configurations, meta)
        state, first, entries = _found(self.folder)
        found = (state, list(entries), first, initial.configuration_entries, initial.snapshot)
        if found != expected or initial.hard_state != state:
            violated("storage", f"{self.server_id} starts with {found}, and {expected} is right")

    # -- damage

    def _flip_a_bit(self) -> None:
        """Change one bit while the server is down; what is refused is restored as it was."""
        if not self.world.has_faults or self.dice.random() >= self._profile.bit_flips:
            return
        self.fs = copy_of(self.fs)
        damaged, sound = copy_of(self.fs), copy_of(self.fs)
        files = [(path, size) for path, size in file_sizes(damaged, "/data") if size]
        path, size = self.dice.choice(files)
        damaged.flip_bit(path, self.dice.randrange(size), self.dice.randrange(8))
        folder = self._open(sound)
        expected = (self._load(folder), _found(folder))
        kept = copy_of(damaged)
        try:
            folder = self._open(damaged)
            found = (self._load(folder), _found(folder))
        except StorageError:
            self.world.marks["real disk: flipped bit refused"] += 1
            return
        if folder.log.torn is not None or folder.snapshots.skipped:
            self.world.marks["real disk: flipped bit reported"] += 1
            return
        if found != expected:
            violated("storage", f"a flipped bit in {path} is taken for {found}, not {expected}")
        self.world.marks["real disk: flipped bit harmless"] += 1
        self.was_flipped = self.was_flipped or "/snapshots/" in path
        self.fs = kept


def _found(folder: DataFolder) -> tuple[HardState, int, Sequence[LogEntry]]:
    log = folder.log
    first = log.first_index()
    return folder.stable.load(), int(first), log.entries(first, log.last_index(), _ALL_BYTES)


def _recovered(outcome: _Outcome, newest: SnapshotMeta, agreed: EntryLog) -> _Outcome:
    """Return ``outcome`` as a start that was cut short may have left it: behind the snapshot."""
    image = EntryLog()
    image.reset(newest.index + 1, agreed)
    state = outcome.hard_state
    return _Outcome(HardState(newest.term) if newest.term > state.term else state, image)


def _has_batch(write: Write) -> bool:
    return bool(write.append) or write.truncate_from is not None


def _encode(entries: Sequence[LogEntry]) -> None:
    for entry in entries:
        encode_entry(entry)
