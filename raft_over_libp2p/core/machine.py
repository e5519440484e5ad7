"""Raft as one plain object: events and times in, duties out. No I/O, no clock, no await.

Contract
--------
One owner calls a machine from one thread, in this loop::

    machine.handle(event, now)            # any number of times
    machine.handle_timer(now)             # when next_timer() <= now, after the events
    machine.propose(...) / read_index(...)
    ready = machine.take_ready()          # once a turn; do what core.ready says

``now`` is a monotonic clock in seconds and never goes back. Inputs are drained before
timers (mixed-cluster rule 22). Nothing that a peer sent makes a method raise; only broken
promises of the owner do (``InvariantViolation``, ``LocalProtocolError``).

When a write fails, drop the machine at once, handing out nothing more it produced: after
an I/O error stop the process (``DurabilityLost``); after a full disk build a new machine
from what is on the disk, with ``campaign_after_write`` and with the numbering continued
(``next_call``, ``next_batch``), so that this server leaves its leadership before anything
else (mixed-cluster rule 9).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from raft_over_libp2p import limits
from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core import (
    election,
    follower_reads,
    following,
    installing,
    leases,
    reconfiguration,
    replication,
    restoring,
    snapshot_sending,
    transfer,
    voting,
)
from raft_over_libp2p.core.calls import (
    AppendCall,
    HeartbeatCall,
    LeaseCall,
    ReadIndexCall,
    SnapshotCall,
    TimeoutNowCall,
    VoteCall,
)
from raft_over_libp2p.core.events import (
    Applied,
    CallFailed,
    ClockStoodStill,
    Event,
    PeerConnected,
    Persisted,
    RequestReceived,
    ResponseReceived,
    SnapshotNotStored,
    SnapshotNotTaken,
    SnapshotStored,
    SnapshotTaken,
)
from raft_over_libp2p.core.interfaces import ConfigurationCodec, InitialState, LogReader, Random
from raft_over_libp2p.core.leadership import Leadership
from raft_over_libp2p.core.membership_change import MembershipChange
from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    InstallSnapshotRequest,
    LeaseRequest,
    ReadIndexRequest,
    RequestPreVoteRequest,
    RequestVoteRequest,
    TimeoutNowRequest,
)
from raft_over_libp2p.core.ready import LeaderChanged, ReadRefused, Ready
from raft_over_libp2p.core.server import Server
from raft_over_libp2p.core.status import CoreStatus
from raft_over_libp2p.errors import (
    InvariantViolation,
    LocalProtocolError,
    NotLeader,
    ProposalRefused,
)
from raft_over_libp2p.types import (
    CONFIGURATION_TYPES,
    NO_INDEX,
    ZERO_GO_TIME,
    BatchID,
    CallID,
    Index,
    LogType,
    ServerID,
    Term,
)

__all__ = ["Machine"]

_LATE_S: Final = 0.1
"""A loop that is later than this re-arms its timers once: what it missed may wait in a queue."""

_ANSWER: Final[Mapping[type, Callable[[Server, CallID, ServerID, Any], None]]] = {
    AppendEntriesRequest: following.answer_append_entries,
    RequestVoteRequest: voting.answer_vote,
    RequestPreVoteRequest: voting.answer_pre_vote,
    TimeoutNowRequest: following.answer_timeout_now,
    InstallSnapshotRequest: installing.answer_install_snapshot,
    ReadIndexRequest: follower_reads.answer_read_index,
    LeaseRequest: leases.answer_lease,
}
"""What answers each kind of request, in every role."""


class Machine:
    """One Raft server (Raft Figure 2 and thesis 4, 6, 9.6), speaking hashicorp/raft's RPCs."""

    def __init__(
        self,
        *,
        server_id: ServerID,
        config: RaftConfig,
        log: LogReader,
        initial: InitialState,
        rng: Random,
        codec: ConfigurationCodec,
        now: float,
    ) -> None:
        """Start as a follower of ``initial``'s term, from what ``log`` and ``initial`` hold."""
        self._server = Server(
            server_id=server_id,
            config=config,
            log=log,
            initial=initial,
            rng=rng,
            codec=codec,
            now=now,
        )
        self._told_leader = LeaderChanged(None, self._server.term)
        self._on_event: dict[type, Callable[[Any], None]] = {
            RequestReceived: self._on_request,
            ResponseReceived: self._on_response,
            CallFailed: self._on_call_failed,
            PeerConnected: self._on_peer_connected,
            ClockStoodStill: self._on_clock_stood_still,
            Persisted: self._on_persisted,
            Applied: self._on_applied,
            SnapshotTaken: self._on_snapshot_taken,
            SnapshotNotTaken: self._on_snapshot_not_taken,
            SnapshotStored: self._on_snapshot_stored,
            SnapshotNotStored: self._on_snapshot_not_stored,
            **dict.fromkeys(restoring.EVENTS, partial(restoring.on_event, self._server)),
        }

    # -- inputs

    def handle(self, event: Event, now: float) -> None:
        """Take in one event. The one door: heartbeats come through it too."""
        self._server.now = now
        self._on_event[type(event)](event)

    def _on_request(self, event: RequestReceived) -> None:
        _ANSWER[type(event.request)](self._server, event.call, event.peer, event.request)

    def _on_response(self, event: ResponseReceived) -> None:
        server = self._server
        call = server.calls.pop(event.call, None)
        if isinstance(call, AppendCall):
            replication.on_append_answer(server, self._leadership, call, event.response)
        elif isinstance(call, HeartbeatCall):
            self._leadership.on_heartbeat_answer(call, event.response)
        elif isinstance(call, VoteCall):
            election.on_answer(server, call, event.response)
        elif isinstance(call, SnapshotCall):
            leadership = self._leadership
            snapshot_sending.on_snapshot_answer(server, leadership, call, event.response)
        elif isinstance(call, TimeoutNowCall):
            transfer.on_timeout_now_answer(server, call, event.response)
        elif isinstance(call, ReadIndexCall):
            follower_reads.on_answer(server, call, event.response)
        elif isinstance(call, LeaseCall):
            self._leadership.lease.on_answer(call, event.response)

    def _on_call_failed(self, event: CallFailed) -> None:
        server = self._server
        call = server.calls.pop(event.call, None)
        if isinstance(call, AppendCall):
            replication.on_append_failure(server, call, event.reason)
        elif isinstance(call, HeartbeatCall):
            self._leadership.on_heartbeat_failure(call, event.reason)
        elif isinstance(call, VoteCall):
            election.on_failure(server, call, is_hung_up=event.is_hung_up)
        elif isinstance(call, SnapshotCall):
            snapshot_sending.on_snapshot_failure(server, call, event.reason)
        elif isinstance(call, TimeoutNowCall):
            transfer.on_timeout_now_failure(server, call, event.reason)
        elif isinstance(call, ReadIndexCall):
            follower_reads.on_failure(server, call, is_unsupported=event.is_unsupported)
        elif isinstance(call, LeaseCall):
            self._leadership.lease.on_failure(call, is_unsupported=event.is_unsupported)

    def _on_peer_connected(self, event: PeerConnected) -> None:
        leadership = self._server.leadership
        if leadership is not None and (peer := leadership.peers.get(event.peer)) is not None:
            peer.failures = 0
            peer.retry()
            leadership.lease.connected(event.peer)
            replication.owe_commit_again(self._server, peer)

    def _on_clock_stood_still(self, _event: ClockStoodStill) -> None:
        if self._server.leadership is not None:
            self._server.leadership.lease.void()

    def _on_persisted(self, event: Persisted) -> None:
        server = self._server
        if event.batch <= server.writes.persisted_batch:
            return  # of a machine before this one, or covered already
        server.writes.persisted(event.batch)
        server.log.persisted(event.batch)
        server.is_held_back = False
        server.ready.send.extend(
            server.holding.release(server.writes.persisted_batch, server.log.durable_index)
        )
        election.on_persisted(server)
        if server.leadership is not None:
            server.leadership.advance_commit()

    def _on_applied(self, event: Applied) -> None:
        server = self._server
        if event.index > server.handed_index:
            raise LocalProtocolError(f"entry {event.index} was applied before it was handed out")
        server.applied_index = max(server.applied_index, event.index)
        server.membership.apply(server.applied_index)

    def _on_snapshot_taken(self, event: SnapshotTaken) -> None:
        self._server.snapshotting.on_taken(self._server, event.index)

    def _on_snapshot_not_taken(self, event: SnapshotNotTaken) -> None:
        self._server.snapshotting.on_not_taken(self._server, event.index, event.reason)

    def _on_snapshot_stored(self, event: SnapshotStored) -> None:
        installing.on_stored(self._server, event.call, event.meta)

    def _on_snapshot_not_stored(self, event: SnapshotNotStored) -> None:
        installing.on_not_stored(self._server, event.call, event.reason)

    @property
    def _leadership(self) -> Leadership:
        leadership = self._server.leadership
        if leadership is None:
            raise InvariantViolation("a leader's call outlived its leadership")
        return leadership

    def handle_timer(self, now: float) -> None:
        """Do what is due at ``now``; call it when ``next_timer()`` has come."""
        server = self._server
        is_late = now - self.next_timer() > _LATE_S
        server.now = now
        if is_late and not server.is_rearmed:
            # This process stood still, so others were not heard: give them one chance to be.
            server.is_rearmed = True
            self._rearm()
            return
        server.is_rearmed = is_late
        if server.leadership is not None:
            server.leadership.on_timer()
        elif now >= server.election_at:
            election.on_timeout(server)
        if now >= server.snapshotting.check_at:
            server.snapshotting.on_timer(server)
        transfer.on_timer(server)
        restoring.on_timer(server)

    def _rearm(self) -> None:
        server = self._server
        if server.leadership is not None:
            server.leadership.rearm()
        else:
            server.arm_election_timer()

    def next_timer(self) -> float:
        """Return when ``handle_timer`` must be called next; ``math.inf`` if never."""
        server = self._server
        leadership = server.leadership
        of_role = server.election_at if leadership is None else leadership.next_timer()
        of_transfer = math.inf if server.transfer is None else server.transfer.deadline
        of_restore = math.inf if server.restoring is None else server.restoring.deadline
        return min(of_role, server.snapshotting.check_at, of_transfer, of_restore)

    def propose(
        self,
        data: Sequence[bytes],
        now: float,
        *,
        type: LogType = LogType.COMMAND,  # noqa: A002
        extensions: bytes = b"",
        appended_at: bytes = ZERO_GO_TIME,
    ) -> tuple[Index, Term]:
        """Append one entry for each of ``data`` and return the first one's index and their term.

        They are durable and agreed on only when they come out in ``Ready.committed`` with
        that term; when another term's entry comes out at their index, they never will be.
        After a RoleChanged away from leader their outcome is unknown.

        Raises:
            NotLeader: nothing was appended.
            ProposalRefused: an entry is over ``MAX_ENTRY_DATA_BYTES`` or the uncommitted
                window is full; nothing was appended.
            LocalProtocolError: ``data`` is empty, or a configuration is proposed as data.

        """
        leadership = self._leading(now)
        self._server.check_takes_writes()
        if not data or type in CONFIGURATION_TYPES:
            raise LocalProtocolError("propose at least one entry, and none of type CONFIGURATION")
        largest = max(map(len, data)) + len(extensions)
        if largest > limits.MAX_ENTRY_DATA_BYTES:
            raise ProposalRefused(
                f"an entry of {largest} bytes is over the limit of {limits.MAX_ENTRY_DATA_BYTES}"
            )
        return leadership.append(type, data, extensions, appended_at)

    def _leading(self, now: float) -> Leadership:
        """Return the leadership, if this server leads and its disk does not stand still."""
        server = self._server
        server.now = now
        if server.leadership is None or server.is_write_overdue:
            raise NotLeader(None if server.leader == server.id else server.leader)
        return server.leadership

    def read_index(self, token: int, now: float) -> None:
        """Register a linearisable read (thesis 6.4, mixed-cluster rules 5 to 7).

        A ``ReadState`` or ``ReadRefused`` with ``token`` comes out of some later ``Ready``. Who
        does not lead asks the leader (``core.follower_reads``).

        Raises:
            NotLeader: this server does not lead, and knows of no leader.
            ProposalRefused: too many reads wait already.

        """
        server = self._server
        server.now = now
        if server.leadership is not None:
            server.leadership.register_read(token)
        else:
            follower_reads.register(server, token)

    def verify_leader(self, token: int, now: float) -> None:
        """Register a read that only this server's leadership, confirmed from now on, ends well.

        As :meth:`read_index`, but on a leader only, and never by its lease.

        Raises:
            NotLeader: this server does not lead.
            ProposalRefused: too many reads wait already.

        """
        server = self._server
        server.now = now
        if server.leadership is None:
            raise NotLeader(server.leader)
        server.leadership.register_read(token, by_lease=False)

    def change_membership(
        self, change: MembershipChange, now: float, *, prev_index: Index = NO_INDEX
    ) -> tuple[Index, Term]:
        """Append the configuration that ``change`` makes of the latest one (thesis 4.1).

        It holds at once, and is agreed on when its entry comes out in ``Ready.committed``
        with the returned index and term, like any other.

        Raises:
            NotLeader: nothing was appended.
            ProposalRefused: nothing was appended: another change is open, no entry of this
                term is committed yet, ``prev_index`` is given and is not the latest
                configuration's, a transfer is in progress, or hashicorp's rules forbid it.

        """
        leadership = self._leading(now)
        return reconfiguration.append_change(self._server, leadership, change, prev_index)

    def transfer_leadership(self, target: ServerID | None, now: float) -> ServerID:
        """Begin to hand over to ``target``, or to the best voter; return to whom (thesis 3.10).

        Proposals and changes are refused until the observation ``TransferEnded``, which comes
        within an election timeout.

        Raises:
            NotLeader: this server does not lead.
            ProposalRefused: a transfer is in progress, the target is no voter or was not heard
                lately, or there is none.

        """
        return transfer.begin(self._server, self._leading(now), target)

    def begin_restore(self, deadline: float, now: float) -> None:
        """Begin a restore that ends in ``RestoreEnded`` by ``deadline``; see ``core.restoring``.

        Raises:
            NotLeader, ProposalRefused: nothing was begun; says why.

        """
        self._leading(now)
        restoring.begin(self._server, deadline)

    def snapshot_now(self, now: float) -> bool:
        """Ask for a snapshot without waiting for the interval and the threshold.

        Return False if nothing was applied since the last one. Otherwise one comes out in
        ``Ready.take_snapshot`` when the state machine stands still between two batches.
        """
        self._server.now = now
        return self._server.snapshotting.want(self._server)

    def reload_config(self, config: RaftConfig, now: float) -> None:
        """Go by ``config`` from now on (hashicorp/raft ``ReloadConfig``); timers only get shorter."""
        self._server.now = now
        self._server.reload_config(config)

    # -- outputs

    def take_ready(self) -> Ready:
        """Return everything owed since the last call (see ``core.ready``) and forget it."""
        server = self._server
        if server.transfer is not None and server.leader not in {None, server.id}:
            server.end_transfer("")
        if server.leadership is not None:
            server.leadership.flush()
        follower_reads.ask(server)
        ready, server.ready = server.ready, Ready()
        ready.write = server.writes.take(server.hard_state, server.log, server.now)
        if server.snapshotting.is_due and server.applied_index == server.handed_index:
            server.snapshotting.take(server, ready)
        if not server.snapshotting.is_due:  # else the state machine must come to rest first
            self._hand_out_committed(ready)
        if server.refused_reads:
            ready.read_states.extend(ReadRefused(t, server.leader) for t in server.refused_reads)
            server.refused_reads.clear()
        told = self._told_leader
        if server.leader != told.leader or (server.leader and server.term != told.term):
            self._told_leader = LeaderChanged(server.leader, server.term)
            ready.observations.append(self._told_leader)
        return ready

    def _hand_out_committed(self, ready: Ready) -> None:
        # A leader may know more committed than it holds durably itself (thesis 10.2.1), but
        # nothing is applied that this server could lose (mixed-cluster rule 9).
        server = self._server
        last = min(server.commit_index, server.log.durable_index)
        count = min(last - server.handed_index, limits.MAX_APPLY_BATCH_ENTRIES)
        if count > 0:
            low = Index(server.handed_index + 1)
            entries, _ = server.log.entries(low, count, limits.MAX_INFLIGHT_APPEND_BYTES)
            ready.committed = list(entries)
            server.handed_index = entries[-1].index

    def status(self, now: float) -> CoreStatus:
        """Return a picture of this server at ``now``; costs some microseconds a peer."""
        server = self._server
        latest = server.membership.latest
        leadership = server.leadership
        contact = None if server.leader_contact is None else now - server.leader_contact
        peers = leadership.peers.values() if leadership is not None else ()
        return CoreStatus(
            server_id=server.id,
            role=server.role,
            term=server.term,
            leader=server.leader,
            commit_index=server.commit_index,
            applied_index=server.applied_index,
            durable_index=server.log.durable_index,
            first_index=server.log.first_index,
            last_index=server.log.last_index,
            last_log_term=server.log.last_term,
            snapshot_index=server.log.snapshot_index,
            snapshot_term=server.log.snapshot_term,
            configuration=latest.configuration,
            configuration_index=latest.index,
            configuration_committed=server.membership.is_latest_committed,
            last_leader_contact_s=None if leadership is not None else contact,
            transfer_target=None if server.transfer is None else server.transfer.target,
            lease_left_s=0.0 if leadership is None else leadership.lease.left_at(now),
            peers=tuple(
                peer.picture(server.log.last_index, now) for peer in peers if not peer.is_leaving
            ),
        )

    @property
    def next_call(self) -> CallID:
        """The number the next outgoing call would get."""
        return self._server.next_call

    @property
    def next_batch(self) -> BatchID:
        """The number the next write would get."""
        return self._server.writes.next_batch
