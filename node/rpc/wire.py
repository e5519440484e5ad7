"""go-libp2p-gorpc's bytes: a call is a ServiceID and an argument, an answer a header and a reply.

All of it is plain msgpack in the old specification (``raw`` strings, no ``bin``), one object
after another on a stream of its own, without lengths or framing. Source: go-libp2p-gorpc
v0.6.0 ``client.go``, ``server.go``; the captures in ``tests/vectors``.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import msgpack

from node.rpc.limits import MAX_RPC_MESSAGE_BYTES, MAX_RPC_NAME_BYTES
from raft_over_libp2p.errors import FrameTooLarge, MalformedMessage

__all__ = [
    "EMPTY_REPLY",
    "NIL",
    "PROTOCOL_ID",
    "ErrorType",
    "ObjectReader",
    "ResponseHeader",
    "ServiceID",
    "decode_bytes",
    "decode_peer_id",
    "decode_response_header",
    "decode_service_id",
    "encode_bytes",
    "encode_peer_id",
    "encode_response_header",
    "encode_service_id",
]

PROTOCOL_ID: Final = "/ipfscluster/1.0/rpc"
"""IPFS Cluster's RPC protocol; it does not change with Cluster's version."""
EMPTY_REPLY: Final = b"\x80"
"""An empty struct: what the Consensus methods answer."""
NIL: Final = b"\xc0"
"""The reply that follows an error made by gorpc itself."""


class ErrorType(IntEnum):
    """Who failed (gorpc ``errors.go``)."""

    APPLICATION = 0
    SERVER = 1
    CLIENT = 2
    AUTHORISATION = 3


@dataclass(frozen=True, slots=True)
class ServiceID:
    """Which method is called: ``Consensus.LogPin``."""

    service: str
    method: str

    def __str__(self) -> str:
        return f"{self.service}.{self.method}"


@dataclass(frozen=True, slots=True)
class ResponseHeader:
    """How a call ended; ``error`` is empty when it succeeded."""

    service_id: ServiceID
    error: str = ""
    error_type: ErrorType = ErrorType.APPLICATION


def _raw(text: str | bytes) -> bytes:
    return msgpack.packb(text, use_bin_type=False)  # type: ignore[no-any-return]


def encode_service_id(service_id: ServiceID) -> bytes:
    """Return the header of a call."""
    return b"\x82\xa4Name" + _raw(service_id.service) + b"\xa6Method" + _raw(service_id.method)


def encode_response_header(header: ResponseHeader) -> bytes:
    """Return the header of an answer: empty fields are left out, as Go does."""
    service = b"\xa7Service" + encode_service_id(header.service_id)
    if not header.error:
        return b"\x81" + service
    error = b"\xa5Error" + _raw(header.error)
    if header.error_type is ErrorType.APPLICATION:
        return b"\x82" + service + error
    return b"\x83" + service + error + b"\xa7ErrType" + bytes([header.error_type])


def encode_bytes(data: bytes) -> bytes:
    """Return ``data`` as Go writes a byte string: a multiaddr argument, for one."""
    return _raw(data)


def decode_bytes(data: bytes) -> bytes:
    """Return the byte string in an argument.

    Raises:
        MalformedMessage: it is none.

    """
    value = _decode(data)
    if not isinstance(value, bytes):
        raise MalformedMessage("the argument is no byte string")
    return value


def encode_peer_id(multihash: bytes) -> bytes:
    """Return a ``peer.ID`` argument: the raw multihash, never the text form."""
    return _raw(multihash)


def decode_peer_id(data: bytes) -> bytes:
    """Return the multihash in a ``peer.ID`` argument.

    Raises:
        MalformedMessage: it is none.

    """
    value = _decode(data)
    if not isinstance(value, bytes) or not value:
        raise MalformedMessage("the argument is no peer ID")
    return value


def decode_service_id(data: bytes) -> ServiceID:
    """Return what a call's header names.

    Raises:
        MalformedMessage: it is no ServiceID, or a name is longer than gorpc allows.

    """
    return _service_id(_decode(data))


def decode_response_header(data: bytes) -> ResponseHeader:
    """Return an answer's header.

    Raises:
        MalformedMessage: it is none.

    """
    fields = _fields(_decode(data))
    error = fields.get("Error") or b""
    kind = fields.get("ErrType") or 0
    if not isinstance(error, bytes) or not isinstance(kind, int) or kind not in set(ErrorType):
        raise MalformedMessage("the answer's header has a wrong Error or ErrType")
    return ResponseHeader(
        _service_id(fields.get("Service")), error.decode("utf-8", "replace"), ErrorType(kind)
    )


def _decode(data: bytes) -> object:
    try:
        return msgpack.unpackb(data, raw=True, strict_map_key=False)
    except (ValueError, TypeError, msgpack.StackError, msgpack.ExtraData) as error:
        # TypeError: a map whose key is itself a map or an array, which a dict cannot have.
        raise MalformedMessage(f"not a msgpack object: {error}") from error


def _fields(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise MalformedMessage("the header is not a map")
    return {
        key.decode("utf-8", "replace"): item
        for key, item in value.items()
        if isinstance(key, bytes)
    }


def _service_id(value: object) -> ServiceID:
    fields = _fields(value)
    names = []
    for key in ("Name", "Method"):
        name = fields.get(key) or b""
        if not isinstance(name, bytes) or len(name) > MAX_RPC_NAME_BYTES:
            raise MalformedMessage(f"the header's {key} is not a short string")
        names.append(name.decode("utf-8", "replace"))
    return ServiceID(names[0], names[1])


class ObjectReader:
    """Cuts a stream of bytes into msgpack objects, without decoding them.

    Feed it what arrives; ``take`` gives the next whole object's bytes. All objects fed to one
    reader, headers included, may have ``max_bytes`` together. Work is linear in the bytes,
    however they are cut: the C unpacker goes on where it stopped.
    """

    def __init__(self, max_bytes: int = MAX_RPC_MESSAGE_BYTES) -> None:
        self._max_bytes = max_bytes
        self._fed_bytes = 0
        self._taken_bytes = 0
        self._buffer = bytearray()
        """What was fed and not yet taken."""
        self._unpacker = msgpack.Unpacker(
            raw=True,
            strict_map_key=False,
            max_buffer_size=max_bytes,
            read_size=min(4096, max_bytes),
        )

    def feed(self, data: bytes) -> None:
        """Add ``data``.

        Raises:
            FrameTooLarge: the call is over its limit.

        """
        self._fed_bytes += len(data)
        if self._fed_bytes > self._max_bytes:
            raise FrameTooLarge(f"an RPC message is over {self._max_bytes} bytes")
        self._buffer += data
        self._unpacker.feed(data)

    @property
    def is_empty(self) -> bool:
        """Whether all that was fed has been taken."""
        return not self._buffer

    def take(self) -> bytes | None:
        """Return the next whole object, or None until more is fed.

        Raises:
            MalformedMessage: the bytes are no msgpack.

        """
        try:
            self._unpacker.skip()
        except msgpack.OutOfData:
            return None
        except (ValueError, msgpack.StackError) as error:
            raise MalformedMessage(f"not a msgpack object: {error}") from error
        length = self._unpacker.tell() - self._taken_bytes
        self._taken_bytes += length
        whole = bytes(self._buffer[:length])
        del self._buffer[:length]
        return whole
