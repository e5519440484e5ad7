"""Requests as bytes: a type byte, then the struct; an InstallSnapshot's contents come after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from raft_over_libp2p import limits
from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    GoRequest,
    InstallSnapshotRequest,
    Request,
    RequestPreVoteRequest,
    RequestVoteRequest,
    TimeoutNowRequest,
)
from raft_over_libp2p.errors import FrameTooLarge, MalformedMessage
from raft_over_libp2p.types import NO_INDEX, Configuration, Index, ServerID
from raft_over_libp2p.wire import schema
from raft_over_libp2p.wire.configuration import (
    decode_configuration,
    decode_peers,
    encode_configuration,
    encode_peers,
    text_of,
)
from raft_over_libp2p.wire.header import PROTOCOL_VERSION, RPCHeader, RPCType, header_of
from raft_over_libp2p.wire.legacy_msgpack import pack_int, pack_map_header, pack_text, pack_uint
from raft_over_libp2p.wire.legacy_reader import LegacyReader
from raft_over_libp2p.wire.log_entry import ENTRIES, encode_entries
from raft_over_libp2p.wire.schema import GoStruct, Values

__all__ = ["encode_request", "read_request"]

_APPEND_ENTRIES: Final = schema.APPEND_ENTRIES_REQUEST.with_field("Entries", ENTRIES)

# AppendEntries is most of what is sent, so its fixed parts are prepared.
_APPEND_HEAD: Final = bytes((RPCType.APPEND_ENTRIES,)) + pack_map_header(9) + pack_text("Addr")
_ENTRIES: Final = pack_text("Entries")
_ID: Final = pack_text("ID")
_LEADER: Final = pack_text("Leader")
_LEADER_COMMIT_INDEX: Final = pack_text("LeaderCommitIndex")
_PREV_LOG_ENTRY: Final = pack_text("PrevLogEntry")
_PREV_LOG_TERM: Final = pack_text("PrevLogTerm")
_VERSION_AND_TERM: Final = (
    pack_text("ProtocolVersion") + pack_int(PROTOCOL_VERSION) + pack_text("Term")
)


def encode_request(request: GoRequest, local_id: ServerID) -> bytes:
    """Return the bytes of ``request`` from us, ``local_id``, as hashicorp/raft 1.7 writes them.

    Entries go in as their canonical bytes; those not encoded yet are, and keep them.
    A snapshot's contents are the caller's to send after these bytes.
    """
    match request:
        case AppendEntriesRequest():
            return _append_entries(request, local_id)
        case RequestVoteRequest():
            return _frame(
                RPCType.REQUEST_VOTE,
                schema.REQUEST_VOTE_REQUEST,
                local_id,
                Term=request.term,
                Candidate=request.candidate.encode(),
                LastLogIndex=request.last_log_index,
                LastLogTerm=request.last_log_term,
                LeadershipTransfer=request.leadership_transfer,
            )
        case RequestPreVoteRequest():
            return _frame(
                RPCType.REQUEST_PRE_VOTE,
                schema.REQUEST_PRE_VOTE_REQUEST,
                local_id,
                Term=request.term,
                LastLogIndex=request.last_log_index,
                LastLogTerm=request.last_log_term,
            )
        case TimeoutNowRequest():
            return _frame(RPCType.TIMEOUT_NOW, schema.TIMEOUT_NOW_REQUEST, local_id)
        case InstallSnapshotRequest():
            return _frame(
                RPCType.INSTALL_SNAPSHOT,
                schema.INSTALL_SNAPSHOT_REQUEST,
                local_id,
                SnapshotVersion=request.snapshot_version,
                Term=request.term,
                Leader=request.leader.encode(),
                LastLogIndex=request.last_log_index,
                LastLogTerm=request.last_log_term,
                Peers=encode_peers(request.configuration),
                Configuration=encode_configuration(request.configuration),
                ConfigurationIndex=request.configuration_index,
                Size=request.size_bytes,
            )


def read_request(rpc_type: RPCType, reader: LegacyReader) -> tuple[RPCHeader, Request]:
    """Read the struct that follows the type byte, and check what the core relies on.

    Raises:
        MoreBytesNeeded: it is not wholly here.
        MalformedMessage, FrameTooLarge: close the stream without an answer, as Go does.

    """
    struct, message_of = _READERS[rpc_type]
    values = struct.read(reader)
    header = header_of(values)
    return header, message_of(values, header)


def _append_entries(request: AppendEntriesRequest, local_id: ServerID) -> bytes:
    us = pack_text(local_id)
    return b"".join(
        (
            _APPEND_HEAD,
            us,
            _ENTRIES,
            encode_entries(request.entries),
            _ID,
            us,
            _LEADER,
            us if request.leader == local_id else pack_text(request.leader),
            _LEADER_COMMIT_INDEX,
            pack_uint(request.leader_commit_index),
            _PREV_LOG_ENTRY,
            pack_uint(request.prev_log_index),
            _PREV_LOG_TERM,
            pack_uint(request.prev_log_term),
            _VERSION_AND_TERM,
            pack_uint(request.term),
        )
    )


def _frame(rpc_type: RPCType, struct: GoStruct, local_id: ServerID, **fields: object) -> bytes:
    us = local_id.encode()
    header = {"ProtocolVersion": PROTOCOL_VERSION, "ID": us, "Addr": us}
    return bytes((rpc_type,)) + struct.write({**header, **fields})


def _sender(header: RPCHeader, legacy: bytes | None, what: str) -> ServerID:
    """Return the header's address, or the field that older peers filled in its place."""
    return ServerID(header.addr or text_of(legacy, what))


def _append_entries_of(values: Values, header: RPCHeader) -> Request:
    return AppendEntriesRequest(
        term=values["Term"],
        leader=_sender(header, values["Leader"], "Leader"),
        prev_log_index=values["PrevLogEntry"],
        prev_log_term=values["PrevLogTerm"],
        entries=values["Entries"],
        leader_commit_index=values["LeaderCommitIndex"],
    )


def _request_vote_of(values: Values, header: RPCHeader) -> Request:
    return RequestVoteRequest(
        term=values["Term"],
        candidate=_sender(header, values["Candidate"], "Candidate"),
        last_log_index=values["LastLogIndex"],
        last_log_term=values["LastLogTerm"],
        leadership_transfer=values["LeadershipTransfer"],
    )


def _request_pre_vote_of(values: Values, _header: RPCHeader) -> Request:
    return RequestPreVoteRequest(
        term=values["Term"],
        last_log_index=values["LastLogIndex"],
        last_log_term=values["LastLogTerm"],
    )


def _timeout_now_of(_values: Values, _header: RPCHeader) -> Request:
    return TimeoutNowRequest()


def _install_snapshot_of(values: Values, header: RPCHeader) -> Request:
    size = values["Size"]
    if size < 0:
        raise MalformedMessage(f"a snapshot of {size} bytes")
    if size > limits.MAX_SNAPSHOT_BYTES:
        raise FrameTooLarge(
            f"a snapshot of {size} bytes; at most {limits.MAX_SNAPSHOT_BYTES} are allowed"
        )
    configuration, configuration_index = _configuration_of(values)
    return InstallSnapshotRequest(
        term=values["Term"],
        leader=_sender(header, values["Leader"], "Leader"),
        last_log_index=values["LastLogIndex"],
        last_log_term=values["LastLogTerm"],
        configuration=configuration,
        configuration_index=configuration_index,
        size_bytes=size,
        snapshot_version=values["SnapshotVersion"],
    )


def _configuration_of(values: Values) -> tuple[Configuration, Index]:
    """Return a snapshot's configuration and its index, by the snapshot's version.

    Version 0 has only the voters' addresses, in force at the snapshot's index. A version we
    do not know (``check_snapshot_version`` refuses it) has none that we could read.
    """
    version = values["SnapshotVersion"]
    if version == 0:
        return decode_peers(values["Peers"] or b""), values["LastLogIndex"]
    if version == 1:
        return decode_configuration(values["Configuration"] or b""), values["ConfigurationIndex"]
    return Configuration(), NO_INDEX


_READERS: Final[dict[RPCType, tuple[GoStruct, Callable[[Values, RPCHeader], Request]]]] = {
    RPCType.APPEND_ENTRIES: (_APPEND_ENTRIES, _append_entries_of),
    RPCType.REQUEST_VOTE: (schema.REQUEST_VOTE_REQUEST, _request_vote_of),
    RPCType.INSTALL_SNAPSHOT: (schema.INSTALL_SNAPSHOT_REQUEST, _install_snapshot_of),
    RPCType.TIMEOUT_NOW: (schema.TIMEOUT_NOW_REQUEST, _timeout_now_of),
    RPCType.REQUEST_PRE_VOTE: (schema.REQUEST_PRE_VOTE_REQUEST, _request_pre_vote_of),
}
