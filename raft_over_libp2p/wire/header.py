"""The header every RPC carries, and which protocol versions are answered."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from raft_over_libp2p.core.messages import AppendEntriesRequest, InstallSnapshotRequest, Request
from raft_over_libp2p.errors import UnsupportedVersion
from raft_over_libp2p.wire.configuration import text_of
from raft_over_libp2p.wire.schema import Values

__all__ = [
    "NEWEST_SNAPSHOT_VERSION",
    "OLDEST_PROTOCOL_VERSION",
    "PROTOCOL_VERSION",
    "RPCHeader",
    "RPCType",
    "check_protocol_version",
    "check_snapshot_version",
    "header_of",
]

PROTOCOL_VERSION: Final = 3
"""What we write: server IDs of their own, configurations in the log (hashicorp/raft since 0.2)."""
OLDEST_PROTOCOL_VERSION: Final = PROTOCOL_VERSION - 1
"""What is answered: such a peer writes configurations as we do, with its address for an ID."""
NEWEST_SNAPSHOT_VERSION: Final = 1


class RPCType(IntEnum):
    """The byte before a request (hashicorp/raft ``net_transport.go``)."""

    APPEND_ENTRIES = 0
    REQUEST_VOTE = 1
    INSTALL_SNAPSHOT = 2
    TIMEOUT_NOW = 3
    REQUEST_PRE_VOTE = 4


@dataclass(frozen=True, slots=True)
class RPCHeader:
    """Who a request says it comes from; ``id`` and ``addr`` are empty when it does not say.

    Only a claim: ``transport`` compares it with the peer ID that libp2p authenticated.
    """

    protocol_version: int
    id: str
    addr: str


def header_of(values: Values) -> RPCHeader:
    """Return the header embedded in a decoded message.

    Raises:
        MalformedMessage: an ID or address that is no text.

    """
    return RPCHeader(
        values["ProtocolVersion"],
        text_of(values["ID"], "the header's ID"),
        text_of(values["Addr"], "the header's Addr"),
    )


def check_protocol_version(header: RPCHeader, request: Request) -> None:
    """Refuse a version outside own - 1 to own, as Go's ``checkRPCHeader`` does.

    A heartbeat may have a newer version, since Go's fast path does not look; not an older
    one (mixed-cluster rule 24). The error's text is Go's: answer with it and no struct.

    Raises:
        UnsupportedVersion: the request must not be acted on.

    """
    version = header.protocol_version
    is_heartbeat = isinstance(request, AppendEntriesRequest) and request.is_heartbeat
    if version < OLDEST_PROTOCOL_VERSION or (version > PROTOCOL_VERSION and not is_heartbeat):
        raise UnsupportedVersion("operation not supported with current protocol version")


def check_snapshot_version(request: InstallSnapshotRequest) -> None:
    """Refuse a snapshot of a version we cannot read; its bytes must still be drained.

    The error's text is Go's: answer with it and an unsuccessful response.

    Raises:
        UnsupportedVersion: the request must not be acted on.

    """
    if not 0 <= request.snapshot_version <= NEWEST_SNAPSHOT_VERSION:
        raise UnsupportedVersion(f"unsupported snapshot version {request.snapshot_version}")
