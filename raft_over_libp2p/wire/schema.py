"""Every message of hashicorp/raft as Go declares it: fields, order, types; nil and empty apart.

Below the typed messages of ``core`` lies this layer of plain values, which keeps everything
the bytes can say, so that any message of a Go peer decodes to its value and encodes to its
bytes again. A struct is written as a map of all its fields, keys sorted bytewise, the
embedded RPC header among them; it is read from a map in any order, or from an array in
order of declaration. Source: hashicorp/raft ``commands.go``, ``log.go``, ``configuration.go``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from raft_over_libp2p import limits
from raft_over_libp2p.errors import FrameTooLarge, MalformedMessage
from raft_over_libp2p.wire import legacy_msgpack as pack
from raft_over_libp2p.wire.legacy_reader import LegacyReader

__all__ = [
    "APPEND_ENTRIES_REQUEST",
    "APPEND_ENTRIES_RESPONSE",
    "CONFIGURATION",
    "ERROR_TEXT",
    "INSTALL_SNAPSHOT_REQUEST",
    "INSTALL_SNAPSHOT_RESPONSE",
    "LOG",
    "PEERS",
    "REQUEST_PRE_VOTE_REQUEST",
    "REQUEST_PRE_VOTE_RESPONSE",
    "REQUEST_VOTE_REQUEST",
    "REQUEST_VOTE_RESPONSE",
    "RPC_HEADER",
    "TIMEOUT_NOW_REQUEST",
    "TIMEOUT_NOW_RESPONSE",
    "GoStruct",
    "GoType",
    "Values",
    "slice_of",
]

Values: TypeAlias = dict[str, Any]
"""Go field name to value. A field's type is known from its GoType, not to the type checker."""


@dataclass(frozen=True, slots=True)
class GoType:
    """How a field of one Go type is read and written, and its zero value."""

    read: Callable[[LegacyReader], Any]
    write: Callable[[Any], bytes]
    zero: Any = None


class GoStruct:
    """A Go struct: ``fields`` by name in order of declaration, embedded ones first."""

    def __init__(self, fields: Mapping[str, GoType]) -> None:
        self._fields = dict(fields)
        self._in_order = list(self._fields.items())
        self._by_key = {name.encode(): (name, field.read) for name, field in fields.items()}
        self._zero: Values = {name: field.zero for name, field in fields.items()}
        self._writers = [
            (pack.pack_text(name), name, self._fields[name].write)
            for name in sorted(self._fields, key=str.encode)
        ]
        self._header = pack.pack_map_header(len(self._fields))

    def with_field(self, name: str, field: GoType) -> GoStruct:
        """Return this struct with the field ``name`` read and written in another way."""
        return GoStruct({**self._fields, name: field})

    def read(self, reader: LegacyReader, onto: Values | None = None) -> Values:
        """Read one struct; fields that are not sent keep what ``onto`` holds, or are zero.

        nil is a struct of zeroes. The last of several equal keys counts; unknown ones are
        passed over, as are elements beyond the last field.

        Raises:
            MoreBytesNeeded, MalformedMessage, FrameTooLarge: as :class:`LegacyReader`.

        """
        if reader.read_nil():
            return dict(self._zero)
        values = dict(self._zero if onto is None else onto)
        is_map = reader.is_at_map()
        count = reader.read_length()
        if count is None:
            raise MalformedMessage("a message is neither a map nor an array")
        reader.enter()
        if is_map:
            for _ in range(count // 2):
                key = reader.read_text(limits.MAX_SMALL_FIELD_BYTES)
                known = self._by_key.get(key)
                if not key:
                    # Go's decoder panics on it, and refuses the message.
                    raise MalformedMessage("a field without a name")
                if known is None:
                    reader.skip()
                else:
                    values[known[0]] = known[1](reader)
        else:
            for name, field in self._in_order[:count]:
                values[name] = field.read(reader)
            for _ in range(len(self._in_order), count):
                reader.skip()
        reader.depth -= 1
        return values

    def write(self, values: Values) -> bytes:
        """Return the struct as Go writes it; ``values`` has every field."""
        parts = [self._header]
        for key, name, write in self._writers:
            parts += (key, write(values[name]))
        return b"".join(parts)


def slice_of(element: GoType, max_length: int) -> GoType:
    """Return the Go slice of that type: None for nil, else a list."""

    def read(reader: LegacyReader) -> list[Any] | None:
        if reader.read_nil():
            return None
        length = reader.read_length()
        if length is None:
            raise MalformedMessage("a list is neither an array nor a map")
        if length > max_length:
            raise FrameTooLarge(f"a list of {length} elements; at most {max_length} are allowed")
        reader.enter()
        elements = [element.read(reader) for _ in range(length)]
        reader.depth -= 1
        return elements

    def write(elements: list[Any] | None) -> bytes:
        if elements is None:
            return pack.NIL
        return pack.pack_array_header(len(elements)) + b"".join(map(element.write, elements))

    return GoType(read, write)


def _raw(max_bytes: int) -> GoType:
    return GoType(lambda reader: reader.read_raw(max_bytes), pack.pack_raw)


def _text(max_bytes: int) -> GoType:
    return GoType(lambda reader: reader.read_text(max_bytes), pack.pack_raw, b"")


def _pointer_to(struct: GoStruct) -> GoType:
    def read(reader: LegacyReader) -> Values | None:
        return None if reader.read_nil() else struct.read(reader)

    def write(values: Values | None) -> bytes:
        return pack.NIL if values is None else struct.write(values)

    return GoType(read, write)


_UINT64: Final = GoType(lambda reader: reader.read_uint(0xFFFF_FFFF_FFFF_FFFF), pack.pack_uint, 0)
_UINT8: Final = GoType(lambda reader: reader.read_uint(0xFF), pack.pack_uint, 0)
_INT: Final = GoType(LegacyReader.read_int, pack.pack_int, 0)
_BOOL: Final = GoType(LegacyReader.read_bool, pack.pack_bool, zero=False)
_TIME: Final = GoType(LegacyReader.read_time, pack.pack_raw)
_SMALL_RAW: Final = _raw(limits.MAX_SMALL_FIELD_BYTES)
_PAYLOAD: Final = _raw(limits.MAX_ENTRY_DATA_BYTES)
_SMALL_TEXT: Final = _text(limits.MAX_SMALL_FIELD_BYTES)

ERROR_TEXT: Final = _text(limits.MAX_SMALL_FRAME_BYTES)
"""What stands before every response: empty when the call succeeded."""

LOG: Final = GoStruct(
    {
        "Index": _UINT64,
        "Term": _UINT64,
        "Type": _UINT8,
        "Data": _PAYLOAD,
        "Extensions": _PAYLOAD,
        "AppendedAt": _TIME,
    }
)

_SERVER: Final = GoStruct({"Suffrage": _INT, "ID": _SMALL_TEXT, "Address": _SMALL_TEXT})
CONFIGURATION: Final = GoStruct(
    {"Servers": slice_of(GoType(_SERVER.read, _SERVER.write), limits.MAX_SERVERS)}
)
PEERS: Final = slice_of(_SMALL_RAW, limits.MAX_SERVERS)
"""The addresses of the voters, from before configurations had server IDs."""

_HEADER: Final = {"ProtocolVersion": _INT, "ID": _SMALL_RAW, "Addr": _SMALL_RAW}
RPC_HEADER: Final = GoStruct(_HEADER)
APPEND_ENTRIES_REQUEST: Final = GoStruct(
    {
        **_HEADER,
        "Term": _UINT64,
        "Leader": _SMALL_RAW,
        "PrevLogEntry": _UINT64,
        "PrevLogTerm": _UINT64,
        "Entries": slice_of(_pointer_to(LOG), limits.MAX_APPEND_ENTRIES),
        "LeaderCommitIndex": _UINT64,
    }
)
APPEND_ENTRIES_RESPONSE: Final = GoStruct(
    {
        **_HEADER,
        "Term": _UINT64,
        "LastLog": _UINT64,
        "Success": _BOOL,
        "NoRetryBackoff": _BOOL,
    }
)
REQUEST_VOTE_REQUEST: Final = GoStruct(
    {
        **_HEADER,
        "Term": _UINT64,
        "Candidate": _SMALL_RAW,
        "LastLogIndex": _UINT64,
        "LastLogTerm": _UINT64,
        "LeadershipTransfer": _BOOL,
    }
)
REQUEST_VOTE_RESPONSE: Final = GoStruct(
    {**_HEADER, "Term": _UINT64, "Peers": _PAYLOAD, "Granted": _BOOL}
)
REQUEST_PRE_VOTE_REQUEST: Final = GoStruct(
    {**_HEADER, "Term": _UINT64, "LastLogIndex": _UINT64, "LastLogTerm": _UINT64}
)
REQUEST_PRE_VOTE_RESPONSE: Final = GoStruct({**_HEADER, "Term": _UINT64, "Granted": _BOOL})
INSTALL_SNAPSHOT_REQUEST: Final = GoStruct(
    {
        **_HEADER,
        "SnapshotVersion": _INT,
        "Term": _UINT64,
        "Leader": _SMALL_RAW,
        "LastLogIndex": _UINT64,
        "LastLogTerm": _UINT64,
        "Peers": _PAYLOAD,
        "Configuration": _PAYLOAD,
        "ConfigurationIndex": _UINT64,
        "Size": _INT,
    }
)
INSTALL_SNAPSHOT_RESPONSE: Final = GoStruct({**_HEADER, "Term": _UINT64, "Success": _BOOL})
TIMEOUT_NOW_REQUEST: Final = RPC_HEADER
TIMEOUT_NOW_RESPONSE: Final = RPC_HEADER
