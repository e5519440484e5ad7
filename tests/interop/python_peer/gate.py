"""Shuts single peers out, in both directions, as the Go peer's ``gate.go``."""

from __future__ import annotations

from collections.abc import Collection

from libp2p.abc import INetConn, INetStream, INetwork, INotifee
from libp2p.peer.id import ID
from multiaddr import Multiaddr

from node.swarm.host import PeerSwarm
from raft_over_libp2p.transport.streams import PeerUnreachable
from raft_over_libp2p.types import ServerID

__all__ = ["Gate"]


class Gate(INotifee):
    """Dials for a swarm, but not to those blocked, and closes what these open."""

    def __init__(self, swarm: PeerSwarm, never_dial: Collection[ServerID]) -> None:
        self._swarm = swarm
        self.never_dial = frozenset(never_dial)
        """Peers that connect by themselves, and are not to be dialled."""
        self._blocked: set[ServerID] = set()
        swarm.host.get_network().register_notifee(self)

    async def dial(self, peer: ServerID, timeout_s: float) -> None:
        if peer in self._blocked:
            raise PeerUnreachable("shut out by the test")
        if peer in self.never_dial:
            raise PeerUnreachable("it is to connect by itself")
        await self._swarm.dial(peer, timeout_s)

    async def block(self, peer: ServerID) -> None:
        self._blocked.add(peer)
        await self._swarm.host.get_network().close_peer(ID.from_base58(peer))

    def unblock(self, peer: ServerID) -> None:
        self._blocked.discard(peer)

    async def connected(self, network: INetwork, conn: INetConn) -> None:
        if str(conn.muxed_conn.peer_id) in self._blocked:
            await conn.close()

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:
        pass

    async def opened_stream(self, network: INetwork, stream: INetStream) -> None:
        pass

    async def closed_stream(self, network: INetwork, stream: INetStream) -> None:
        pass

    async def listen(self, network: INetwork, multiaddr: Multiaddr) -> None:
        pass

    async def listen_close(self, network: INetwork, multiaddr: Multiaddr) -> None:
        pass
