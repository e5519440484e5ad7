"""Runs a folder through steps and looks at every crash possible at every moment of each.

At each change the fake file system makes, every legal image of a crash just then is opened as
a restarted server would. Of log and vote must be there either what was durable before the step
under way or what it asked for: nothing else. Then the recovered server writes, loses power
again, and recovers again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from raft_over_libp2p.core.ready import HardState
from raft_over_libp2p.errors import CorruptLog, DiskFull
from raft_over_libp2p.storage.data_folder import DataFolder
from raft_over_libp2p.testing.fake_filesystem import FakeFileSystem
from raft_over_libp2p.types import Index, LogEntry, ServerID, Term
from tests.storage.entries import entries

PEER = ServerID("12D3KooWPeer")
SEGMENT_BYTES = 1024
ALL = 1 << 30
MOST_IMAGES = 20_000


class Violation(AssertionError):
    """A crash lost or invented something."""


@dataclass(frozen=True)
class Held:
    """What a folder holds: entries, and term and vote."""

    log: tuple[LogEntry, ...] = ()
    state: HardState = HardState(Term(0))

    def matches(self, found: Held, removed_upto: int) -> bool:
        """Tell whether ``found`` is this, save for a removed prefix."""
        kept = found.log[0].index if found.log else 1
        if kept > removed_upto + 1:
            return False
        return (self.log[kept - 1 :], self.state) == (found.log, found.state)


def held_by(folder: DataFolder) -> Held:
    log = folder.log
    return Held(tuple(log.entries(log.first_index(), log.last_index(), ALL)), folder.stable.load())


def open_folder(fs: FakeFileSystem) -> DataFolder:
    return DataFolder.open("/raft", PEER, fs=fs, segment_bytes=SEGMENT_BYTES, entropy=bytes)


@dataclass
class CrashWorld:
    """A folder on a fake disk, and the model it is compared with: ``log[i]`` is entry i + 1."""

    fs: FakeFileSystem = field(default_factory=FakeFileSystem)
    seed: int = 1
    images: int = 0
    most_images: int | None = None
    durable: Held = Held()
    wanted: Held = Held()
    removed_upto: int = 0
    folder: DataFolder = field(init=False)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.folder = open_folder(self.fs)
        self.fs.sync_directory("/")

    def step(self, wanted: Held, act: Callable[[], object]) -> None:
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

    def append(self, count: int, term: int, *, truncate_from: int | None = None) -> None:
        kept = self.durable.log if truncate_from is None else self.durable.log[: truncate_from - 1]
        first = len(kept) + 1
        new = entries(first, first + count - 1, term, size=40)
        self.step(
            Held((*kept, *new), self.durable.state),
            lambda: self.folder.log.write(
                None if truncate_from is None else Index(truncate_from), new
            ),
        )

    def vote(self, term: int, vote: str | None) -> None:
        state = HardState(Term(term), ServerID(vote) if vote else None)
        self.step(Held(self.durable.log, state), lambda: self.folder.stable.save(state))

    def remove_prefix(self, upto: int) -> None:
        self.removed_upto = upto
        self.step(self.durable, lambda: self.folder.log.remove_prefix(Index(upto)))

    def restart(self) -> None:
        """End the process, and start it again with crashes all through its recovery."""
        self.fs.kill()

        def reopen() -> None:
            self.folder = open_folder(self.fs)

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
            found = self.recover(image)
            self.write_crash_recover(image, found)

    def recover(self, image: FakeFileSystem) -> Held:
        image.after_change = None
        try:
            with open_folder(image) as folder:
                found = held_by(folder)
        except CorruptLog as error:
            raise Violation(f"a crash left what reads as damage: {error}") from error
        if not any(held.matches(found, self.removed_upto) for held in (self.durable, self.wanted)):
            raise Violation(f"durable {self.durable}, wanted {self.wanted}, found {found}")
        return found

    def write_crash_recover(self, image: FakeFileSystem, found: Held) -> None:
        """After recovery: replace the last entry, vote, and lose power half-way or after."""
        image.kill()
        with open_folder(image) as folder:
            last = folder.log.last_index()
            first = max(last, folder.log.first_index())
            new = entries(first, first + 1, term=77, size=30)
            folder.log.write(Index(first), new)
            half_way = image.crash(self.dice)
            state = HardState(Term(found.state.term + 1), ServerID("rival"))
            folder.stable.save(state)
            after = image.crash(self.dice)
        kept = found.log[: first - (found.log[0].index if found.log else 1)]
        for again, expected in ((half_way, found.state), (after, state)):
            try:
                with open_folder(again) as folder:
                    seen = held_by(folder)
            except CorruptLog as error:
                raise Violation(f"a second crash left what reads as damage: {error}") from error
            if seen != Held((*kept, *new), expected):
                raise Violation(f"after a second crash: {seen}")
