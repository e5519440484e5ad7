"""A peer without a network: what the HTTP API and the commands are tested against."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx

from keys.peer_id import PeerID
from node.config import Folder, ServiceJSON, load_config
from node.config.settings import APIConfig
from node.http.app import build_app
from node.http.pin_options import ReplicationFactors
from node.peer_description import PeerDescription
from pinstate.log_op import LogOp
from pinstate.pin import Pin
from pinstate.state import PinState
from raft_over_libp2p.core.ready import Role, RoleChanged
from raft_over_libp2p.core.status import CoreStatus, PeerProgress, ProgressMode
from raft_over_libp2p.errors import NotLeader, RaftError
from raft_over_libp2p.raft import RaftMetrics, RaftStatus
from raft_over_libp2p.raft.growth import Growth
from raft_over_libp2p.raft.metrics import Metrics
from raft_over_libp2p.raft.peer_status import peer_statuses
from raft_over_libp2p.transport.interface import Link
from raft_over_libp2p.types import Configuration, Index, Server, ServerID, Suffrage, Term

A = "12D3KooWMouSYH5NswSHYzd2CaDBS7XPvHCyHswANCS2W24r74E6"
B = "12D3KooWGeL3oCZrZwtpBA4VfA4hNCY1rj9wE92uMtbG5hF2fNdN"
C = "12D3KooWEtxf79LJsxCc2cAFwWSKaosR1EUN1aVWeCvNGnd3shJz"
CID_V0 = "QmXZrtE5jQwXNqCJMfHUTQkvhQ4ZAnqMnmzFMJfLewur2n"
CID_V1 = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"
CID_ABSENT = "QmP63DkAFEnDYNjDYBpyNDfttu1fvUw99x1brscPzpqmmq"


@dataclass
class FakeConsensus:
    """One peer of three that agrees with itself; ``error`` is what the next call raises."""

    pins: PinState = field(default_factory=PinState)
    role: Role = Role.LEADER
    leader: str | None = A
    error: RaftError | None = None
    timeouts_s: list[float | None] = field(default_factory=list)
    applied: int = 7
    changes: list[tuple[str, str]] = field(default_factory=list)
    """Calls that change members or leader, each with its argument."""
    suffrages: dict[str, Suffrage] = field(default_factory=dict)
    """Of members that are no voters."""
    snapshot_bytes: tuple[int, int] = (0, 0)
    """Sent to C, and in all."""
    is_removed: bool = False

    async def log_pin(self, pin: Pin, *, timeout_s: float | None = None) -> None:
        self._log(LogOp.pin(pin), timeout_s)

    async def log_unpin(self, pin: Pin, *, timeout_s: float | None = None) -> None:
        self._log(LogOp.unpin(pin), timeout_s)

    async def log_add_peer(self, multiaddr: str, *, timeout_s: float | None = None) -> None:
        self._change(("log_add_peer", multiaddr), timeout_s)

    async def add_peer(self, peer: PeerID, *, timeout_s: float | None = None) -> None:
        self._change(("add_peer", str(peer)), timeout_s)

    async def log_rm_peer(self, peer: PeerID, *, timeout_s: float | None = None) -> None:
        self._change(("log_rm_peer", str(peer)), timeout_s)

    async def transfer(self, target: PeerID | None, *, timeout_s: float) -> PeerID:
        self._change(("transfer", str(target or "")), timeout_s)
        return target or PeerID.parse(B)

    def _change(self, change: tuple[str, str], timeout_s: float | None) -> None:
        self.timeouts_s.append(timeout_s)
        if self.error is not None:
            raise self.error
        self.changes.append(change)

    def _log(self, op: LogOp, timeout_s: float | None) -> None:
        self.timeouts_s.append(timeout_s)
        if self.error is not None:
            raise self.error
        self.pins = self.pins.apply([op])
        self.applied += 1

    def state(self) -> PinState:
        return self.pins

    async def linearizable_state(self, *, timeout_s: float | None = None) -> PinState:
        self.timeouts_s.append(timeout_s)
        if self.error is not None:
            raise self.error
        if self.role is not Role.LEADER:
            raise NotLeader(ServerID(self.leader) if self.leader else None)
        return self.pins

    def peers(self) -> list[PeerID]:
        return sorted(map(PeerID.parse, (A, B, C)))

    def metrics(self) -> RaftMetrics:
        metrics = Metrics()
        metrics.turned(1.0, 1.03)
        metrics.observed(RoleChanged(Role.LEADER, Term(3)))
        return metrics.picture()

    def status(self) -> RaftStatus:
        applied = Index(self.applied)
        progress = PeerProgress(
            peer=ServerID(B),
            mode=ProgressMode.REPLICATE,
            match_index=applied,
            next_index=Index(applied + 1),
            lag_entries=0,
            inflight=0,
            inflight_bytes=0,
            last_contact_s=0.04,
            last_error="",
        )
        lagging = replace(
            progress,
            peer=ServerID(C),
            mode=ProgressMode.BACKING_OFF,
            match_index=Index(2),
            lag_entries=applied - 2,
            last_contact_s=12.3,
        )
        core = self._core_status(progress, lagging)
        links = self._links()
        return RaftStatus(
            core=core,
            links=links,
            is_disk_full=False,
            peers=peer_statuses(core, links, Growth(), 0.0),
        )

    def _core_status(self, progress: PeerProgress, lagging: PeerProgress) -> CoreStatus:
        servers = (ServerID(A), ServerID(B), ServerID(C))
        applied = Index(self.applied)
        return CoreStatus(
            server_id=ServerID(A),
            role=self.role,
            term=Term(3),
            leader=ServerID(self.leader) if self.leader else None,
            commit_index=applied,
            applied_index=applied,
            durable_index=applied,
            first_index=Index(1),
            last_index=applied,
            last_log_term=Term(3),
            snapshot_index=Index(0),
            snapshot_term=Term(0),
            configuration=Configuration(
                tuple(
                    Server(s, s, self.suffrages.get(s, Suffrage.VOTER))
                    for s in servers
                    if not (self.is_removed and s == A)
                )
            ),
            configuration_index=Index(1),
            configuration_committed=True,
            last_leader_contact_s=None if self.role is Role.LEADER else 0.02,
            peers=(progress, lagging) if self.role is Role.LEADER else (),
        )

    def _links(self) -> dict[ServerID, Link]:
        return {
            ServerID(B): Link(peer=ServerID(B), is_connected=True, last_error=""),
            ServerID(C): Link(
                peer=ServerID(C),
                is_connected=False,
                last_error="connection refused",
                snapshot_bytes_sent=self.snapshot_bytes[0],
                snapshot_bytes_total=self.snapshot_bytes[1],
            ),
        }


@dataclass
class FakeDirectory:
    """Knows three peers, the last of which is not reached."""

    peername: str = "node-a"

    def describe_self(self) -> PeerDescription:
        return PeerDescription(
            id=A,
            peername=self.peername,
            addresses=(f"/ip4/127.0.0.1/tcp/9096/p2p/{A}",),
            cluster_peers=(C, B, A),
            cluster_peers_addresses=(f"/ip4/127.0.0.1/tcp/9196/p2p/{B}",),
            version="1.2.3",
            rpc_protocol_version="/ipfscluster/1.0/rpc",
        )

    async def describe_peer(self, peer: PeerID) -> PeerDescription:
        return replace(self.describe_self(), id=str(peer), peername="node-x")

    async def describe_peers(self) -> Sequence[PeerDescription]:
        return [
            self.describe_self(),
            replace(self.describe_self(), id=B, peername="node-b"),
            PeerDescription(id=C, error="connection refused"),
        ]


def api_config(folder: Path, **changes: object) -> APIConfig:
    """Return the default API settings, with some fields replaced."""
    ServiceJSON.default(folder / "service.json").write()
    config = load_config(Folder(folder), {}).api
    return replace(config, **changes)  # type: ignore[arg-type]


@asynccontextmanager
async def api_client(consensus: FakeConsensus, folder: Path, **changes: object):
    """Yield an HTTP client of the API over ``consensus``, in memory."""
    app = build_app(
        consensus,
        FakeDirectory(),
        consensus,
        config=api_config(folder, **changes),
        version="1.2.3",
        replication=ReplicationFactors(),
        is_removed=lambda: consensus.is_removed,
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://peer") as client:
        yield client
