"""What a stopped Go peer's ``raft`` folder says, by mixed-cluster rule 3; nothing is changed.

- Term: the largest of ``CurrentTerm``, ``LastVoteTerm``, the last entry's and the snapshot's.
  Go writes the vote's term before ``CurrentTerm``, and the snapshot before both.
- Vote: ``LastVoteCand``, but only if ``LastVoteTerm`` is that term.
- Log: the contiguous run of entries behind snapshot S, the newest one. If entry S is stored
  with another term, or the first entry behind S is of an older term, the log disagrees with
  what the cluster agreed on, and counts as empty.
- Refused: a newest snapshot that cannot be read, entries missing behind S, a damaged page or
  entry, terms that fall, membership changes in the form of Raft protocol 0, and a damaged meta
  page: the last transaction, which may be a vote, may be lost then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, NoReturn, Self

from raft_over_libp2p.core.ready import HardState
from raft_over_libp2p.errors import CorruptLog, CorruptSnapshot, StorageError
from raft_over_libp2p.storage.filesystem import FileSystem
from raft_over_libp2p.storage.go_store import GoStore, GoVote
from raft_over_libp2p.storage.interface import SkippedSnapshot, SnapshotInfo
from raft_over_libp2p.storage.snapshot_reader import FileSnapshotReader
from raft_over_libp2p.storage.snapshot_store import (
    list_snapshots,
    open_snapshot,
)
from raft_over_libp2p.types import (
    CONFIGURATION_TYPES,
    NO_INDEX,
    NO_TERM,
    Configuration,
    Index,
    LogEntry,
    Term,
)
from raft_over_libp2p.wire.configuration import decode_configuration

__all__ = ["GO_STORE_NAME", "GoFolder", "GoState"]

GO_STORE_NAME: Final = "raft.db"
_SNAPSHOT_NAME: Final = re.compile(r"([0-9]{1,20})-([0-9]{1,20})-([0-9]{1,20})")


@dataclass(frozen=True, slots=True, kw_only=True)
class GoState:
    """What is taken over, and what was found besides.

    ``last_index`` is ``first_index - 1`` where there is no entry to take over.
    """

    hard_state: HardState
    snapshot: SnapshotInfo | None
    first_index: Index
    last_index: Index
    last_term: Term
    entry_bytes: int
    """Size of the entries taken over, in their canonical form."""
    configuration: Configuration
    """The latest members, committed or not; none in a folder that was never used."""
    configuration_index: Index
    stored: GoVote
    """Term and vote as Go's store has them."""
    stored_first_index: Index
    stored_last_index: Index
    store_bytes: int
    notes: tuple[str, ...] = ()
    """What an operator should know, each a sentence."""

    @property
    def entry_count(self) -> int:
        """How many entries are taken over."""
        return self.last_index - self.first_index + 1


class GoFolder:
    """A Go peer's ``raft`` folder, open for reading; a context manager.

    Opening reads every entry behind the newest snapshot, and that snapshot, once. The caller
    holds a flock on ``raft.db`` so that no Go peer runs.

    Raises:
        CorruptLog: a page, an entry or a value in ``raft.db`` is damaged.
        CorruptSnapshot: the newest snapshot cannot be used.
        StorageError: entries are missing, or something in it is of a version or size that
            this program does not know.

    """

    def __init__(self, fs: FileSystem, path: str) -> None:
        self.path = path
        self._fs = fs
        self._store = GoStore(fs, f"{path}/{GO_STORE_NAME}")
        try:
            self.state = _examine(fs, path, self._store)
        except BaseException:
            self._store.close()
            raise

    def entries(self) -> Iterator[LogEntry]:
        """Yield the entries to take over, in order, each with its canonical bytes."""
        state = self.state
        if state.entry_count:
            yield from self._store.entries(state.first_index)

    def open_snapshot(self) -> FileSnapshotReader | None:
        """Open the newest snapshot, verified; None when there is none."""
        if self.state.snapshot is None:
            return None
        return open_snapshot(self._fs, f"{self.path}/snapshots", self.state.snapshot)

    def close(self) -> None:
        """Release the files; idempotent."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _examine(fs: FileSystem, path: str, store: GoStore) -> GoState:
    if store.damaged_meta is not None:
        raise CorruptLog(
            store.path,
            0,
            f"{store.damaged_meta}: the last transaction, perhaps a vote, may be lost",
        )
    notes: list[str] = []
    snapshot = _newest_snapshot(fs, path, notes)
    stored = store.vote()
    stored_last, stored_last_term = store.last_entry()
    run = _Run(store.path, snapshot)
    for entry in store.entries(Index(max(run.covered, 1))):
        run.take(entry)
    if run.dropped:
        notes.append(run.dropped)
    if stored.last_vote_term > stored.current_term:
        notes.append(
            f"A crash came between the vote in term {stored.last_vote_term} and noting that term."
        )
    snapshot_term = snapshot.meta.term if snapshot else NO_TERM
    term = max(stored.current_term, stored.last_vote_term, stored_last_term, snapshot_term)
    vote = stored.last_vote_candidate if stored.last_vote_term == term else None
    return GoState(
        hard_state=HardState(term, vote),
        snapshot=snapshot,
        first_index=Index(run.covered + 1),
        last_index=run.last,
        last_term=run.last_term,
        entry_bytes=run.entry_bytes,
        configuration=run.configuration,
        configuration_index=run.configuration_index,
        stored=stored,
        stored_first_index=store.first_index(),
        stored_last_index=stored_last,
        store_bytes=store.size_bytes,
        notes=tuple(notes),
    )


class _Run:
    """The entries behind the newest snapshot as they are met, in order."""

    def __init__(self, path: str, snapshot: SnapshotInfo | None) -> None:
        self.covered = snapshot.meta.index if snapshot else NO_INDEX
        self.last = self.covered
        self.last_term = snapshot.meta.term if snapshot else NO_TERM
        self.entry_bytes = 0
        self.configuration = snapshot.meta.configuration if snapshot else Configuration()
        self.configuration_index = snapshot.meta.configuration_index if snapshot else NO_INDEX
        self.dropped = ""
        self._path = path

    def take(self, entry: LogEntry) -> None:
        if self.dropped:
            return
        if entry.index == self.covered:
            if entry.term != self.last_term:
                self._drop(f"it has term {entry.term} at entry {entry.index}")
            return
        if entry.index != self.last + 1:
            self._refuse_gap(entry.index)
        if entry.term < self.last_term:
            if self.last == self.covered:
                self._drop(f"entry {entry.index} behind it is of the older term {entry.term}")
                return
            raise CorruptLog(
                self._path,
                0,
                f"entry {entry.index} has term {entry.term}, and the one before it {self.last_term}",
            )
        self.last, self.last_term = entry.index, entry.term
        self.entry_bytes += len(entry.encoded or b"")
        if entry.type in CONFIGURATION_TYPES:
            self.configuration = decode_configuration(entry.data)
            self.configuration_index = entry.index

    def _drop(self, why: str) -> None:
        self.dropped = (
            f"The log disagrees with the newest snapshot ({why}), which holds what the cluster "
            "agreed on: the log is not taken over, the cluster sends it anew."
        )

    def _refuse_gap(self, found: Index) -> NoReturn:
        before = (
            f"the snapshot ends at entry {self.covered}"
            if self.covered and self.last == self.covered
            else f"the log has entry {self.last}"
            if self.last
            else "there is no snapshot"
        )
        raise StorageError(
            f"{self._path}: {before}, and the next entry in the log is {found}: what is between "
            "is missing. Nothing was changed. Restore the folder from a backup, or remove this "
            "peer from the cluster and add it again with an empty folder."
        )


def _newest_snapshot(fs: FileSystem, path: str, notes: list[str]) -> SnapshotInfo | None:
    """Return the newest snapshot, verified; refuse when one that may be newer is no good."""
    directory = f"{path}/snapshots"
    if not fs.exists(directory):
        return None
    found, skipped = list_snapshots(fs, directory)
    newest = found[0] if found else None
    _check_skipped(skipped, newest)
    notes.extend(f"The older snapshot {each.path} is not usable: {each.why}." for each in skipped)
    if newest is not None:
        if _SNAPSHOT_NAME.fullmatch(newest.snapshot_id) is None:
            _refuse_snapshot(f"{directory}/{newest.snapshot_id} is not named as Go names it")
        try:
            open_snapshot(fs, directory, newest).close()
        except CorruptSnapshot as error:
            _refuse_snapshot(str(error))
    return newest


def _check_skipped(skipped: Sequence[SkippedSnapshot], newest: SnapshotInfo | None) -> None:
    age = (newest.meta.term, newest.meta.index) if newest else (NO_TERM, NO_INDEX)
    for each in skipped:
        name = _SNAPSHOT_NAME.fullmatch(each.path.rpartition("/")[2])
        # A name that is none of Go's tells no age.
        if name is None or (int(name[1]), int(name[2])) >= age:
            _refuse_snapshot(f"{each.path}: {each.why}")


def _refuse_snapshot(why: str) -> NoReturn:
    raise CorruptSnapshot(
        f"the newest snapshot cannot be used: {why}. Nothing was changed. Restore the folder from "
        "a backup, or remove this peer from the cluster and add it again with an empty folder."
    )
