"""Reading msgpack as go-msgpack v2's decoder does, field by field, into what a field wants.

The field's Go type decides what is accepted: any integer form that fits, str and bin alike
for bytes, an array of small integers for bytes, nil as the zero value of anything. A general
msgpack library loses what this needs to know (str or bin, int or bool), and builds what a
peer sends before it can be refused; this reader allocates a value only after its length
passed its limit and its bytes are there. Source: go-msgpack v2 ``decode.go``, ``msgpack.go``.
"""

# ruff: noqa: PLR2004 - msgpack's tag bytes and widths are what this is about

from __future__ import annotations

from struct import Struct
from typing import Final

from raft_over_libp2p import limits
from raft_over_libp2p.errors import FrameTooLarge, MalformedMessage
from raft_over_libp2p.wire.structure import StructureScanner

__all__ = ["LegacyReader", "MoreBytesNeeded"]

_NIL: Final = 0xC0
_NO_BUDGET: Final = 1 << 62
_NUMBERS: Final = {
    0xCC: Struct(">B"),
    0xCD: Struct(">H"),
    0xCE: Struct(">I"),
    0xCF: Struct(">Q"),
    0xD0: Struct(">b"),
    0xD1: Struct(">h"),
    0xD2: Struct(">i"),
    0xD3: Struct(">q"),
}
_BOOLS: Final = {0xC2: False, 0xC3: True, 0x00: False, 0x01: True, _NIL: False}
_RAW_WIDTHS: Final = {0xD9: 1, 0xDA: 2, 0xDB: 4, 0xC4: 1, 0xC5: 2, 0xC6: 4}
_BINS: Final = frozenset((0xC4, 0xC5, 0xC6))
_CONTAINER_WIDTHS: Final = {0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4}
_COMPACT_TIME_SIZES: Final = frozenset((4, 8, 12))
_TIMESTAMP_EXTENSIONS: Final = (b"\xd6\xff", b"\xd7\xff", b"\xc7\x0c\xff")
_MARSHALLED_TIME_SIZES: Final = {1: 15, 2: 16}


class MoreBytesNeeded(Exception):
    """The buffer ends inside a value. Never leaves this package."""


class LegacyReader:
    """Reads values from ``data`` at ``position``; ``budget_end`` is the offset none may pass.

    Without a budget ``data`` is all there will be, and a value beyond it is cut short.

    Every method raises:
        MoreBytesNeeded: the value is not wholly here yet.
        MalformedMessage: Go would not decode this into such a field either.
        FrameTooLarge: a length passes its limit or the frame's budget.
    """

    __slots__ = ("_tokens", "budget_end", "data", "depth", "position")

    def __init__(self, data: bytes, position: int = 0, budget_end: int = _NO_BUDGET) -> None:
        self.data = data
        self.position = position
        self.budget_end = budget_end
        self.depth = 0
        self._tokens = 0

    def peek(self) -> int:
        """Return the next byte without passing it."""
        if self.position >= len(self.data):
            raise MoreBytesNeeded
        return self.data[self.position]

    def read_nil(self) -> bool:
        """Pass a nil and return True, or return False and stay."""
        if self.peek() != _NIL:
            return False
        self.position += 1
        return True

    def read_uint(self, maximum: int) -> int:
        """Return a Go unsigned integer of 0 to ``maximum``; nil is 0."""
        value = self._number()
        if not 0 <= value <= maximum:
            raise MalformedMessage(f"{value} does not fit an unsigned field of at most {maximum}")
        return value

    def read_int(self) -> int:
        """Return a Go ``int`` or ``int64``; nil is 0."""
        value = self._number()
        if value > 0x7FFF_FFFF_FFFF_FFFF:
            raise MalformedMessage(f"{value} does not fit an int64 field")
        return value

    def read_bool(self) -> bool:
        """Return a Go ``bool``: true, false, 1, 0, or nil for false."""
        value = _BOOLS.get(self.peek())
        if value is None:
            raise self._unexpected("a bool")
        self.position += 1
        return value

    def read_raw(self, max_bytes: int) -> bytes | None:
        """Return a Go ``[]byte``: str or bin of any width, a list of numbers, None for nil."""
        if self.read_nil():
            return None
        length = self._raw_length(max_bytes)
        if length is not None:
            return self._take(length)
        count = self.read_length()
        if count is None:
            raise self._unexpected("bytes")
        return self._bytes_of_numbers(count)

    def read_text(self, max_bytes: int) -> bytes:
        """Return a Go ``string`` as bytes (Go does not check that it is UTF-8); nil is empty."""
        if self.read_nil():
            return b""
        length = self._raw_length(max_bytes)
        if length is not None:
            return self._take(length)
        if self.is_at_map():  # a slice may come as a map, a string may not
            raise self._unexpected("text")
        count = self.read_length()
        if count is None:
            raise self._unexpected("text")
        return self._bytes_of_numbers(count)

    def read_time(self) -> bytes | None:
        """Return a Go ``time.Time`` as it stands: MarshalBinary form, or 4, 8 or 12 bytes.

        The short forms are msgpack's timestamp, as an extension or (go-msgpack's
        ``MsgpackUseNewTimeFormat``) as a raw string; nil is the zero time, None here.
        """
        if self.read_nil():
            return None
        first = self.peek()
        length = self._raw_length(limits.MAX_SMALL_FIELD_BYTES)
        if length is None:
            return self._timestamp_extension()
        value = self._take(length)
        if length in _COMPACT_TIME_SIZES:
            return value
        # Go reads MarshalBinary from a str only, and refuses a bin: so must whoever follows it,
        # or a Python and a Go follower of one leader part ways.
        if first in _BINS or not length or _MARSHALLED_TIME_SIZES.get(value[0]) != length:
            raise MalformedMessage(f"{length} bytes that are no time")
        return value

    def is_at_map(self) -> bool:
        """Tell whether the next value is a map."""
        return 0x80 <= (first := self.peek()) < 0x90 or first in {0xDE, 0xDF}

    def is_at_raw(self) -> bool:
        """Tell whether the next value is a str or bin."""
        return 0xA0 <= (first := self.peek()) < 0xC0 or first in _RAW_WIDTHS

    def read_length(self) -> int | None:
        """Pass an array's or map's header and return how many values follow; None if neither."""
        first = self.peek()
        if 0x80 <= first < 0x90:
            self.position += 1
            count = 2 * (first & 0x0F)
        elif 0x90 <= first < 0xA0:
            self.position += 1
            count = first & 0x0F
        else:
            width = _CONTAINER_WIDTHS.get(first)
            if width is None:
                return None
            count = self._length(width) * (1 if first < 0xDE else 2)
        self._tokens += count
        if self._tokens > limits.MAX_FRAME_TOKENS:
            raise FrameTooLarge(
                f"a message announces {self._tokens} values; it may have {limits.MAX_FRAME_TOKENS}"
            )
        # Every value has a byte at least.
        if self.position + count > self.budget_end:
            raise FrameTooLarge(f"a message announces {count} values more than its budget has room")
        return count

    def skip(self) -> None:
        """Pass one value of any kind, as Go does for a field it does not know."""
        scanner = StructureScanner(self.position, self.budget_end, depth=self.depth)
        if not scanner.advance(self.data):
            raise MoreBytesNeeded
        self.position = scanner.position
        self._tokens += scanner.tokens

    def enter(self) -> None:
        """Count one level of nesting; the caller takes it back from ``depth`` afterwards."""
        self.depth += 1
        if self.depth > limits.MAX_NESTING:
            raise MalformedMessage(f"a message nests deeper than {limits.MAX_NESTING} levels")

    def _number(self) -> int:
        first = self.peek()
        if first < 0x80:
            self.position += 1
            return first
        if first >= 0xE0:
            self.position += 1
            return first - 0x100
        if first == _NIL:
            self.position += 1
            return 0
        form = _NUMBERS.get(first)
        if form is None:
            raise self._unexpected("an integer")
        at = self.position + 1
        if at + form.size > len(self.data):
            raise MoreBytesNeeded
        self.position = at + form.size
        value: int = form.unpack_from(self.data, at)[0]
        return value

    def _raw_length(self, max_bytes: int) -> int | None:
        """Pass the header of a str or bin and return its length; None if it is neither."""
        first = self.peek()
        if 0xA0 <= first < 0xC0:
            length = first - 0xA0
            self.position += 1
        else:
            width = _RAW_WIDTHS.get(first)
            if width is None:
                return None
            length = self._length(width)
        if length > max_bytes:
            raise FrameTooLarge(f"a field of {length} bytes; it may have {max_bytes}")
        return length

    def _length(self, width: int) -> int:
        """Pass a tag and the big-endian length of ``width`` bytes after it; return the length."""
        start = self.position + 1
        self.position = start + width
        if self.position > len(self.data):
            raise MoreBytesNeeded
        return int.from_bytes(self.data[start : self.position])

    def _take(self, size: int) -> bytes:
        start = self.position
        stop = start + size
        if stop > self.budget_end:
            raise FrameTooLarge(f"a message announces at least {stop} bytes; {self.budget_end} fit")
        if stop > len(self.data):
            raise MoreBytesNeeded
        self.position = stop
        return self.data[start:stop]

    def _bytes_of_numbers(self, count: int) -> bytes:
        if count > limits.MAX_SMALL_FIELD_BYTES:
            raise FrameTooLarge(
                f"bytes as {count} numbers; at most {limits.MAX_SMALL_FIELD_BYTES} are read"
            )
        return bytes([self.read_uint(0xFF) for _ in range(count)])

    def _timestamp_extension(self) -> bytes:
        for header, size in zip(_TIMESTAMP_EXTENSIONS, (4, 8, 12), strict=True):
            here = self.data[self.position : self.position + len(header)]
            if here == header:
                self.position += len(header)
                return self._take(size)
            if header.startswith(here):
                raise MoreBytesNeeded
        raise self._unexpected("a time")

    def _unexpected(self, wanted: str) -> MalformedMessage:
        return MalformedMessage(
            f"byte {self.data[self.position]:#04x} at {self.position} does not start {wanted}"
        )
