"""``GET /raft/status``: the cluster as this peer sees it, in JSON. IPFS Cluster has no such path."""

from __future__ import annotations

from typing import TypedDict

from raft_over_libp2p.core.ready import Role
from raft_over_libp2p.core.status import CoreStatus
from raft_over_libp2p.raft import PeerStatus, RaftStatus
from raft_over_libp2p.types import Server, Suffrage

__all__ = ["MemberStatus", "StatusBody", "status_body"]


class MemberStatus(TypedDict):
    """One member. Progress (``match_index`` to the end) is known to a leader only.

    ``suffrage`` is ``voter``, ``nonvoter``, or ``staging`` for one that votes once it has
    caught up. The lag is in entries not acknowledged, their bytes, and the age of the oldest;
    the snapshot's bytes are of the one being sent to it, 0 while none is. ``last_error`` is
    what is wrong now, ``last_failure`` the newest failure, also when all is well since.
    """

    id: str
    suffrage: str
    is_self: bool
    is_leader: bool
    is_connected: bool
    last_error: str
    last_contact_s: float | None
    match_index: int | None
    lag_entries: int | None
    lag_bytes: int | None
    lag_s: float | None
    inflight_calls: int | None
    inflight_bytes: int | None
    mode: str | None
    snapshot_bytes_sent: int
    snapshot_bytes_total: int
    last_failure: str
    last_failure_s: float | None


class StatusBody(TypedDict):
    """The whole answer; ``pins`` and ``digest`` are null while no state can be given.

    ``standing`` is this peer's own: a suffrage; ``removed``; ``waiting``: it never was part of
    a cluster; ``catching-up``: what it has read of the log is older than itself in it; or
    ``not-a-member``: so it reads, and hears no leader, as when it was removed some time ago.
    """

    id: str
    peername: str
    role: str
    standing: str
    term: int
    leader: str | None
    transfer_target: str | None
    last_leader_contact_s: float | None
    commit_index: int
    applied_index: int
    durable_index: int
    first_index: int
    last_index: int
    snapshot_index: int
    configuration_index: int
    configuration_committed: bool
    quorum: int
    voters_connected: int
    disk_full: bool
    members: list[MemberStatus]
    pins: int | None
    digest: str | None
    state_error: str


def status_body(
    status: RaftStatus,
    *,
    peername: str,
    is_removed: bool,
    pins: int | None,
    digest: str | None,
    state_error: str,
) -> StatusBody:
    """Return the answer's object."""
    core = status.core
    members = [_member(server, status) for server in core.configuration.servers]
    return StatusBody(
        id=core.server_id,
        peername=peername,
        role=core.role.value,
        standing=_standing(core, is_removed=is_removed),
        term=core.term,
        leader=core.leader,
        transfer_target=core.transfer_target,
        last_leader_contact_s=_rounded(core.last_leader_contact_s),
        commit_index=core.commit_index,
        applied_index=core.applied_index,
        durable_index=core.durable_index,
        first_index=core.first_index,
        last_index=core.last_index,
        snapshot_index=core.snapshot_index,
        configuration_index=core.configuration_index,
        configuration_committed=core.configuration_committed,
        quorum=core.configuration.quorum(),
        voters_connected=sum(m["is_connected"] and m["suffrage"] == "voter" for m in members),
        disk_full=status.is_disk_full,
        members=members,
        pins=pins,
        digest=digest,
        state_error=state_error,
    )


def _member(server: Server, status: RaftStatus) -> MemberStatus:
    core = status.core
    is_self = server.id == core.server_id
    peer = status.peers.get(server.id)
    contact = peer.last_contact_s if peer else None
    if core.role is not Role.LEADER and server.id == core.leader and not is_self:
        contact = core.last_leader_contact_s
    failure = peer.last_failure if peer else None
    return MemberStatus(
        id=server.id,
        suffrage=Suffrage(server.suffrage).name.lower(),
        is_self=is_self,
        is_leader=server.id == core.leader,
        is_connected=is_self or (peer is not None and peer.is_connected),
        last_error=peer.last_error if peer else "",
        last_contact_s=0.0 if is_self else _rounded(contact),
        match_index=_match_index(peer, status, is_self=is_self),
        lag_entries=peer.lag_entries if peer else None,
        lag_bytes=peer.lag_bytes if peer else None,
        lag_s=_rounded(peer.lag_s) if peer else None,
        inflight_calls=peer.inflight_calls if peer else None,
        inflight_bytes=peer.inflight_bytes if peer else None,
        mode=peer.mode.value if peer and peer.mode else None,
        snapshot_bytes_sent=peer.snapshot_bytes_sent if peer else 0,
        snapshot_bytes_total=peer.snapshot_bytes_total if peer else 0,
        last_failure=failure.reason if failure else "",
        last_failure_s=_rounded(failure.ago_s) if failure else None,
    )


def _standing(core: CoreStatus, *, is_removed: bool) -> str:
    for server in core.configuration.servers:
        if server.id == core.server_id:
            return Suffrage(server.suffrage).name.lower()
    if is_removed:
        return "removed"
    if not core.configuration.servers:
        return "waiting"
    return "not-a-member" if core.leader is None else "catching-up"


def _match_index(peer: PeerStatus | None, status: RaftStatus, *, is_self: bool) -> int | None:
    if peer is not None and peer.match_index is not None:
        return peer.match_index
    if is_self and status.core.role is Role.LEADER:
        return status.core.durable_index
    return None


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
