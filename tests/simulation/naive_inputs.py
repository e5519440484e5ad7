"""What may come of an input, by the naive Raft: requests, answers, timers, proposals."""

from __future__ import annotations

from typing import Any

from raft_over_libp2p.core.events import (
    CallFailed,
    Persisted,
    RequestReceived,
    ResponseReceived,
    SnapshotStored,
)
from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    ErrorResponse,
    InstallSnapshotRequest,
    RequestPreVoteRequest,
    RequestVoteRequest,
    TimeoutNowRequest,
)
from raft_over_libp2p.core.ready import Call, Role
from raft_over_libp2p.core.trace import TraceRecord, TraceState
from raft_over_libp2p.types import Configuration, ServerID
from tests.simulation.naive_server import NaiveServer

__all__ = ["NaiveInputs"]


def _majority_of(configuration: Configuration, who: set[ServerID]) -> bool:
    voters = configuration.voters
    return 2 * sum(voter in who for voter in voters) > len(voters)


def _upto(request: AppendEntriesRequest | InstallSnapshotRequest) -> int:
    if isinstance(request, InstallSnapshotRequest):
        return request.last_log_index
    return request.prev_log_index + len(request.entries or ())


class NaiveInputs(NaiveServer):
    """What may have come of each input."""

    # -- requests

    def _append_entries(self, record: TraceRecord) -> None:
        event, after, before, log = record.cause, record.state, self.state, self.log
        if not isinstance(event, RequestReceived):
            return
        request: AppendEntriesRequest = event.request  # type: ignore[assignment]
        self._acks[event.call] = None
        if request.term < before.term or after.term == before.term != request.term:
            self._nothing_changed(record)
            return
        self._followed(record, request.term)
        if after.role is not Role.FOLLOWER:
            self._nothing_changed(record)  # refused: nonsense, or a second leader in one term
            return
        if request.is_heartbeat:
            self._acks[event.call] = 0
            self._same_commit(record)
            return
        prev, entries = int(request.prev_log_index), request.entries or ()
        has_previous = prev <= log.snapshot[0] or log.term(prev) == request.prev_log_term
        first = log.first_new(prev, entries)
        upto = prev + len(entries)
        is_safe = first is None or first > before.commit_index
        said = (after.last_index, after.last_term, after.commit_index)
        expected = max(before.commit_index, min(request.leader_commit_index, upto))
        end = (upto, entries[-1].term) if first is not None else (log.last_index, log.last_term)
        if has_previous and is_safe and said == (*end, expected):
            if first is not None:
                self._cut_acks(first)
                log.take(first, entries)
            self._acks[event.call] = upto
        else:
            self._same_commit(record)  # it refuses, and may not say yes

    def _followed(self, record: TraceRecord, term: int) -> None:
        """Check that the server went to ``term`` at most, as somebody who leads asked."""
        before, after = self.state, record.state
        if after.term not in {before.term, term}:
            self._no("term", f"goes to {after.term} when asked in {term}")
        if after.term > before.term and after.vote is not None:
            self._no("vote", f"votes for {after.vote} by {record.name}")
        if before.role is Role.LEADER and after.term == before.term:
            if after.role is not Role.LEADER:
                self._no("role", f"follows another leader of its own term {term}")
        elif after.role is Role.LEADER:
            self._no("role", f"leads by {record.name}")

    def _request_vote(self, record: TraceRecord) -> None:
        event, after, before = record.cause, record.state, self.state
        if not isinstance(event, RequestReceived):
            return
        request: RequestVoteRequest = event.request  # type: ignore[assignment]
        self._same_commit(record)
        theirs, ours = (request.last_log_term, request.last_log_index), self.log.end()
        known = self._knows(event.peer)
        is_member = known or self.log.latest.has(event.peer) or self._committed().has(event.peer)
        if after.term > before.term:
            if after.term != request.term or not (is_member or theirs > ours):
                self._no("stranger", f"goes to {after.term} for {event.peer}, {request}")
            if before.role is Role.LEADER and not request.leadership_transfer:
                self._no("stickiness", f"leads and follows {event.peer} into {after.term}")
        is_new = (after.term, after.vote) != (before.term, before.vote) and after.vote is not None
        if is_new and after.vote != event.peer:
            self._no("vote", f"votes for {after.vote} when {event.peer} asks")
        may_grant = (
            after.term == request.term
            and after.vote == event.peer
            and after.role is Role.FOLLOWER
            and theirs >= ours
            and (known or theirs > ours)
        )
        if is_new and not may_grant:
            self._no("vote", f"votes for {event.peer} with {theirs}, its own log is {ours}")
        if may_grant:
            self._grants[event.call] = (event.peer, request.term)

    def _request_pre_vote(self, record: TraceRecord) -> None:
        event = record.cause
        if not isinstance(event, RequestReceived):
            return
        request: RequestPreVoteRequest = event.request  # type: ignore[assignment]
        self._nothing_changed(record)
        theirs, ours = (request.last_log_term, request.last_log_index), self.log.end()
        is_judged = self._knows(event.peer) or theirs > ours
        is_free = self.state.role is not Role.LEADER and request.term >= self.state.term
        if is_judged and is_free and theirs >= ours:
            self._pre_grants.add(event.call)

    def _timeout_now(self, record: TraceRecord) -> None:
        self._same_commit(record)
        if record.state.term != self.state.term:
            self._campaigned(record)
            if self.state.role is Role.LEADER:
                self._no("role", "leads and campaigns")

    def _install_snapshot_request(self, record: TraceRecord) -> None:
        event, after, before = record.cause, record.state, self.state
        if not isinstance(event, RequestReceived):
            return
        request: InstallSnapshotRequest = event.request  # type: ignore[assignment]
        self._same_commit(record)
        self._requests[event.call] = request
        if request.term < before.term or after.term == before.term != request.term:
            self._nothing_changed(record)
            return
        self._followed(record, request.term)

    # -- answers

    def _response(self, record: TraceRecord) -> None:
        event, after, before = record.cause, record.state, self.state
        if not isinstance(event, ResponseReceived):
            return
        call = self._calls.pop(event.call, None)
        response: Any = event.response
        stated = 0 if isinstance(response, ErrorResponse) else getattr(response, "term", 0)
        if call is not None and before.role is not Role.FOLLOWER:
            self._count(call, response)
        if after.term > before.term and after.vote is None:
            if call is None or after.term != stated or after.role is not Role.FOLLOWER:
                self._no("term", f"goes to {after.term} when {response} comes")
        elif after.term > before.term:
            self._campaigned(record)
            who = self._pre_votes | {self.id}
            if not isinstance(response, ErrorResponse) and not _majority_of(self.log.latest, who):
                self._no("pre-vote", f"enters term {after.term} with the pre-votes of {who}")
        self._may_lead(record)
        self._may_commit(record)

    def _count(self, call: Call, response: Any) -> None:
        """Count what an answer to a call of this term says."""
        term, request = self.state.term, call.request
        if isinstance(request, TimeoutNowRequest) or isinstance(response, ErrorResponse):
            return
        if isinstance(request, RequestPreVoteRequest):
            if request.term == term + 1 and response.granted:
                self._pre_votes.add(call.peer)
        elif request.term != term or response.term != term:
            return
        elif isinstance(request, RequestVoteRequest):
            if response.granted:
                self._votes.add(call.peer)
        elif response.success:
            self._match[call.peer] = max(self._match.get(call.peer, 0), _upto(request))

    def _campaigned(self, record: TraceRecord) -> None:
        after = record.state
        if (after.term, after.vote, after.role) != (
            self.state.term + 1,
            self.id,
            Role.CANDIDATE,
        ):
            self._no("campaign", f"becomes {after} by {record.name}")
        if not self._knows(self.id):
            self._no("campaign", "campaigns and is no voter (rule 10)")

    def _may_lead(self, record: TraceRecord) -> None:
        before, after = self.state, record.state
        if before.role is Role.LEADER or after.role is not Role.LEADER:
            return
        who = set(self._votes)
        if self.log.hard_state.term == after.term and self.log.hard_state.vote == self.id:
            who.add(self.id)
        is_own = (after.term, after.vote) == (before.term, self.id)
        if before.role is not Role.CANDIDATE or not is_own:
            self._no("election", f"leads as {after}")
        if not _majority_of(self.log.latest, who):
            self._no("election", f"leads {after.term} by the votes of {sorted(who)}")
        self.log.grow(after.term, after.last_index - self.log.last_index)

    def _may_commit(self, record: TraceRecord) -> None:
        """A leader commits what a majority of voters durably holds, of its own term (5.4.2)."""
        before, after = self.state, record.state
        index = after.commit_index
        if index == before.commit_index:
            return
        if before.role is not Role.LEADER:
            self._no("commit", f"leads nobody and commits up to {index} by {record.name}")
        if self.log.term(index) != before.term:
            self._no("commit", f"commits {index} of term {self.log.term(index)} by counting")
        who = {peer for peer, match in self._match.items() if match >= index}
        if self.log.durable >= index:
            who.add(self.id)
        if not _majority_of(self.log.latest, who):
            self._no("commit", f"commits {index}, which {sorted(who)} hold")

    # -- what happens by itself

    def _persisted(self, record: TraceRecord) -> None:
        event = record.cause
        if not isinstance(event, Persisted):
            return
        self._same_term_and_vote(record)
        self.log.persisted(event.batch)
        self._may_lead(record)
        self._may_commit(record)

    def _timeout(self, record: TraceRecord) -> None:
        before, after = self.state, record.state
        self._same_commit(record)
        if after.role is Role.LEADER and before.role is not Role.LEADER:
            self._no("role", "leads because time passed")
        if after.term != before.term:
            self._campaigned(record)
        elif after.role is Role.CANDIDATE and not self._knows(self.id):
            self._no("campaign", "campaigns and is no voter (rule 10)")

    def _client_request(self, record: TraceRecord) -> None:
        self._nothing_changed(record)
        if self.state.role is not Role.LEADER or not isinstance(record.cause, int):
            self._no("role", "takes a proposal and does not lead")
        else:
            self.log.grow(self.state.term, record.cause)

    def _change_configuration(self, record: TraceRecord) -> None:
        """One change at a time, after a commit of the leader's own term (4.1, Ongaro 2015)."""
        before, after = self.state, record.state
        self._same_term_and_vote(record)
        if after.configuration_index != before.configuration_index:
            self._changed(after)
        self._may_commit(record)

    def _changed(self, after: TraceState) -> None:
        before, log = self.state, self.log
        if before.role is not Role.LEADER:
            self._no("change", "changes the configuration and does not lead")
        if before.configuration_index > before.commit_index:
            self._no("change", f"changes {before.configuration_index}, which is not agreed on")
        if log.term(before.commit_index) != before.term:
            self._no("change", "changes the configuration before a commit of its own term")
        old, new = set(before.configuration.voters), set(after.configuration.voters)
        if len(old ^ new) > 1 or not new:
            self._no("change", f"goes from voters {sorted(old)} to {sorted(new)}")
        log.grow(before.term, 1)
        if after.configuration_index != log.last_index:
            self._no("change", f"puts a configuration at {after.configuration_index}")
        log.configurations.append((log.last_index, after.configuration))
        for peer in list(self._match):
            if not after.configuration.has(peer):
                del self._match[peer]

    def _call_failed(self, record: TraceRecord) -> None:
        if isinstance(record.cause, CallFailed):
            self._calls.pop(record.cause.call, None)
        self._nothing_changed(record)

    # -- snapshots

    def _snapshot_taken(self, record: TraceRecord) -> None:
        self._nothing_changed(record)
        index = record.state.snapshot_index
        if index != self.state.snapshot_index:
            self.log.snapshot = (index, self.log.term(index) or 0)

    def _snapshot_stored(self, record: TraceRecord) -> None:
        event, before, after = record.cause, self.state, record.state
        if not isinstance(event, SnapshotStored):
            return
        self._same_term_and_vote(record)
        if after.snapshot_index == before.snapshot_index and after.commit_index == before[3]:
            return
        request = self._requests.get(event.call)
        if request is None or request.term != before.term or before.role is Role.LEADER:
            self._no("snapshot", f"adopts what no leader of {before.term} sent (rule 11)")
        self._cut_acks(event.meta.index + 1)
        self.log.install(event.meta)
        self.handed = event.meta.index
        if after.commit_index != event.meta.index:
            self._no("snapshot", f"commits {after.commit_index} by the snapshot {event.meta}")
