"""What an error text that crossed the wire says about the operation.

gorpc carries only texts. Ours begin with words that say the outcome, so that a Python caller
never has to guess; Go's are looked up in the table of ``raft_over_libp2p.wire.outcomes``, and
a text that is in neither is *unknown*.
"""

from __future__ import annotations

from typing import Final

from raft_over_libp2p.errors import (
    NoLeader,
    NotLeader,
    OutcomeUnknown,
    ProposalRefused,
    RaftError,
    RemoteProtocolError,
)
from raft_over_libp2p.wire.outcomes import Outcome, outcome_of

__all__ = ["error_of", "error_text"]

_NOT_APPLIED: Final = "not applied: "
_NOT_THE_LEADER: Final = "not applied, ask another: "
_UNKNOWN: Final = "outcome unknown: "


def error_text(error: RaftError | ValueError) -> str:
    """Return the text that tells a caller of ``error``, outcome first; what is malformed is not applied."""
    if isinstance(error, NotLeader | NoLeader):
        return _NOT_THE_LEADER + str(error)
    is_not_applied = isinstance(error, ProposalRefused | RemoteProtocolError | ValueError)
    return (_NOT_APPLIED if is_not_applied else _UNKNOWN) + str(error)


def error_of(text: str) -> NoLeader | ProposalRefused | OutcomeUnknown:
    """Return the error that ``text``, from a leader of either language, stands for.

    ``NoLeader`` is worth another try, at whoever leads then; a refusal is final.
    """
    if text.startswith(_NOT_THE_LEADER):
        return NoLeader(text.removeprefix(_NOT_THE_LEADER))
    if text.startswith(_NOT_APPLIED) or (
        outcome_of(text, may_have_retried=True) is Outcome.NOT_DONE
    ):
        return ProposalRefused(f"the leader did not apply it: {text.removeprefix(_NOT_APPLIED)}")
    return OutcomeUnknown(f"the leader answered: {text.removeprefix(_UNKNOWN)}")
