"""May this message be acted on? One pure function between the wire and the core."""

from __future__ import annotations

from dataclasses import replace

from keys.errors import InvalidPeerID
from keys.peer_id import PeerID
from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    InstallSnapshotRequest,
    Request,
    RequestVoteRequest,
)
from raft_over_libp2p.errors import PeerIDMismatch
from raft_over_libp2p.types import ServerID
from raft_over_libp2p.wire.header import RPCHeader, check_protocol_version

__all__ = ["authorise"]


def authorise(remote: ServerID, header: RPCHeader, request: Request) -> Request:
    """Return ``request`` as coming from ``remote``, the peer that libp2p authenticated.

    Whoever the message names as its sender (header ID and address, Leader, Candidate) must
    be ``remote``, by peer ID and not by text; a field left out means ``remote``
    (mixed-cluster rule 24: every Go version fills all of them with its own peer ID). What
    is returned names ``remote`` in the text form of the configuration.

    hashicorp/raft believes the header: there any peer may speak for any other.

    Raises:
        PeerIDMismatch: the message claims another sender; end its stream.
        UnsupportedVersion: answer with this error's text, and no struct.

    """
    for claim in (header.id, header.addr):
        _check(remote, claim)
    if isinstance(request, AppendEntriesRequest | InstallSnapshotRequest):
        _check(remote, request.leader)
        if request.leader != remote:
            request = replace(request, leader=remote)
    elif isinstance(request, RequestVoteRequest):
        _check(remote, request.candidate)
        if request.candidate != remote:
            request = replace(request, candidate=remote)
    check_protocol_version(header, request)
    return request


def _check(remote: ServerID, claim: str) -> None:
    if claim in (remote, ""):
        return
    try:
        is_remote = PeerID.parse(claim) == PeerID.parse(remote)
    except InvalidPeerID:
        is_remote = False
    if not is_remote:
        raise PeerIDMismatch(f"{remote} sent a message in the name of {claim[:128]!r}")
