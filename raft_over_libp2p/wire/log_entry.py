"""A log entry as bytes: the one canonical form that goes into the log file and onto the wire.

An entry is encoded once, ever: the bytes stay with it in ``LogEntry.encoded``. They are a
function of the entry's value alone: Go's form. Go's old log store turns empty data into nil,
so nobody may tell them apart: no data is written as the empty string in a command (as Go
writes ``Apply([]byte{})``) and as nil in all else, no extensions as nil.

What a peer sends may be in another accepted form; its entry gets canonical bytes on arrival.
In the usual case they are the received ones, recognised by comparing against the fixed parts
of the form, without building anything but the payload.
"""

# ruff: noqa: PLR2004 - msgpack's tag bytes and widths are what this is about

from __future__ import annotations

from typing import Final

from raft_over_libp2p import limits
from raft_over_libp2p.errors import FrameTooLarge, MalformedMessage
from raft_over_libp2p.types import Index, LogEntry, LogType, Term
from raft_over_libp2p.wire.configuration import decode_configuration
from raft_over_libp2p.wire.go_time import canonical_time
from raft_over_libp2p.wire.legacy_msgpack import (
    NIL,
    pack_array_header,
    pack_map_header,
    pack_raw,
    pack_text,
    pack_uint,
)
from raft_over_libp2p.wire.legacy_reader import LegacyReader, MoreBytesNeeded
from raft_over_libp2p.wire.schema import LOG, GoType

__all__ = ["ENTRIES", "decode_entry", "encode_entries", "encode_entry"]

_APPENDED_AT: Final = pack_map_header(6) + pack_text("AppendedAt")
_DATA: Final = pack_text("Data")
_EXTENSIONS: Final = pack_text("Extensions")
_INDEX: Final = pack_text("Index")
_TERM: Final = pack_text("Term")
_TYPE: Final = pack_text("Type")
_EMPTY: Final = pack_raw(b"")

# The form of nearly every entry: a 15-byte time, no extensions.
_TIME_AT: Final = len(_APPENDED_AT) + 1
_HEAD: Final = _APPENDED_AT + b"\xaf\x01"
_DATA_AT: Final = _TIME_AT + 15
_NO_EXTENSIONS: Final = _EXTENSIONS + NIL + _INDEX
_TYPES: Final = tuple(LogType)
# By type: a set of enum members would hash each entry's in Python code.
_HOLDS_CONFIGURATION: Final = tuple(
    log_type in {LogType.ADD_PEER_DEPRECATED, LogType.REMOVE_PEER_DEPRECATED, LogType.CONFIGURATION}
    for log_type in _TYPES
)
_UINT_FORMS: Final = {0xCC: (1, 0x80), 0xCD: (2, 0x100), 0xCE: (4, 1 << 16), 0xCF: (8, 1 << 32)}


def encode_entry(entry: LogEntry) -> bytes:
    """Return the entry's canonical bytes, made at most once and kept in ``entry.encoded``."""
    if entry.encoded is None:
        entry.encoded = b"".join(
            (
                _APPENDED_AT,
                pack_raw(entry.appended_at),
                _DATA,
                pack_raw(entry.data) if entry.data else _no_data(entry.type),
                _EXTENSIONS,
                pack_raw(entry.extensions or None),
                _INDEX,
                pack_uint(entry.index),
                _TERM,
                pack_uint(entry.term),
                _TYPE,
                pack_uint(entry.type),
            )
        )
    return entry.encoded


def _no_data(entry_type: LogType) -> bytes:
    return _EMPTY if entry_type is LogType.COMMAND else NIL


def decode_entry(data: bytes) -> LogEntry:
    """Read one entry, in any accepted form; it has its canonical bytes then.

    Raises:
        MalformedMessage: not an entry, of an unknown type, cut short, followed by other
            bytes, or it should hold a configuration and does not.
        FrameTooLarge: a payload over ``MAX_ENTRY_DATA_BYTES``.

    """
    reader = LegacyReader(data)
    try:
        entry = _read_entry(reader)
    except MoreBytesNeeded:
        raise MalformedMessage(f"a log entry of {len(data)} bytes is cut short") from None
    if reader.position != len(data):
        raise MalformedMessage(f"{len(data) - reader.position} bytes follow a log entry")
    return entry


def encode_entries(entries: tuple[LogEntry, ...] | None) -> bytes:
    """Return the entries of an AppendEntries; None is a heartbeat's nil."""
    if entries is None:
        return NIL
    return pack_array_header(len(entries)) + b"".join(
        [entry.encoded or encode_entry(entry) for entry in entries]
    )


def _read_entries(reader: LegacyReader) -> tuple[LogEntry, ...] | None:
    if reader.read_nil():
        return None
    length = reader.read_length()
    if length is None:
        raise MalformedMessage("a list of entries is neither an array nor a map")
    if length > limits.MAX_APPEND_ENTRIES:
        raise FrameTooLarge(
            f"an append of {length} entries; at most {limits.MAX_APPEND_ENTRIES} are allowed"
        )
    reader.enter()
    entries = tuple([_read_entry(reader) for _ in range(length)])
    reader.depth -= 1
    return entries


ENTRIES: Final = GoType(_read_entries, encode_entries)
"""``AppendEntriesRequest.Entries`` as a tuple of entries, each with its canonical bytes."""


def _read_entry(reader: LegacyReader) -> LogEntry:
    try:
        entry, reader.position = _canonical_entry(reader.data, reader.position)
    except (IndexError, _OtherFormError):
        # Or it is not wholly here: the careful way finds out.
        entry = _read_any_form(reader)
    if _HOLDS_CONFIGURATION[entry.type]:
        # The core reads this later and must never fail on what a peer sent.
        decode_configuration(entry.data)
    return entry


def _read_any_form(reader: LegacyReader) -> LogEntry:
    if reader.read_nil():
        raise MalformedMessage("an entry is nil")
    values = LOG.read(reader)
    if values["Type"] >= len(_TYPES):
        raise MalformedMessage(f"entry {values['Index']} has the unknown type {values['Type']}")
    entry = LogEntry(
        values["Index"],
        values["Term"],
        _TYPES[values["Type"]],
        values["Data"] or b"",
        values["Extensions"] or b"",
        canonical_time(values["AppendedAt"]),
    )
    encode_entry(entry)
    return entry


def _canonical_entry(data: bytes, start: int) -> tuple[LogEntry, int]:
    """Return the entry at ``start``, which stands in canonical form, and where it ends.

    Raises:
        IndexError, _OtherFormError: it does not, or it is not wholly here.

    """
    if not data.startswith(_HEAD, start) or not data.startswith(_DATA, start + _DATA_AT):
        raise _OtherFormError
    begin, end = _canonical_raw(data, start + _DATA_AT + len(_DATA))
    if data.startswith(_NO_EXTENSIONS, end):
        extensions = b""
        at = end + len(_NO_EXTENSIONS)
    else:
        begin_extensions, at = _canonical_raw(data, end + len(_EXTENSIONS))
        extensions = data[begin_extensions:at]
        if not (extensions and data.startswith(_EXTENSIONS, end) and data.startswith(_INDEX, at)):
            raise _OtherFormError
        at += len(_INDEX)
    index, at = _canonical_uint(data, at)
    if not data.startswith(_TERM, at):
        raise _OtherFormError
    term, at = _canonical_uint(data, at + len(_TERM))
    if not data.startswith(_TYPE, at):
        raise _OtherFormError
    at += len(_TYPE)
    entry_type = _TYPES[data[at]]
    if begin == end and data[begin - 1 : begin] != _no_data(entry_type):
        raise _OtherFormError
    at += 1
    entry = LogEntry(
        Index(index),
        Term(term),
        entry_type,
        data[begin:end],
        extensions,
        data[start + _TIME_AT : start + _DATA_AT],
        data[start:at],
    )
    return entry, at


class _OtherFormError(Exception):
    """A value is not in its canonical form, or over a limit: read it the careful way."""


def _canonical_raw(data: bytes, at: int) -> tuple[int, int]:
    """Return where the contents of a byte string begin and end; nil has none."""
    first = data[at]
    if first == 0xC0:
        return at + 1, at + 1
    if 0xA0 <= first < 0xC0:
        return at + 1, at + 1 + first - 0xA0
    if first == 0xDA:
        begin = at + 3
        length = int.from_bytes(data[at + 1 : begin])
        if length >= 32:
            return begin, begin + length
    elif first == 0xDB:
        begin = at + 5
        length = int.from_bytes(data[at + 1 : begin])
        if 1 << 16 <= length <= limits.MAX_ENTRY_DATA_BYTES:
            return begin, begin + length
    raise _OtherFormError


def _canonical_uint(data: bytes, at: int) -> tuple[int, int]:
    """Return an unsigned integer in its shortest form, and where it ends."""
    first = data[at]
    if first < 0x80:
        return first, at + 1
    form = _UINT_FORMS.get(first)
    if form is None:
        raise _OtherFormError
    width, smallest = form
    end = at + 1 + width
    value = int.from_bytes(data[at + 1 : end])
    if value < smallest or end > len(data):
        raise _OtherFormError
    return value, end
