"""The names people import are a promise: a change of these lists is a change of the API."""

from __future__ import annotations

import importlib

import pytest

PUBLIC = {
    "keys": [
        "ClusterSecret",
        "Identity",
        "InvalidClusterSecret",
        "InvalidIdentity",
        "InvalidPeerID",
        "PeerID",
    ],
    "node": ["Consensus", "ConsensusConfig", "RpcClient", "open_swarm"],
    "raft_over_libp2p": [
        "FSM",
        "Alarm",
        "ConfigurationChanged",
        "HeartbeatFailed",
        "HeartbeatResumed",
        "LeaderChanged",
        "Removed",
        "Role",
        "RoleChanged",
        "TransferEnded",
        "Observer",
        "PeerChanged",
        "AppliedOnce",
        "Configuration",
        "CorruptLog",
        "CorruptSnapshot",
        "DataDirLocked",
        "DataFolder",
        "DiskFull",
        "DurabilityLost",
        "Durations",
        "InconsistentState",
        "Index",
        "InvariantViolation",
        "Libp2pTransport",
        "LocalProtocolError",
        "LogEntry",
        "LogType",
        "MemoryStores",
        "NoLeader",
        "NoState",
        "NotLeader",
        "OpCodec",
        "OpLog",
        "OutcomeUnknown",
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
        "RequestID",
        "RequestOutcome",
        "RequestState",
        "Server",
        "ServerID",
        "State",
        "StateMachine",
        "StorageError",
        "Stores",
        "Suffrage",
        "Term",
        "UnauthorisedPeer",
        "bootstrap_cluster",
        "get_configuration",
        "has_existing_state",
        "read_peers_json",
        "recover_cluster",
    ],
}


@pytest.mark.parametrize("room", PUBLIC)
def test_a_room_exports_just_its_public_names(room: str) -> None:
    assert sorted(PUBLIC[room]) == sorted(importlib.import_module(room).__all__)


@pytest.mark.parametrize("room", ["keys", "node", "pinstate", "raft_over_libp2p"])
def test_every_public_name_can_be_had(room: str) -> None:
    module = importlib.import_module(room)

    assert [] == [name for name in module.__all__ if not hasattr(module, name)]


@pytest.mark.parametrize("room", ["node", "raft_over_libp2p"])
def test_an_unknown_name_is_an_attribute_error(room: str) -> None:
    with pytest.raises(AttributeError, match="Nope"):
        _ = importlib.import_module(room).Nope
