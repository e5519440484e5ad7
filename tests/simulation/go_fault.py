"""What hashicorp/raft breaks by itself, with nobody else at fault."""

from __future__ import annotations

__all__ = ["GoFault"]


class GoFault(Exception):
    """A Go peer did what no rule for our servers could have prevented: the run ends here.

    Raised at the very step at which the fault is done, before its consequences, which would
    otherwise be laid at somebody else's door: a vote granted on a torn record, a term or a role
    changed beside the main loop, entries committed that another Go peer's message did not cover.
    """
