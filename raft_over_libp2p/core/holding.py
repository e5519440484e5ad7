"""Replies that wait until what they say is durable (mixed-cluster rule 8)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from raft_over_libp2p.core.messages import AppendEntriesResponse, Response
from raft_over_libp2p.core.ready import Reply
from raft_over_libp2p.types import NO_INDEX, BatchID, CallID, Index, Term

__all__ = ["Holding"]


@dataclass(slots=True)
class _Held:
    reply: Reply
    batch: BatchID
    upto: Index


class Holding:
    """Replies in the order they were given, each with the batch and the index it waits for.

    Its length is bounded by the transport, which reads at most
    ``MAX_PENDING_REPLIES_PER_STREAM`` requests ahead on a stream.
    """

    def __init__(self) -> None:
        self._held: list[_Held] = []

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, call: CallID, response: Response, batch: BatchID, upto: Index) -> None:
        """Keep a reply until ``batch`` is persisted and the log is durable up to ``upto``."""
        self._held.append(_Held(Reply(call, response), batch, upto))

    def release(self, persisted: BatchID, durable: Index) -> list[Reply]:
        """Return the replies whose waiting has ended, in order, and forget them."""
        if not self._held:
            return []
        free = [h.reply for h in self._held if h.batch <= persisted and h.upto <= durable]
        if free:
            self._held = [h for h in self._held if h.batch > persisted or h.upto > durable]
        return free

    def truncated_all(self, term: Term, term_batch: BatchID) -> None:
        """Turn every acknowledgement of entries into a refusal: the log was discarded."""
        self.truncated(Index(NO_INDEX + 1), term, term_batch)

    def truncated(self, first_removed: Index, term: Term, term_batch: BatchID) -> None:
        """Turn acknowledgements of entries that are gone into refusals that state ``term``.

        A later leader's entries at the same indexes may become durable; the old leader must
        not take that for its own.
        """
        for held in self._held:
            response = held.reply.response
            if held.upto >= first_removed and isinstance(response, AppendEntriesResponse):
                refusal = replace(response, term=term, success=False, no_retry_backoff=True)
                held.reply = Reply(held.reply.call, refusal)
                held.batch, held.upto = term_batch, NO_INDEX
