"""What the rest of the node reads: one frozen value a component."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from node.config.folder import Folder
from node.config.peer_multiaddr import split_peer_address
from node.config.schema import COMPONENTS
from node.config.service_json import ServiceJSON
from node.config.values import Value
from node.errors import ConfigError
from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.errors import LocalProtocolError

if TYPE_CHECKING:
    from node.consensus_config import ConsensusConfig

__all__ = ["APIConfig", "ClusterConfig", "NodeConfig", "load_config"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterConfig:
    """``cluster``: who this peer is to others."""

    peername: str
    secret_hex: str = field(repr=False)
    """64 hexadecimal digits, or empty for a cluster without a private network."""
    listen_multiaddrs: tuple[str, ...]
    announce_multiaddrs: tuple[str, ...]
    peer_addresses: tuple[str, ...]
    dial_timeout_s: float
    replication_factor_min: int
    replication_factor_max: int
    peerstore: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class APIConfig:
    """``api.restapi``: how people and programs reach this peer."""

    listen_multiaddrs: tuple[str, ...]
    read_header_timeout_s: float
    idle_timeout_s: float
    max_header_bytes: int
    basic_auth: Mapping[str, str] | None = field(repr=False)
    headers: Mapping[str, tuple[str, ...]]
    cors_allowed_origins: tuple[str, ...]
    cors_allowed_methods: tuple[str, ...]
    cors_allowed_headers: tuple[str, ...]
    cors_exposed_headers: tuple[str, ...]
    cors_allow_credentials: bool
    cors_max_age_s: float
    operation_timeout_s: float
    """How long a write or a linearisable read may take when the client names no ``?timeout=``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """All that a daemon needs to know before it starts."""

    folder: Folder
    cluster: ClusterConfig
    api: APIConfig
    data_folder: Path
    """Where Raft keeps its log, vote and snapshots."""
    init_peerset: tuple[str, ...]
    """Peer IDs of the first voters; this peer's own is implied."""
    is_bootstrapped: bool
    """Whether a fresh folder makes the first voters a cluster; else it waits to be added to one."""
    join_multiaddrs: tuple[str, ...]
    """Full multiaddrs of members that a fresh peer asks to be added by."""
    commit_attempts: int
    """service.json's ``commit_retries`` counts repetitions; this counts attempts."""
    commit_retry_delay_s: float
    leader_timeout_s: float
    network_timeout_s: float
    raft_max_snapshots: int
    raft: RaftConfig

    def consensus_config(self) -> ConsensusConfig:
        """Return what ``Consensus.open`` takes. Imports libp2p, so only a daemon calls it."""
        from node.consensus_config import ConsensusConfig

        return ConsensusConfig(
            commit_retries=self.commit_attempts,
            commit_retry_delay_s=self.commit_retry_delay_s,
            leader_timeout_s=self.leader_timeout_s,
            network_timeout_s=self.network_timeout_s,
            raft_max_snapshots=self.raft_max_snapshots,
            raft=self.raft,
        )


def load_config(
    folder: Folder,
    environ: Mapping[str, str] = os.environ,
    *,
    api_listen_multiaddrs: tuple[str, ...] = (),
    listen_multiaddrs: tuple[str, ...] = (),
) -> NodeConfig:
    """Read a folder's service.json: flags over environment over file over defaults.

    Raises:
        ConfigError: names the file or variable, the key, the value and what is allowed.

    """
    service = ServiceJSON.read(folder.service_json)
    tables = {component.path: service.values(component, environ) for component in COMPONENTS}
    cluster, raft = tables["cluster",], tables["consensus", "raft"]
    own, api = tables["consensus", "raft_node"], tables["api", "restapi"]
    _refuse_unsupported(service.path, cluster, api)
    config = NodeConfig(
        folder=folder,
        cluster=_cluster_config(service.path, folder, cluster),
        api=_api_config(api, own),
        data_folder=folder.path / _get(raft, "data_folder", str)
        if raft["data_folder"]
        else folder.raft,
        init_peerset=_texts(raft, "init_peerset"),
        is_bootstrapped=_is_bootstrapped(service.path, raft, own),
        join_multiaddrs=_texts(own, "join_multiaddresses"),
        commit_attempts=_get(raft, "commit_retries", int) + 1,
        commit_retry_delay_s=_get(raft, "commit_retry_delay", float),
        leader_timeout_s=_get(raft, "wait_for_leader_timeout", float),
        network_timeout_s=_get(raft, "network_timeout", float),
        raft_max_snapshots=_get(own, "raft_max_snapshots", int),
        raft=_raft_config(service.path, raft, own),
    )
    if api_listen_multiaddrs:
        config = replace(config, api=replace(config.api, listen_multiaddrs=api_listen_multiaddrs))
    if listen_multiaddrs:
        config = replace(
            config, cluster=replace(config.cluster, listen_multiaddrs=listen_multiaddrs)
        )
    return config


def _refuse_unsupported(path: Path, cluster: Mapping[str, Value], api: Mapping[str, Value]) -> None:
    if cluster["private_key"]:
        raise ConfigError(
            path, "cluster.private_key", "the key belongs in identity.json (mode 0600); move it"
        )
    if cluster["follower_mode"]:
        raise ConfigError(path, "cluster.follower_mode", "is for CRDT clusters; set it to false")
    for key in ("ssl_cert_file", "ssl_key_file"):
        if api[key]:
            raise ConfigError(
                path, f"api.restapi.{key}", "HTTPS is not served; put a TLS proxy in front"
            )
    for key in ("libp2p_listen_multiaddress", "id", "private_key"):
        if api[key]:
            raise ConfigError(path, f"api.restapi.{key}", "HTTP over libp2p is not served")


def _is_bootstrapped(path: Path, raft: Mapping[str, Value], own: Mapping[str, Value]) -> bool:
    is_bootstrapped = _get(own, "bootstrap", bool)
    key = "consensus.raft_node.join_multiaddresses"
    if own["join_multiaddresses"] and is_bootstrapped:
        raise ConfigError(path, key, "needs bootstrap set to false: a peer founds or joins")
    if not is_bootstrapped and raft["init_peerset"]:
        raise ConfigError(
            path, "consensus.raft.init_peerset", "must be [] where raft_node.bootstrap is false"
        )
    for text in _texts(own, "join_multiaddresses"):
        try:
            split_peer_address(text)
        except ValueError as error:
            raise ConfigError(path, key, str(error)) from error
    return is_bootstrapped


def _cluster_config(path: Path, folder: Folder, table: Mapping[str, Value]) -> ClusterConfig:
    low = _get(table, "replication_factor_min", int)
    high = _get(table, "replication_factor_max", int)
    if low > high or (low == -1) != (high == -1):
        raise ConfigError(
            path,
            "cluster.replication_factor_min",
            f"{low} with replication_factor_max {high} is not allowed; "
            "both are -1 (every peer), or min is from 1 to max",
        )
    if not table["listen_multiaddress"]:
        raise ConfigError(path, "cluster.listen_multiaddress", "must name at least one address")
    return ClusterConfig(
        peername=_get(table, "peername", str) or socket.gethostname(),
        secret_hex=_get(table, "secret", str),
        listen_multiaddrs=_texts(table, "listen_multiaddress"),
        announce_multiaddrs=_texts(table, "announce_multiaddress"),
        peer_addresses=_texts(table, "peer_addresses"),
        dial_timeout_s=_get(table, "dial_peer_timeout", float),
        replication_factor_min=low,
        replication_factor_max=high,
        peerstore=folder.path / (_get(table, "peerstore_file", str) or "peerstore"),
    )


def _api_config(table: Mapping[str, Value], own: Mapping[str, Value]) -> APIConfig:
    return APIConfig(
        listen_multiaddrs=_texts(table, "http_listen_multiaddress"),
        read_header_timeout_s=_get(table, "read_header_timeout", float),
        idle_timeout_s=_get(table, "idle_timeout", float),
        max_header_bytes=_get(table, "max_header_bytes", int),
        basic_auth=cast("dict[str, str] | None", table["basic_auth_credentials"]),
        headers=cast("dict[str, tuple[str, ...]]", table["headers"]),
        cors_allowed_origins=_texts(table, "cors_allowed_origins"),
        cors_allowed_methods=_texts(table, "cors_allowed_methods"),
        cors_allowed_headers=_texts(table, "cors_allowed_headers"),
        cors_exposed_headers=_texts(table, "cors_exposed_headers"),
        cors_allow_credentials=_get(table, "cors_allow_credentials", bool),
        cors_max_age_s=_get(table, "cors_max_age", float),
        operation_timeout_s=_get(own, "operation_timeout", float),
    )


def _raft_config(path: Path, table: Mapping[str, Value], own: Mapping[str, Value]) -> RaftConfig:
    try:
        return RaftConfig(
            heartbeat_timeout_s=_get(table, "heartbeat_timeout", float),
            election_timeout_s=_get(table, "election_timeout", float),
            commit_timeout_s=_get(table, "commit_timeout", float),
            max_append_entries=_get(table, "max_append_entries", int),
            max_inflight_appends=_get(own, "max_inflight_appends", int),
            leader_lease_timeout_s=_get(table, "leader_lease_timeout", float),
            trailing_logs=_get(table, "trailing_logs", int),
            snapshot_interval_s=_get(table, "snapshot_interval", float),
            snapshot_threshold=_get(table, "snapshot_threshold", int),
            join_timeout_s=_get(own, "join_timeout", float),
            pre_vote_disabled=_get(own, "pre_vote_disabled", bool),
        )
    except LocalProtocolError as error:
        # service.json has the names without the unit.
        raise ConfigError(path, "consensus.raft", str(error).replace("_s ", " ")) from error


def _get(table: Mapping[str, Value], key: str, kind: type[_T]) -> _T:
    value = table[key]
    if not isinstance(value, kind):  # values.checked has seen to it
        raise TypeError(f"{key} is a {type(value).__name__}, not a {kind.__name__}")
    return value


def _texts(table: Mapping[str, Value], key: str) -> tuple[str, ...]:
    return cast("tuple[str, ...]", table[key])
