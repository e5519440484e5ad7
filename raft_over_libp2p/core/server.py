"""The state of one Raft server (Raft Figure 2) and the few ways it changes.

Everything else in this package is rules over this state: :mod:`voting` and :mod:`following`
answer requests, :mod:`election` and :mod:`leadership` send them.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core.calls import PendingCall
from raft_over_libp2p.core.holding import Holding
from raft_over_libp2p.core.interfaces import ConfigurationCodec, InitialState, LogReader, Random
from raft_over_libp2p.core.leases import Promise
from raft_over_libp2p.core.log_view import LogView
from raft_over_libp2p.core.membership import Membership, PlacedConfiguration
from raft_over_libp2p.core.messages import ErrorResponse, Request, Response
from raft_over_libp2p.core.reads import FollowersRead
from raft_over_libp2p.core.ready import (
    Alarm,
    Call,
    ConfigurationChanged,
    HardState,
    Ready,
    Reply,
    RestoreEnded,
    Role,
    RoleChanged,
    TransferEnded,
)
from raft_over_libp2p.core.snapshotting import Snapshotting
from raft_over_libp2p.core.writes import Writes
from raft_over_libp2p.errors import ProposalRefused, invariant
from raft_over_libp2p.types import (
    NO_INDEX,
    NO_TERM,
    BatchID,
    CallID,
    Configuration,
    Index,
    LogEntry,
    ServerID,
    Term,
)

if TYPE_CHECKING:
    from raft_over_libp2p.core.calls import ReadIndexCall
    from raft_over_libp2p.core.election import Candidacy
    from raft_over_libp2p.core.installing import Installing
    from raft_over_libp2p.core.leadership import Leadership
    from raft_over_libp2p.core.restoring import Restoring
    from raft_over_libp2p.core.transfer import Transfer

__all__ = ["Server"]

_MAX_ALARMS_A_TERM = 64
"""A peer that is wrong in ever new ways is not told of for ever."""


class Server:
    """One server's state; ``now`` is the time of the input being handled."""

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
        self.id = server_id
        self.config = config
        self.rng = rng
        self.codec = codec
        self.now = now
        self.started_at = now

        self.role = Role.FOLLOWER
        self.leader: ServerID | None = None
        """Who leads as far as known; forgotten when nothing is heard for too long."""
        self.term_leader: ServerID | None = None
        """Who led the current term; remembered until the term ends (mixed-cluster rule 21)."""
        self.candidacy: Candidacy | None = None
        self.leadership: Leadership | None = None

        self.log = LogView(log, initial.snapshot)
        self.hard_state = initial.hard_state
        if self.log.last_term > self.hard_state.term:
            # A folder taken over from Go may have been torn; the log's term is a lower bound.
            self.hard_state = HardState(self.log.last_term, None)
        self.membership = self._initial_membership(initial)
        snapshot_index = initial.snapshot.index if initial.snapshot else NO_INDEX
        self.commit_index: Index = max(initial.applied_index, snapshot_index)
        invariant(self.commit_index <= self.log.last_index, "what is applied must be in the log")
        self.handed_index = self.commit_index
        """Last entry given to the state machine."""
        self.applied_index = self.commit_index
        self.membership.commit(self.commit_index)
        self.membership.apply(self.applied_index)
        self.was_member = self.membership.ever_had(self.id)
        """Whether it was in a configuration since it last told that it was removed."""

        self.writes = Writes(initial.first_batch)
        if self.hard_state != initial.hard_state:
            self.writes.owe_hard_state(is_new_term=True)
        self.holding = Holding()
        self.calls: dict[CallID, PendingCall] = {}
        self.next_call = initial.first_call
        self.ready = Ready()
        self.waiting_reads: list[int] = []
        """Reads of a server that does not lead, for the next request to the leader."""
        self.asked_reads: ReadIndexCall | None = None
        self.refused_reads: list[int] = []
        self.alarmed: set[tuple[ServerID | None, str]] = set()

        self.installing: Installing | None = None
        self.transfer: Transfer | None = None
        self.restoring: Restoring | None = None
        self.is_disputed = False
        """The cluster contradicts our snapshot (mixed-cluster rule 11)."""
        silent_s = config.election_timeout_s if config.lease_reads else 0.0
        self.promise = Promise(now + silent_s)
        self._watch_leaders(initial)
        check_at = now + self.random_timeout(config.snapshot_interval_s)
        self.snapshotting = Snapshotting(initial.snapshot, check_at)

    def _watch_leaders(self, initial: InitialState) -> None:
        """Begin to note who leads and when it was heard, and when to campaign."""
        self.last_contact = self.now
        """Last sign of a leader or granted vote: what the election timer goes by."""
        self.leader_contact: float | None = None
        """Last successful AppendEntries of a leader."""
        self.outvoted_term = NO_TERM
        """The newest term in which another led without this server's vote as a member."""
        self.began_blank = self.is_blank
        """The log was empty when this process began."""
        self.voted_blank = False
        """The last vote was given with an empty log, which qualifies anybody (rule 14)."""
        self.rounds_refused = 0
        """Campaigns in a row that a majority answered with no."""
        self.pre_votes_hung_up: Counter[ServerID] = Counter()
        """How often in a row each voter ended the stream instead of answering a pre-vote."""
        self.is_held_back = initial.campaign_after_write
        self.election_at = math.inf
        self.is_rearmed = False
        self.arm_election_timer()

    def _initial_membership(self, initial: InitialState) -> Membership:
        snapshot = initial.snapshot
        base = PlacedConfiguration(NO_INDEX, Configuration())
        if snapshot:
            base = PlacedConfiguration(snapshot.configuration_index, snapshot.configuration)
        later = [e for e in initial.configuration_entries if e.index > self.log.snapshot_index]
        return Membership(base, map(self.placed_configuration, later))

    def placed_configuration(self, entry: LogEntry) -> PlacedConfiguration:
        """Return the configuration that ``entry`` brings."""
        return PlacedConfiguration(entry.index, self.codec.decode(entry.data))

    # -- short words for what is asked often

    @property
    def term(self) -> Term:
        return self.hard_state.term

    @property
    def is_blank(self) -> bool:
        """Whether the log is empty: a server that was never part of a cluster."""
        return self.log.last_index == NO_INDEX

    def is_up_to_date(self, last_term: Term, last_index: Index) -> bool:
        """Tell whether a log with this end is at least as up to date as ours (Raft §5.4.1)."""
        return (last_term, last_index) >= (self.log.last_term, self.log.last_index)

    def quiet_s(self) -> float:
        """Return for how long no leader was heard, at most since this server started."""
        return self.now - (self.started_at if self.leader_contact is None else self.leader_contact)

    @property
    def is_write_overdue(self) -> bool:
        """Whether a write has been pending for more than an election timeout (rule 23)."""
        since = self.writes.pending_since
        return since is not None and self.now - since > self.config.election_timeout_s

    # -- outputs

    def call(self, peer: ServerID, request: Request, pending: PendingCall) -> None:
        """Send ``request`` to ``peer`` and remember what its answer will mean."""
        number = self.next_call
        self.next_call = CallID(number + 1)
        self.calls[number] = pending
        self.ready.send.append(Call(number, peer, request))

    def tell(self, peer: ServerID, request: Request) -> None:
        """Send ``request`` to ``peer``, whatever it answers."""
        self.ready.send.append(Call(self.next_call, peer, request))
        self.next_call = CallID(self.next_call + 1)

    def reply(self, call: CallID, response: Response) -> None:
        """Answer at once: for what states nothing that could be lost."""
        self.ready.send.append(Reply(call, response))

    def reply_stating_term(self, call: CallID, response: Response) -> None:
        """Answer when our term, which ``response`` states, is durable."""
        self._reply_when(call, response, self.writes.term_batch, NO_INDEX)

    def reply_stating_vote(self, call: CallID, response: Response) -> None:
        """Answer when our term and vote are durable, and the log that was judged."""
        self._reply_when(call, response, self.writes.vote_batch, NO_INDEX)

    def reply_acknowledging(self, call: CallID, response: Response, upto: Index) -> None:
        """Answer when our term is durable, and the log as it is now up to ``upto``."""
        self._reply_when(call, response, self.writes.term_batch, upto)

    def reply_after_next_write(self, call: CallID, response: Response) -> None:
        """Answer when what the next write holds is durable, and all before it."""
        self._reply_when(call, response, self.writes.next_batch, NO_INDEX)

    def _reply_when(self, call: CallID, response: Response, batch: BatchID, upto: Index) -> None:
        if batch <= self.writes.persisted_batch and upto <= self.log.durable_index:
            self.ready.send.append(Reply(call, response))
        else:
            self.holding.hold(call, response, batch, upto)

    def alarm(self, peer: ServerID | None, message: str) -> None:
        """Tell the operator, once for each text until the term changes."""
        if (peer, message) not in self.alarmed and len(self.alarmed) < _MAX_ALARMS_A_TERM:
            self.alarmed.add((peer, message))
            self.ready.observations.append(Alarm(peer, message))

    def observe_configuration(self) -> None:
        """Tell what the latest configuration now is."""
        latest = self.membership.latest
        self.ready.observations.append(
            ConfigurationChanged(
                latest.configuration, latest.index, self.membership.is_latest_committed
            )
        )

    # -- term, role, timers

    def enter_term(self, term: Term, vote: ServerID | None) -> None:
        """Go to a higher ``term``; it may be stated only when it is durable."""
        invariant(term > self.term, "a term only grows")
        self.hard_state = HardState(term, vote)
        self.term_leader = None
        self.alarmed.clear()
        self.writes.owe_hard_state(is_new_term=True)

    def vote_for(self, candidate: ServerID) -> None:
        """Vote in the current term; once given, a vote stays (Raft §5.2)."""
        invariant(self.hard_state.vote in {None, candidate}, "at most one vote a term")
        if self.hard_state.vote is None:
            self.hard_state = HardState(self.term, candidate)
            self.voted_blank = self.is_blank
            self.writes.owe_hard_state(is_new_term=False)

    def adopt_term(self, term: Term) -> None:
        """Follow in a higher ``term`` that somebody stated (Raft §5.1)."""
        self.enter_term(term, None)
        self.become_follower()

    def become_follower(self) -> None:
        """Stop leading or campaigning; the vote of this term stays."""
        if self.leadership is not None:
            self._refuse_reads(self.leadership)
            self.last_contact = self.leader_contact = self.now
        if self.transfer is not None and not self.transfer.is_sent:
            self.end_transfer("this server stopped leading before the other was ready")
        self.end_restore("this server leads no more")
        self.leadership = None
        self.candidacy = None
        self.calls.clear()
        self.leader = None
        if self.role is not Role.FOLLOWER:
            self.arm_election_timer()
            self.set_role(Role.FOLLOWER)

    def _refuse_reads(self, leadership: Leadership) -> None:
        for reader in leadership.reads.readers():
            if isinstance(reader, FollowersRead):
                self.reply(reader.call, ErrorResponse(error="this server leads no more"))
            else:
                self.refused_reads.append(reader)

    def end_transfer(self, error: str) -> None:
        """Tell how the transfer went; with an ``error`` this leader, if it is one, goes on."""
        if self.transfer is not None:
            self.ready.observations.append(TransferEnded(self.transfer.target, error))
            self.transfer = None

    def check_takes_writes(self) -> None:
        """Refuse what must wait while leadership, or the whole state, changes hands.

        Raises:
            ProposalRefused: says which of them does.

        """
        if self.transfer is not None:
            raise ProposalRefused("leadership transfer in progress")
        if self.restoring is not None:
            raise ProposalRefused("a restore is in progress")

    def end_restore(self, error: str) -> None:
        """Tell how the restore went; with an ``error`` it is dropped, and may be known to some."""
        restoring, self.restoring = self.restoring, None
        if restoring is not None:
            self.snapshotting.is_held_back = False
            self.ready.drop_restore = bool(error)
            is_unknown = bool(error) and restoring.is_sent
            self.ready.observations.append(RestoreEnded(error, is_unknown))

    def set_role(self, role: Role) -> None:
        """Take on ``role`` and tell of it."""
        self.role = role
        self.ready.observations.append(RoleChanged(role, self.term))

    def hear_leader(self) -> None:
        """Note a successful AppendEntries of our leader."""
        self.last_contact = self.leader_contact = self.now

    def random_timeout(self, timeout_s: float) -> float:
        """Return a time uniformly between ``timeout_s`` and twice that."""
        return self.rng.uniform(timeout_s, 2 * timeout_s)

    def arm_election_timer(self) -> None:
        """Wait a whole follower's timeout from now."""
        self.election_at = self.now + self.random_timeout(self.config.heartbeat_timeout_s)

    def reload_config(self, config: RaftConfig) -> None:
        """Go by ``config`` from now on; a timer that it would not set so late is set again."""
        self.config = config
        is_follower = self.role is Role.FOLLOWER
        wait_s = config.heartbeat_timeout_s if is_follower else config.election_timeout_s
        self.election_at = min(self.election_at, self.now + self.random_timeout(wait_s))
        snapshotting = self.snapshotting
        check_at = self.now + self.random_timeout(config.snapshot_interval_s)
        snapshotting.check_at = min(snapshotting.check_at, check_at)
        if self.leadership is not None:
            self.leadership.reload_config()

    # -- log

    def truncate(self, first_removed: Index) -> None:
        """Remove what conflicts with the leader's log, and what was held or decided on it."""
        invariant(first_removed > self.commit_index, "a committed entry is never removed")
        self.log.truncate(first_removed)
        self.holding.truncated(first_removed, self.term, self.writes.term_batch)
        if self.membership.truncate(first_removed):
            self.observe_configuration()

    def append_configuration(self, placed: PlacedConfiguration) -> None:
        """Take a configuration as the latest, as soon as its entry is in the log."""
        self.membership.append(placed)
        self.was_member = self.was_member or placed.configuration.has(self.id)
        self.observe_configuration()

    def commit_to(self, index: Index) -> None:
        """Raise the commit index."""
        invariant(
            self.commit_index <= index <= self.log.last_index,
            "the commit index never falls and never passes the log",
        )
        self.commit_index = index
        if self.membership.commit(index):
            self.observe_configuration()
