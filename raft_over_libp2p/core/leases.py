"""Reads without a round of heartbeats, where voters promised one (thesis 6.4.1, rule 6).

The promise
-----------
A voter that grants a ``LeaseRequest`` of ``d`` at its time ``h`` votes for nobody else, and does
not campaign, before ``h + d`` on its own clock: neither for the transfer flag nor for TimeoutNow.
It may forget this in a crash, so after each start it does neither for one election timeout, which
is the longest promise it gives. Rounds are numbered, so that a late request undoes nothing.

Why a read is right
-------------------
The leader counts a grant from when it *sent* the request, for ``CLOCK_SHARE * d`` on its own
clock. It reads at ``t`` if enough grants last: with them, every majority of the voters has a member
that is bound (``n - majority + 1`` voters, itself included if it votes). Take the first leader
of a later term that was elected before ``t``. This leader's latest configuration is committed, and so is
an entry of its term; a later leader holds both (Raft 5.4.3), and only this leader could have
appended a configuration behind them. So a majority of these very voters elected it, and one of
them is bound. It granted before it voted, as it grants in its own term only, and it voted before
its promise ended, as the leader's share ends earlier. It did not. So until ``t`` nobody else
committed anything, and the commit index of this leader covers every acknowledged write.

The clocks
----------
Assumed: the clocks of two voters differ in rate by at most 10 %. Time that a clock did not count
because the machine was suspended is told by ``ClockStoodStill``, which ends the lease of a leader;
a voter that did not count some time keeps its promise longer.

A Go peer never granted anything, so it never counts. What is missing is read by heartbeats.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from raft_over_libp2p.core.calls import LeaseCall
from raft_over_libp2p.core.messages import LeaseRequest, LeaseResponse, Response
from raft_over_libp2p.core.quorum import majority
from raft_over_libp2p.core.ready import Role
from raft_over_libp2p.types import NO_TERM, CallID, ServerID, Term

if TYPE_CHECKING:
    from raft_over_libp2p.core.leadership import Leadership
    from raft_over_libp2p.core.server import Server

__all__ = ["CLOCK_SHARE", "Lease", "Promise", "answer_lease"]

CLOCK_SHARE: Final = 0.9
"""How much of a promise its leader uses: less than 1 / 1.1, for clocks that differ by 10 %."""
_MAX_INFLIGHT: Final = 16
"""To one voter: what a silent one gathers until the transport gives up its calls."""
_DEAF_S: Final = 10.0
"""Who does not serve the protocol is asked again after this, or when it connects anew."""
_MS: Final = 1000


class Promise:
    """What this server owes to a leader as a voter."""

    def __init__(self, silent_until: float) -> None:
        """Elect nobody before ``silent_until``: an earlier process may have promised it."""
        self._silent_until = silent_until
        self._leader: ServerID | None = None
        self._newest: tuple[Term, int] = (NO_TERM, 0)
        self._until = -math.inf

    def forbids(self, candidate: ServerID, now: float) -> bool:
        """Tell whether this server must not help to elect ``candidate``, which may be itself."""
        is_bound = now < self._until and candidate != self._leader
        return is_bound or now < self._silent_until

    def renew(self, leader: ServerID, request: LeaseRequest, now: float) -> bool:
        """Follow ``request`` of the leader of its term, unless a newer one came before it."""
        if (request.term, request.round) <= self._newest:
            return False
        self._newest = (request.term, request.round)
        self._leader = leader
        self._until = now + request.duration_ms / _MS
        return True


def answer_lease(server: Server, call: CallID, peer: ServerID, request: LeaseRequest) -> None:
    """Promise what is asked, if its asker leads as far as known and it is not too long."""
    granted = (
        server.config.lease_reads
        and server.role is Role.FOLLOWER
        and request.term == server.term
        and peer == server.leader
        and request.duration_ms <= server.config.election_timeout_s * _MS
        and server.promise.renew(peer, request, server.now)
    )
    server.reply_stating_term(call, LeaseResponse(term=server.term, granted=granted))


class Lease:
    """What voters promised to one leadership."""

    def __init__(self, leadership: Leadership) -> None:
        self._leadership = leadership
        self._duration_ms = int(leadership.server.config.heartbeat_timeout_s * _MS)
        self._round = 0
        self._void_rounds = 0
        """Promises of these rounds do not count."""
        self._granted: dict[ServerID, float] = {}
        """When the newest request was sent that each voter granted."""
        self._inflight: dict[ServerID, int] = {}
        self._deaf_until: dict[ServerID, float] = {}
        """Until when they are not asked who do not serve the protocol: Go peers, for most."""

    def ask(self) -> None:
        """Ask each voter for its promise from now on."""
        server = self._leadership.server
        if not server.config.lease_reads or server.transfer is not None:
            return
        self._round += 1
        for voter in self._voters_asked():
            inflight = self._inflight.get(voter, 0)
            if inflight < _MAX_INFLIGHT:
                self._inflight[voter] = inflight + 1
                request = LeaseRequest(
                    term=server.term, round=self._round, duration_ms=self._duration_ms
                )
                server.call(voter, request, LeaseCall(voter, server.now, self._round))

    def _voters_asked(self) -> list[ServerID]:
        now = self._leadership.server.now
        voters = [peer.peer for peer in self._leadership.voters]
        return [voter for voter in voters if self._deaf_until.get(voter, now) <= now]

    def on_answer(self, call: LeaseCall, response: Response) -> None:
        """Count a promise from when it was asked for."""
        self._inflight[call.voter] -= 1
        if (
            isinstance(response, LeaseResponse)
            and response.granted
            and call.round > self._void_rounds
        ):
            self._granted[call.voter] = max(self._granted.get(call.voter, 0.0), call.sent_at)

    def on_failure(self, call: LeaseCall, *, is_unsupported: bool) -> None:
        """Note that no answer will come."""
        self._inflight[call.voter] -= 1
        if is_unsupported:
            self._deaf_until[call.voter] = self._leadership.server.now + _DEAF_S

    def connected(self, peer: ServerID) -> None:
        """Hear that ``peer`` may be another program than before."""
        self._deaf_until.pop(peer, None)

    def void(self) -> None:
        """Count no promise that was asked for until now."""
        self._void_rounds = self._round
        self._granted.clear()

    def give_back(self) -> None:
        """End the lease and tell the voters, so that another may be elected at once."""
        server = self._leadership.server
        if not server.config.lease_reads:
            return
        self._round += 1
        self.void()
        request = LeaseRequest(term=server.term, round=self._round, duration_ms=0)
        for voter in self._voters_asked():
            server.tell(voter, request)

    def left_at(self, now: float) -> float:
        """Return for how many seconds from ``now`` on reads need no round; 0 if they need one."""
        leadership, server = self._leadership, self._leadership.server
        if (
            not server.config.lease_reads
            or server.transfer is not None
            or not leadership.has_own_term_commit()
            or not server.membership.is_latest_committed
        ):
            return 0.0
        since = [self._granted.get(peer.peer, -math.inf) for peer in leadership.voters]
        if leadership.is_voter:
            since.append(now)
        if not since:
            return 0.0
        bound = len(since) - majority(len(since)) + 1
        oldest = sorted(since, reverse=True)[bound - 1]
        return max(0.0, oldest + CLOCK_SHARE * self._duration_ms / _MS - now)
