"""What seldom happens, and must have happened in a long run: a mark never set is a fault never tried."""

from __future__ import annotations

from collections import Counter

__all__ = ["ENOUGH_SEEDS", "MARKS", "missed"]

ENOUGH_SEEDS = 1000
"""A run of so many seeds must reach every mark; a shorter one only says how many it reached."""

MARKS = frozenset(
    {
        "Go: TimeoutNow obeyed",
        "Go: a hole in its log",
        "Go: a leader's disk is full",
        "Go: a protocol it does not speak",
        "Go: a removed leader ends",
        "Go: a voter held while the others recover",
        "Go: campaign",
        "Go: configuration taken back",
        "Go: elected",
        "Go: entries not stored",
        "Go: heartbeat beside the main loop",
        "Go: lease lost",
        "Go: log kept above a snapshot",
        "Go: main loop held by a snapshot",
        "Go: prev check blind to the snapshot",
        "Go: sent commit beyond its entries",
        "Go: snapshot installed",
        "Go: snapshot taken",
        "Go: step-down without the term",
        "Go: truncation",
        "Go: unknown RPC type",
        "Go: vote given again",
        "TimeoutNow",
        "TimeoutNow in a leader's name",
        "add-nonvoter",
        "add-staging",
        "add-voter",
        "append of an old term refused",
        "append refused: the logs differ",
        "change refused",
        "compaction",
        "configuration appended",
        "crash after a write",
        "crash before a write",
        "crash during a write",
        "crash with writes lost",
        "demote-voter",
        "disk full",
        "late response ignored",
        "lease granted",
        "lease refused",
        "log replaced by a snapshot",
        "partition",
        "pause",
        "pre-vote granted",
        "pre-vote refused",
        "read refused",
        "read through a follower",
        "removal told",
        "real disk: EIO",
        "real disk: flipped bit harmless",
        "real disk: flipped bit refused",
        "real disk: flipped bit reported",
        "real disk: full",
        "real disk: killed",
        "real disk: power fails in a start",
        "real disk: power lost",
        "real disk: power lost with writes unsynced",
        "remove-server",
        "request blocked",
        "request duplicated",
        "reset",
        "response dropped",
        "shout of a removed server",
        "slow sync",
        "snapshot broken off",
        "snapshot duplicated",
        "snapshot durable, nobody told",
        "snapshot lost in a crash",
        "snapshot not stored",
        "snapshot not taken",
        "snapshot that nobody waits for arrives",
        "stranger",
        "the leader removes itself",
        "transfer done",
        "transfer failed",
        "transfer refused",
        "truncation",
        "uncommitted configuration rolled back",
        "vote refused: already given",
        "vote refused: old term",
        "vote refused: stale log",
        "wiped",
    }
)


def missed(marks: Counter[str]) -> list[str]:
    """Return the marks that were never reached."""
    return sorted(mark for mark in MARKS if not marks[mark])
