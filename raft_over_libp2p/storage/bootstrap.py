"""How a server begins: fresh, or with the first configuration (hashicorp/raft ``BootstrapCluster``)."""

from __future__ import annotations

from typing import Final

from raft_over_libp2p.core.interfaces import ConfigurationCodec
from raft_over_libp2p.core.membership_change import check_configuration
from raft_over_libp2p.core.ready import HardState
from raft_over_libp2p.errors import ProposalRefused, StorageError
from raft_over_libp2p.storage.interface import LogStore, StableStore, Stores
from raft_over_libp2p.types import NO_TERM, Configuration, Index, LogEntry, LogType, Term
from raft_over_libp2p.wire.configuration import GoConfigurationCodec
from raft_over_libp2p.wire.log_entry import encode_entry

__all__ = [
    "bootstrap_cluster",
    "finish_bootstrap",
    "get_configuration",
    "has_existing_state",
]

_CODEC: Final = GoConfigurationCodec()
_BOOTSTRAP_TERM: Final = Term(1)


def has_existing_state(stores: Stores) -> bool:
    """Tell whether a server ever took part in a cluster with these (``HasExistingState``).

    It did if there is a term, a vote, an entry or a snapshot, also one that cannot be read.
    """
    return (
        stores.log.last_index() > 0
        or stores.stable.load() != HardState(NO_TERM)
        or stores.snapshots.newest() is not None
        or bool(stores.snapshots.skipped)
    )


def bootstrap_cluster(
    stores: Stores, configuration: Configuration, codec: ConfigurationCodec = _CODEC
) -> None:
    """Make ``configuration`` the first entry: index 1, term 1 (``BootstrapCluster``).

    Give every first member the same configuration, in the same order. Durable on return. The
    entry is written before the term, so a crash between leaves just that entry, and the next
    start finishes the work (hashicorp/raft writes the term first, and is then neither fresh
    nor bootstrapped).

    Raises:
        ProposalRefused: the configuration has no voter, an ID or address twice or empty, too
            many members, or not this server; nothing was changed.
        StorageError: there is state already: a cluster is bootstrapped once; nothing was
            changed.
        DiskFull: nothing was changed.
        DurabilityLost: stop this server.

    """
    check_configuration(configuration)
    if not configuration.has(stores.server_id):
        raise ProposalRefused(
            f"{stores.server_id} is not in the configuration it was to be bootstrapped with"
        )
    if has_existing_state(stores):
        raise StorageError(
            f"{stores.path} was used before (term {stores.stable.load().term}, last entry "
            f"{stores.log.last_index()}); a cluster is bootstrapped only from fresh folders"
        )
    entry = LogEntry(Index(1), _BOOTSTRAP_TERM, LogType.CONFIGURATION, codec.encode(configuration))
    encode_entry(entry)
    stores.log.write(None, (entry,))
    finish_bootstrap(stores.log, stores.stable)


def finish_bootstrap(log: LogStore, stable: StableStore) -> None:
    """Write down the term of a bootstrap that a crash cut short; otherwise change nothing."""
    # At term 0 nothing was ever said to anybody, so only bootstrap_cluster can have written this.
    if stable.load() == HardState(NO_TERM) and log.first_index() == log.last_index() == 1:
        (entry,) = log.entries(Index(1), Index(1), 0)
        if entry.type is LogType.CONFIGURATION and entry.term == _BOOTSTRAP_TERM:
            stable.save(HardState(_BOOTSTRAP_TERM))


def get_configuration(stores: Stores, codec: ConfigurationCodec = _CODEC) -> Configuration:
    """Return the latest configuration of a server that does not run (``GetConfiguration``).

    The newest entry's, or the newest usable snapshot's; empty for a fresh server. Nothing says
    whether it is agreed on. Nothing is changed.

    Raises:
        CorruptLog: its entry cannot be read.
        CorruptSnapshot: there are snapshots, and none of them can be used.
        MalformedMessage: its entry holds no configuration.

    """
    newest = stores.snapshots.newest_restorable()
    entries = stores.log.configuration_entries()
    if entries and (newest is None or entries[-1].index > newest.meta.index):
        return codec.decode(entries[-1].data)
    return newest.meta.configuration if newest is not None else Configuration()
