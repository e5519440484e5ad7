"""How a new peer comes into a running cluster: it asks a member, until it votes.

A Python member takes the newcomer's address along (``Consensus.LogAddPeer``), so that any
leader finds it. A Go member knows ``Cluster.PeerAdd`` only, and its leader has to find the
newcomer by its connections: the newcomer connects to every member before it asks.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import trio
from multiaddr import Multiaddr

from keys.peer_id import PeerID
from node import limits
from node.config.peer_multiaddr import split_peer_address
from node.errors import ExitCode, NodeError
from node.own_addresses import best_address
from node.peer_description import PeerDescription, decode_description
from node.rpc.client import CallNotSent, CallOutcomeUnknown, RemoteError, RpcClient
from node.rpc.wire import ErrorType, ServiceID, encode_bytes, encode_peer_id
from node.swarm.dialing import DialFailed
from raft_over_libp2p.core.status import CoreStatus
from raft_over_libp2p.errors import MalformedMessage
from raft_over_libp2p.raft import RaftStatus

if TYPE_CHECKING:
    from node.swarm.host import PeerSwarm

__all__ = ["JoinFailed", "Joiner"]

logger = logging.getLogger(__name__)

_ASK_S: Final = 15.0
"""For one call: a Python member answers within 10 s, also while the newcomer catches up."""
_DIAL_S: Final = 5.0
_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 15.0
_PROGRESS_S: Final = 2.0
"""How often a person is told how far it has caught up."""
_EMPTY_STRUCT: Final = b"\x80"


class JoinFailed(NodeError):
    """No member added this peer; nothing was changed in its folder."""

    exit_code = ExitCode.NOT_DONE


class _NotYet(Exception):
    """This attempt did not make the peer a member; the text says why."""


class Joiner:
    """Brings one peer into the cluster of given members."""

    def __init__(
        self,
        swarm: PeerSwarm,
        client: RpcClient,
        members: Sequence[str],
        own_addresses: Sequence[str],
        status: Callable[[], RaftStatus],
        tell: Callable[[str], None],
    ) -> None:
        """Ask ``members``, full multiaddrs, in turn; ``tell`` says to a person how it goes."""
        self._swarm = swarm
        self._client = client
        self._members = members
        self._own = own_addresses
        self._status = status
        self._tell = tell
        self._own_id = swarm.peer_id

    async def join(self) -> None:
        """Return when this peer votes.

        Raises:
            JoinFailed: it is no member after ``JOIN_GIVE_UP_S``; says what the last one said.

        """
        started = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._ask_until_member, started)
            await self._wait_until_voter()
            nursery.cancel_scope.cancel()
        self._tell(f"votes after {trio.current_time() - started:.1f} s")

    async def _ask_until_member(self, started: float) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            why = []
            for member in self._members:
                try:
                    await self._ask(member)
                except _NotYet as error:
                    why.append(str(error))
                if self._is_member():
                    return
            reason = "; ".join(why) or "no word from the leader yet"
            if trio.current_time() - started > limits.JOIN_GIVE_UP_S:
                raise JoinFailed(
                    f"no member added this peer within {limits.JOIN_GIVE_UP_S:g} s: {reason}. "
                    "Start it again when that is mended, or name other members with "
                    "`raft-node init --force --join`."
                )
            self._tell(f"not added yet: {reason}; asking again in {pause_s:g} s")
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _ask(self, member: str) -> None:
        """Have one member add this peer, unless it is a member already."""
        peer_text, address = split_peer_address(member)
        peer = PeerID.parse(peer_text)
        try:
            await self._swarm.connect(peer, [Multiaddr(address)], timeout_s=_DIAL_S)
        except DialFailed as error:
            raise _NotYet(f"{member} is not reached: {error}") from error
        described = await self._describe(peer)
        for line in described.cluster_peers_addresses:
            self._remember(line)
        if str(self._own_id) in described.cluster_peers:
            self._tell(f"{peer} says that this peer is a member already")
            return
        own = best_address(self._own, towards=address)
        self._tell(f"asking {peer} to add {own}/p2p/{self._own_id}")
        if own is None or not await self._log_add_peer(peer, own):
            await self._connect_to_all(described)
            await self._call(peer, ServiceID("Cluster", "PeerAdd"))

    async def _describe(self, peer: PeerID) -> PeerDescription:
        service_id = ServiceID("Cluster", "ID")
        try:
            reply = await self._client.call(peer, service_id, _EMPTY_STRUCT, timeout_s=_ASK_S)
            return decode_description(reply)
        except (CallNotSent, CallOutcomeUnknown, RemoteError, MalformedMessage) as error:
            raise _NotYet(f"{peer} does not say who it is: {error}") from error

    async def _log_add_peer(self, peer: PeerID, own: str) -> bool:
        """Ask a Python member; returns False when the member is of another kind."""
        argument = encode_bytes(Multiaddr(f"{own}/p2p/{self._own_id}").to_bytes())
        service_id = ServiceID("Consensus", "LogAddPeer")
        try:
            await self._client.call(peer, service_id, argument, timeout_s=_ASK_S)
        except RemoteError as error:
            if error.error_type is ErrorType.SERVER:
                return False
            raise _NotYet(f"{peer} answers: {error}") from error
        except (CallNotSent, CallOutcomeUnknown) as error:
            raise _NotYet(f"{peer}: {error}") from error
        return True

    async def _call(self, peer: PeerID, service_id: ServiceID) -> None:
        argument = encode_peer_id(self._own_id.multihash)
        try:
            await self._client.call(peer, service_id, argument, timeout_s=_ASK_S)
        except (CallNotSent, CallOutcomeUnknown, RemoteError) as error:
            raise _NotYet(f"{peer} answers: {error}") from error

    async def _connect_to_all(self, described: PeerDescription) -> None:
        async with trio.open_nursery() as nursery:
            for member in described.cluster_peers:
                if member != str(self._own_id):
                    nursery.start_soon(self._connect, PeerID.parse(member))

    async def _connect(self, peer: PeerID) -> None:
        try:
            await self._swarm.connect(peer, timeout_s=_DIAL_S)
        except DialFailed as error:
            logger.debug("%s is not reached before joining: %s", peer, error)

    def _remember(self, line: str) -> None:
        try:
            peer, address = split_peer_address(line)
        except ValueError:
            return
        if peer != str(self._own_id):
            self._swarm.remember(PeerID.parse(peer), [Multiaddr(address)])

    def _is_member(self) -> bool:
        core = self._status().core
        return core.configuration.has(core.server_id)

    async def _wait_until_voter(self) -> None:
        """Return when this peer votes; says now and then how far it is."""
        said = ""
        while True:
            with trio.move_on_after(_PROGRESS_S):
                await self._until_voter()
                return
            core = self._status().core
            if core.leader is not None and (how_far := _how_far(core)) != said:
                self._tell(how_far)
                said = how_far

    async def _until_voter(self) -> None:
        while True:
            core = self._status().core
            if core.leader is not None and core.configuration.is_voter(core.server_id):
                return
            await trio.sleep(0.05)


def _how_far(core: CoreStatus) -> str:
    kind = "a member without a vote" if core.configuration.has(core.server_id) else "catching up"
    return (
        f"{kind}: applied {core.applied_index} of {core.commit_index} entries, "
        f"snapshot at {core.snapshot_index}"
    )
