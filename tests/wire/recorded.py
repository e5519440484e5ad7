"""What real Go code wrote and answered (tests/vectors/raft.json), as this package's plain values."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from struct import pack
from typing import Any

from raft_over_libp2p.wire import schema
from raft_over_libp2p.wire.schema import GoStruct, GoType

NEW_TIME = "TimeNotBuiltin=false"
OLD_DECODER = "0.5.5"


@cache
def recorded() -> dict[str, Any]:
    path = Path(__file__).parent.parent / "vectors" / "raft.json"
    vectors: dict[str, Any] = json.loads(path.read_text())
    return vectors


def _of_struct(struct: GoStruct) -> GoType:
    return GoType(struct.read, struct.write)


NIL_RESPONSE = GoType(lambda reader: reader.skip(), lambda _: b"\xc0")

GO_TYPES = {
    "RPCHeader": _of_struct(schema.RPC_HEADER),
    "AppendEntriesRequest": _of_struct(schema.APPEND_ENTRIES_REQUEST),
    "AppendEntriesResponse": _of_struct(schema.APPEND_ENTRIES_RESPONSE),
    "RequestVoteRequest": _of_struct(schema.REQUEST_VOTE_REQUEST),
    "RequestVoteResponse": _of_struct(schema.REQUEST_VOTE_RESPONSE),
    "RequestPreVoteRequest": _of_struct(schema.REQUEST_PRE_VOTE_REQUEST),
    "RequestPreVoteResponse": _of_struct(schema.REQUEST_PRE_VOTE_RESPONSE),
    "InstallSnapshotRequest": _of_struct(schema.INSTALL_SNAPSHOT_REQUEST),
    "InstallSnapshotResponse": _of_struct(schema.INSTALL_SNAPSHOT_RESPONSE),
    "TimeoutNowRequest": _of_struct(schema.TIMEOUT_NOW_REQUEST),
    "TimeoutNowResponse": _of_struct(schema.TIMEOUT_NOW_RESPONSE),
    "Configuration": _of_struct(schema.CONFIGURATION),
    "Log": _of_struct(schema.LOG),
    "Peers": schema.PEERS,
    "Peers([][]byte)": schema.PEERS,
    "errorString": schema.ERROR_TEXT,
    "errorString(string)": schema.ERROR_TEXT,
    "nilResponse": NIL_RESPONSE,
}


def value_of(recorded_value: Any, *, new_time: bool = False) -> Any:
    """Return what a decoder of ours gives for a value as the vectors' JSON renders it."""
    match recorded_value:
        case {"bytes": str(digits)}:
            return bytes.fromhex(digits)
        case {"nsec": _, "unix": _}:
            return (compact_time if new_time else marshalled_time)(recorded_value)
        case dict():
            values = {}
            for name, value in recorded_value.items():
                if name == "RPCHeader":
                    values |= value_of(value)
                else:
                    values[name] = value_of(value, new_time=new_time)
            return values
        case list():
            return [value_of(value, new_time=new_time) for value in recorded_value]
        case str():
            return recorded_value.encode()
        case _:
            return recorded_value


def marshalled_time(time: Any) -> bytes:
    """Go's ``Time.MarshalBinary``."""
    minutes, seconds = divmod(time["zone_offset_s"], 60)
    instant = pack(">qi", int(time["unix"]) + 62_135_596_800, time["nsec"])
    if time["utc"]:
        return b"\x01" + instant + b"\xff\xff"
    if seconds:
        return b"\x02" + instant + pack(">hb", minutes, seconds)
    return b"\x01" + instant + pack(">h", minutes)


def compact_time(time: Any) -> bytes | None:
    """msgpack's timestamp, as go-msgpack writes it with ``MsgpackUseNewTimeFormat``."""
    seconds, nanoseconds = int(time["unix"]), time["nsec"]
    if time["zero"]:
        return None
    if not 0 <= seconds < 1 << 34:
        return pack(">Iq", nanoseconds, seconds)
    if nanoseconds or seconds >= 1 << 32:
        return pack(">Q", nanoseconds << 34 | seconds)
    return pack(">I", seconds)
