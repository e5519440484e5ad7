"""Which settings there are: for each its place in service.json, its kind and its default.

The sections ``cluster``, ``consensus.raft`` and ``api.restapi`` are IPFS Cluster 1.x's, with
every key it knows, so that a file written by it is read here and the other way round. What
this peer has no use for is checked for its type and kept. Our own settings stand in
``consensus.raft_node``: a component that IPFS Cluster does not know is kept by it and
ignored (``config.Manager``), whereas it drops unknown keys of components it knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

__all__ = ["COMPONENTS", "SECTIONS", "TOP_LEVEL", "Component", "JSONValue", "Kind", "Setting"]

JSONValue: TypeAlias = "str | int | float | bool | list[JSONValue] | dict[str, JSONValue] | None"


class Kind(Enum):
    """What a setting's value must be; the text is what an error message says is allowed."""

    TEXT = "a string"
    SECRET = "64 hexadecimal digits (32 bytes), as a string"  # noqa: S105
    TEXTS = "a string or a list of strings"
    MULTIADDRS = "a multiaddr such as /ip4/127.0.0.1/tcp/9094, or a list of them"
    PEER_IDS = "a list of peer IDs such as 12D3Koo..."
    FLAG = "true or false"
    NUMBER = "a whole number"
    DURATION = 'a duration such as "15s", "500ms" or "2m0s"'
    CREDENTIALS = "null, or an object of user names and passwords with at least one entry"
    HEADERS = "an object of header names and lists of strings"
    OBJECT = "an object"


@dataclass(frozen=True, slots=True)
class Setting:
    """One key. ``default`` is in the form service.json has it."""

    key: str
    kind: Kind
    default: JSONValue
    minimum: float | None = None
    """Smallest number, or shortest duration in seconds."""
    is_unset_when_zero: bool = False
    """0, "" and "0s" mean the default, as for Go."""
    is_optional: bool = False
    """Go leaves it out of the file when it is empty."""

    @property
    def env_name(self) -> str:
        """The last part of its environment variable's name."""
        return self.key.replace("_", "").upper()


@dataclass(frozen=True, slots=True)
class Component:
    """The settings under one path of service.json, and their environment variables' prefix."""

    path: tuple[str, ...]
    env_prefix: str
    settings: tuple[Setting, ...]

    @property
    def name(self) -> str:
        return ".".join(self.path)


def _duration(key: str, default: str, *, minimum: float | None = 0) -> Setting:
    return Setting(key, Kind.DURATION, default, minimum=minimum, is_unset_when_zero=minimum != 0)


def _flag(key: str, *, default: bool, is_optional: bool = False) -> Setting:
    return Setting(key, Kind.FLAG, default, is_optional=is_optional)


def _raft_duration(key: str, default: str) -> Setting:
    return _duration(key, default, minimum=0.005)


_CLUSTER: Final = Component(
    ("cluster",),
    "CLUSTER",
    (
        Setting("id", Kind.TEXT, "", is_optional=True),
        Setting("peername", Kind.TEXT, ""),
        Setting("private_key", Kind.TEXT, "", is_optional=True),
        Setting("secret", Kind.SECRET, ""),
        _flag("leave_on_shutdown", default=False),
        Setting("listen_multiaddress", Kind.MULTIADDRS, ["/ip4/0.0.0.0/tcp/9096"]),
        Setting("announce_multiaddress", Kind.MULTIADDRS, []),
        Setting("no_announce_multiaddress", Kind.MULTIADDRS, []),
        _flag("enable_relay_hop", default=True),
        Setting(
            "connection_manager",
            Kind.OBJECT,
            {"high_water": 400, "low_water": 100, "grace_period": "2m0s"},
        ),
        Setting(
            "resource_manager",
            Kind.OBJECT,
            {"enabled": True, "memory_limit_bytes": 0, "file_descriptors_limit": 0},
        ),
        Setting(
            "pubsub",
            Kind.OBJECT,
            {
                "seen_messages_ttl": "30m0s",
                "heartbeat_interval": "10s",
                "d_factor": 4,
                "history_gossip": 2,
                "history_length": 6,
                "flood_publish": False,
            },
        ),
        _duration("dial_peer_timeout", "3s", minimum=0.001),
        _duration("state_sync_interval", "5m0s"),
        _duration("pin_recover_interval", "12m0s"),
        Setting("replication_factor_min", Kind.NUMBER, -1, minimum=-1, is_unset_when_zero=True),
        Setting("replication_factor_max", Kind.NUMBER, -1, minimum=-1, is_unset_when_zero=True),
        _duration("monitor_ping_interval", "15s"),
        _duration("peer_watch_interval", "5s"),
        _duration("mdns_interval", "10s"),
        _flag("pin_only_on_trusted_peers", default=False),
        _flag("pin_only_on_untrusted_peers", default=False),
        _flag("disable_repinning", default=True),
        _flag("follower_mode", default=False, is_optional=True),
        Setting("peerstore_file", Kind.TEXT, "", is_optional=True),
        Setting("peer_addresses", Kind.MULTIADDRS, []),
    ),
)
_RAFT: Final = Component(
    ("consensus", "raft"),
    "CLUSTER_RAFT",
    (
        Setting("data_folder", Kind.TEXT, "", is_optional=True),
        Setting("init_peerset", Kind.PEER_IDS, []),
        _duration("wait_for_leader_timeout", "15s", minimum=0.001),
        _duration("network_timeout", "10s", minimum=0.001),
        Setting("commit_retries", Kind.NUMBER, 1, minimum=0),
        _duration("commit_retry_delay", "200ms", minimum=0.001),
        Setting("backups_rotate", Kind.NUMBER, 6, minimum=1, is_unset_when_zero=True),
        Setting("datastore_namespace", Kind.TEXT, "", is_optional=True),
        _raft_duration("heartbeat_timeout", "1s"),
        _raft_duration("election_timeout", "1s"),
        _raft_duration("commit_timeout", "50ms"),
        Setting("max_append_entries", Kind.NUMBER, 64, minimum=1, is_unset_when_zero=True),
        Setting("trailing_logs", Kind.NUMBER, 10240, minimum=1, is_unset_when_zero=True),
        _raft_duration("snapshot_interval", "2m0s"),
        Setting("snapshot_threshold", Kind.NUMBER, 8192, minimum=1, is_unset_when_zero=True),
        _raft_duration("leader_lease_timeout", "500ms"),
    ),
)
_RAFT_NODE: Final = Component(
    ("consensus", "raft_node"),
    "CLUSTER_RAFTNODE",
    (
        Setting("raft_max_snapshots", Kind.NUMBER, 5, minimum=1),
        Setting("max_inflight_appends", Kind.NUMBER, 4, minimum=1),
        _flag("pre_vote_disabled", default=False),
        _flag("bootstrap", default=True),
        Setting("join_multiaddresses", Kind.MULTIADDRS, []),
        _duration("join_timeout", "30s", minimum=0.005),
        _duration("operation_timeout", "20s", minimum=0.001),
    ),
)
_RESTAPI: Final = Component(
    ("api", "restapi"),
    "CLUSTER_RESTAPI",
    (
        Setting("http_listen_multiaddress", Kind.MULTIADDRS, ["/ip4/127.0.0.1/tcp/9094"]),
        Setting("ssl_cert_file", Kind.TEXT, "", is_optional=True),
        Setting("ssl_key_file", Kind.TEXT, "", is_optional=True),
        _duration("read_timeout", "0s"),
        _duration("read_header_timeout", "5s"),
        _duration("write_timeout", "0s"),
        _duration("idle_timeout", "2m0s"),
        Setting("max_header_bytes", Kind.NUMBER, 4096, minimum=4096, is_unset_when_zero=True),
        Setting("libp2p_listen_multiaddress", Kind.MULTIADDRS, [], is_optional=True),
        Setting("id", Kind.TEXT, "", is_optional=True),
        Setting("private_key", Kind.TEXT, "", is_optional=True),
        Setting("basic_auth_credentials", Kind.CREDENTIALS, None),
        Setting("http_log_file", Kind.TEXT, ""),
        Setting("headers", Kind.HEADERS, {}),
        Setting("cors_allowed_origins", Kind.TEXTS, []),
        Setting("cors_allowed_methods", Kind.TEXTS, ["GET"]),
        Setting("cors_allowed_headers", Kind.TEXTS, []),
        Setting("cors_exposed_headers", Kind.TEXTS, []),
        _flag("cors_allow_credentials", default=False),
        _duration("cors_max_age", "0s"),
    ),
)

COMPONENTS: Final = (_CLUSTER, _RAFT, _RAFT_NODE, _RESTAPI)
"""What this peer reads."""

SECTIONS: Final = frozenset(
    {
        "consensus", "api", "ipfs_connector", "state", "pin_tracker", "monitor", "allocator",
        "informer", "observations", "datastore",
    }
)  # fmt: skip
"""Sections that hold components; those not named in ``COMPONENTS`` are kept as they are."""

TOP_LEVEL: Final = SECTIONS | {"cluster", "source"}
