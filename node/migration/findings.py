"""What a folder that changes hands holds: told to the operator, and looked at before anything."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from pinstate.log_op import LogOp, OpCodec
from pinstate.state import PinState
from raft_over_libp2p.errors import StorageError
from raft_over_libp2p.storage.go_folder import GoFolder
from raft_over_libp2p.storage.interface import SnapshotInfo, SnapshotReader
from raft_over_libp2p.types import Configuration, Index, LogEntry, LogType, ServerID, Term

__all__ = ["Findings", "Pins", "findings_of", "pins_of"]

_READ_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Pins:
    """The pinset, as far as a disk can tell: which entries are committed is not on it."""

    in_snapshot: int
    with_log: int
    """If every entry of the log is committed."""
    first_inapplicable: Index | None
    """The first entry that no peer can apply, Go's or ours; None without any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """What is handed from one side to the other."""

    peer_id: ServerID
    term: Term
    vote: ServerID | None
    first_index: Index
    last_index: Index
    last_term: Term
    entry_bytes: int
    snapshot: SnapshotInfo | None
    configuration: Configuration
    configuration_index: Index
    pins: Pins
    store_bytes: int
    """Size of Go's ``raft.db``."""
    notes: tuple[str, ...]

    @property
    def entry_count(self) -> int:
        """How many entries stand behind the snapshot."""
        return self.last_index - self.first_index + 1


def findings_of(go: GoFolder, peer_id: ServerID) -> Findings:
    """Look at all that a Go folder holds.

    Raises:
        StorageError: its snapshot is no pinset, so that no peer could start from it.

    """
    state = go.state
    notes = list(state.notes)
    members = state.configuration
    if not members.servers:
        notes.append("The folder was never used: it has no members, and starts as a new peer's.")
    elif not members.has(peer_id):
        notes.append(f"{peer_id} is not a member of the cluster: it was removed, or never added.")
    pins = pins_of(go.open_snapshot(), go.entries())
    if pins.first_inapplicable is not None:
        notes.append(
            f"Entry {pins.first_inapplicable} cannot be applied: the state is inconsistent from "
            "there on, in Go and here, until a rollback."
        )
    return Findings(
        peer_id=peer_id,
        term=state.hard_state.term,
        vote=state.hard_state.vote,
        first_index=state.first_index,
        last_index=state.last_index,
        last_term=state.last_term,
        entry_bytes=state.entry_bytes,
        snapshot=state.snapshot,
        configuration=members,
        configuration_index=state.configuration_index,
        pins=pins,
        store_bytes=state.store_bytes,
        notes=tuple(notes),
    )


def pins_of(snapshot: SnapshotReader | None, entries: Iterable[LogEntry]) -> Pins:
    """Build the pinset of ``snapshot`` and all ``entries``, as a peer that applies them does.

    Raises:
        StorageError: the snapshot is no pinset.

    """
    state = PinState()
    if snapshot is not None:
        try:
            state = state.restore(_chunks(snapshot))
        except ValueError as error:
            raise StorageError(
                f"snapshot {snapshot.info.snapshot_id} is no pinset: {error}. Nothing was changed. "
                "Restore the folder from a backup."
            ) from error
        finally:
            snapshot.close()
    in_snapshot = len(state)
    decode = OpCodec().decode
    inapplicable: Index | None = None
    for entry in entries:
        if entry.type is not LogType.COMMAND:
            continue
        try:
            state = _applied(state, entry.data, decode)
        except ValueError:
            inapplicable = inapplicable or entry.index
    return Pins(in_snapshot=in_snapshot, with_log=len(state), first_inapplicable=inapplicable)


def _applied(state: PinState, data: bytes, decode: Callable[[bytes], LogOp]) -> PinState:
    """Return the state after one entry: an operation, else a rollback; ValueError for neither."""
    try:
        op = decode(data)
    except ValueError:
        return state.merge(data)
    return state.apply([op])


def _chunks(snapshot: SnapshotReader) -> Iterator[bytes]:
    while chunk := snapshot.read(_READ_BYTES):
        yield chunk
