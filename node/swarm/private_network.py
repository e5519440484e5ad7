"""libp2p's private network: who does not hold the cluster secret cannot say a word.

Below everything else on a TCP connection, each side on its own: a 24-byte random nonce in
clear before its first byte, then every byte XORed with XSalsa20 under the 32-byte secret
(go-libp2p ``p2p/net/pnet``). There is no handshake and no integrity: under a wrong secret
the other side's bytes are noise, and the protocol negotiation above fails.

py-libp2p's own ``psk`` is another scheme, with an 8-byte nonce, and cannot talk to Go
(trap 6 of docs/upstream.md).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from libp2p.io.abc import ReadWriteCloser
from libp2p.io.exceptions import ConnectionClosedError

from node.swarm.xsalsa20 import KEY_BYTES, NONCE_BYTES, XSalsa20

__all__ = ["NotInThisNetwork", "PrivateConnection"]

_FIRST_WORDS: Final = b"\x13/multistream/1.0.0\n"
"""What either side of a libp2p connection over TCP says first."""


class NotInThisNetwork(ConnectionClosedError):
    """The other side does not hold our cluster secret."""

    def __init__(self, what: str) -> None:
        """Say ``what`` shows it."""
        super().__init__(f"the peer does not hold the same cluster secret: {what}", transport="tcp")


class PrivateConnection(ReadWriteCloser):
    """A connection inside the private network; one task may write and one may read."""

    def __init__(
        self,
        inner: ReadWriteCloser,
        secret: bytes,
        random_bytes: Callable[[int], bytes] = os.urandom,
    ) -> None:
        """Wrap ``inner`` with the cluster's 32-byte ``secret``.

        Raises:
            ValueError: the secret is not 32 bytes long.

        """
        if len(secret) != KEY_BYTES:
            raise ValueError(f"a cluster secret has {KEY_BYTES} bytes, not {len(secret)}")
        self._inner = inner
        self._secret = secret
        self._random_bytes = random_bytes
        self._writing: XSalsa20 | None = None
        self._reading: XSalsa20 | None = None
        self._nonce = b""
        self._to_check = _FIRST_WORDS

    async def write(self, data: bytes) -> None:
        if self._writing is None:
            nonce = self._random_bytes(NONCE_BYTES)
            self._writing = XSalsa20(self._secret, nonce)
            await self._inner.write(nonce + self._writing.xor(data))
        else:
            await self._inner.write(self._writing.xor(data))

    async def read(self, n: int | None = None) -> bytes:
        """Return up to ``n`` bytes, nothing at the end.

        Raises:
            NotInThisNetwork: the first bytes are not what every libp2p peer says first.
                Without this check a wrong secret shows as a time-out, or not at all.
            ConnectionClosedError: the connection is lost.

        """
        if self._reading is None:
            self._reading = XSalsa20(self._secret, await self._read_nonce())
        data = await self._inner.read(n)
        if not data:
            return b""
        data = self._reading.xor(data)
        if self._to_check:
            expected = self._to_check[: len(data)]
            if not data.startswith(expected):
                raise NotInThisNetwork("its first words are noise")
            self._to_check = self._to_check[len(expected) :]
        return data

    async def close(self) -> None:
        await self._inner.close()

    def get_remote_address(self) -> tuple[str, int] | None:
        return self._inner.get_remote_address()

    async def _read_nonce(self) -> bytes:
        # It may come in pieces, and a read may be cancelled between two of them.
        while len(self._nonce) < NONCE_BYTES:
            piece = await self._inner.read(NONCE_BYTES - len(self._nonce))
            if not piece:
                raise NotInThisNetwork("it closed the connection at once")
            self._nonce += piece
            if self._nonce.startswith(_FIRST_WORDS):
                raise NotInThisNetwork("it is in no private network")
        return self._nonce
