"""From an open data folder to what the core starts with."""

from __future__ import annotations

from raft_over_libp2p.core.interfaces import ConfigurationCodec, InitialState
from raft_over_libp2p.errors import CorruptLog, MalformedMessage, StorageError
from raft_over_libp2p.storage.data_folder import DataFolder

__all__ = ["load_initial_state"]


def load_initial_state(folder: DataFolder, codec: ConfigurationCodec) -> InitialState:
    """Return the core's start from what the disk holds, after checking that it fits together.

    Nothing is applied yet: which entries are committed is not on the disk (Raft Figure 2).

    Raises:
        CorruptLog: the log has a later term than the vote file, or an entry or
            configuration that cannot be read.
        StorageError: the log's beginning is missing and no snapshot covers it.

    """
    log = folder.log
    state = folder.stable.load()
    first, last = log.first_index(), log.last_index()
    if last >= first and log.term(last) > state.term:
        # A term is durable before any entry of it (mixed-cluster rule 8).
        raise CorruptLog(
            folder.stable.path,
            0,
            f"it says term {state.term}, and the log has term {log.term(last)}",
        )
    if first > 1:
        raise StorageError(
            f"{folder.path}: the log begins at entry {first} and no snapshot holds what is "
            "before it. Restore the folder from a backup, or rejoin with an empty one."
        )
    configurations = log.configuration_entries()
    for entry in configurations:
        try:
            codec.decode(entry.data)
        except MalformedMessage as error:
            raise CorruptLog(*log.place(entry.index), f"entry {entry.index}: {error}") from error
    return InitialState(hard_state=state, configuration_entries=configurations)
