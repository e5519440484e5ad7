"""Starting over with other members when the majority is lost (hashicorp/raft ``RecoverCluster``)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from raft_over_libp2p import limits
from raft_over_libp2p.core.interfaces import ConfigurationCodec, SnapshotMeta
from raft_over_libp2p.core.membership_change import check_configuration
from raft_over_libp2p.errors import CorruptSnapshot, ProposalRefused, StorageError
from raft_over_libp2p.raft.fsm import FSM
from raft_over_libp2p.storage.bootstrap import get_configuration, has_existing_state
from raft_over_libp2p.storage.interface import SnapshotReader, Stores
from raft_over_libp2p.storage.recovery import load_initial_state
from raft_over_libp2p.types import NO_TERM, Configuration, Index, LogType
from raft_over_libp2p.wire.configuration import GoConfigurationCodec

__all__ = ["RecoveredCluster", "recover_cluster"]

_CODEC: Final = GoConfigurationCodec()
_CHUNK_BYTES: Final = 256 * limits.KIB
_CONFIGURATION_INDEX: Final = Index(1)
"""Where hashicorp/raft says that the new configuration was agreed on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveredCluster:
    """What a server starts from after its recovery, and what it had before.

    ``entries_applied`` are those behind the older snapshot, agreed on or not.
    """

    snapshot: SnapshotMeta
    previous: Configuration
    entries_applied: int


def recover_cluster(
    stores: Stores,
    fsm: FSM[Any, Any],
    configuration: Configuration,
    *,
    codec: ConfigurationCodec = _CODEC,
    is_rehearsal: bool = False,
) -> RecoveredCluster:
    """Make ``configuration`` the members, whatever a majority says; for a server that is stopped.

    For when a majority of the voters is gone for good. What is here becomes the state: the
    newest snapshot and every entry behind it, also those that were never agreed on. What only
    the lost servers had is lost, acknowledged or not. Do this on every server that is left,
    with the same configuration, before one of them is started: the one with the newest log
    will lead. Term and vote stay.

    The state is rebuilt in ``fsm``, a new one that nobody else uses, and kept as a snapshot
    at the last entry, with ``configuration`` as that of entry 1; then the log goes. A crash
    before that snapshot is durable leaves everything as it was, and one after it the
    recovered server: the log that may still be there is covered. Nothing is written if this
    is a rehearsal, but for what a start of the server would write.

    Raises:
        ProposalRefused: the configuration has no voter, an ID or address twice or empty, too
            many members, or not this server; nothing was changed.
        StorageError: there is no state to recover, or none that can be kept; nothing was
            changed. Also what ``load_initial_state`` raises.
        CorruptSnapshot: the newest usable snapshot does not decode; nothing was changed.
        DiskFull: nothing was changed.
        DurabilityLost: the disk failed.

    """
    check_configuration(configuration)
    if not configuration.has(stores.server_id):
        raise ProposalRefused(f"{stores.server_id}, this server, is not in the configuration")
    if not has_existing_state(stores):
        raise StorageError(
            f"{stores.path} holds no state, so there is nothing to recover. Look whether this is "
            "the right folder; a new cluster is bootstrapped instead."
        )
    initial = load_initial_state(stores, codec)
    previous = get_configuration(stores, codec)
    if initial.snapshot is not None:
        _restore(stores, fsm)
    last = stores.log.last_index()
    if last == initial.applied_index:
        term = initial.snapshot.term if initial.snapshot else NO_TERM
    else:
        term = stores.log.term(last)
    if term == NO_TERM:
        raise StorageError(f"{stores.path} holds a term and nothing else: there is no state in it")
    _apply(stores, fsm, Index(initial.applied_index + 1))
    meta = SnapshotMeta(
        index=last, term=term, configuration=configuration, configuration_index=_CONFIGURATION_INDEX
    )
    try:
        chunks = fsm.snapshot()
    except ValueError as error:
        raise StorageError(f"the state in {stores.path} cannot be kept: {error}") from error
    if not is_rehearsal:
        _keep(stores, meta, chunks)
        stores.log.reset(Index(last + 1))
    return RecoveredCluster(
        snapshot=meta, previous=previous, entries_applied=last - initial.applied_index
    )


def _restore(stores: Stores, fsm: FSM[Any, Any]) -> None:
    info = stores.snapshots.newest_restorable()
    if info is None:
        return
    reader = stores.snapshots.open(info)
    try:
        fsm.adopt(fsm.restore(_chunks(reader)))
    except ValueError as error:
        raise CorruptSnapshot(
            f"snapshot {info.snapshot_id} in {stores.path} does not decode: {error}"
        ) from error
    finally:
        reader.close()


def _chunks(reader: SnapshotReader) -> Iterator[bytes]:
    while chunk := reader.read(_CHUNK_BYTES):
        yield chunk


def _apply(stores: Stores, fsm: FSM[Any, Any], low: Index) -> None:
    last = stores.log.last_index()
    while low <= last:
        high = Index(min(last, low + limits.MAX_APPLY_BATCH_ENTRIES - 1))
        batch = stores.log.entries(low, high, limits.MAX_INFLIGHT_APPEND_BYTES)
        commands = [entry for entry in batch if entry.type is LogType.COMMAND]
        if commands:
            fsm.apply(commands)
        low = Index(batch[-1].index + 1)


def _keep(stores: Stores, meta: SnapshotMeta, chunks: Iterator[bytes]) -> None:
    unix_ms = time.time_ns() // 1_000_000
    newest = stores.snapshots.newest()
    if newest is not None:
        # Of two at one entry the later one counts, so this one must not be the earlier.
        unix_ms = max(unix_ms, _taken_at_unix_ms(newest.snapshot_id) + 1)
    sink = stores.snapshots.create(meta, unix_ms)
    try:
        for chunk in chunks:
            sink.write(chunk)
    except StorageError:
        raise
    except BaseException:
        sink.cancel()
        raise
    sink.finish()


def _taken_at_unix_ms(snapshot_id: str) -> int:
    digits = snapshot_id.rpartition("-")[2]
    return int(digits) if digits.isdecimal() else 0
