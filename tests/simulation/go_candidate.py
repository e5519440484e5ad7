"""How a Go peer campaigns (hashicorp's ``runCandidate``, ``preElectSelf`` and ``electSelf``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raft_over_libp2p.core.messages import (
    RequestPreVoteRequest,
    RequestPreVoteResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    Response,
)
from raft_over_libp2p.types import Index, ServerID, Term

if TYPE_CHECKING:
    from tests.simulation.go_raft import GoRaft, Task

__all__ = ["GoCandidate"]


class GoCandidate:
    """One run of the loop: a pre-vote, if it has one, and then an election."""

    def __init__(self, raft: GoRaft) -> None:
        self._raft = raft
        self._is_pre_vote = False
        self._granted = 0
        self._asked: Term = Term(raft.term + 1)
        self._needed = raft.latest.configuration.quorum()

    def begin(self) -> Task:
        raft = self._raft
        has_pre_vote = not (raft.world.profile.go_is_1_6 or raft.config.pre_vote_disabled)
        raft.arm(raft.random_s(raft.config.election_timeout_s), self._again)
        if has_pre_vote and not raft.from_transfer:
            self._is_pre_vote = True
            index, term = raft.last_entry()
            request = RequestPreVoteRequest(
                term=self._asked, last_log_index=Index(index), last_log_term=term
            )
            for peer in self._others():
                raft.server.ask(peer, request, self._answered_pre_vote)
            yield from self._count_pre_vote()
        else:
            yield from self._elect()
        raft.from_transfer = False

    def _others(self) -> list[ServerID]:
        raft = self._raft
        return [peer for peer in raft.latest.configuration.voters if peer != raft.server.id]

    def _is_on(self) -> bool:
        return self._raft.candidate is self

    def _again(self) -> Task:
        if self._is_on():
            yield from self._raft.campaign()

    def _answered_pre_vote(self, response: Response | None) -> None:
        self._raft.post(lambda: self._on_pre_vote(response))

    def _on_pre_vote(self, response: Response | None) -> Task:
        if not self._is_on() or not self._is_pre_vote:
            return
        if not isinstance(response, RequestPreVoteResponse):
            return
        if response.term > self._asked:
            self._raft.follow()
            yield from self._raft.set_term(response.term)
        elif response.granted:
            yield from self._count_pre_vote()

    def _count_pre_vote(self) -> Task:
        self._granted += 1
        if self._granted >= self._needed:
            raft = self._raft
            raft.arm(raft.random_s(raft.config.election_timeout_s), self._again)
            yield from self._elect()

    def _elect(self) -> Task:
        raft = self._raft
        self._is_pre_vote = False
        self._granted = 0
        term = self._asked = Term(raft.term + 1)
        yield from raft.set_term(term)
        if not self._is_on():
            return
        index, last_term = raft.last_entry()
        request = RequestVoteRequest(
            term=term,
            candidate=raft.server.id,
            last_log_index=Index(index),
            last_log_term=last_term,
            leadership_transfer=raft.from_transfer,
        )
        for peer in raft.latest.configuration.voters:
            if peer == raft.server.id:
                yield from raft.persist_vote(term, peer)
                if not self._is_on():
                    return
                yield from self._count(term)
            else:
                raft.server.ask(peer, request, self._answered)

    def _answered(self, response: Response | None) -> None:
        self._raft.post(lambda: self._on_vote(response))

    def _on_vote(self, response: Response | None) -> Task:
        raft = self._raft
        if not self._is_on() or not isinstance(response, RequestVoteResponse):
            return
        if response.term > raft.term:
            raft.follow()
            yield from raft.set_term(response.term)
        elif response.granted:
            yield from self._count(self._asked)

    def _count(self, term: Term) -> Task:
        self._granted += 1
        if self._granted >= self._needed:
            yield from self._raft.lead(term)
