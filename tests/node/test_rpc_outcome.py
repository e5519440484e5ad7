"""An error keeps its outcome when only its text crosses the wire."""

from __future__ import annotations

import pytest

from node.rpc.outcome import error_of, error_text
from raft_over_libp2p.errors import (
    DurabilityLost,
    MalformedMessage,
    NoLeader,
    NotLeader,
    OutcomeUnknown,
    ProposalRefused,
)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NotLeader(None), NoLeader),
        (NoLeader("nobody"), NoLeader),
        (ProposalRefused("too large"), ProposalRefused),
        (MalformedMessage("no pin"), ProposalRefused),
        (ValueError("no pin"), ProposalRefused),
        (OutcomeUnknown("lost"), OutcomeUnknown),
        (DurabilityLost("disk"), OutcomeUnknown),
    ],
)
def test_our_own_errors_keep_their_outcome(error, expected) -> None:
    assert expected is type(error_of(error_text(error)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rpc: can't find method LogPin", ProposalRefused),
        ("client does not have permissions to call Consensus.LogPin", ProposalRefused),
        ("leadership lost while committing log", OutcomeUnknown),
        ("something nobody has seen yet", OutcomeUnknown),
    ],
)
def test_what_a_go_leader_answers_is_unknown_unless_nothing_was_called(text, expected) -> None:
    assert expected is type(error_of(text))
