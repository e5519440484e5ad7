"""The 32 bytes that let peers into the private network of a cluster (libp2p's PSK)."""

from __future__ import annotations

import hmac
import re
import secrets
from typing import Final, NoReturn

from keys.errors import InvalidClusterSecret

__all__ = ["ClusterSecret"]

SECRET_BYTES: Final = 32
_HEX: Final = re.compile(r"[0-9a-fA-F]*\Z")


class ClusterSecret:
    """A cluster's secret, which no repr, log line, traceback or pickle shows.

    It leaves this object by :meth:`reveal` and :meth:`reveal_hex` only: search for these
    names to find every place that sees it.

    Raises:
        InvalidClusterSecret: not 32 bytes; the message does not hold the value.

    """

    __slots__ = ("_secret",)
    _secret: bytes

    def __init__(self, secret: bytes) -> None:
        length = len(secret)
        if length == SECRET_BYTES:
            self._secret = bytes(secret)
        # A traceback that shows local variables must not show this one.
        del secret
        if length != SECRET_BYTES:
            raise InvalidClusterSecret(f"a cluster secret has {SECRET_BYTES} bytes, not {length}")

    @staticmethod
    def generate() -> ClusterSecret:
        """Return a new random secret."""
        return ClusterSecret(secrets.token_bytes(SECRET_BYTES))

    @staticmethod
    def from_hex(text: str) -> ClusterSecret:
        """Return the secret written as 64 hex digits, as service.json and CLUSTER_SECRET hold it.

        Raises:
            InvalidClusterSecret: another length, or not hex; the message does not hold the text.

        """
        length, is_hex = len(text), _HEX.match(text) is not None
        if is_hex and length == 2 * SECRET_BYTES:
            return ClusterSecret(bytes.fromhex(text))
        del text
        wanted = f"a cluster secret is {2 * SECRET_BYTES} hex digits"
        if not is_hex:
            raise InvalidClusterSecret(f"{wanted}; this holds other characters")
        raise InvalidClusterSecret(f"{wanted}, not {length}")

    def reveal(self) -> bytes:
        """Return the 32 bytes."""
        return self._secret

    def reveal_hex(self) -> str:
        """Return the secret as 64 lower-case hex digits, for service.json."""
        return self._secret.hex()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClusterSecret) and hmac.compare_digest(self._secret, other._secret)

    def __hash__(self) -> int:
        return hash((ClusterSecret, self._secret))

    def __repr__(self) -> str:
        return "ClusterSecret(<hidden>)"

    def __getstate__(self) -> NoReturn:
        raise TypeError("a ClusterSecret is not pickled or copied")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a ClusterSecret is not pickled or copied")
