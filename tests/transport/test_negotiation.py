"""A proposal and its answer, in whatever pieces that comes."""

from __future__ import annotations

import pytest

from raft_over_libp2p.transport.negotiation import Proposal, ProposalRefusedError, preamble

RAFT = "/raft/1.0.0/rpc"
AGREED = b"\x13/multistream/1.0.0\n\x10/raft/1.0.0/rpc\n"
REFUSED = b"\x13/multistream/1.0.0\n\x03na\n"


def test_a_preamble_is_what_go_peers_send() -> None:
    assert preamble(RAFT) == AGREED


@pytest.mark.parametrize("beyond", [b"", b"the answer"])
def test_an_agreement_gives_back_what_follows_it(beyond: bytes) -> None:
    assert Proposal(RAFT).take(AGREED + beyond) == beyond


def test_an_agreement_byte_by_byte_is_one() -> None:
    proposal = Proposal(RAFT)
    taken = [proposal.take(bytes([byte])) for byte in AGREED]

    assert taken == [None] * (len(AGREED) - 1) + [b""]


@pytest.mark.parametrize("step", [1, len(REFUSED)])
@pytest.mark.parametrize("beyond", [b"", b"\x03na\n"])
def test_a_refusal_says_that_nothing_was_acted_on(step: int, beyond: bytes) -> None:
    proposal = Proposal(RAFT)
    answer = REFUSED + beyond
    with pytest.raises(ProposalRefusedError, match="nothing was acted on") as raised:
        _take_in_pieces(proposal, answer, step)

    assert raised.value.is_known_refusal


@pytest.mark.parametrize("answer", [b"\x12", AGREED[:20] + b"\x0c/other/1.0\n", b"HTTP/1.1 400"])
def test_what_is_neither_is_no_known_refusal(answer: bytes) -> None:
    with pytest.raises(ProposalRefusedError) as raised:
        Proposal(RAFT).take(answer)

    assert not raised.value.is_known_refusal


@pytest.mark.parametrize("name", ["", "/" + 126 * "x"])
def test_a_name_that_does_not_fit_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="1 to 126 bytes"):
        preamble(name)


def _take_in_pieces(proposal: Proposal, answer: bytes, step: int) -> None:
    for start in range(0, len(answer), step):
        proposal.take(answer[start : start + step])
