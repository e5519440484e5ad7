"""One server's snapshots in the project's own ``FileSnapshotStore``, on a fake file system.

``_kept`` is what the checkers see: the snapshots that are durable as far as the server was told.
What was being written when the process died may be there as well, or not at all; ``reload``
demands it. The state is the world's checksum as text, with filler, so that it spans sectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from raft_over_libp2p.errors import CorruptSnapshot, DiskFull
from raft_over_libp2p.storage.interface import SnapshotInfo
from raft_over_libp2p.storage.snapshot_store import FileSnapshotStore
from raft_over_libp2p.types import Index, Term
from tests.simulation.disk_faults import breaking, full_from, power_failing
from tests.simulation.snapshot_store import Snapshot, SnapshotStore
from tests.simulation.violation import violated

if TYPE_CHECKING:
    from tests.simulation.real_disk import RealDisk

__all__ = ["RealSnapshots"]

_DIGITS: Final = 10
_READ_BYTES: Final = 4096


class RealSnapshots(SnapshotStore):
    """Follows ``disk``, which opens the store anew after each crash."""

    def __init__(self, retain: int, disk: RealDisk) -> None:
        super().__init__(retain)
        self._disk = disk
        self._known: dict[str, Snapshot] = {}
        self._unfinished: list[Snapshot] = []
        """Begun in a process that died over them."""
        self._has_died = False

    @property
    def _store(self) -> FileSnapshotStore:
        return self._disk.folder.snapshots

    def add(self, snapshot: Snapshot) -> None:
        """Write it as ``raft.snapshots`` does.

        Raises:
            DurabilityLost: the disk failed; the process has to end.

        """
        if self._disk.is_broken or self._has_died:
            return
        self._unfinished.append(snapshot)
        if self._disk.draws_io_error():
            with breaking(self._disk.fs, self._disk.dice), self._disk.noting_breakage():
                self._write(snapshot)
        else:
            self._write(snapshot)
        self._unfinished.pop()

    def lose(self, snapshot: Snapshot) -> None:
        """The process dies while it writes ``snapshot``."""
        if self._disk.is_broken or self._has_died:
            return
        self._has_died = True
        self._unfinished.append(snapshot)
        with power_failing(self._disk.fs, self._disk.dice):
            self._write(snapshot)

    def fail_full(self, snapshot: Snapshot) -> None:
        """There is no space for the state, or for what is said about it."""
        disk = self._disk
        before = self._store.list()
        try:
            with full_from(disk.fs, disk.dice, disk.dice.choice((1, 2, 3))):
                self._write(snapshot)
        except DiskFull:
            if self._store.list() != before:
                violated("storage", f"a snapshot without space changed {before}")
            return
        violated("storage", "a snapshot was written to a full disk")

    def find(self, index: Index, term: Term) -> Snapshot | None:
        """Read it, as one that is sent is read; None if it is gone or damaged."""
        for info in self._store.list():
            if (info.meta.index, info.meta.term) == (index, term):
                return self._read(info)
        return None

    def reload(self) -> None:
        """After a start: see what is there, and that it may be."""
        before = self.newest
        found: list[Snapshot] = []
        for info in reversed(self._store.list()):
            snapshot = self._read(info)
            if snapshot is not None:
                self._check_known(info, snapshot)
                self._known[info.snapshot_id] = snapshot
                found.append(snapshot)
        self._kept = found
        self._unfinished = []
        self._has_died = False
        newest = self.newest
        if before is None or self._disk.was_flipped:
            return
        if newest is None or _age(newest) < _age(before):
            violated("storage", f"the snapshot at {before.meta.index} was durable and is gone")

    def _check_known(self, info: SnapshotInfo, snapshot: Snapshot) -> None:
        known = self._known.get(info.snapshot_id)
        for expected in [known] if known is not None else self._unfinished:
            if (expected.meta, expected.digest) == (snapshot.meta, snapshot.digest):
                return
        violated("storage", f"snapshot {info.snapshot_id} is {snapshot}, and {known} was written")

    def _write(self, snapshot: Snapshot) -> None:
        world = self._disk.world
        sink = self._store.create(snapshot.meta, int(world.now * 1000.0))
        sink.write(b"%0*d" % (_DIGITS, snapshot.digest))
        sink.write(b"." * (1 + snapshot.meta.index * 37 % 1500))
        info = sink.finish()
        self._known[info.snapshot_id] = snapshot
        listed = self._store.list()
        self._known = {each.snapshot_id: self._known[each.snapshot_id] for each in listed}
        self._kept = [self._known[each.snapshot_id] for each in reversed(listed)]

    def _read(self, info: SnapshotInfo) -> Snapshot | None:
        try:
            reader = self._store.open(info)
        except CorruptSnapshot as error:
            if not self._disk.was_flipped:
                violated("storage", f"snapshot {info.snapshot_id} is damaged: {error}")
            return None
        try:
            return Snapshot(info.meta, int(reader.read(_READ_BYTES)[:_DIGITS]))
        finally:
            reader.close()


def _age(snapshot: Snapshot) -> tuple[int, int]:
    return snapshot.meta.term, snapshot.meta.index
