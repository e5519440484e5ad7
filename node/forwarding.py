"""An operation's way to whoever leads: here, or over RPC to the peer that does.

Only what was definitely not done is tried again. Between two attempts the cluster is given
the time of an election to see that the leader that was asked leads no more.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import trio

from keys.peer_id import PeerID
from node.rpc.client import CallNotSent, CallOutcomeUnknown, RemoteError, RpcClient
from node.rpc.outcome import error_of
from node.rpc.wire import ErrorType, ServiceID
from pinstate.state import PinState
from raft_over_libp2p.errors import NoLeader, NotLeader, OutcomeUnknown, ProposalRefused
from raft_over_libp2p.raft import Raft
from raft_over_libp2p.types import ServerID

__all__ = ["Forwarder", "RemoteCall"]

T = TypeVar("T")

_NO_METHOD: Final = "rpc: can't find method"


@dataclass(frozen=True, slots=True)
class RemoteCall:
    """A method of the leader's ``Consensus`` service, and its encoded argument."""

    method: str
    argument: bytes


class _LeaderNotReached(NoLeader):
    """Who was taken for the leader is not reached, or does not lead: worth another try."""


class Forwarder:
    """Has the leader do something, from whichever peer; ``raft`` is asked who that is."""

    def __init__(
        self,
        *,
        attempts: int,
        retry_delay_s: float,
        leader_timeout_s: float,
        network_timeout_s: float,
        election_s: float,
    ) -> None:
        """Try up to ``attempts`` times; ``election_s`` is how long an election takes at most."""
        self.client: RpcClient | None = None
        self.default_timeout_s = leader_timeout_s + network_timeout_s
        self._attempts = attempts
        self._retry_delay_s = retry_delay_s
        self._leader_timeout_s = leader_timeout_s
        self._network_timeout_s = network_timeout_s
        self._election_s = election_s

    async def at_leader(
        self,
        raft: Raft[bytes, PinState],
        here: Callable[[float], Awaitable[None]],
        remote: Sequence[RemoteCall],
        *,
        timeout_s: float | None,
        forwarded_by: PeerID | None,
    ) -> None:
        """Run ``here(seconds left)`` if this peer leads, else one of ``remote`` at who does.

        The calls of ``remote`` are tried in order until the leader has such a method: a Go
        leader lacks ours. ``forwarded_by`` is not asked back.

        Raises:
            NoLeader, ProposalRefused: definitely not done.
            OutcomeUnknown: maybe done.

        """
        timeout_s = self.default_timeout_s if timeout_s is None else timeout_s
        deadline = trio.current_time() + timeout_s
        for attempt in range(1, self._attempts + 1):
            asked = raft.leader()
            try:
                return await self._try(raft, here, remote, deadline, forwarded_by)
            except (NotLeader, _LeaderNotReached) as error:
                left_s = deadline - trio.current_time()
                if attempt == self._attempts or left_s <= self._retry_delay_s:
                    raise raft.no_leader(str(error)) from error
                await self._wait_for_other_leader(raft, asked, deadline)
        return None

    async def _wait_for_other_leader(
        self, raft: Raft[bytes, PinState], asked: ServerID | None, deadline: float
    ) -> None:
        await trio.sleep(self._retry_delay_s)
        with trio.move_on_at(min(deadline, trio.current_time() + self._election_s)):
            while raft.leader() == asked and asked != raft.server_id:
                await raft.changed()

    async def _try(
        self,
        raft: Raft[bytes, PinState],
        here: Callable[[float], Awaitable[None]],
        remote: Sequence[RemoteCall],
        deadline: float,
        forwarded_by: PeerID | None,
    ) -> None:
        left_s = deadline - trio.current_time()
        leader = raft.leader() or await raft.wait_for_leader(
            timeout_s=min(left_s, self._leader_timeout_s)
        )
        left_s = deadline - trio.current_time()
        if leader == raft.server_id:
            await here(left_s)
            return
        peer = PeerID.parse(leader)
        if peer == forwarded_by:
            # The caller is who we would ask: it has just stopped leading, or we are behind.
            raise NotLeader(None)
        await self._forward(peer, remote, min(left_s, self._network_timeout_s))

    async def _forward(
        self, leader: PeerID, remote: Sequence[RemoteCall], timeout_s: float
    ) -> None:
        if self.client is None:
            raise ProposalRefused(
                "this peer does not lead, and was given no RPC client to forward with"
            )
        for number, call in enumerate(remote, 1):
            service_id = ServiceID("Consensus", call.method)
            try:
                await self.client.call(leader, service_id, call.argument, timeout_s=timeout_s)
            except CallNotSent as error:
                raise _LeaderNotReached(str(error)) from error
            except CallOutcomeUnknown as error:
                raise OutcomeUnknown(f"the operation may be applied: {error}") from error
            except RemoteError as error:
                is_missing = error.error_type is ErrorType.SERVER and _NO_METHOD in str(error)
                if is_missing and number < len(remote):
                    continue
                told = error_of(str(error))
                if isinstance(told, NoLeader):
                    raise _LeaderNotReached(f"{leader} does not lead: {told}") from error
                raise told from error
            return
