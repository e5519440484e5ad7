"""Runs a folder with snapshots through steps and looks at every crash possible at every moment.

Each image is opened and recovered as a restarted server would. It must start from the snapshot
and entries that were durable before the step under way, or from those the step asked for: never
refuse, never find half a snapshot. Then the recovered server appends, takes a snapshot, compacts,
loses power again, and recovers again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from raft_over_libp2p.core.ready import HardState
from raft_over_libp2p.errors import DiskFull, StorageError
from raft_over_libp2p.storage.data_folder import DataFolder
from raft_over_libp2p.storage.recovery import load_initial_state
from raft_over_libp2p.testing.fake_filesystem import FakeFileSystem
from raft_over_libp2p.types import Configuration, Index, LogEntry, ServerID, Term
from raft_over_libp2p.wire.configuration import GoConfigurationCodec
from tests.storage.crash_world import PEER, Violation
from tests.storage.entries import entries
from tests.storage.snapshots import meta

SEGMENT_BYTES = 1024
ALL = 1 << 30
MOST_IMAGES = 20_000
MEMBERS = Configuration.of_voters(ServerID("me"))
TERM = 5


@dataclass(frozen=True)
class Start:
    """What a server starts from: a snapshot's place and bytes, and the entries behind it."""

    index: int = 0
    term: int = 0
    state: bytes = b""
    log: tuple[LogEntry, ...] = ()

    @property
    def last(self) -> int:
        return self.index + len(self.log)


def open_folder(fs: FakeFileSystem, retain: int) -> DataFolder:
    return DataFolder.open(
        "/raft", PEER, fs=fs, segment_bytes=SEGMENT_BYTES, snapshots_retained=retain, entropy=bytes
    )


def read_start(folder: DataFolder) -> Start:
    """Recover, and read all that the core and the state would be given."""
    initial = load_initial_state(folder, GoConfigurationCodec())
    log = folder.log
    if not log.first_index() <= initial.applied_index + 1 <= log.last_index() + 1:
        raise Violation(f"the log does not go on behind entry {initial.applied_index}")
    kept = tuple(log.entries(Index(initial.applied_index + 1), log.last_index(), ALL))
    newest = folder.snapshots.newest_restorable()
    if newest is None or initial.snapshot is None:
        return Start(log=kept)
    reader = folder.snapshots.open(newest)
    state = reader.read(ALL)
    reader.close()
    return Start(newest.meta.index, newest.meta.term, state, kept)


def write_snapshot(folder: DataFolder, index: int, term: int, state: bytes) -> None:
    sink = folder.snapshots.create(meta(index, term, MEMBERS), 1000)
    for byte in state:
        sink.write(bytes([byte]))
    sink.finish()


@dataclass
class SnapshotWorld:
    """A folder on a fake disk, and the model it is compared with. Terms go up to ``TERM``."""

    retain: int = 1
    fs: FakeFileSystem = field(default_factory=FakeFileSystem)
    seed: int = 1
    images: int = 0
    most_images: int | None = None
    durable: Start = Start()
    wanted: Start = Start()
    folder: DataFolder = field(init=False)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.folder = open_folder(self.fs, self.retain)
        self.fs.sync_directory("/")
        self.folder.stable.save(HardState(Term(TERM)))

    def step(self, wanted: Start, act: Callable[[], object]) -> None:
        """Do ``act``, which leads from ``durable`` to ``wanted``, crashing at each moment."""
        self.wanted = wanted
        self.fs.after_change = self.check_crashes
        try:
            act()
        except DiskFull:
            wanted = self.durable
        self.fs.after_change = None
        self.durable = self.wanted = wanted
        self.check_crashes()

    def append(self, count: int, term: int) -> None:
        """Append; crashes half-way are for ``crash_world``, those after it are looked at here."""
        new = entries(self.durable.last + 1, self.durable.last + count, term, size=40)
        self.folder.log.write(None, new)
        self.step(replace(self.durable, log=(*self.durable.log, *new)), lambda: None)

    def take(self, index: int, state: bytes = b"s") -> None:
        """Snapshot of what the log has, as of ``index``."""
        place = index - self.durable.index
        wanted = Start(index, self.durable.log[place - 1].term, state, self.durable.log[place:])
        self.step(wanted, lambda: write_snapshot(self.folder, index, wanted.term, state))

    def leave_unfinished(self, index: int) -> None:
        """Begin a snapshot and let the disk have all of it that there is."""
        self.folder.snapshots.create(meta(index, 1, MEMBERS), 7).write(b"half")
        self.fs.open_file(f"/raft/snapshots/1-{index}-7.tmp/state.bin").fdatasync()
        self.fs.sync_directory(f"/raft/snapshots/1-{index}-7.tmp")
        self.fs.sync_directory("/raft/snapshots")

    def install(self, index: int, term: int, state: bytes = b"i", *, discards: bool = True) -> None:
        """Snapshot from a leader: the log is kept if it agrees with it, else discarded after it."""
        place = index - self.durable.index
        agrees = place <= len(self.durable.log) and self.durable.log[place - 1].term == term
        wanted = Start(index, term, state, self.durable.log[place:] if agrees else ())
        self.step(wanted, lambda: write_snapshot(self.folder, index, term, state))
        if discards and not agrees:
            self.step(wanted, lambda: self.folder.log.reset(Index(index + 1)))

    def compact(self) -> None:
        self.step(self.durable, lambda: self.folder.log.remove_prefix(Index(self.durable.index)))

    def restart(self) -> None:
        """End the process, and start it again with crashes all through its recovery."""
        self.fs.kill()

        def reopen() -> None:
            self.folder = open_folder(self.fs, self.retain)
            load_initial_state(self.folder, GoConfigurationCodec())

        self.step(self.durable, reopen)

    def _crash_images(self) -> Iterator[FakeFileSystem]:
        """Yield every image a crash may leave now; of more than ``most_images``, so many by dice."""
        if self.most_images is None:
            yield from self.fs.crash_images(MOST_IMAGES)
            return
        try:
            yield from self.fs.crash_images(self.most_images)
        except ValueError:
            for _ in range(self.most_images):
                yield self.fs.crash(self.dice)

    def check_crashes(self) -> None:
        for image in self._crash_images():
            self.images += 1
            found = self.recover(image, (self.durable, self.wanted))
            self.use_crash_recover(image, found)

    def recover(self, image: FakeFileSystem, expected: tuple[Start, ...]) -> Start:
        try:
            with open_folder(image, self.retain) as folder:
                found = read_start(folder)
                skipped = folder.snapshots.skipped
        except StorageError as error:
            raise Violation(f"a crash left what cannot be used: {error}") from error
        if skipped:
            raise Violation(f"a crash left half a snapshot: {skipped}")
        if found not in expected:
            raise Violation(f"expected one of {expected}, found {found}")
        return found

    def use_crash_recover(self, image: FakeFileSystem, found: Start) -> None:
        """After recovery: append, snapshot all, compact; power fails before or after one of these."""
        image.kill()
        covered = Start(found.last + 2, TERM, b"n")
        with open_folder(image, self.retain) as folder:
            load_initial_state(folder, GoConfigurationCodec())
            new = entries(found.last + 1, found.last + 2, TERM, size=400)
            crashes = [(image.crash(self.dice), found)]
            folder.log.write(None, new)
            crashes.append((image.crash(self.dice), replace(found, log=(*found.log, *new))))
            write_snapshot(folder, found.last + 2, TERM, b"n")
            crashes.append((image.crash(self.dice), covered))
            folder.log.remove_prefix(Index(found.last + 2))
            crashes.append((image.crash(self.dice), covered))
        again, expected = crashes[self.images % len(crashes)]
        self.recover(again, (expected,))
