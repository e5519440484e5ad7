"""Raft once more, naively: judges each transition of a trace by the paper and our rules alone.

It keeps a list of terms for each server and knows nothing of windows, timers, progress or batches.
For each record it says what may have come of it. What it may not judge, because it does not see
clocks, is left open: a server may always refuse. Sources: Raft Figure 2, thesis 3.10, 4.1, 4.2, 9.6,
and the rules for clusters with Go peers (docs/divergences.md) by their numbers.
"""

from __future__ import annotations

from collections.abc import Callable
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
from raft_over_libp2p.core.ready import Call, Reply, Role, SnapshotMeta, Write
from raft_over_libp2p.core.trace import Start, TraceRecord, TraceState
from raft_over_libp2p.types import Configuration, LogEntry, ServerID
from tests.simulation.naive_log import NaiveLog
from tests.simulation.violation import violated

__all__ = ["NaiveSpec"]


class NaiveSpec:
    """Judges the traces of all servers; each is judged by what it was told and says alone."""

    def __init__(self) -> None:
        self.records = 0
        self._servers: dict[ServerID, _Server] = {}

    def judge(self, record: TraceRecord) -> None:
        """Judge one more transition.

        Raises:
            Violation: nothing in Raft allows it; the checker's name begins with "naive".

        """
        self.records += 1
        if record.name == "InitState":
            self._servers[record.server] = _Server(record)
        elif (server := self._servers.get(record.server)) is not None:
            server.judge(record)
        else:
            violated("naive trace", f"{record.server} does not begin with its start")


def _majority_of(configuration: Configuration, who: set[ServerID]) -> bool:
    voters = configuration.voters
    return 2 * sum(voter in who for voter in voters) > len(voters)


def _upto(request: AppendEntriesRequest | InstallSnapshotRequest) -> int:
    if isinstance(request, InstallSnapshotRequest):
        return request.last_log_index
    return request.prev_log_index + len(request.entries or ())


class _Server:
    """One server from its start to its crash."""

    def __init__(self, record: TraceRecord) -> None:
        start = record.cause
        if not isinstance(start, Start):
            violated("naive trace", f"{record.server} does not begin with its start")
        self.id = record.server
        self.log = NaiveLog(start)
        self.state = record.state
        self.handed = int(record.state.commit_index)
        self._calls: dict[int, Call] = {}
        self._votes: set[ServerID] = set()
        self._pre_votes: set[ServerID] = set()
        self._match: dict[ServerID, int] = {}
        self._led: set[int] = set()
        self._acks: dict[int, int | None] = {}
        """Calls that may be answered with success, when the log is durable so far."""
        self._grants: dict[int, tuple[ServerID, int]] = {}
        """Calls that may be answered with a vote: for whom, in which term."""
        self._pre_grants: set[int] = set()
        self._requests: dict[int, Any] = {}
        self._judges: dict[str, Callable[[TraceRecord], None]] = {
            "ReceiveAppendEntriesRequest": self._append_entries,
            "ReceiveRequestVoteRequest": self._request_vote,
            "ReceiveRequestPreVoteRequest": self._request_pre_vote,
            "ReceiveInstallSnapshotRequest": self._install_snapshot_request,
            "ReceiveTimeoutNowRequest": self._timeout_now,
            "ReceiveAppendEntriesResponse": self._response,
            "ReceiveRequestVoteResponse": self._response,
            "ReceiveRequestPreVoteResponse": self._response,
            "ReceiveInstallSnapshotResponse": self._response,
            "ReceiveErrorResponse": self._response,
            "Persisted": self._persisted,
            "Timeout": self._timeout,
            "ClientRequest": self._client_request,
            "ChangeConf": self._change_configuration,
            "Ready": self._change_configuration,
            "SnapshotTaken": self._snapshot_taken,
            "SnapshotStored": self._snapshot_stored,
            "TakeSnapshot": self._take_snapshot,
            "Write": self._write,
            "Commit": self._commit,
            "CallFailed": self._call_failed,
            "SendAppendEntriesRequest": self._send_append,
            "SendRequestVoteRequest": self._send_vote,
            "SendRequestPreVoteRequest": self._send_pre_vote,
            "SendTimeoutNowRequest": self._send_timeout_now,
            "SendInstallSnapshotRequest": self._send_snapshot,
            "SendAppendEntriesResponse": self._answer_append,
            "SendRequestVoteResponse": self._answer_vote,
            "SendRequestPreVoteResponse": self._answer_pre_vote,
            "SendInstallSnapshotResponse": self._answer_snapshot,
        }
        self._check_start(start)

    def _check_start(self, start: Start) -> None:
        state = self.state
        term, vote = start.hard_state.term, start.hard_state.vote
        is_lifted = state.term == self.log.last_term > term and state.vote is None
        if (state.term, state.vote) != (term, vote) and not is_lifted:
            self._no("vote", f"starts with {start.hard_state} as {state}")
        if state.role is not Role.FOLLOWER:
            self._no("role", "does not start as a follower")
        self._check_log(state)

    def _no(self, rule: str, why: str) -> None:
        violated(f"naive {rule}", f"{self.id} {why}; before: {self.state}")

    # -- every transition

    def judge(self, record: TraceRecord) -> None:
        before, after = self.state, record.state
        if after.term < before.term or after.commit_index < before.commit_index:
            self._no("monotony", f"goes back to {after} by {record.name}")
        if after.term == before.term and before.vote not in {None, after.vote}:
            self._no("vote", f"changes its vote to {after.vote} by {record.name}")
        judge = self._judges.get(record.name)
        if judge is not None:
            judge(record)
        elif (after.term, after.vote, after.commit_index) != before[1:4]:
            self._no("event", f"becomes {after} by {record.name}")
        self._check_log(after)
        if after.term > before.term:
            self._votes.clear()
            self._pre_votes.clear()
            self._match.clear()
        if after.role is Role.LEADER:
            self._led.add(after.term)
        self.state = after

    def _check_log(self, after: TraceState) -> None:
        log = self.log
        if (after.last_index, after.last_term) != (log.last_index, log.last_term):
            self._no("log", f"ends in {after}; by Raft it ends in {log.end()}")
        if after.durable_index != log.durable:
            self._no("durable", f"says {after} of a disk that has {log.durable}")
        if after.commit_index > after.last_index:
            self._no("commit", f"commits past its log: {after}")
        placed = log.configurations[-1]
        if (after.configuration_index, after.configuration) != placed:
            self._no("configuration", f"goes by {after} instead of {placed}")

    def _same_term_and_vote(self, record: TraceRecord) -> None:
        before, after = self.state, record.state
        if (after.term, after.vote) != (before.term, before.vote):
            self._no("term", f"becomes {after} by {record.name}")

    def _committed(self) -> Configuration:
        """Return the newest configuration that is known to be agreed on.

        A server that starts anew knows of no commit, but no leader appends a configuration before
        the one before it is agreed on: all but the last in a log are.
        """
        placed = self.log.configurations
        if len(placed) == 1 or placed[-1][0] <= self.state.commit_index:
            return placed[-1][1]
        return placed[-2][1]

    def _knows(self, peer: ServerID) -> bool:
        return self.log.latest.is_voter(peer) or self._committed().is_voter(peer)

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

    def _cut_acks(self, first: int) -> None:
        for call, upto in self._acks.items():
            if upto is not None and upto >= first:
                self._acks[call] = None

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

    def _nothing_changed(self, record: TraceRecord) -> None:
        self._same_term_and_vote(record)
        if record.state.role is not self.state.role:
            self._no("role", f"is {record.state.role} by {record.name}, which it refused")
        self._same_commit(record)

    def _same_commit(self, record: TraceRecord) -> None:
        if record.state.commit_index != self.state.commit_index:
            self._no("commit", f"commits up to {record.state.commit_index} by {record.name}")

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

    def _take_snapshot(self, record: TraceRecord) -> None:
        meta = record.cause
        if not isinstance(meta, SnapshotMeta):
            return
        log = self.log
        placed = log.configuration_at(meta.index)
        if (meta.configuration_index, meta.configuration) != placed:
            self._no("snapshot", f"takes {meta}; in force there is {placed} (rule 12)")
        if meta.index != self.handed or log.term(meta.index) != meta.term:
            self._no("snapshot", f"takes {meta}; the state machine is at {self.handed}")

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

    # -- what leaves

    def _write(self, record: TraceRecord) -> None:
        if isinstance(record.cause, Write):
            self.log.write(record.cause)
            said = record.cause.hard_state
            if said is not None and (said.term, said.vote) != (self.state.term, self.state.vote):
                self._no("vote", f"writes {said}")

    def _commit(self, record: TraceRecord) -> None:
        entries: tuple[LogEntry, ...] = record.cause  # type: ignore[assignment]
        for entry in entries:
            self.handed += 1
            if entry.index != self.handed or self.log.term(entry.index) != entry.term:
                self._no("apply", f"applies {entry} as number {self.handed}")
        if self.handed > min(self.state.commit_index, self.log.durable):
            self._no("apply", f"applies {self.handed}: not committed, or not durable here (rule 9)")

    def _said(self, record: TraceRecord) -> tuple[Call, Any]:
        output = record.cause
        if not isinstance(output, Call):
            violated("naive trace", f"{record.name} without a call")
        self._calls[output.call] = output
        return output, output.request

    def _leads(self, term: int, what: str) -> None:
        if term not in self._led:
            self._no("role", f"sends {what} of term {term}, which it never led")
        if self.log.hard_state.term < term:
            self._no("durable", f"sends {what} of term {term}; its disk has {self.log.hard_state}")

    def _send_append(self, record: TraceRecord) -> None:
        _, request = self._said(record)
        self._leads(request.term, "entries")
        entries, prev = request.entries or (), request.prev_log_index
        if request.leader_commit_index > min(prev + len(entries), self.state.commit_index):
            self._no("sent commit", f"sends {request} (rule 1)")
        if request.is_heartbeat or request.term != self.state.term:
            return
        known = self.log.term(prev)
        if known is not None and known != request.prev_log_term:
            self._no("log", f"sends {request}; its own entry is of term {known}")
        for index, entry in enumerate(entries, prev + 1):
            if entry.index != index or self.log.term(index) != entry.term:
                self._no("log", f"sends {entry} as entry {index}")

    def _send_vote(self, record: TraceRecord) -> None:
        _, request = self._said(record)
        disk = self.log.hard_state
        if disk.term < request.term or (disk.term == request.term and disk.vote != self.id):
            self._no("durable", f"campaigns in {request.term} with {disk} on its disk")
        end = (request.last_log_term, request.last_log_index)
        is_asking = (self.state.role, self.state.term) == (Role.CANDIDATE, request.term)
        if is_asking and end != self.log.end():
            self._no("log", f"says that its log ends in {end}, not in {self.log.end()}")

    def _send_pre_vote(self, record: TraceRecord) -> None:
        _, request = self._said(record)
        if request.term > self.state.term + 1:
            self._no("campaign", f"asks for term {request.term}")

    def _send_timeout_now(self, record: TraceRecord) -> None:
        call, _ = self._said(record)
        if not self._led:
            self._no("role", f"tells {call.peer} to campaign and never led")
        holds = self._match.get(call.peer, 0)
        if self.state.role is Role.LEADER and holds < self.log.last_index:
            self._no("transfer", f"hands over to {call.peer}, which has {holds}")

    def _send_snapshot(self, record: TraceRecord) -> None:
        _, request = self._said(record)
        self._leads(request.term, "a snapshot")
        if request.last_log_index > max(self.log.snapshot[0], self.state.commit_index):
            self._no("snapshot", f"sends {request}; its own is {self.log.snapshot}")

    def _reply(self, record: TraceRecord) -> tuple[int, Any]:
        output = record.cause
        if not isinstance(output, Reply):
            violated("naive trace", f"{record.name} without an answer")
        return output.call, output.response

    def _states_term(self, term: int) -> None:
        if self.log.hard_state.term < term:
            self._no("durable", f"states term {term}; its disk has {self.log.hard_state} (rule 8)")

    def _answer_append(self, record: TraceRecord) -> None:
        call, response = self._reply(record)
        self._states_term(response.term)
        upto = self._acks.pop(call, None)
        if response.success and (upto is None or self.log.durable < upto):
            self._no("acknowledged", f"acknowledges {upto}; its disk has {self.log.durable}")

    def _answer_vote(self, record: TraceRecord) -> None:
        call, response = self._reply(record)
        self._states_term(response.term)
        grant = self._grants.pop(call, None)
        if not response.granted:
            return
        disk = self.log.hard_state
        if grant is None or grant[1] != response.term:
            self._no("vote", f"grants {response}, which it could not")
        elif disk.term == response.term and disk.vote != grant[0]:
            self._no("durable", f"says it voted for {grant}; its disk has {disk}")

    def _answer_pre_vote(self, record: TraceRecord) -> None:
        call, response = self._reply(record)
        may_grant = call in self._pre_grants
        self._pre_grants.discard(call)
        if response.granted and not may_grant:
            self._no("pre-vote", f"grants {response}, which it could not")

    def _answer_snapshot(self, record: TraceRecord) -> None:
        call, response = self._reply(record)
        self._states_term(response.term)
        request = self._requests.pop(call, None)
        if not response.success:
            return
        if request is None or self.log.durable < request.last_log_index:
            self._no("acknowledged", f"acknowledges {request}; its disk has {self.log.durable}")
