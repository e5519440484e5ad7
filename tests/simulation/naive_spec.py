"""Raft once more, naively: judges each transition of a trace by the paper and our rules alone.

It keeps a list of terms for each server and knows nothing of windows, timers, progress or batches.
For each record it says what may have come of it. What it may not judge, because it does not see
clocks, is left open: a server may always refuse. Sources: Raft Figure 2, thesis 3.10, 4.1, 4.2, 9.6,
and the rules for clusters with Go peers (docs/divergences.md) by their numbers.
"""

from __future__ import annotations

from collections.abc import Callable

from raft_over_libp2p.core.ready import Role
from raft_over_libp2p.core.trace import TraceRecord
from raft_over_libp2p.types import ServerID
from tests.simulation.naive_inputs import NaiveInputs
from tests.simulation.naive_outputs import NaiveOutputs
from tests.simulation.violation import violated

__all__ = ["NaiveSpec"]


class NaiveSpec:
    """Judges the traces of all servers; each is judged by what it was told and says alone."""

    def __init__(self) -> None:
        self.records = 0
        self._servers: dict[ServerID, _Judge] = {}

    def judge(self, record: TraceRecord) -> None:
        """Judge one more transition.

        Raises:
            Violation: nothing in Raft allows it; the checker's name begins with "naive".

        """
        self.records += 1
        if record.name == "InitState":
            self._servers[record.server] = _Judge(record)
        elif (server := self._servers.get(record.server)) is not None:
            server.judge(record)
        else:
            violated("naive trace", f"{record.server} does not begin with its start")


class _Judge(NaiveInputs, NaiveOutputs):
    """One server; each kind of transition has its rule."""

    def __init__(self, record: TraceRecord) -> None:
        super().__init__(record)
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
