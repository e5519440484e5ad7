"""Who a peer is: the multihash of its public key, in all of its text forms.

libp2p's peer-id spec: an Ed25519 key of 36 protobuf bytes is its own (identity) multihash,
``00 24 08 01 12 20`` and the 32 bytes of the key; larger keys are hashed with SHA2-256.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Final

import base58

from keys.errors import InvalidPeerID

__all__ = ["PeerID"]

MAX_TEXT_CHARS: Final = 256
"""Longer text is no peer ID: the longest multihash allowed here takes 134 digits of base16."""
MAX_MULTIHASH_BYTES: Final = 66
"""A code, a length and a digest of 64 bytes (SHA2-512, the largest in use)."""

_ED25519_PREFIX: Final = bytes.fromhex("002408011220")
_ED25519_KEY_BYTES: Final = 32
_IDENTITY_CODE: Final = 0x00
_SHA2_256_CODE: Final = 0x12
_SHA2_256_BYTES: Final = 32
_MAX_IDENTITY_BYTES: Final = 42
"""libp2p hashes public keys longer than this."""
_CID_PREFIX: Final = b"\x01\x72"
"""CIDv1 and the multicodec libp2p-key."""
_BASE36: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True, order=False)
class PeerID:
    """A libp2p peer ID. Equal and hashed by its multihash, ordered by its base58 text.

    Raises:
        InvalidPeerID: ``multihash`` is no multihash that a public key can have.

    """

    multihash: bytes
    _text: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        problem = _multihash_problem(self.multihash)
        if problem is not None:
            raise InvalidPeerID(f"{self.multihash.hex() or 'no bytes'} is not a peer ID: {problem}")
        object.__setattr__(self, "_text", base58.b58encode(self.multihash).decode("ascii"))

    @staticmethod
    def parse(text: str) -> PeerID:
        """Return the peer ID that ``text`` names.

        Takes base58 (``12D3Koo...``, ``Qm...``) and CIDv1 of a libp2p-key in base32
        (``bafz...``), base36 (``k51...``), base58 (``z...``) and base16 (``f...``).

        Raises:
            InvalidPeerID: the message holds the text and what is wrong with it.

        """
        shown = repr(text if len(text) <= MAX_TEXT_CHARS else text[:32] + "...")
        if not text or len(text) > MAX_TEXT_CHARS:
            raise InvalidPeerID(f"{shown} is not a peer ID: it has {len(text)} characters")
        try:
            multihash = _multihash_of(text)
        except ValueError as error:
            raise InvalidPeerID(f"{shown} is not a peer ID: {error}") from None
        problem = _multihash_problem(multihash)
        if problem is not None:
            raise InvalidPeerID(f"{shown} is not a peer ID: {problem}")
        return PeerID(multihash)

    @staticmethod
    def from_bytes(multihash: bytes) -> PeerID:
        """Return the peer ID with this multihash; raises :class:`InvalidPeerID`."""
        return PeerID(bytes(multihash))

    @staticmethod
    def of_ed25519_public_key(public_key: bytes) -> PeerID:
        """Return the ID of the peer that holds this Ed25519 key (32 raw bytes)."""
        if len(public_key) != _ED25519_KEY_BYTES:
            raise InvalidPeerID(
                f"an Ed25519 public key has {_ED25519_KEY_BYTES} bytes, this has {len(public_key)}"
            )
        return PeerID(_ED25519_PREFIX + public_key)

    def cid_text(self) -> str:
        """Return the CIDv1 text in base32 (``bafz...``), as go-libp2p's ``ToCid`` prints it."""
        return (
            "b" + base64.b32encode(_CID_PREFIX + self.multihash).decode("ascii").rstrip("=").lower()
        )

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"PeerID({self._text})"

    def __lt__(self, other: PeerID) -> bool:
        return self._text < other._text if isinstance(other, PeerID) else NotImplemented

    def __le__(self, other: PeerID) -> bool:
        return self._text <= other._text if isinstance(other, PeerID) else NotImplemented

    def __gt__(self, other: PeerID) -> bool:
        return self._text > other._text if isinstance(other, PeerID) else NotImplemented

    def __ge__(self, other: PeerID) -> bool:
        return self._text >= other._text if isinstance(other, PeerID) else NotImplemented


def _multihash_of(text: str) -> bytes:
    """Return the multihash that ``text`` spells; raises ValueError with the reason."""
    if text.startswith(("Qm", "1")):
        return _base58(text)
    decoders = {"b": _base32, "B": _base32, "k": _base36, "K": _base36, "z": _base58, "f": _base16}
    decode = decoders.get(text[0])
    if decode is None:
        raise ValueError("it starts neither as base58 (12D3Koo, Qm) nor as a CID (bafz, k51)")
    cid = decode(text[1:])
    if not cid.startswith(_CID_PREFIX):
        raise ValueError("it is a CID, but not one of a libp2p key")
    return cid[len(_CID_PREFIX) :]


def _base58(digits: str) -> bytes:
    try:
        return base58.b58decode(digits)
    except ValueError:
        raise ValueError("it has a character that base58 does not have") from None


def _base32(digits: str) -> bytes:
    try:
        return base64.b32decode(digits.upper() + "=" * (-len(digits) % 8))
    except ValueError:
        raise ValueError("it is not well-formed base32") from None


def _base36(digits: str) -> bytes:
    number = 0
    for digit in digits.lower():
        value = _BASE36.find(digit)
        if value < 0:
            raise ValueError(f"base36 has no {digit!r}")
        number = number * 36 + value
    zeros = len(digits) - len(digits.lstrip("0"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def _base16(digits: str) -> bytes:
    if set(digits) - set("0123456789abcdef"):
        raise ValueError("it is not well-formed base16")
    return bytes.fromhex(digits) if len(digits) % 2 == 0 else b""


def _multihash_problem(multihash: bytes) -> str | None:
    """Say what is wrong with ``multihash``; None when nothing is."""
    # Codes and lengths of all hashes in use for keys fit one byte of varint.
    if len(multihash) < 2 or len(multihash) > MAX_MULTIHASH_BYTES:  # noqa: PLR2004 - code, length
        return f"a multihash of {len(multihash)} bytes"
    code, length = multihash[0], multihash[1]
    if length != len(multihash) - 2:
        return f"its digest has {len(multihash) - 2} bytes and says {length}"
    if code == _SHA2_256_CODE and length != _SHA2_256_BYTES:
        return f"a SHA2-256 digest of {length} bytes"
    if code == _IDENTITY_CODE and not 0 < length <= _MAX_IDENTITY_BYTES:
        return f"an identity multihash of {length} bytes"
    if code not in {_IDENTITY_CODE, _SHA2_256_CODE}:
        return f"hash 0x{code:02x}, where a peer ID has SHA2-256 or identity"
    return None
