"""What a server may say, given what is on its own disk at that moment (mixed-cluster rules 1 and 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    LeaseResponse,
    ReadIndexResponse,
    Request,
    RequestPreVoteResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    Response,
    TimeoutNowRequest,
    TimeoutNowResponse,
)
from raft_over_libp2p.core.ready import HardState, Reply
from raft_over_libp2p.types import NO_TERM, ServerID, Term
from tests.simulation.violation import violated

if TYPE_CHECKING:
    from tests.simulation.check_commitment import CommitmentCheck
    from tests.simulation.check_elections import ElectionCheck
    from tests.simulation.check_logs import LogCheck
    from tests.simulation.check_snapshots import SnapshotCheck
    from tests.simulation.network import Flight
    from tests.simulation.server import Server

__all__ = ["DurabilityCheck"]


class DurabilityCheck:
    """Looks at each message the moment it leaves its sender."""

    def __init__(
        self,
        elections: ElectionCheck,
        logs: LogCheck,
        commitment: CommitmentCheck,
        snapshots: SnapshotCheck,
    ) -> None:
        self.elections = elections
        self.logs = logs
        self.commitment = commitment
        self.snapshots = snapshots

    def request(self, server: Server, peer: ServerID, request: Request) -> None:
        """Check a request as it leaves."""
        if isinstance(request, AppendEntriesRequest):
            self._append(server, request)
        elif isinstance(request, RequestVoteRequest):
            self._check_term(server, request.term)
            self._check_vote(server, request.term, server.id)
            if request.candidate != server.id:
                violated("messages", f"{server.id} asks for votes for {request.candidate}")
            server.transfers.campaigns(server, request)
        elif isinstance(request, InstallSnapshotRequest):
            self._check_term(server, request.term)
            self.elections.leads(server.id, request.term)
            self.snapshots.sent(server, request)
        elif isinstance(request, TimeoutNowRequest):
            server.transfers.asks(server, peer)

    def _append(self, server: Server, request: AppendEntriesRequest) -> None:
        term = request.term
        self._check_term(server, term)
        self.elections.leads(server.id, term)
        if request.leader != server.id:
            violated("messages", f"{server.id} sends entries in the name of {request.leader}")
        if request.entries is None:
            if not request.is_heartbeat:
                violated("messages", f"neither heartbeat nor append: {request}")
            return
        last = request.prev_log_index + len(request.entries)
        commit = request.leader_commit_index
        if commit > last:
            violated(
                "sent commit is covered",
                f"{server.id} sends commit {commit} with entries up to {last} only",
            )
        self.commitment.claim(server, commit)
        if request.entries:
            if request.entries[0].index != request.prev_log_index + 1:
                violated("messages", f"{server.id} leaves a gap: {request}")
            self.logs.entries(f"{server.id} sends", request.prev_log_term, request.entries)

    def response(self, server: Server, flight: Flight, reply: Reply) -> None:
        """Check an answer as it leaves."""
        request, response = flight.request, reply.response
        _mark(server, request, response)
        if isinstance(response, AppendEntriesResponse):
            self._check_term(server, response.term)
            if response.success and isinstance(request, AppendEntriesRequest):
                self._acknowledged(server, request, response.term)
        elif isinstance(response, RequestVoteResponse):
            self._check_term(server, response.term)
            if response.granted and isinstance(request, RequestVoteRequest):
                self._check_vote(server, request.term, request.candidate)
                if response.term != request.term:
                    violated("messages", f"{server.id} grants {request} in {response.term}")
        elif isinstance(response, InstallSnapshotResponse):
            self._check_term(server, response.term)
            if response.success and isinstance(request, InstallSnapshotRequest):
                self._check_held(server, request.last_log_index, request.last_log_term)
        elif isinstance(response, ReadIndexResponse | LeaseResponse):
            self._of_ours(server, response)
        elif isinstance(request, TimeoutNowRequest):
            obeys = isinstance(response, TimeoutNowResponse)
            server.transfers.answers(server, reply.call, flight.source.id, obeys=obeys)

    def _of_ours(self, server: Server, response: ReadIndexResponse | LeaseResponse) -> None:
        self._check_term(server, response.term)
        if isinstance(response, ReadIndexResponse):
            self.commitment.claim(server, response.index)

    def _acknowledged(self, server: Server, request: AppendEntriesRequest, stated: Term) -> None:
        if stated != request.term:
            violated("messages", f"{server.id} accepts {request} in {stated}")
        if request.entries is None:
            return
        last = request.prev_log_index + len(request.entries)
        term = request.entries[-1].term if request.entries else request.prev_log_term
        self._check_held(server, last, term)

    @staticmethod
    def _check_held(server: Server, last: int, term: Term) -> None:
        image = server.disk.image
        if not server.disk.holds(last, term):
            held = image[last - 1].term if len(image) >= last else None
            violated(
                "acknowledged is durable",
                f"{server.id} acknowledges ({last}, {term}); its disk holds {len(image)} entries, "
                f"there of term {held}",
            )
        if last >= server.acknowledged[0] or not server.log.holds(*server.acknowledged):
            server.acknowledged = (last, term)

    def _check_term(self, server: Server, term: Term) -> None:
        if server.disk.hard_state.term < term:
            violated(
                "stated term is durable",
                f"{server.id} states term {term}; its disk holds {server.disk.hard_state.term}",
            )

    def _check_vote(self, server: Server, term: Term, candidate: ServerID) -> None:
        votes = self.elections.votes
        if server.disk.hard_state.term > term:
            # A later term is durable, so no other vote can follow in this one.
            votes.setdefault((server.id, term), candidate)
        held = votes.get((server.id, term))
        if held != candidate:
            violated(
                "vote is durable",
                f"{server.id} votes for {candidate} in {term}; its disk holds {held}",
            )

    def hard_state(self, server: Server, hard_state: HardState) -> None:
        """Check a hard state as it is handed to the disk, before entries written with it."""
        before = server.hard_state
        if hard_state.term < before.term:
            violated("term never goes back", f"{server.id} writes {hard_state} after {before}")
        if hard_state.term == before.term and before.vote not in {None, hard_state.vote}:
            violated("one vote a term", f"{server.id} writes {hard_state} after {before}")
        # (A vote that was given is written again, as the probe of a disk that was full.)
        if hard_state != before and hard_state.vote not in {None, server.id}:
            self._check_up_to_date(server, hard_state)
        server.hard_state = hard_state

    @staticmethod
    def _check_up_to_date(server: Server, hard_state: HardState) -> None:
        log = server.log
        ours = (log[-1].term if log else NO_TERM, len(log))
        for flight in server.inbound.values():
            request = flight.request
            if (
                isinstance(request, RequestVoteRequest)
                and request.candidate == hard_state.vote
                and request.term == hard_state.term
                and (request.last_log_term, request.last_log_index) < ours
            ):
                violated(
                    "vote only for the up to date",
                    f"{server.id} holding {ours} votes for {request}",
                )


def _mark(server: Server, request: Request, response: Response) -> None:
    """Count the answers that are seldom given."""
    mark = ""
    if isinstance(response, AppendEntriesResponse):
        if not response.success and isinstance(request, AppendEntriesRequest):
            is_old = response.term > request.term
            mark = "append of an old term refused" if is_old else "append refused: the logs differ"
    elif isinstance(response, RequestVoteResponse):
        if not response.granted and isinstance(request, RequestVoteRequest):
            mark = _why_refused(server, request)
    elif isinstance(response, RequestPreVoteResponse):
        mark = "pre-vote granted" if response.granted else "pre-vote refused"
    elif isinstance(response, LeaseResponse):
        mark = "lease granted" if response.granted else "lease refused"
    elif isinstance(response, ReadIndexResponse):
        mark = "read through a follower"
    if mark:
        server.world.marks[mark] += 1


def _why_refused(server: Server, request: RequestVoteRequest) -> str:
    term, vote = server.hard_state.term, server.hard_state.vote
    if request.term < term:
        return "vote refused: old term"
    if request.term == term and vote not in {None, request.candidate}:
        return "vote refused: already given"
    ours = (server.log[-1].term, len(server.log)) if server.log else (NO_TERM, 0)
    is_stale = (request.last_log_term, request.last_log_index) < ours
    return "vote refused: stale log" if is_stale else "vote refused"
