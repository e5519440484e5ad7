"""Well-formed bytes, damaged the way fuzzers do it, drawn by Hypothesis."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

__all__ = ["mutated"]

_TELLING = (
    b"\xc0", b"\x80", b"\x90", b"\xa0", b"\xc1", b"\xff", b"\x00", b"\x7f", b"\x81\x90\xc0", b"\x91\x80",
    b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff\xff", b"\xd7\xff", b"\xc7\x0c\xff", b"\xcf" + b"\xff" * 8, b"\xd3\x80" + bytes(7),
    b"\xcb\x7f\xf0" + bytes(6), b"\xcb\x7f\xf8" + bytes(6), b"\x91" * 40, b"\x81\xa1k" * 40,
    b"[" * 40, b"{", b"}", b'"', b"null", b"-1", b"1e999", b"1" * 400, b"\\ud800", b"NaN", b"\xed\xa0\x80",
    b"/p2p/", b"/ip4/1.2.3.4", b"\n", b" ",
)  # fmt: skip
"""Values at the edges of msgpack, JSON and multiaddrs."""


@st.composite
def mutated(draw: st.DrawFn, seeds: Sequence[bytes]) -> bytes:
    """Draw one of ``seeds``, as it is or changed in a few places; now and then wholly random."""
    if not draw(st.integers(0, 15)):
        return draw(st.binary(max_size=64))
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data)))
        change = draw(st.sampled_from(_CHANGES))
        data[at:] = change(draw, bytes(data[at:]), seeds)
    return bytes(data)


def _flipped(draw: st.DrawFn, rest: bytes, _seeds: Sequence[bytes]) -> bytes:
    return bytes([rest[0] ^ 1 << draw(st.integers(0, 7))]) + rest[1:] if rest else rest


def _set(draw: st.DrawFn, rest: bytes, _seeds: Sequence[bytes]) -> bytes:
    return bytes([draw(st.integers(0, 255))]) + rest[1:]


def _inserted(draw: st.DrawFn, rest: bytes, _seeds: Sequence[bytes]) -> bytes:
    return draw(st.binary(min_size=1, max_size=8)) + rest


def _deleted(draw: st.DrawFn, rest: bytes, _seeds: Sequence[bytes]) -> bytes:
    return rest[draw(st.integers(1, 8)) :]


def _repeated(draw: st.DrawFn, rest: bytes, _seeds: Sequence[bytes]) -> bytes:
    return rest[: draw(st.integers(1, 8))] * draw(st.integers(1, 64)) + rest


def _cut(_draw: st.DrawFn, _rest: bytes, _seeds: Sequence[bytes]) -> bytes:
    return b""


def _telling(draw: st.DrawFn, rest: bytes, _seeds: Sequence[bytes]) -> bytes:
    value = draw(st.sampled_from(_TELLING))
    return value + rest[draw(st.sampled_from((0, 1, len(value)))) :]


def _spliced(draw: st.DrawFn, _rest: bytes, seeds: Sequence[bytes]) -> bytes:
    return draw(st.sampled_from(seeds))[-8 * draw(st.integers(1, 8)) :]


_CHANGES = (_flipped, _set, _inserted, _deleted, _repeated, _cut, _telling, _spliced)
