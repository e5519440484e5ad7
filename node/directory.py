"""Who is in the cluster, and what each peer says of itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import trio

from keys.peer_id import PeerID
from node.peer_description import (
    IPFSDescription,
    PeerDescription,
    decode_description,
    encode_description,
)
from node.rpc.client import CallNotSent, CallOutcomeUnknown, RemoteError, RpcClient
from node.rpc.wire import PROTOCOL_ID, ServiceID
from raft_over_libp2p.errors import RemoteProtocolError

__all__ = ["Directory"]

_ASK_S: Final = 5.0
"""How long one peer has to say who it is; they are asked at the same time."""
_NO_IPFS: Final = IPFSDescription(error="no IPFS daemon is attached to this peer")
_EMPTY_STRUCT: Final = b"\x80"


class Directory:
    """Describes this peer, and asks the members for their own descriptions."""

    def __init__(
        self,
        *,
        own: PeerID,
        peername: str,
        version: str,
        addresses: Callable[[], Sequence[str]],
        members: Callable[[], list[PeerID]],
        known: Callable[[], Sequence[str]],
        client: RpcClient,
    ) -> None:
        """Take what gives the moment's facts: this peer's full multiaddrs, the members, and the
        full multiaddrs known of others.
        """
        self._own = own
        self._peername = peername
        self._version = version
        self._addresses = addresses
        self._members = members
        self._known = known
        self._client = client

    def describe_self(self) -> PeerDescription:
        """Return what this peer says of itself."""
        members = [str(peer) for peer in self._members()]
        return PeerDescription(
            id=str(self._own),
            addresses=tuple(self._addresses()),
            cluster_peers=tuple(members),
            cluster_peers_addresses=tuple(
                line for line in self._known() if line.rpartition("/")[2] in members
            ),
            version=self._version,
            rpc_protocol_version=PROTOCOL_ID,
            ipfs=_NO_IPFS,
            peername=self._peername,
        )

    def encoded_self(self) -> bytes:
        """Return the reply to ``Cluster.ID``."""
        return encode_description(self.describe_self())

    async def describe_peer(self, peer: PeerID) -> PeerDescription:
        """Return one peer; one that does not answer carries ``error``."""
        found: dict[PeerID, PeerDescription] = {}
        await self._describe_into(peer, found)
        return found[peer]

    async def describe_peers(self) -> Sequence[PeerDescription]:
        """Return every member, sorted by ID; one that does not answer carries ``error``."""
        found: dict[PeerID, PeerDescription] = {}
        async with trio.open_nursery() as nursery:
            for peer in self._members():
                nursery.start_soon(self._describe_into, peer, found)
        return [found[peer] for peer in sorted(found)]

    async def _describe_into(self, peer: PeerID, found: dict[PeerID, PeerDescription]) -> None:
        if peer == self._own:
            found[peer] = self.describe_self()
            return
        try:
            reply = await self._client.call(
                peer, ServiceID("Cluster", "ID"), _EMPTY_STRUCT, timeout_s=_ASK_S
            )
            found[peer] = decode_description(reply)
        except (CallNotSent, CallOutcomeUnknown, RemoteError, RemoteProtocolError) as error:
            found[peer] = PeerDescription(id=str(peer), error=str(error))
