"""XSalsa20 as a keystream: what libp2p's private networks XOR every byte with.

HSalsa20 (Bernstein, "Extending the Salsa20 nonce") turns the key and the first 16 bytes of
the nonce into a subkey; Salsa20/20 runs under it with the last 8 bytes as nonce and a
64-bit block counter from 0. pycryptodome has Salsa20 but not HSalsa20.
"""

from __future__ import annotations

import struct
from typing import Final

from Crypto.Cipher import Salsa20

__all__ = ["KEY_BYTES", "NONCE_BYTES", "XSalsa20"]

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 24

_HSALSA_NONCE_BYTES: Final = 16
_SIGMA: Final = struct.unpack("<4I", b"expand 32-byte k")
_DOUBLE_ROUNDS: Final = 10
_COLUMNS: Final = ((0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11))
_ROWS: Final = ((0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14))
_WORD: Final = 0xFFFFFFFF


class XSalsa20:
    """One direction of a connection: the keystream runs on from byte to byte."""

    def __init__(self, key: bytes, nonce: bytes) -> None:
        """Start the keystream of a 32-byte ``key`` and a 24-byte ``nonce``."""
        self._cipher = Salsa20.new(
            key=_hsalsa20(key, nonce[:_HSALSA_NONCE_BYTES]), nonce=nonce[_HSALSA_NONCE_BYTES:]
        )

    def xor(self, data: bytes) -> bytes:
        """Return ``data`` enciphered, or deciphered: it is the same."""
        return bytes(self._cipher.encrypt(data))


def _hsalsa20(key: bytes, nonce: bytes) -> bytes:
    k = struct.unpack("<8I", key)
    n = struct.unpack("<4I", nonce)
    s = _SIGMA
    x = [s[0], *k[:4], s[1], *n, s[2], *k[4:], s[3]]
    for _ in range(_DOUBLE_ROUNDS):
        for quarter in (*_COLUMNS, *_ROWS):
            _quarter_round(x, *quarter)
    return struct.pack("<8I", x[0], x[5], x[10], x[15], x[6], x[7], x[8], x[9])


def _quarter_round(x: list[int], a: int, b: int, c: int, d: int) -> None:
    x[b] ^= _rotate(x[a] + x[d], 7)
    x[c] ^= _rotate(x[b] + x[a], 9)
    x[d] ^= _rotate(x[c] + x[b], 13)
    x[a] ^= _rotate(x[d] + x[c], 18)


def _rotate(word: int, bits: int) -> int:
    word &= _WORD
    return ((word << bits) | (word >> (32 - bits))) & _WORD
