"""hashicorp/raft's ``Stats``: what its operators' scripts and dashboards read."""

from __future__ import annotations

from raft_over_libp2p.core.ready import Role
from raft_over_libp2p.core.status import CoreStatus
from raft_over_libp2p.types import Server
from raft_over_libp2p.wire.go_time import go_duration
from raft_over_libp2p.wire.header import (
    NEWEST_SNAPSHOT_VERSION,
    OLDEST_PROTOCOL_VERSION,
    PROTOCOL_VERSION,
)

__all__ = ["stats_of"]


def stats_of(core: CoreStatus, *, fsm_pending: int) -> dict[str, str]:
    """Return ``core`` under the keys, and in the text forms, of hashicorp/raft 1.7.

    ``protocol_version_min`` is 2 here and 0 there: what this server does answer.
    ``fsm_pending`` counts entries here, and batches there.
    """
    servers = core.configuration.servers
    voters = core.configuration.voters
    return {
        "state": core.role.value,
        "term": str(core.term),
        "last_log_index": str(core.last_index),
        "last_log_term": str(core.last_log_term),
        "commit_index": str(core.commit_index),
        "applied_index": str(core.applied_index),
        "fsm_pending": str(fsm_pending),
        "last_snapshot_index": str(core.snapshot_index),
        "last_snapshot_term": str(core.snapshot_term),
        "protocol_version": str(PROTOCOL_VERSION),
        "protocol_version_min": str(OLDEST_PROTOCOL_VERSION),
        "protocol_version_max": str(PROTOCOL_VERSION),
        "snapshot_version_min": "0",
        "snapshot_version_max": str(NEWEST_SNAPSHOT_VERSION),
        "latest_configuration_index": str(core.configuration_index),
        "latest_configuration": "[" + " ".join(map(_server_text, servers)) + "]",
        "num_peers": str(len(voters) - 1 if core.server_id in voters else 0),
        "last_contact": _contact_text(core),
    }


def _server_text(server: Server) -> str:
    """Return ``server`` as Go's ``%+v`` prints it."""
    suffrage = server.suffrage.name.title()
    return f"{{Suffrage:{suffrage} ID:{server.id} Address:{server.address}}}"


def _contact_text(core: CoreStatus) -> str:
    if core.role is Role.LEADER:
        return "0"
    if core.last_leader_contact_s is None:
        return "never"
    return go_duration(round(core.last_leader_contact_s * 1e9))
