"""multistream-select without a round trip of its own, as go-libp2p does it.

Who opens a stream proposes one protocol that the peer is known to serve, in one write with
its first bytes, and looks at the answer when it first reads. What was sent with the proposal
may have been acted on from then on, whatever becomes of the stream; only the peer's refusal
says that it was not.
"""

from __future__ import annotations

from typing import Final

__all__ = ["MULTISTREAM_HEADER", "Proposal", "ProposalRefusedError", "preamble"]

MULTISTREAM_HEADER: Final = b"\x13/multistream/1.0.0\n"
_NOT_SUPPORTED: Final = MULTISTREAM_HEADER + b"\x03na\n"
_MAX_NAME_BYTES: Final = 126
"""A longer name would need two bytes for its length; ours have 16 to 40."""


class ProposalRefusedError(Exception):
    """The answer to a proposal is not the agreement."""

    def __init__(self, message: str, *, is_known_refusal: bool) -> None:
        """``is_known_refusal``: the peer speaks multistream, and said no."""
        self.is_known_refusal = is_known_refusal
        super().__init__(message)


def preamble(protocol: str) -> bytes:
    """Return what both sides send to agree on ``protocol``: the header and the name.

    Raises:
        ValueError: the name is empty or too long.

    """
    name = protocol.encode()
    if not 0 < len(name) <= _MAX_NAME_BYTES:
        raise ValueError(f"a protocol's name has 1 to {_MAX_NAME_BYTES} bytes, not {len(name)}")
    return MULTISTREAM_HEADER + bytes([len(name) + 1]) + name + b"\n"


class Proposal:
    """One protocol proposed, and the answer as it comes."""

    def __init__(self, protocol: str) -> None:
        self.protocol = protocol
        self.opening = preamble(protocol)
        self._received = b""

    def take(self, data: bytes) -> bytes | None:
        """Take in the next bytes of the peer; return those behind its agreement, once it is whole.

        Raises:
            ProposalRefusedError: it is none.

        """
        received = self._received = self._received + data
        expected = self.opening
        if received.startswith(expected):
            return received[len(expected) :]
        if received.startswith(_NOT_SUPPORTED):
            raise ProposalRefusedError(
                f"the peer does not serve {self.protocol}; nothing was acted on",
                is_known_refusal=True,
            )
        if expected.startswith(received) or _NOT_SUPPORTED.startswith(received):
            return None
        raise ProposalRefusedError(
            f"the peer answers {received[:64]!r} to a proposal of {self.protocol}",
            is_known_refusal=False,
        )
