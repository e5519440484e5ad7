"""When an entry is committed (Raft §5.3 and §5.4.2)."""

from __future__ import annotations

from collections.abc import Sequence

from raft_over_libp2p.core.quorum import reached_by_majority
from raft_over_libp2p.types import NO_INDEX, Index

__all__ = ["next_commit_index"]


def next_commit_index(
    matches: Sequence[Index], *, term_start: Index, commit_index: Index
) -> Index | None:
    """Return the new commit index when it moves, else None.

    ``matches`` is what each voter of the latest configuration durably holds; the leader's
    own durable index is among them only if it is a voter. ``term_start`` is the leader's
    first entry in its term: only an entry of its own term is committed by counting, earlier
    ones follow it (§5.4.2, Figure 8).
    """
    agreed = Index(reached_by_majority(matches, NO_INDEX))
    return agreed if agreed > commit_index and agreed >= term_start else None
