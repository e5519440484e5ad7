"""How a Go peer leads (hashicorp's ``runLeader``, ``replicate`` and ``commitment``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from raft_over_libp2p.core.membership_change import ChangeKind, MembershipChange, next_configuration
from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    Response,
    TimeoutNowRequest,
    TimeoutNowResponse,
)
from raft_over_libp2p.errors import ProposalRefused
from raft_over_libp2p.types import NO_TERM, Index, LogEntry, LogType, ServerID, Term
from raft_over_libp2p.wire.configuration import GoConfigurationCodec
from tests.simulation.entry_log import Placed

if TYPE_CHECKING:
    from tests.simulation.go_raft import GoRaft, Task

__all__ = ["GoLeader"]

_FAILURE_WAIT_S = 0.01
_MAX_DOUBLINGS = 10


class _Peer:
    """hashicorp's ``followerReplication``: one call at a time (no pipeline), and heartbeats."""

    def __init__(self, peer: ServerID, next_index: int, now: float) -> None:
        self.id = peer
        self.next = next_index
        self.match = 0
        self.failures = 0
        self.contact = now
        self.is_busy = False
        self.is_stopped = False
        self.trigger = 0


class GoLeader:
    """One term in office."""

    def __init__(self, raft: GoRaft, term: Term) -> None:
        self._raft = raft
        self._server = raft.server
        self._world = raft.world
        self._term = term
        self._start_index = raft.last_index + 1
        self._peers: dict[ServerID, _Peer] = {}
        self._match = {self._server.id: 0}
        self._counted = raft.latest.configuration
        """What commitment is counted by: the latest configuration, once it is stored."""
        self._is_stopped = False
        self._transfer: ServerID | None = None
        self._steps_down = False
        self._lease_at = self._world.now

    def begin(self) -> Task:
        self._follow_configuration()
        self._world.push(self._world.now + self._lease_s(), self._check_lease, None)
        yield from self.dispatch([(LogType.NOOP, b"")])

    def stop(self) -> None:
        self._is_stopped = True
        for peer in self._peers.values():
            peer.is_stopped = True

    def _is_running(self) -> bool:
        return not self._is_stopped and self._server.raft is self._raft

    def _follow_configuration(self) -> None:
        """hashicorp's ``startStopReplication``."""
        raft = self._raft
        members = [peer for peer in raft.latest.configuration.ids if peer != self._server.id]
        for peer_id in members:
            if peer_id not in self._peers:
                peer = _Peer(peer_id, raft.last_index + 1, self._world.now)
                self._peers[peer_id] = peer
                self._beat(peer)
                self._idle(peer)
        for peer_id in [peer_id for peer_id in self._peers if peer_id not in members]:
            # One try to tell it, and no more.
            peer = self._peers.pop(peer_id)
            self._replicate(peer)
            peer.is_stopped = True
        self._counted = raft.latest.configuration

    # -- what is proposed

    def check_open(self) -> None:
        if self._transfer is not None:
            raise ProposalRefused("leadership transfer in progress")
        if self._steps_down or self._raft.is_busy:
            raise ProposalRefused("the main loop is busy")

    def dispatch(self, new: Sequence[tuple[LogType, bytes]]) -> Task:
        """hashicorp's ``dispatchLogs``: stored here first, then sent."""
        raft = self._raft
        first = raft.last_index + 1
        entries = [
            LogEntry(Index(first + offset), self._term, kind, data)
            for offset, (kind, data) in enumerate(new)
        ]
        yield raft.write_s()
        if not self._is_running():
            return
        if self._server.id in self._world.full_disks:
            self._world.marks["Go: a leader's disk is full"] += 1
            raft.follow()
            return
        self._server.check_appended(entries)
        raft.disk.store_logs(entries)
        raft.last_log = (entries[-1].index, self._term)
        self._matched(self._server.id, raft.last_log[0])
        for peer in list(self._peers.values()):
            self._replicate(peer)

    def change(self, change: MembershipChange, prev_index: Index) -> Index:
        """hashicorp's ``appendConfigurationEntry``, where its main loop would take it now."""
        raft = self._raft
        self.check_open()
        if change.kind is ChangeKind.ADD_STAGING:
            raise ProposalRefused("Go peers have no such change")
        is_stable = raft.latest.index <= raft.commit and raft.commit >= self._start_index
        if not is_stable:
            raise ProposalRefused("another change is open")
        if prev_index and prev_index != raft.latest.index:
            raise ProposalRefused(f"configuration changed since {prev_index}")
        configuration = next_configuration(raft.latest.configuration, change)
        index = Index(raft.last_index + 1)
        data = GoConfigurationCodec().encode(configuration)

        def task() -> Task:
            yield from self.dispatch([(LogType.CONFIGURATION, data)])
            if self._is_running():
                raft.latest = Placed(index, self._term, configuration)
                self._follow_configuration()
                self._recalculate()

        raft.post(task)
        return index

    # -- commitment

    def _matched(self, peer: ServerID, match: int) -> None:
        if match > self._match.get(peer, 0):
            self._match[peer] = match
            self._recalculate()

    def _recalculate(self) -> None:
        voters = self._counted.voters
        matches = sorted(self._match.get(voter, 0) for voter in voters)
        if not matches:
            return
        agreed = matches[(len(matches) - 1) // 2]
        if agreed > self._raft.commit and agreed >= self._start_index:
            self._raft.post(lambda: self._committed(agreed))

    def _committed(self, agreed: int) -> Task:
        raft = self._raft
        if not self._is_running() or agreed <= raft.commit:
            return
        before, raft.commit = raft.commit, agreed
        self._server.check_committed(agreed)
        if before < raft.latest.index <= agreed:
            raft.committed = raft.latest
            self._steps_down = not raft.committed.configuration.is_voter(self._server.id)
        raft.process_logs()
        if self._steps_down:
            self._world.marks["Go: a removed leader ends"] += 1
            raft.follow()
        return
        yield 0.0

    # -- replication

    def _idle(self, peer: _Peer) -> None:
        """An append after each commit timeout, whatever there is to send."""
        if peer.is_stopped or not self._is_running():
            return
        delay_s = self._raft.random_s(self._raft.config.commit_timeout_s)
        self._world.push(self._world.now + delay_s, self._on_idle, peer)

    def _on_idle(self, peer: _Peer) -> None:
        if self._is_running() and not peer.is_stopped:
            if not self._server.is_paused:
                self._replicate(peer)
            self._idle(peer)

    def _replicate(self, peer: _Peer) -> None:
        """hashicorp's ``replicateTo``: the last entry is looked up here, before the back-off."""
        if peer.is_busy or peer.is_stopped or not self._is_running():
            return
        peer.is_busy = True
        last = self._raft.last_log[0]
        if peer.failures:
            doublings = min(max(peer.failures - 2, 0), _MAX_DOUBLINGS)
            delay_s = _FAILURE_WAIT_S * 2**doublings
            self._world.push(
                self._world.now + delay_s, lambda _: self._send_entries(peer, last), None
            )
        else:
            self._send_entries(peer, last)

    def _send_entries(self, peer: _Peer, last: int) -> None:
        raft, server = self._raft, self._server
        if not self._is_running() or server.is_paused:
            peer.is_busy = False
            return
        prev = peer.next - 1
        prev_term: Term | None = NO_TERM
        if prev:
            stored = raft.disk.store.get(prev)
            is_snapshot = prev == raft.last_snapshot[0]
            prev_term = raft.last_snapshot[1] if is_snapshot else stored.term if stored else None
        upto = min(peer.next + raft.config.max_append_entries - 1, last)
        entries = [raft.disk.store.get(index) for index in range(peer.next, upto + 1)]
        found = tuple(entry for entry in entries if entry is not None)
        if prev_term is None or len(found) != len(entries):
            self._send_snapshot(peer, last)
            return
        if raft.commit > prev + len(found):
            self._world.marks["Go: sent commit beyond its entries"] += 1
        request = AppendEntriesRequest(
            term=self._term,
            leader=server.id,
            prev_log_index=Index(prev),
            prev_log_term=prev_term,
            entries=found,
            leader_commit_index=Index(raft.commit),
        )
        # hashicorp's heartbeat form has an unencoded nil for entries; an empty append of a blank
        # leader would look the same, and is treated the same.
        server.ask(peer.id, request, lambda response: self._answered(peer, request, last, response))

    def _answered(
        self, peer: _Peer, request: AppendEntriesRequest, last: int, response: Response | None
    ) -> None:
        peer.is_busy = False
        if not self._is_running():
            return
        if not isinstance(response, AppendEntriesResponse):
            peer.failures += 1
            return
        if response.term > request.term:
            self._stale(peer)
            return
        peer.contact = self._world.now
        if response.success:
            peer.failures = 0
            if request.entries:
                peer.next = request.entries[-1].index + 1
                peer.match = peer.next - 1
                self._matched(peer.id, peer.match)
        else:
            peer.next = max(min(peer.next - 1, response.last_log + 1), 1)
            peer.failures = 0 if response.no_retry_backoff else peer.failures + 1
        self._check_more(peer, last)

    def _check_more(self, peer: _Peer, last: int) -> None:
        self._hand_over_if_level(peer)
        if peer.next <= last or peer.next <= self._raft.last_log[0]:
            self._replicate(peer)

    def _stale(self, peer: _Peer) -> None:
        """A higher term in an answer: step down, without going to that term."""
        self._world.marks["Go: step-down without the term"] += 1
        peer.is_stopped = True
        self._raft.post(self._step_down)

    def _step_down(self) -> Task:
        if self._is_running():
            self._raft.follow()
        return
        yield 0.0

    def _send_snapshot(self, peer: _Peer, last: int) -> None:
        newest = self._raft.disk.snapshots.newest
        if newest is None:
            peer.is_busy = False
            peer.failures += 1
            return
        meta = newest.meta
        request = InstallSnapshotRequest(
            term=self._term,
            leader=self._server.id,
            last_log_index=meta.index,
            last_log_term=meta.term,
            configuration=meta.configuration,
            configuration_index=meta.configuration_index,
            size_bytes=0,
        )

        def answered(response: Response | None) -> None:
            peer.is_busy = False
            if not self._is_running():
                return
            if not isinstance(response, InstallSnapshotResponse):
                peer.failures += 1
                return
            if response.term > request.term:
                self._stale(peer)
                return
            peer.contact = self._world.now
            if response.success:
                peer.failures = 0
                peer.next = meta.index + 1
                peer.match = meta.index
                self._matched(peer.id, peer.match)
            else:
                peer.failures += 1
            self._check_more(peer, last)

        self._server.ask(peer.id, request, answered)

    # -- heartbeats and the lease

    def _beat(self, peer: _Peer) -> None:
        if peer.is_stopped or not self._is_running():
            return
        if self._server.is_paused:
            self._beat_later(peer)
            return
        request = AppendEntriesRequest(term=self._term, leader=self._server.id)

        def answered(response: Response | None) -> None:
            # A higher term in here is not looked at.
            if response is not None:
                peer.contact = self._world.now
            self._beat_later(peer)

        self._server.ask(peer.id, request, answered)

    def _beat_later(self, peer: _Peer) -> None:
        delay_s = self._raft.random_s(self._raft.config.heartbeat_timeout_s / 10)
        self._world.push(self._world.now + delay_s, lambda _: self._beat(peer), None)

    def _lease_s(self) -> float:
        return self._raft.config.leader_lease_timeout_s / self._server.clock_rate

    def _check_lease(self, _: object) -> None:
        if not self._is_running():
            return
        self._raft.post(self._on_lease)
        self._world.push(self._world.now + self._lease_s() / 2, self._check_lease, None)

    def _on_lease(self) -> Task:
        raft = self._raft
        if self._is_running():
            configuration = raft.latest.configuration
            since = self._world.now - self._lease_s()
            contacted = sum(
                voter == self._server.id
                or (voter in self._peers and self._peers[voter].contact >= since)
                for voter in configuration.voters
            )
            if contacted < configuration.quorum():
                self._world.marks["Go: lease lost"] += 1
                raft.follow()
        return
        yield 0.0

    # -- handing over

    def hand_over(self, target: ServerID | None) -> ServerID:
        """hashicorp's ``leadershipTransfer``: to a peer that has caught up, or until it times out."""
        self.check_open()
        voters = [voter for voter in self._raft.latest.configuration.voters if voter in self._peers]
        if target is None and voters:
            target = max(voters, key=lambda voter: self._peers[voter].match)
        if target is None or target not in voters:
            raise ProposalRefused("cannot find peer")
        self._transfer = target
        delay_s = self._raft.config.election_timeout_s
        self._world.push(self._world.now + delay_s, self._transfer_times_out, None)
        self._hand_over_if_level(self._peers[target])
        return target

    def _transfer_times_out(self, _: object) -> None:
        self._transfer = None

    def _hand_over_if_level(self, peer: _Peer) -> None:
        is_level = peer.id == self._transfer and peer.match == self._raft.last_log[0]
        if is_level and peer.next > peer.match:
            peer.is_busy = True

            def answered(response: Response | None) -> None:
                peer.is_busy = False
                if not isinstance(response, TimeoutNowResponse):
                    self._transfer = None

            self._server.ask(peer.id, TimeoutNowRequest(), answered)
