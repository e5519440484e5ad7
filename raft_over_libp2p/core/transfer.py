"""How a leader hands over (thesis 3.10; mixed-cluster rules 21 and 23).

The leader takes in nothing new, brings the target's log up to its own, sees a fresh success
that says so, and sends TimeoutNow: a Go follower asked too early campaigns with a log that
cannot win, and unseats the leader. All of it ends within one election timeout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from raft_over_libp2p.core.calls import AppendCall, TimeoutNowCall
from raft_over_libp2p.core.messages import ErrorResponse, Response, TimeoutNowRequest
from raft_over_libp2p.core.progress import Progress
from raft_over_libp2p.core.replication import send_empty
from raft_over_libp2p.core.server import Server
from raft_over_libp2p.errors import ProposalRefused
from raft_over_libp2p.types import ServerID

if TYPE_CHECKING:
    from raft_over_libp2p.core.leadership import Leadership

__all__ = [
    "Transfer",
    "begin",
    "go_on",
    "on_timeout_now_answer",
    "on_timeout_now_failure",
    "on_timer",
    "step_aside",
]


@dataclass(slots=True)
class Transfer:
    """A transfer that was asked for; it outlives the leadership until another leads."""

    peer: Progress
    began_at: float
    deadline: float
    is_fresh: bool = False
    """The target answered an append with success since it began."""
    is_sent: bool = False

    def on_success(self, call: AppendCall) -> None:
        """Note a success of the target that was asked for since the transfer began."""
        if call.progress is self.peer and call.sent_at >= self.began_at:
            self.is_fresh = True

    @property
    def target(self) -> ServerID:
        return self.peer.peer


def begin(server: Server, leadership: Leadership, target: ServerID | None) -> ServerID:
    """Begin to hand over to ``target``, or to the voter whose log is the longest.

    Raises:
        ProposalRefused: nothing was begun.

    """
    server.check_takes_writes()
    peer = _best(server, leadership) if target is None else _named(server, leadership, target)
    deadline = server.now + server.config.election_timeout_s
    server.transfer = Transfer(peer, server.now, deadline)
    # Before TimeoutNow: the target may lead as soon as that is sent (mixed-cluster rule 6).
    leadership.lease.give_back()
    return peer.peer


def _is_heard(server: Server, peer: Progress) -> bool:
    return server.now - peer.contact <= server.config.leader_lease_timeout_s


def _best(server: Server, leadership: Leadership) -> Progress:
    heard = [peer for peer in leadership.voters if _is_heard(server, peer)]
    if not heard:
        raise ProposalRefused("there is no other voter that was heard lately")
    return max(heard, key=lambda peer: (peer.has_answered, peer.match_index))


def _named(server: Server, leadership: Leadership, target: ServerID) -> Progress:
    if target == server.id:
        raise ProposalRefused("cannot transfer leadership to itself")
    for peer in leadership.voters:
        if peer.peer == target:
            if _is_heard(server, peer):
                return peer
            raise ProposalRefused(f"{target} was not heard for {server.now - peer.contact:.1f} s")
    raise ProposalRefused(f"{target} is not a voter of this cluster")


def go_on(server: Server, leadership: Leadership) -> None:
    """Do the next step that is possible: ask the target where it is, or tell it to campaign."""
    transfer = server.transfer
    if transfer is None or transfer.is_sent:
        return
    peer = transfer.peer
    if leadership.peers.get(peer.peer) is not peer:
        server.end_transfer(f"{peer.peer} lost its log")
    elif transfer.is_fresh and peer.match_index == server.log.last_index:
        transfer.is_sent = True
        server.call(peer.peer, TimeoutNowRequest(), TimeoutNowCall(transfer))
    elif not peer.inflight:
        send_empty(server, leadership, peer)


def on_timeout_now_answer(server: Server, call: TimeoutNowCall, response: Response) -> None:
    """End if the target will not campaign; else its higher term, or the time, ends this."""
    if server.transfer is call.transfer and isinstance(response, ErrorResponse):
        server.end_transfer(f"{call.transfer.target} refused: {response.error}")


def on_timeout_now_failure(server: Server, call: TimeoutNowCall, reason: str) -> None:
    """End: it is not known whether the target campaigns, and if it does, that is seen."""
    if server.transfer is call.transfer:
        server.end_transfer(f"{call.transfer.target} did not answer: {reason}")


def on_timer(server: Server) -> None:
    """End what took longer than an election timeout."""
    transfer = server.transfer
    if transfer is not None and server.now >= transfer.deadline:
        duration_s = server.config.election_timeout_s
        server.end_transfer(f"{transfer.target} did not take over within {duration_s} s")


def step_aside(server: Server, leadership: Leadership) -> None:
    """Stop leading at once, and have a voter campaign whose log is as long as ours (rule 23).

    There may be none; then an election timeout passes before another leads.
    """
    last_index = server.log.last_index
    leadership.lease.give_back()
    # One that holds more has the snapshot of a restore that was begun and cannot be ended here.
    for peer in sorted(leadership.voters, key=lambda peer: peer.match_index, reverse=True):
        if peer.match_index >= last_index and _is_heard(server, peer):
            server.tell(peer.peer, TimeoutNowRequest())
            break
    server.become_follower()
