"""What a server may say, given what is on its own disk at that moment (mixed-cluster rules 1 and 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    Request,
    RequestVoteRequest,
    RequestVoteResponse,
    Response,
)
from raft_over_libp2p.core.ready import HardState
from raft_over_libp2p.types import NO_TERM, ServerID, Term
from tests.simulation.violation import violated

if TYPE_CHECKING:
    from tests.simulation.check_commitment import CommitmentCheck
    from tests.simulation.check_elections import ElectionCheck
    from tests.simulation.check_logs import LogCheck
    from tests.simulation.server import Server

__all__ = ["DurabilityCheck"]


class DurabilityCheck:
    """Looks at each message the moment it leaves its sender."""

    def __init__(
        self, elections: ElectionCheck, logs: LogCheck, commitment: CommitmentCheck
    ) -> None:
        self.elections = elections
        self.logs = logs
        self.commitment = commitment

    def request(self, server: Server, request: Request) -> None:
        """Check a request as it leaves."""
        if isinstance(request, AppendEntriesRequest):
            self._append(server, request)
        elif isinstance(request, RequestVoteRequest):
            self._check_term(server, request.term)
            self._check_vote(server, request.term, server.id)
            if request.candidate != server.id:
                violated("messages", f"{server.id} asks for votes for {request.candidate}")
        elif isinstance(request, InstallSnapshotRequest):
            self._check_term(server, request.term)

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

    def response(self, server: Server, request: Request, response: Response) -> None:
        """Check the answer to ``request`` as it leaves."""
        if isinstance(response, AppendEntriesResponse):
            self._check_term(server, response.term)
            if response.success and isinstance(request, AppendEntriesRequest):
                self._acknowledged(server, request)
                if response.term != request.term:
                    violated("messages", f"{server.id} accepts {request} in {response.term}")
        elif isinstance(response, RequestVoteResponse):
            self._check_term(server, response.term)
            if response.granted and isinstance(request, RequestVoteRequest):
                self._check_vote(server, request.term, request.candidate)
                if response.term != request.term:
                    violated("messages", f"{server.id} grants {request} in {response.term}")
        elif isinstance(response, InstallSnapshotResponse):
            self._check_term(server, response.term)

    def _acknowledged(self, server: Server, request: AppendEntriesRequest) -> None:
        if request.entries is None:
            return
        last = request.prev_log_index + len(request.entries)
        term = request.entries[-1].term if request.entries else request.prev_log_term
        image = server.disk.image
        if last and (len(image) < last or image[last - 1].term != term):
            held = image[last - 1].term if len(image) >= last else None
            violated(
                "acknowledged is durable",
                f"{server.id} acknowledges ({last}, {term}); its disk holds {len(image)} entries, "
                f"there of term {held}",
            )

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
        if hard_state.vote is not None and hard_state.vote != server.id:
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
