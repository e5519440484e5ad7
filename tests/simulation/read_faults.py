"""Faults in reads of followers and in leases (faults 32, 34 and 54, and what rule 6 forbids)."""

from __future__ import annotations

from tests.simulation.faults import fault_of

__all__ = ["LEASE_FAULTS", "READ_FAULTS"]

_STALE = "linearisable reads"

LEASE_FAULTS = {
    "lease_read": fault_of(
        "a lease without the voters",
        "leases:Lease.left_at",
        "oldest = sorted(since, reverse=True)[bound - 1]",
        "oldest = now",
        _STALE,
    ),
    "lease_from_the_send_time": fault_of(
        "a lease from the receive time",
        "leases:Lease.on_answer",
        "call.sent_at",
        "self._leadership.server.now",
        _STALE,
    ),
    "lease_binds_voters": fault_of(
        "a vote for another under a promise",
        "voting:answer_vote",
        "if server.promise.forbids(peer, server.now):",
        "if False:",
        _STALE,
    ),
    "lease_without_go_voters": fault_of(
        "who does not serve the protocol promises all the same",
        "leases:Lease.on_failure",
        "self._deaf_until[call.voter] = self._leadership.server.now + _DEAF_S",
        "self._granted[call.voter] = call.sent_at",
        _STALE,
    ),
    "lease_ends_before_transfer": fault_of(
        "a lease goes on while leadership is handed over",
        "leases:Lease.left_at",
        "or server.transfer is not None",
        "",
        _STALE,
        with_=(fault_of("", "leases:Lease.void", "self._granted.clear()", "pass", _STALE),),
    ),
}
"""By the transcript that shows each."""
READ_FAULTS = {
    "read_at_a_follower": fault_of(
        "a read joins a request that is under way",
        "follower_reads:register",
        "server.waiting_reads.append(token)",
        "(server.asked_reads.tokens if server.asked_reads else server.waiting_reads).append(token)",
        _STALE,
    ),
}
