"""Raft over libp2p, in the bytes of go-libp2p-raft: how peers agree on a log of operations.

``Raft`` has a cluster agree on operations of yours and applies them to a state machine of
yours; ``OpLog`` is the same with the rules of go-libp2p-consensus, for IPFS Cluster. Both run
over any py-libp2p host through ``Libp2pTransport``. Names are imported when first used: a
program that only wants an error or a type does not pay for libp2p.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raft_over_libp2p.config import RaftConfig, ReloadableConfig
    from raft_over_libp2p.core.ready import (
        Alarm,
        ConfigurationChanged,
        HeartbeatFailed,
        HeartbeatResumed,
        LeaderChanged,
        Removed,
        Role,
        RoleChanged,
        TransferEnded,
    )
    from raft_over_libp2p.errors import (
        CorruptLog,
        CorruptSnapshot,
        DataDirLocked,
        DiskFull,
        DurabilityLost,
        InconsistentState,
        InvariantViolation,
        LocalProtocolError,
        NoLeader,
        NoState,
        NotLeader,
        OutcomeUnknown,
        ProposalRefused,
        RaftError,
        RemoteProtocolError,
        StorageError,
        UnauthorisedPeer,
    )
    from raft_over_libp2p.oplog import OpLog, State
    from raft_over_libp2p.raft import (
        FSM,
        AppliedOnce,
        Durations,
        OpCodec,
        PeerFailure,
        PeerStatus,
        Raft,
        RaftMetrics,
        RaftStatus,
        RequestID,
        RequestOutcome,
        RequestState,
        StateMachine,
    )
    from raft_over_libp2p.raft.observers import Observer, PeerChanged
    from raft_over_libp2p.raft.recover_cluster import recover_cluster
    from raft_over_libp2p.storage.bootstrap import (
        bootstrap_cluster,
        get_configuration,
        has_existing_state,
    )
    from raft_over_libp2p.storage.data_folder import DataFolder
    from raft_over_libp2p.storage.interface import Stores
    from raft_over_libp2p.storage.memory import MemoryStores
    from raft_over_libp2p.storage.peers_json import read_peers_json
    from raft_over_libp2p.transport.libp2p_transport import Libp2pTransport
    from raft_over_libp2p.types import (
        Configuration,
        Index,
        LogEntry,
        LogType,
        Server,
        ServerID,
        Suffrage,
        Term,
    )

_HOMES = {
    "config": ("RaftConfig", "ReloadableConfig"),
    "core.ready": (
        "Alarm",
        "ConfigurationChanged",
        "HeartbeatFailed",
        "HeartbeatResumed",
        "LeaderChanged",
        "Removed",
        "Role",
        "RoleChanged",
        "TransferEnded",
    ),
    "errors": (
        "CorruptLog",
        "CorruptSnapshot",
        "DataDirLocked",
        "DiskFull",
        "DurabilityLost",
        "InconsistentState",
        "InvariantViolation",
        "LocalProtocolError",
        "NoLeader",
        "NoState",
        "NotLeader",
        "OutcomeUnknown",
        "ProposalRefused",
        "RaftError",
        "RemoteProtocolError",
        "StorageError",
        "UnauthorisedPeer",
    ),
    "oplog": ("OpLog", "State"),
    "raft": (
        "FSM",
        "AppliedOnce",
        "Durations",
        "OpCodec",
        "PeerFailure",
        "PeerStatus",
        "Raft",
        "RaftMetrics",
        "RaftStatus",
        "RequestID",
        "RequestOutcome",
        "RequestState",
        "StateMachine",
    ),
    "raft.observers": ("Observer", "PeerChanged"),
    "raft.recover_cluster": ("recover_cluster",),
    "storage.bootstrap": ("bootstrap_cluster", "get_configuration", "has_existing_state"),
    "storage.data_folder": ("DataFolder",),
    "storage.interface": ("Stores",),
    "storage.memory": ("MemoryStores",),
    "storage.peers_json": ("read_peers_json",),
    "transport.libp2p_transport": ("Libp2pTransport",),
    "types": (
        "Configuration",
        "Index",
        "LogEntry",
        "LogType",
        "Server",
        "ServerID",
        "Suffrage",
        "Term",
    ),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "FSM",
    "Alarm",
    "AppliedOnce",
    "Configuration",
    "ConfigurationChanged",
    "CorruptLog",
    "CorruptSnapshot",
    "DataDirLocked",
    "DataFolder",
    "DiskFull",
    "DurabilityLost",
    "Durations",
    "HeartbeatFailed",
    "HeartbeatResumed",
    "InconsistentState",
    "Index",
    "InvariantViolation",
    "LeaderChanged",
    "Libp2pTransport",
    "LocalProtocolError",
    "LogEntry",
    "LogType",
    "MemoryStores",
    "NoLeader",
    "NoState",
    "NotLeader",
    "Observer",
    "OpCodec",
    "OpLog",
    "OutcomeUnknown",
    "PeerChanged",
    "PeerFailure",
    "PeerStatus",
    "ProposalRefused",
    "Raft",
    "RaftConfig",
    "RaftError",
    "RaftMetrics",
    "RaftStatus",
    "ReloadableConfig",
    "RemoteProtocolError",
    "Removed",
    "RequestID",
    "RequestOutcome",
    "RequestState",
    "Role",
    "RoleChanged",
    "Server",
    "ServerID",
    "State",
    "StateMachine",
    "StorageError",
    "Stores",
    "Suffrage",
    "Term",
    "TransferEnded",
    "UnauthorisedPeer",
    "bootstrap_cluster",
    "get_configuration",
    "has_existing_state",
    "read_peers_json",
    "recover_cluster",
]


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for (PEP 562)."""
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
