"""What a server may write, apply and say, by the naive Raft."""

from __future__ import annotations

from typing import Any

from raft_over_libp2p.core.ready import Call, Reply, Role, SnapshotMeta, Write
from raft_over_libp2p.core.trace import TraceRecord
from raft_over_libp2p.types import LogEntry
from tests.simulation.naive_server import NaiveServer
from tests.simulation.violation import violated

__all__ = ["NaiveOutputs"]


class NaiveOutputs(NaiveServer):
    """What may leave a server: for its disk, its state machine and the others."""

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

    # -- calls

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

    # -- replies

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
