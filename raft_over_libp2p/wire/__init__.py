"""Bytes and messages: hashicorp/raft's RPCs and log entries, byte for byte. No I/O.

``encode_request`` and ``encode_response`` write; ``RequestReader`` and ``ResponseReader``
take a stream's bytes in any pieces. ``encode_entry`` and ``decode_entry`` are the log's form.
"""

from __future__ import annotations

from raft_over_libp2p.wire.configuration import (
    GoConfigurationCodec,
    decode_configuration,
    encode_configuration,
)
from raft_over_libp2p.wire.framing import (
    DecodedRequest,
    DecodedResponse,
    RequestReader,
    ResponseReader,
    UnknownRPCType,
)
from raft_over_libp2p.wire.go_time import go_time, unix_ns
from raft_over_libp2p.wire.header import (
    PROTOCOL_VERSION,
    RPCHeader,
    RPCType,
    check_protocol_version,
    check_snapshot_version,
)
from raft_over_libp2p.wire.log_entry import decode_entry, encode_entry
from raft_over_libp2p.wire.outcomes import Outcome, outcome_of
from raft_over_libp2p.wire.requests import encode_request
from raft_over_libp2p.wire.responses import encode_response

__all__ = [
    "PROTOCOL_VERSION",
    "DecodedRequest",
    "DecodedResponse",
    "GoConfigurationCodec",
    "Outcome",
    "RPCHeader",
    "RPCType",
    "RequestReader",
    "ResponseReader",
    "UnknownRPCType",
    "check_protocol_version",
    "check_snapshot_version",
    "decode_configuration",
    "decode_entry",
    "encode_configuration",
    "encode_entry",
    "encode_request",
    "encode_response",
    "go_time",
    "outcome_of",
    "unix_ns",
]
