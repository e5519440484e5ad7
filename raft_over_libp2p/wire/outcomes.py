"""What an error text of a Go peer says about the operation: definitely not done, or unknown.

Only the text crosses the wire. A text is NOT_DONE only where Go returns it solely before
the operation can reach a log; everything else, and every text not listed, is UNKNOWN.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

__all__ = ["Outcome", "outcome_of"]


class Outcome(Enum):
    """What became of an operation that was answered with an error."""

    NOT_DONE = "definitely not done"
    UNKNOWN = "unknown"


_TEXTS: Final = {
    # hashicorp/raft api.go. ErrNotLeader: a follower or candidate rejects what is in its queue.
    "node is not the leader": Outcome.NOT_DONE,
    # ErrLeader: asked of a leader what only others do.
    "node is the leader": Outcome.NOT_DONE,
    # ErrLeadershipLost: also for entries already sent to some peers, which may yet commit.
    "leadership lost while committing log": Outcome.UNKNOWN,
    # ErrAbortedByRestore: it was in flight when a user's snapshot took its place.
    "snapshot restored while committing log": Outcome.UNKNOWN,
    # ErrRaftShutdown: before enqueueing, but also to those who wait for an enqueued operation.
    "raft is already shutdown": Outcome.UNKNOWN,
    # ErrEnqueueTimeout: the leader's queue never took it.
    "timed out enqueuing operation": Outcome.NOT_DONE,
    # ErrUnsupportedProtocol: checked before anything else.
    "operation not supported with current protocol version": Outcome.NOT_DONE,
    # ErrLeadershipTransferInProgress: refused at the queue's end, before the log.
    "leadership transfer in progress": Outcome.NOT_DONE,
    # ErrCantBootstrap, ErrNothingNewToSnapshot.
    "bootstrap only works on new clusters": Outcome.NOT_DONE,
    "nothing new to snapshot": Outcome.NOT_DONE,
    # go-libp2p-raft actor.go, SetState: the check before raft.Apply.
    "this actor is not the leader": Outcome.NOT_DONE,
    # ipfs-cluster consensus/raft raft.go and consensus.go: nobody to ask.
    "leader unknown or not existing yet": Outcome.NOT_DONE,
    "timed out waiting for leader": Outcome.NOT_DONE,
}

_PREFIXES: Final = (
    # hashicorp/raft raft.go and configuration.go: a membership change refused before its entry.
    "configuration changed since ",
    "need at least one voter in configuration",
    # ipfs-cluster consensus/raft raft.go, WaitForLeader: followed by the context's error.
    "timed out waiting for leader: ",
)

_NEVER_DISPATCHED: Final = (
    # go-libp2p-gorpc server.go: no method was called.
    "rpc: can't find service ",
    "rpc: can't find method ",
    "error reading service ID: ",
    "client does not have permissions to call ",
)


def outcome_of(error: str, *, may_have_retried: bool) -> Outcome:
    """Return what ``error``, from a Go peer, says about the operation it answers.

    ``may_have_retried`` is True for what repeats by itself before it answers, as IPFS
    Cluster's ``LogPin`` and ``LogUnpin`` do: they tell of the last attempt only, and an
    earlier one may have ended as unknown. Then only gorpc's own refusals are NOT_DONE.
    """
    if error.startswith(_NEVER_DISPATCHED):
        return Outcome.NOT_DONE
    if may_have_retried:
        return Outcome.UNKNOWN
    if error.startswith(_PREFIXES):
        return Outcome.NOT_DONE
    return _TEXTS.get(error, Outcome.UNKNOWN)
