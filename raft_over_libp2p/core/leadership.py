"""One reign: heartbeats, the leader's lease, reads, and the commit index (Raft §5.3, thesis 6)."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence

from raft_over_libp2p import limits
from raft_over_libp2p.core import learning, replication, restoring, snapshot_sending, transfer
from raft_over_libp2p.core.calls import HeartbeatCall
from raft_over_libp2p.core.commitment import next_commit_index
from raft_over_libp2p.core.leases import Lease
from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotResponse,
    ReadIndexResponse,
    Response,
)
from raft_over_libp2p.core.progress import Progress
from raft_over_libp2p.core.quorum import reached_by_majority
from raft_over_libp2p.core.reads import FollowersRead, Reader, Reads
from raft_over_libp2p.core.ready import HeartbeatFailed, HeartbeatResumed, ReadState, Role
from raft_over_libp2p.core.server import Server
from raft_over_libp2p.core.status import ProgressMode
from raft_over_libp2p.errors import ProposalRefused
from raft_over_libp2p.types import ZERO_GO_TIME, Index, LogEntry, LogType, ServerID, Suffrage, Term

__all__ = ["Leadership", "begin"]

MAX_INFLIGHT_HEARTBEATS = 64
"""To one peer: what a silent one gathers until the transport gives up its calls."""
TELL_REMOVED_S = 10.0
"""From the commitment of a removal on: how long a server that does not answer is told of it."""
_HEARTBEATS_PER_TIMEOUT = 10


def begin(server: Server) -> None:
    """Become the leader of the current term, whose vote is durable, and append its no-op."""
    server.candidacy = None
    server.end_transfer("this server leads again")
    server.calls.clear()
    server.leader = server.term_leader = server.id
    server.set_role(Role.LEADER)
    server.leadership = Leadership(server)
    server.leadership.send_heartbeats()
    server.leadership.append(LogType.NOOP, (b"",))


class Leadership:
    """What a leader keeps for its term, and loses with it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.term_start = Index(server.log.last_index + 1)
        """The first entry of this term: nothing is committed by counting below it."""
        self.reads = Reads()
        self.lease = Lease(self)
        self.peers: dict[ServerID, Progress] = {}
        self.voters: list[Progress] = []
        self.is_voter = False
        self.has_learners = False
        self.uncommitted_bytes = 0
        self._proposed: deque[tuple[Index, int]] = deque()
        self.heartbeat_at = math.inf
        self.began_at = server.now
        self.quorum_at = server.now + server.config.leader_lease_timeout_s
        self.use_configuration(self.term_start)

    def use_configuration(self, next_index: Index) -> None:
        """Send to the members, and count the voters, of the latest configuration.

        Who is new gets the log from ``next_index`` on, as a first guess. Who is no member
        any more is sent its removal until it knows that this is agreed on.
        """
        server = self.server
        latest = server.membership.latest
        back_off_cap_s = server.config.heartbeat_timeout_s
        for peer in latest.configuration.ids:
            known = self.peers.get(peer)
            if peer != server.id and (known is None or known.is_leaving):
                self.peers[peer] = Progress(peer, next_index, server.now, back_off_cap_s)
        for peer, known in self.peers.items():
            if not known.is_leaving and not latest.configuration.has(peer):
                known.removal = latest.index
        voters = latest.configuration.voters
        self.voters = [self.peers[peer] for peer in voters if peer != server.id]
        self.is_voter = latest.configuration.is_voter(server.id)
        members = latest.configuration.servers
        self.has_learners = any(member.suffrage is Suffrage.STAGING for member in members)

    def _let_go(self) -> None:
        """Forget who left and knows it, and who does not answer to its removal."""
        server = self.server
        for peer in list(self.peers.values()):
            if peer.removal is None:
                continue
            if server.commit_index >= peer.removal:
                peer.forgotten_at = min(peer.forgotten_at, server.now + TELL_REMOVED_S)
            if peer.commit_told >= peer.removal or server.now >= peer.forgotten_at:
                del self.peers[peer.peer]

    def start_over(self, peer: Progress, next_index: Index) -> None:
        """Forget what ``peer`` acknowledged: it lost its log, and calls to it mean nothing now."""
        fresh = Progress(peer.peer, next_index, peer.contact, peer.back_off_cap_s)
        fresh.has_answered, fresh.is_silent = peer.has_answered, peer.is_silent
        fresh.removal, fresh.forgotten_at = peer.removal, peer.forgotten_at
        self.peers[peer.peer] = fresh
        self.use_configuration(next_index)

    # -- the log

    def append(
        self,
        type_: LogType,
        data: Sequence[bytes],
        extensions: bytes = b"",
        appended_at: bytes = ZERO_GO_TIME,
    ) -> tuple[Index, Term]:
        """Append an entry for each of ``data``; return the first one's index and their term.

        Raises:
            ProposalRefused: too many bytes wait for a majority; nothing was appended.

        """
        server = self.server
        term, first = server.term, server.log.last_index + 1
        entries = [
            LogEntry(Index(index), term, type_, payload, extensions, appended_at)
            for index, payload in enumerate(data, first)
        ]
        overhead = entries[0].size - len(data[0])
        size = sum(map(len, data)) + overhead * len(data)
        if self.uncommitted_bytes and self.uncommitted_bytes + size > limits.MAX_UNCOMMITTED_BYTES:
            raise ProposalRefused(
                f"{self.uncommitted_bytes} bytes of entries wait for a majority; "
                f"at most {limits.MAX_UNCOMMITTED_BYTES} may: try again later"
            )
        server.log.append(entries)
        self.uncommitted_bytes += size
        self._proposed.append((entries[-1].index, size))
        return Index(first), term

    def restored(self, index: Index) -> None:
        """Go on behind a snapshot at ``index``, agreed on, that took the place of the log."""
        self._proposed.clear()
        self.uncommitted_bytes = 0
        for peer in self.peers.values():
            if not peer.is_installing:
                peer.probe(Index(index + 1))
            replication.owe_commit(self.server, peer)

    def has_own_term_commit(self) -> bool:
        """Tell whether an entry of this term is committed."""
        return self.server.commit_index >= self.term_start

    def advance_commit(self) -> None:
        """Commit what a majority of voters durably holds (Raft §5.3, §5.4.2)."""
        server = self.server
        matches = [peer.match_index for peer in self.voters]
        if self.is_voter:
            matches.append(server.log.durable_index)
        if server.restoring is not None:
            # A voter may hold the restored snapshot, which this server does not hold yet.
            matches = [min(match, server.log.last_index) for match in matches]
        index = next_commit_index(
            matches, term_start=self.term_start, commit_index=server.commit_index
        )
        if index is None:
            return
        server.commit_to(index)
        while self._proposed and self._proposed[0][0] <= index:
            self.uncommitted_bytes -= self._proposed.popleft()[1]
        for peer in self.peers.values():
            replication.owe_commit(server, peer)
        if self.reads.is_waiting:
            self.reads.has_own_term_commit(index)
            self.confirm_reads()
        if server.membership.is_latest_committed and not self.is_voter:
            # Our removal (or demotion) is agreed on: a leader that is no voter ends (4.2.2).
            transfer.step_aside(server, self)

    def oldest_snapshot_sent(self) -> Index:
        """Return the index of the oldest snapshot that is on its way; the newest one if none is."""
        pinned = (peer.snapshot_pinned for peer in self.peers.values())
        sent = [meta.index for meta in pinned if meta is not None]
        return min(sent, default=self.server.log.snapshot_index)

    # -- reads

    def register_read(self, reader: Reader, *, by_lease: bool = True) -> None:
        """Take in a linearisable read; while a lease holds (and ``by_lease``) it ends at once.

        Raises:
            ProposalRefused: too many reads wait already.

        """
        if by_lease and self.lease.left_at(self.server.now) > 0:
            self._hand_out(reader, self.server.commit_index)
            return
        is_known = self.has_own_term_commit()
        self.reads.register(reader, self.server.commit_index if is_known else None)
        if not self.voters:
            self.confirm_reads()

    def confirm_reads(self) -> None:
        """Hand out the reads that a majority of voters confirmed."""
        acknowledged = [peer.acknowledged_read for peer in self.voters]
        if self.is_voter:
            acknowledged.append(self.reads.newest)
        for reader, index in self.reads.confirm(reached_by_majority(acknowledged, 0)):
            self._hand_out(reader, index)

    def _hand_out(self, reader: Reader, index: Index) -> None:
        server = self.server
        if isinstance(reader, FollowersRead):
            server.reply(reader.call, ReadIndexResponse(term=server.term, index=index))
        else:
            server.ready.read_states.append(ReadState(reader, index))

    # -- heartbeats and the lease

    def send_heartbeats(self) -> None:
        """Send one to each member, whatever else is on its way to it (rule 17)."""
        server = self.server
        interval_s = server.config.heartbeat_timeout_s / _HEARTBEATS_PER_TIMEOUT
        self.heartbeat_at = server.now + server.random_timeout(interval_s)
        self.reads.round_began()
        request = AppendEntriesRequest(term=server.term, leader=server.id)
        for peer in self.peers.values():
            if peer.heartbeats_inflight < MAX_INFLIGHT_HEARTBEATS:
                peer.heartbeats_inflight += 1
                server.call(peer.peer, request, HeartbeatCall(peer, server.now, self.reads.newest))
        self.lease.ask()

    def on_heartbeat_answer(self, call: HeartbeatCall, response: Response) -> None:
        """Take in an answer to a heartbeat."""
        peer = call.progress
        peer.heartbeats_inflight -= 1
        if not isinstance(response, AppendEntriesResponse):
            return
        if not self.note_answer(peer, response, call.sent_at, call.newest_read):
            return
        if peer.is_unreachable:
            peer.retry()
        if peer.mode is not ProgressMode.BACKING_OFF:
            peer.last_error = ""

    def on_heartbeat_failure(self, call: HeartbeatCall, reason: str) -> None:
        """Note that a heartbeat got no answer; the next one goes out in its time."""
        peer = call.progress
        peer.heartbeats_inflight -= 1
        peer.fail(self.server.now, reason)
        if self.peers.get(peer.peer) is peer:
            replication.owe_commit_again(self.server, peer)

    def note_answer(
        self,
        peer: Progress,
        response: AppendEntriesResponse | InstallSnapshotResponse,
        sent_at: float,
        newest_read: int,
    ) -> bool:
        """Draw from an answer what each kind says; False if it counts for nothing more."""
        server = self.server
        if self.peers.get(peer.peer) is not peer:
            return False  # removed since: its term is not ours to follow
        if response.term > server.term:
            if not peer.is_leaving:
                server.adopt_term(response.term)
            return False
        if response.term < server.term:
            return False
        # Contact is when we asked, not when the answer came: it may have been long on its way.
        peer.contact = max(peer.contact, sent_at)
        peer.has_answered = True
        if peer.is_silent:
            peer.is_silent = False
            server.ready.observations.append(HeartbeatResumed(peer.peer))
        if newest_read > peer.acknowledged_read and _is_of_a_follower(response):
            peer.acknowledged_read = newest_read
            if self.reads.is_waiting:
                self.confirm_reads()
        return True

    def has_quorum_contact(self) -> float:
        """Return since when a majority of voters has been in contact."""
        contacts = [peer.contact for peer in self.voters]
        if self.is_voter:
            contacts.append(self.server.now)
        return reached_by_majority(contacts, -math.inf)

    # -- time

    def next_timer(self) -> float:
        """Return when this leader has something to do."""
        times = [self.heartbeat_at, self.quorum_at, self._disk_deadline()]
        times.extend([min(peer.retry_at, peer.commit_at) for peer in self.peers.values()])
        return min(times)

    def reload_config(self) -> None:
        """Speak to the followers at once: their timers may be shorter now."""
        self.heartbeat_at = self.server.now
        for peer in self.peers.values():
            peer.back_off_cap_s = self.server.config.heartbeat_timeout_s

    def rearm(self) -> None:
        """Give voters one more lease to be heard, and speak to them at once."""
        self.quorum_at = self.server.now + self.server.config.leader_lease_timeout_s
        self.heartbeat_at = self.server.now

    def _disk_deadline(self) -> float:
        since = self.server.writes.pending_since
        if since is None:
            return math.inf
        return since + self.server.config.election_timeout_s

    def on_timer(self) -> None:
        """Do what is due: step down without a quorum or a disk, else keep in touch."""
        server = self.server
        if server.now >= self.quorum_at:
            self.quorum_at = self.has_quorum_contact() + server.config.leader_lease_timeout_s
        if server.now >= self.quorum_at or server.now >= self._disk_deadline():
            # No majority answers (thesis 6.2), or our own write stands still (rule 23).
            transfer.step_aside(server, self)
            return
        if server.now >= self.heartbeat_at:
            self._let_go()
            self.send_heartbeats()
            self._note_silence()
        for peer in self.peers.values():
            if server.now >= peer.retry_at:
                peer.retry()
            if server.now >= peer.commit_at:
                replication.tell_commit(server, self, peer)

    def _note_silence(self) -> None:
        server = self.server
        for peer in self.peers.values():
            is_silent = server.now - peer.contact > server.config.heartbeat_timeout_s
            if is_silent and not peer.is_silent:
                peer.is_silent = True
                server.ready.observations.append(HeartbeatFailed(peer.peer, peer.contact))

    def flush(self) -> None:
        """Send what has gathered since the last turn: reads' heartbeats, and entries."""
        if self.reads.is_round_owed:
            self.send_heartbeats()
        if self.has_learners:
            learning.go_on(self.server, self)
        restoring.go_on(self.server, self)
        for peer in self.peers.values():
            if self.server.restoring is not None and restoring.is_due(self.server, self, peer):
                continue
            if peer.mode is ProgressMode.SNAPSHOT:
                snapshot_sending.send_snapshot(self.server, self, peer)
            else:
                replication.send_entries(self.server, self, peer)
        if self.server.transfer is not None:
            transfer.go_on(self.server, self)


def _is_of_a_follower(response: AppendEntriesResponse | InstallSnapshotResponse) -> bool:
    """Tell whether an answer shows that its sender follows us: success, or a log mismatch."""
    if isinstance(response, AppendEntriesResponse):
        return response.success or response.no_retry_backoff
    return False
