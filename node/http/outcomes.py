"""What became of an operation, in HTTP's words: status, Retry-After, and ``outcome`` in the body.

``outcome`` is ``not-done`` (definitely: it may be repeated), ``unknown`` (it may have been
done: repeat it only if that does no harm; pins and unpins do none), or ``no-leader`` (not
done, since nobody leads).
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from starlette.responses import JSONResponse, Response

from raft_over_libp2p.errors import (
    InconsistentState,
    LocalProtocolError,
    NoLeader,
    NotLeader,
    OutcomeUnknown,
    ProposalRefused,
    RaftError,
)

__all__ = ["NOT_DONE", "NO_LEADER", "UNKNOWN", "Outcome", "Refusal", "raft_error_response"]

Outcome: TypeAlias = Literal["not-done", "unknown", "no-leader"]
NOT_DONE: Final = "not-done"
UNKNOWN: Final = "unknown"
NO_LEADER: Final = "no-leader"

_RETRY_AFTER_S: Final = 1
"""An election takes about this long with the default timeouts."""


class Refusal(Exception):
    """A request that is answered with an error; nothing was done."""

    def __init__(self, status: int, message: str, *, headers: dict[str, str] | None = None) -> None:
        self.status = status
        self.headers = headers
        super().__init__(message)

    def response(self) -> Response:
        """Return the answer: IPFS Cluster's error object and the outcome."""
        return _error(self.status, str(self), NOT_DONE, self.headers)


def raft_error_response(error: RaftError) -> Response:
    """Return the answer to a request that failed with ``error``."""
    retry = {"Retry-After": str(_RETRY_AFTER_S)}
    match error:
        case OutcomeUnknown():
            return _error(504, str(error), UNKNOWN)
        case NoLeader():
            return _error(503, str(error), NO_LEADER, retry)
        case NotLeader() | ProposalRefused():
            return _error(503, str(error), NOT_DONE, retry)
        case InconsistentState():
            return _error(500, str(error), NOT_DONE)
        case LocalProtocolError():
            return _error(400, str(error), NOT_DONE)
        case _:
            return _error(500, f"{type(error).__name__}: {error}", UNKNOWN)


def _error(
    status: int, message: str, outcome: Outcome, headers: dict[str, str] | None = None
) -> Response:
    body = {"code": status, "message": message, "outcome": outcome}
    return JSONResponse(body, status_code=status, headers=headers)
