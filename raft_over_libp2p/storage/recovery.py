"""From an open data folder to what the core starts with: term and vote, newest snapshot, log.

How snapshot S and log fit together (mixed-cluster rule 12)
-----------------------------------------------------------
- The log has the entry (S.index, S.term), or begins right behind it: all of it stays.
- It ends before S.index, or has another term there, or begins behind S with a lower term: it is
  older than S or disagrees with what the cluster agreed on; it is discarded, durably, and goes
  on behind S.
- It begins later than S.index + 1: something between is lost, most likely with a snapshot that
  cannot be read. Refused: what was there may have been acknowledged.

Why any crash leaves one of the first two
-----------------------------------------
Taking a snapshot: S is durable before the log's prefix is removed, and S.index is at most what
the log has, so the log has (S.index, S.term), or begins behind it, at every moment.

Installing one: S is durable first, then the log is discarded, in one step, if it disagrees. A
crash between finds S and the old log, and does what was about to be done. The other order would
be unsafe: an empty log that begins at S.index + 1 and no S is refused, with nothing to go back
to. Nobody was told of the snapshot before both were durable. A snapshot whose making did not
end is a ``.tmp``, and the log and older snapshots are as they were.
"""

from __future__ import annotations

from raft_over_libp2p.core.interfaces import ConfigurationCodec, InitialState, SnapshotMeta
from raft_over_libp2p.core.ready import HardState
from raft_over_libp2p.errors import CorruptLog, MalformedMessage, StorageError
from raft_over_libp2p.storage.bootstrap import finish_bootstrap
from raft_over_libp2p.storage.interface import LogStore, Stores
from raft_over_libp2p.types import NO_INDEX, Index, LogEntry

__all__ = ["load_initial_state"]


def load_initial_state(folder: Stores, codec: ConfigurationCodec) -> InitialState:
    """Return the core's start from what the disk holds, after making it fit together.

    The newest restorable snapshot counts as applied: the caller restores the state from it
    before anything else. What comes after is not applied: which entries are committed is not
    on the disk (Raft Figure 2). ``folder.snapshots.skipped`` tells of newer snapshots that
    cannot be used.

    A log that does not fit the snapshot is discarded, and a term below the snapshot's is
    raised to it, without a vote (the snapshot may have become durable before its leader's
    term); both are durable on return. Calling it again changes nothing.

    Raises:
        CorruptLog: the log has a later term than the vote file, or an entry or
            configuration that cannot be read.
        CorruptSnapshot: there are snapshots, and none of them can be used.
        StorageError: entries between the snapshot, or the beginning, and the log are missing.
        DiskFull: what had to be changed could not be; nothing was lost.
        DurabilityLost: stop this server.

    """
    log = folder.log
    finish_bootstrap(log, folder.stable)
    state = folder.stable.load()
    first, last = log.first_index(), log.last_index()
    if last >= first and log.term(last) > state.term:
        # A term is durable before any entry of it (mixed-cluster rule 8).
        raise CorruptLog(
            folder.stable.path,
            0,
            f"it says term {state.term}, and the log has term {log.term(last)}",
        )
    newest = folder.snapshots.newest_restorable()
    snapshot = newest.meta if newest else None
    covered = snapshot.index if snapshot else NO_INDEX
    if first > covered + 1:
        raise _gap(folder, snapshot)
    configurations = _configurations(log, codec, covered)
    if snapshot:
        if not _follows(log, snapshot):
            log.reset(Index(covered + 1))
            configurations = ()
        if snapshot.term > state.term:
            state = HardState(snapshot.term)
            folder.stable.save(state)
    return InitialState(
        hard_state=state,
        snapshot=snapshot,
        configuration_entries=configurations,
        applied_index=covered,
    )


def _gap(folder: Stores, snapshot: SnapshotMeta | None) -> StorageError:
    first = folder.log.first_index()
    held = (
        f"the newest usable snapshot ends at {snapshot.index}, so what is between is missing"
        if snapshot
        else "no snapshot holds what is before it"
    )
    skipped = "".join(f" ({each.path}: {each.why})" for each in folder.snapshots.skipped)
    return StorageError(
        f"{folder.path}: the log begins at entry {first} and {held}{skipped}. "
        "Nothing was changed. Restore the folder from a backup, or remove this peer from the "
        "cluster and add it again with an empty one."
    )


def _follows(log: LogStore, snapshot: SnapshotMeta) -> bool:
    """Tell whether the log continues the snapshot. It begins at ``snapshot.index + 1`` at the latest."""
    first, last = log.first_index(), log.last_index()
    if last < first:
        return first == snapshot.index + 1
    if first == snapshot.index + 1:
        # The entry at the snapshot's index is gone; terms never fall along a log.
        return log.term(first) >= snapshot.term
    return last >= snapshot.index and log.term(snapshot.index) == snapshot.term


def _configurations(
    log: LogStore, codec: ConfigurationCodec, covered: Index
) -> tuple[LogEntry, ...]:
    """Return the log's configurations behind the snapshot."""
    found = tuple([entry for entry in log.configuration_entries() if entry.index > covered])
    for entry in found:
        try:
            codec.decode(entry.data)
        except MalformedMessage as error:
            raise CorruptLog(*log.place(entry.index), f"entry {entry.index}: {error}") from error
    return found
