"""The name a caller gives an operation, so that asking again never applies it twice.

It stands at the begin of the entry's ``Extensions``, which every server keeps, Go's too::

    f5 72 6c 70 2f 69 64 01     magic, version 1
    value                       16 bytes
    since                       8 bytes, big-endian
    the caller's own extensions
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Final

from raft_over_libp2p.errors import LocalProtocolError
from raft_over_libp2p.types import Index

__all__ = ["RequestID", "frame_request", "is_framed", "split_extensions"]

_MAGIC: Final = b"\xf5rlp/id\x01"
_VALUE_BYTES: Final = 16
_SINCE_BYTES: Final = 8
_FRAME_BYTES: Final = len(_MAGIC) + _VALUE_BYTES + _SINCE_BYTES


@dataclass(frozen=True, slots=True)
class RequestID:
    """One operation of one caller, however often it is sent.

    ``since`` is the index of an entry that was agreed on before the ID was made: no log can
    hold the operation at or before it. A leader whose log no longer reaches back to there
    cannot tell whether it was applied, and says so. ``str`` and :meth:`parse` are for
    callers that write it down before they send it, as who may crash should.

    Raises:
        LocalProtocolError: ``value`` has not 16 bytes, or ``since`` is out of range.

    """

    value: bytes
    since: Index

    def __post_init__(self) -> None:
        if len(self.value) != _VALUE_BYTES:
            raise LocalProtocolError(f"a request ID has {_VALUE_BYTES} bytes")
        if not 0 <= self.since < 1 << (8 * _SINCE_BYTES):
            raise LocalProtocolError(f"a request ID cannot be valid since entry {self.since}")

    @staticmethod
    def new(since: Index) -> RequestID:
        """Return a new one; ``since`` is what some server of the cluster has applied."""
        return RequestID(secrets.token_bytes(_VALUE_BYTES), since)

    @staticmethod
    def parse(text: str) -> RequestID:
        """Return the one that ``str`` gave as ``text``.

        Raises:
            LocalProtocolError: it is none.

        """
        value, _, since = text.partition("-")
        try:
            return RequestID(bytes.fromhex(value), Index(int(since)))
        except ValueError as error:
            raise LocalProtocolError(f"{text[:80]!r} is no request ID") from error

    def __str__(self) -> str:
        return f"{self.value.hex()}-{self.since}"


def frame_request(request: RequestID, extensions: bytes) -> bytes:
    """Return an entry's extensions: ``request`` before the caller's own."""
    since = request.since.to_bytes(_SINCE_BYTES, "big")
    return _MAGIC + request.value + since + extensions


def is_framed(extensions: bytes) -> bool:
    """Tell whether an entry's extensions hold a request ID."""
    return len(extensions) >= _FRAME_BYTES and extensions.startswith(_MAGIC)


def split_extensions(extensions: bytes) -> tuple[RequestID | None, bytes]:
    """Return the request ID in an entry's extensions, if there is one, and the caller's own."""
    if not is_framed(extensions):
        return None, extensions
    rest = extensions[len(_MAGIC) :]
    since = int.from_bytes(rest[_VALUE_BYTES : _VALUE_BYTES + _SINCE_BYTES], "big")
    request = RequestID(rest[:_VALUE_BYTES], Index(since))
    return request, rest[_VALUE_BYTES + _SINCE_BYTES :]
