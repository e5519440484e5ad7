"""Each decoder of ours beside Go's: how both say what they read, in the same words."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from multiaddr import Multiaddr

from pinstate import MalformedOperation, MalformedPin, MalformedSnapshot, Pin
from pinstate.cid import raw_sha256_cid
from pinstate.log_op import LogOp
from pinstate.pin_msgpack import decode_pin, explicit_form
from pinstate.pin_protobuf import encode_pin
from pinstate.state import PinState
from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    ErrorResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    Request,
    RequestPreVoteRequest,
    RequestPreVoteResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    TimeoutNowRequest,
)
from raft_over_libp2p.errors import (
    FrameTooLarge,
    MalformedMessage,
    ProposalRefused,
    UnsupportedVersion,
)
from raft_over_libp2p.storage.peers_json import parse_peers_json
from raft_over_libp2p.storage.snapshot_meta import parse_meta
from raft_over_libp2p.types import Configuration, LogEntry
from raft_over_libp2p.wire import RequestReader, ResponseReader
from raft_over_libp2p.wire.configuration import decode_configuration, decode_peers
from raft_over_libp2p.wire.go_time import unix_ns
from raft_over_libp2p.wire.legacy_reader import LegacyReader, MoreBytesNeeded
from raft_over_libp2p.wire.log_entry import ENTRIES
from tests.fuzz import pin_targets, storage_targets
from tests.pinstate.cluster_vectors import VECTORS
from tests.wire.recorded import recorded

__all__ = ["GO_TARGETS", "GoTarget"]

_MOST_SEED_BYTES = 4096
_CID = raw_sha256_cid(b"a")
_BROKEN = (MalformedMessage, FrameTooLarge)
_REQUESTS: tuple[tuple[str, type[Request]], ...] = (
    ("AppendEntries", AppendEntriesRequest),
    ("RequestVote", RequestVoteRequest),
    ("InstallSnapshot", InstallSnapshotRequest),
    ("TimeoutNow", TimeoutNowRequest),
    ("RequestPreVote", RequestPreVoteRequest),
)


class CutShortError(MalformedMessage):
    """A reader of ours waits for more bytes, where there will be none."""


@dataclass(frozen=True, slots=True)
class GoTarget:
    """One decoder of ours and the one of Go's that must agree with it.

    ``ours`` decodes, lets its refusals out, and returns plain values and how many bytes it read
    (None where it reads a whole file); ``theirs`` makes the same plain values of Go's answer.
    """

    name: str
    number: int
    """Of the target in ``go/targets.go``."""
    ours: Callable[[bytes], tuple[Any, int | None]]
    theirs: Callable[[Any], Any]
    seeds: Callable[[], Sequence[bytes]]
    refusals: tuple[type[Exception], ...] = _BROKEN


def _hex(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").hex()


def _vectors(name: str) -> list[bytes]:
    found = [bytes.fromhex(v["hex"]) for v in recorded()["codec_vectors"] if v["type"] == name]
    found += [
        bytes.fromhex(v["hex"]) for v in recorded()["decoder_tolerance"] if v["target"] == name
    ]
    return [data for data in found if len(data) <= _MOST_SEED_BYTES]


# -- requests and responses


def _our_request(number: int) -> Callable[[bytes], tuple[Any, int | None]]:
    def ours(data: bytes) -> tuple[Any, int | None]:
        decoded = RequestReader().feed(bytes([number]) + data)
        if not decoded:
            raise CutShortError
        header, request = decoded[0].header, decoded[0].request
        named = [header.protocol_version, _hex(header.id), _hex(header.addr)]
        return named + _of_request(request), decoded[0].size_bytes - 1

    return ours


def _of_request(request: Request) -> list[Any]:
    match request:
        case AppendEntriesRequest():
            entries = request.entries
            return [
                request.term, _hex(request.leader), request.prev_log_index, request.prev_log_term,
                None if entries is None else [_of_entry(entry) for entry in entries],
                request.leader_commit_index,
            ]  # fmt: skip
        case RequestVoteRequest():
            return [
                request.term, _hex(request.candidate), request.last_log_index,
                request.last_log_term, request.leadership_transfer,
            ]  # fmt: skip
        case RequestPreVoteRequest():
            return [request.term, request.last_log_index, request.last_log_term]
        case InstallSnapshotRequest():
            return [
                request.term, _hex(request.leader), request.last_log_index,
                request.last_log_term, request.size_bytes, request.snapshot_version,
            ]  # fmt: skip
    return []


def _their_request(name: str) -> Callable[[Any], Any]:
    fields = {
        "AppendEntries": ["PrevLogEntry", "PrevLogTerm", "Entries", "LeaderCommitIndex"],
        "RequestVote": ["LastLogIndex", "LastLogTerm", "LeadershipTransfer"],
        "InstallSnapshot": ["LastLogIndex", "LastLogTerm", "Size", "SnapshotVersion"],
        "TimeoutNow": [],
        "RequestPreVote": ["Term", "LastLogIndex", "LastLogTerm"],
    }[name]

    def theirs(value: Any) -> list[Any]:
        said = [value["ProtocolVersion"], value["ID"] or "", value["Addr"] or ""]
        if "Leader" in value or "Candidate" in value:
            # hashicorp/raft looks at the older field where the header names nobody.
            sender = value["Addr"] or value.get("Leader") or value.get("Candidate") or ""
            said += [value["Term"], sender]
        for field in fields:
            if field == "Entries" and value[field] is not None:
                said.append([_their_entry(entry) for entry in value[field]])
            else:
                said.append(value[field])
        return said

    return theirs


def _our_response(request_type: type[Request]) -> Callable[[bytes], tuple[Any, int | None]]:
    def ours(data: bytes) -> tuple[Any, int | None]:
        reader = ResponseReader()
        reader._expected.append(request_type)
        decoded = reader.feed(data)
        if not decoded:
            raise CutShortError
        response = decoded[0].response
        match response:
            case ErrorResponse():
                value: list[Any] = [response.error]
            case AppendEntriesResponse():
                value = [
                    response.term, response.last_log, response.success, response.no_retry_backoff
                ]  # fmt: skip
            case RequestVoteResponse() | RequestPreVoteResponse():
                value = [response.term, response.granted]
            case InstallSnapshotResponse():
                value = [response.term, response.success]
            case _:
                value = []
        return value, decoded[0].size_bytes

    return ours


def _their_response(value: Any) -> list[Any]:
    if value["error"]:
        return [bytes.fromhex(value["error"]).decode(errors="replace")]
    fields = ("Term", "LastLog", "Granted", "Success", "NoRetryBackoff")
    return [value["response"][field] for field in fields if field in value["response"]]


def _response_seeds(name: str) -> list[bytes]:
    bodies = _vectors(name + "Response")
    return [error + body for error in (b"\xa0", b"\xa6failed") for body in bodies] + [
        b"\xa6failed\xc0"
    ]


# -- what the log holds


def _of_entry(entry: LogEntry) -> list[Any]:
    return [
        entry.index, entry.term, int(entry.type), entry.data.hex(), entry.extensions.hex(),
        unix_ns(entry.appended_at),
    ]  # fmt: skip


def _their_entry(value: Any) -> list[Any]:
    time = value["AppendedAt"]
    return [
        value["Index"], value["Term"], value["Type"], value["Data"] or "",
        value["Extensions"] or "", time["unix"] * 10**9 + time["ns"],
    ]  # fmt: skip


def _our_entry(data: bytes) -> tuple[Any, int | None]:
    # As it comes on the wire: in a list of one.
    reader = LegacyReader(b"\x91" + data)
    try:
        [entry] = ENTRIES.read(reader)
    except MoreBytesNeeded:
        raise CutShortError from None
    return _of_entry(entry), reader.position - 1


def _of_configuration(configuration: Configuration) -> list[Any]:
    return [[int(s.suffrage), _hex(s.id), _hex(s.address)] for s in configuration.servers]


def _their_configuration(value: Any) -> list[Any]:
    return [[s["Suffrage"], s["ID"], s["Address"]] for s in value["Servers"] or ()]


def _our_configuration(data: bytes) -> tuple[Any, int | None]:
    return _of_configuration(decode_configuration(data)), None


def _our_peers(data: bytes) -> tuple[Any, int | None]:
    return _of_configuration(decode_peers(data)), None


def _their_peers(value: Any) -> list[Any]:
    return [[0, peer or "", peer or ""] for peer in value or ()]


# -- what IPFS Cluster puts into it


def _strings(items: Sequence[bytes] | None) -> list[str] | None:
    return None if items is None else [item.hex() for item in items]


def _of_pin(pin: Pin) -> dict[str, Any]:
    metadata = pin.metadata
    return {
        "Cid": pin.cid.hex(),
        "Type": int(pin.type),
        "Allocations": _strings(pin.allocations),
        "MaxDepth": pin.max_depth,
        "Reference": None if pin.reference is None else pin.reference.hex(),
        "Timestamp": pin.timestamp,
        "ReplicationFactorMin": pin.replication_factor_min,
        "ReplicationFactorMax": pin.replication_factor_max,
        "Name": _hex(pin.name),
        "Mode": int(pin.mode),
        "ShardSize": pin.shard_size,
        "UserAllocations": _strings(pin.user_allocations),
        "ExpireAt": pin.expire_at,
        "Metadata": None
        if metadata is None
        else {_hex(key): _hex(metadata[key]) for key in metadata},
        "PinUpdate": (pin.pin_update or b"").hex(),
        "Origins": _strings(pin.origins),
    }


def _their_pin(value: Any) -> Any:
    times = {name: value[name] for name in ("Timestamp", "ExpireAt")}
    return value | {
        name: None if time["zero"] else time["unix"] * 10**9 + time["ns"]
        for name, time in times.items()
    }


def _our_operation(data: bytes) -> tuple[Any, int | None]:
    op = LogOp.decode(data)
    return {"type": int(op.type), "pin": _of_pin(op.subject)}, None


def _their_operation(value: Any) -> Any:
    return {"type": value["type"], "pin": _their_pin(value["pin"])}


def _our_pin(data: bytes) -> tuple[Any, int | None]:
    return _of_pin(decode_pin(data)), None


def _our_snapshot(data: bytes) -> tuple[Any, int | None]:
    state = PinState().restore([data])
    return {pin.cid.hex(): encode_pin(pin).hex() for pin in state.list()}, None


# -- files


def _our_meta(data: bytes) -> tuple[Any, int | None]:
    info = parse_meta(data)
    meta = info.meta
    return [
        _hex(info.snapshot_id), meta.index, meta.term, _of_configuration(meta.configuration),
        meta.configuration_index, info.size_bytes, info.checksum.hex(),
    ], None  # fmt: skip


def _their_meta(value: Any) -> list[Any]:
    members, index = _their_configuration(value["Configuration"]), value["ConfigurationIndex"]
    if value["Version"] == 0:
        # As hashicorp/raft's api.go does when it restores one; "list of peers" compares the lists.
        members, index = _our_peers(bytes.fromhex(value["Peers"] or ""))[0], value["Index"]
    return [
        value["ID"], value["Index"], value["Term"], members, index, value["Size"],
        value["CRC"] or "",
    ]  # fmt: skip


def _our_peers_json(data: bytes) -> tuple[Any, int | None]:
    return _of_configuration(parse_peers_json(data)), None


def _peers_json(servers: Sequence[object]) -> Callable[[], list[bytes]]:
    def seeds() -> list[bytes]:
        dumped = [json.dumps(servers[:count]).encode() for count in range(1, len(servers) + 1)]
        return [*dumped, json.dumps(servers, indent=1).encode() + b"\n"]

    return seeds


_SERVERS: list[dict[str, Any]] = [
    {"id": "12D3KooWa", "address": "12D3KooWa", "non_voter": False},
    {"id": "12D3KooWb", "address": "10.0.0.2:8300"},
    {"id": "b\u00e4c\u2028", "address": "12D3KooWc", "non_voter": True},
]
_LOG_OPS = [bytes.fromhex(v["msgpack"]) for v in VECTORS["logops"] + VECTORS["decode_tolerance"]]
_PINS = [bytes.fromhex(v["msgpack"]) for v in VECTORS["pins"]]
_P2P = "/p2p/12D3KooWMbbPVGsZYh3ChQjue712NHHGNybRRXwnuSpezYjGbCDS"
_ORIGINS = (
    "/dns6/a.b/udp/1/quic-v1/webtransport/certhash/uEiAkH5a4DPGKUuOBjYw0CgwjvcJCJMD2K_1aluKR_tpevQ",
    "/ip6zone/x/ip6/fe80::1/tcp/1/tls/sni/a.b/ws",
    "/onion3/vww6ybal4bd7szmgncyruucpgfkqahzddi37ktceo3ah7ngmcopnpyyd:1234",
    "/ip4/1.2.3.4/ipcidr/16/sctp/7/http/http-path/a%2Fb",
    "/garlic32/566niximlxdzpanmn4qouucvua3k7neniwss47li5r6ugoertzuq/udt/utp",
    f"/dnsaddr/a{_P2P}/p2p-circuit{_P2P}/memory/7/noise/wss/webrtc-direct",
    "/unix/tmp/x/dccp/1/p2p-webrtc-direct/webrtc/quic/https",
)
"""Each protocol that a multiaddr can have, once."""


def _pins_with_origins() -> list[bytes]:
    origins = [Multiaddr(text).to_bytes() for text in _ORIGINS]
    return [explicit_form(Pin(cid=_CID, origins=(origin,))) for origin in origins]


def _seeds_of(module: Any, name: str) -> Callable[[], Sequence[bytes]]:
    [target] = [target for target in module.TARGETS if target.name == name]
    seeds: Callable[[], Sequence[bytes]] = target.seeds
    return seeds


GO_TARGETS: dict[str, GoTarget] = {
    target.name: target
    for target in (
        *(
            GoTarget(
                f"{name} request",
                number,
                _our_request(number),
                _their_request(name),
                lambda name=name: _vectors(name + "Request"),  # type: ignore[misc]
            )
            for number, (name, _) in enumerate(_REQUESTS)
        ),
        *(
            GoTarget(
                f"{name} response",
                5 + number,
                _our_response(request_type),
                _their_response,
                lambda name=name: _response_seeds(name),  # type: ignore[misc]
            )
            for number, (name, request_type) in enumerate(_REQUESTS)
        ),
        GoTarget("log entry", 10, _our_entry, _their_entry, lambda: _vectors("Log")),
        GoTarget(
            "configuration",
            11,
            _our_configuration,
            _their_configuration,
            lambda: _vectors("Configuration"),
        ),
        GoTarget(
            "list of peers",
            12,
            _our_peers,
            _their_peers,
            lambda: _vectors("Peers") + _vectors("Peers([][]byte)"),
        ),
        GoTarget(
            "operation",
            13,
            _our_operation,
            _their_operation,
            lambda: [
                *_LOG_OPS,
                *(b"\x82\xa1c" + pin + b"\xa1p\x01" for pin in _pins_with_origins()),
            ],
            (MalformedOperation,),
        ),
        GoTarget(
            "pin", 14, _our_pin, _their_pin, lambda: _PINS + _pins_with_origins(), (MalformedPin,)
        ),
        GoTarget(
            "snapshot",
            15,
            _our_snapshot,
            lambda value: value["pins"],
            _seeds_of(pin_targets, "pin-snapshot"),
            (MalformedSnapshot,),
        ),
        GoTarget(
            "meta.json",
            16,
            _our_meta,
            _their_meta,
            _seeds_of(storage_targets, "storage-meta"),
            (MalformedMessage, UnsupportedVersion),
        ),
        GoTarget(
            "peers.json",
            17,
            _our_peers_json,
            _their_configuration,
            _peers_json(_SERVERS),
            (ProposalRefused,),
        ),
        GoTarget(
            "peers.json of addresses",
            18,
            _our_peers_json,
            _their_configuration,
            _peers_json([server["address"] for server in _SERVERS]),
            (ProposalRefused,),
        ),
    )
}
