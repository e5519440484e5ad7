"""Where a msgpack object ends, found piecemeal and without building anything.

A frame has no length prefix, so a receiver must walk its structure. The walk costs one
step a token, jumps over the contents of strings, can stop and go on at any byte, and stops
a hostile frame before anything is allocated for it: a length that does not fit the frame's
budget, nesting beyond ``MAX_NESTING``, more than ``MAX_FRAME_TOKENS`` tokens.
"""

# ruff: noqa: PLR2004 - msgpack's tag bytes and widths are what this is about

from __future__ import annotations

from typing import Final

from raft_over_libp2p import limits
from raft_over_libp2p.errors import FrameTooLarge, MalformedMessage

__all__ = ["StructureScanner"]


def _sizes() -> tuple[int, ...]:
    """Size in bytes of the token that starts with each byte; 0 where a length must be read."""
    sizes = [1] * 256
    for first in range(0x80, 0xA0):  # fixmap, fixarray
        sizes[first] = 0
    for first in range(0xA0, 0xC0):  # fixstr
        sizes[first] = 1 + first - 0xA0
    for first in range(0xC1, 0xE0):
        sizes[first] = 0
    for first in (0xC2, 0xC3):  # false, true
        sizes[first] = 1
    for first, width in zip(range(0xCA, 0xD4), (4, 8, 1, 2, 4, 8, 1, 2, 4, 8), strict=True):
        sizes[first] = 1 + width  # floats, unsigned, signed
    for first, width in zip(range(0xD4, 0xD9), (1, 2, 4, 8, 16), strict=True):
        sizes[first] = 2 + width  # fixext
    return tuple(sizes)


_SIZES: Final = _sizes()

# fmt: off
_LENGTH_WIDTHS: Final = {
    0xC4: 1, 0xC5: 2, 0xC6: 4,  # bin
    0xC7: 1, 0xC8: 2, 0xC9: 4,  # ext, whose type is one byte more
    0xD9: 1, 0xDA: 2, 0xDB: 4,  # str
    0xDC: 2, 0xDD: 4, 0xDE: 2, 0xDF: 4,  # array, map
}
# fmt: on


class StructureScanner:
    """Walks ``objects`` consecutive msgpack objects; call :meth:`advance` as bytes arrive.

    ``start`` is where the first object begins, ``budget_end`` the offset that no object may
    pass, ``depth`` how deep the first object is nested already. All offsets count from the
    start of the buffer handed to ``advance``, which must only ever grow.
    """

    __slots__ = ("_budget_end", "_max_depth", "_needed", "_open", "position", "tokens")

    def __init__(self, start: int, budget_end: int, *, objects: int = 1, depth: int = 0) -> None:
        self.position = start
        self.tokens = objects
        self._budget_end = budget_end
        self._max_depth = limits.MAX_NESTING - depth
        # How many elements each open container still lacks; the objects asked for lie in the first.
        self._open = [objects]
        self._needed = start + 1

    def advance(self, data: bytes | bytearray) -> bool:
        """Walk on as far as ``data`` goes; True when all objects ended, at ``position``.

        Raises:
            FrameTooLarge: the frame passes its budget of bytes or tokens.
            MalformedMessage: a byte that starts nothing, or nesting too deep.

        """
        end = len(data)
        unfinished = self._open
        while unfinished:
            if not self._scalars(data, end):
                return False
            if unfinished[-1]:
                token = self._sized_token(data, end)
                if token is None:
                    return False
                size, elements = token
                if not self._reach(self.position + size, end):
                    return False
                self.position += size
                self._needed = self.position + 1
                unfinished[-1] -= 1
                if elements:
                    self._enter(elements)
            while unfinished and not unfinished[-1]:
                unfinished.pop()
        return True

    def _scalars(self, data: bytes | bytearray, end: int) -> bool:
        """Pass the run of tokens whose first byte tells their size; False when ``data`` ends."""
        position, left = self.position, self._open[-1]
        if end < self._needed:
            return False
        limit = min(end, self._budget_end)
        while left and position < limit:
            size = _SIZES[data[position]]
            if not size or position + size > limit:
                break
            position += size
            left -= 1
        self.position, self._open[-1] = position, left
        if not left:
            return True
        if position >= limit:
            return self._reach(position + 1, end)
        size = _SIZES[data[position]]
        return not size or self._reach(position + size, end)

    def _reach(self, offset: int, end: int) -> bool:
        """Tell whether the bytes up to ``offset`` are here; remember how many are needed."""
        if offset > self._budget_end:
            raise FrameTooLarge(
                f"a frame announces at least {offset} bytes; {self._budget_end} are allowed"
            )
        if offset > end:
            self._needed = offset
            return False
        return True

    def _sized_token(self, data: bytes | bytearray, end: int) -> tuple[int, int] | None:
        """Return (bytes of this token, elements that follow it), or None until they are known."""
        at = self.position
        first = data[at]
        if first < 0x90:
            return 1, 2 * (first & 0x0F)
        if first < 0xA0:
            return 1, first & 0x0F
        width = _LENGTH_WIDTHS.get(first)
        if width is None:
            raise MalformedMessage(f"byte {first:#04x} starts no msgpack value")
        if not self._reach(at + 1 + width, end):
            return None
        length = int.from_bytes(data[at + 1 : at + 1 + width])
        if first >= 0xDC:
            return 1 + width, length if first < 0xDE else 2 * length
        ext_type = 1 if 0xC7 <= first <= 0xC9 else 0
        return 1 + width + ext_type + length, 0

    def _enter(self, elements: int) -> None:
        self.tokens += elements
        if self.tokens > limits.MAX_FRAME_TOKENS or self.position + elements > self._budget_end:
            raise FrameTooLarge(
                f"a frame announces {self.tokens} values; {limits.MAX_FRAME_TOKENS} are allowed"
            )
        if len(self._open) > self._max_depth:
            raise MalformedMessage(f"a frame nests deeper than {limits.MAX_NESTING} levels")
        self._open.append(elements)
