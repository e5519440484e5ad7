"""Responses as bytes: an error text, empty on success, then the struct, or nil where there is none.

All fields are always written: Go decodes every response of a peer into one struct it never
clears, so a field left out would keep its value from the response before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    ErrorResponse,
    GoResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    Request,
    RequestPreVoteRequest,
    RequestPreVoteResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    Response,
    TimeoutNowRequest,
    TimeoutNowResponse,
)
from raft_over_libp2p.types import ServerID
from raft_over_libp2p.wire import schema
from raft_over_libp2p.wire.header import PROTOCOL_VERSION
from raft_over_libp2p.wire.legacy_msgpack import NIL, pack_text
from raft_over_libp2p.wire.legacy_reader import LegacyReader
from raft_over_libp2p.wire.schema import GoStruct, Values

__all__ = ["encode_response", "read_response"]

_NO_HEADER: Final = {"ProtocolVersion": 0, "ID": None, "Addr": None}


def encode_response(response: GoResponse, local_id: ServerID, *, error: str = "") -> bytes:
    """Return the bytes of ``response`` from us, ``local_id``.

    ``error`` goes before a response that has a struct all the same, as Go's InstallSnapshot
    has; an :class:`ErrorResponse` brings its own text and has no struct. Never give
    ``error`` to a successful response: Go's pipeline reads the struct and not the error.
    """
    us = local_id.encode()
    header: Values = {"ProtocolVersion": PROTOCOL_VERSION, "ID": us, "Addr": us}
    match response:
        case ErrorResponse():
            return pack_text(response.error) + NIL
        case AppendEntriesResponse():
            body = schema.APPEND_ENTRIES_RESPONSE.write(
                header
                | {
                    "Term": response.term,
                    "LastLog": response.last_log,
                    "Success": response.success,
                    "NoRetryBackoff": response.no_retry_backoff,
                }
            )
        case RequestVoteResponse():
            # Peers is for protocol versions below 2 only; from 2 on Go writes nil.
            body = schema.REQUEST_VOTE_RESPONSE.write(
                header | {"Term": response.term, "Peers": None, "Granted": response.granted}
            )
        case RequestPreVoteResponse():
            body = schema.REQUEST_PRE_VOTE_RESPONSE.write(
                header | {"Term": response.term, "Granted": response.granted}
            )
        case InstallSnapshotResponse():
            body = schema.INSTALL_SNAPSHOT_RESPONSE.write(
                _NO_HEADER | {"Term": response.term, "Success": response.success}
            )
        case TimeoutNowResponse():
            body = schema.TIMEOUT_NOW_RESPONSE.write(_NO_HEADER)
    return pack_text(error) + body


def read_response(request_type: type[Request], reader: LegacyReader) -> Response:
    """Read the response to a request of that type; an error text makes it an ErrorResponse.

    Its header is read and ignored: some responses have none.

    Raises:
        MoreBytesNeeded: it is not wholly here.
        MalformedMessage, FrameTooLarge: reset the stream; the call's outcome is unknown.

    """
    struct, message_of = _READERS[request_type]
    error: bytes = schema.ERROR_TEXT.read(reader)
    values = struct.read(reader)
    if error:
        return ErrorResponse(error=error.decode(errors="replace"))
    return message_of(values)


def _append_entries_of(values: Values) -> Response:
    return AppendEntriesResponse(
        term=values["Term"],
        last_log=values["LastLog"],
        success=values["Success"],
        no_retry_backoff=values["NoRetryBackoff"],
    )


def _request_vote_of(values: Values) -> Response:
    return RequestVoteResponse(term=values["Term"], granted=values["Granted"])


def _request_pre_vote_of(values: Values) -> Response:
    return RequestPreVoteResponse(term=values["Term"], granted=values["Granted"])


def _install_snapshot_of(values: Values) -> Response:
    return InstallSnapshotResponse(term=values["Term"], success=values["Success"])


def _timeout_now_of(_values: Values) -> Response:
    return TimeoutNowResponse()


_READERS: Final[dict[type[Request], tuple[GoStruct, Callable[[Values], Response]]]] = {
    AppendEntriesRequest: (schema.APPEND_ENTRIES_RESPONSE, _append_entries_of),
    RequestVoteRequest: (schema.REQUEST_VOTE_RESPONSE, _request_vote_of),
    RequestPreVoteRequest: (schema.REQUEST_PRE_VOTE_RESPONSE, _request_pre_vote_of),
    InstallSnapshotRequest: (schema.INSTALL_SNAPSHOT_RESPONSE, _install_snapshot_of),
    TimeoutNowRequest: (schema.TIMEOUT_NOW_RESPONSE, _timeout_now_of),
}
