"""What the naive Raft knows of one server, and what holds in every state of it."""

from __future__ import annotations

from typing import Any

from raft_over_libp2p.core.ready import Call, Role
from raft_over_libp2p.core.trace import Start, TraceRecord, TraceState
from raft_over_libp2p.types import Configuration, ServerID
from tests.simulation.naive_log import NaiveLog
from tests.simulation.violation import violated

__all__ = ["NaiveServer"]


class NaiveServer:
    """One server from its start to its crash: its log, its state, and what it may still answer."""

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

    def _cut_acks(self, first: int) -> None:
        for call, upto in self._acks.items():
            if upto is not None and upto >= first:
                self._acks[call] = None

    def _same_term_and_vote(self, record: TraceRecord) -> None:
        before, after = self.state, record.state
        if (after.term, after.vote) != (before.term, before.vote):
            self._no("term", f"becomes {after} by {record.name}")

    def _same_commit(self, record: TraceRecord) -> None:
        if record.state.commit_index != self.state.commit_index:
            self._no("commit", f"commits up to {record.state.commit_index} by {record.name}")

    def _nothing_changed(self, record: TraceRecord) -> None:
        self._same_term_and_vote(record)
        if record.state.role is not self.state.role:
            self._no("role", f"is {record.state.role} by {record.name}, which it refused")
        self._same_commit(record)
