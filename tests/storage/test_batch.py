from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_over_libp2p.errors import LocalProtocolError
from raft_over_libp2p.storage.batch import (
    BATCH_HEADER_BYTES,
    RECORD_HEADER_BYTES,
    batch_bytes,
    encode_batch,
    find_batch_header,
    has_record,
    parse_batch,
    records,
)
from raft_over_libp2p.types import Index, LogEntry, Term
from tests.storage.entries import entries, entry

SEED = 7


@given(st.integers(1, 2**63), st.lists(st.binary(max_size=50), max_size=5))
def test_what_is_encoded_is_found_again(first: int, payloads: list[bytes]) -> None:
    made = [entry(first + place, 3, data or b"-") for place, data in enumerate(payloads)]
    data, offsets = encode_batch(SEED, 9, Index(first), made)
    batch = parse_batch(b"before" + data, 6, SEED)
    assert batch is not None
    assert (9, first, len(made), 6 + len(data)) == (
        batch.number,
        batch.first_index,
        batch.count,
        batch.end,
    )
    assert [(6 + at, e.index, e.term) for at, e in zip(offsets, made, strict=True)] == [
        (offset, index, term) for offset, _, index, term, _ in records(b"before" + data, batch)
    ]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_the_size_is_known_before_encoding(count: int) -> None:
    made = entries(1, count)
    assert batch_bytes(made) == len(encode_batch(SEED, 1, Index(1), made)[0])


def test_no_batch_is_found_in_any_prefix_padded_with_zeros() -> None:
    data, _ = encode_batch(SEED, 1, Index(1), entries(1, 2))
    assert [
        n for n in range(len(data)) if parse_batch(data[:n] + bytes(len(data) - n), 0, SEED)
    ] == []


def test_no_batch_is_found_in_any_prefix() -> None:
    data, _ = encode_batch(SEED, 1, Index(1), entries(1, 2))
    assert [n for n in range(len(data)) if parse_batch(data[:n], 0, SEED)] == []


def test_no_batch_is_found_with_any_bit_flipped() -> None:
    data, _ = encode_batch(SEED, 1, Index(1), entries(1, 2))
    survivors = []
    for bit in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        if parse_batch(bytes(damaged), 0, SEED) is not None:
            survivors.append(bit)
    assert survivors == []


def test_trailing_bytes_are_left_alone() -> None:
    data, _ = encode_batch(SEED, 1, Index(1), entries(1, 2))
    batch = parse_batch(data + b"more", 0, SEED)
    assert batch is not None
    assert batch.end == len(data)


def test_a_batch_of_another_segment_is_not_found() -> None:
    data, _ = encode_batch(SEED, 1, Index(1), entries(1, 2))
    assert parse_batch(data, 0, SEED + 1) is None
    assert find_batch_header(data, 0, SEED + 1) is None


def test_a_header_is_found_behind_other_bytes() -> None:
    data, _ = encode_batch(SEED, 1, Index(1), entries(1, 2))
    assert find_batch_header(data[:9] + data, 0, SEED) == 9


def test_a_record_is_checked_against_index_term_length_and_every_bit() -> None:
    made = entry(5, 2)
    assert made.encoded is not None
    data, (offset,) = encode_batch(SEED, 1, Index(5), [made])
    size = len(made.encoded)
    assert has_record(data, offset, SEED, 5, 2, size)
    assert not has_record(data, offset, SEED, 6, 2, size)
    assert not has_record(data, offset, SEED, 5, 3, size)
    assert not has_record(data, offset, SEED, 5, 2, size - 1)
    assert not has_record(data, offset, SEED + 1, 5, 2, size)
    assert not has_record(data[: offset + size], offset, SEED, 5, 2, size)
    for at in range(offset, offset + RECORD_HEADER_BYTES + size):
        damaged = bytearray(data)
        damaged[at] ^= 1
        assert not has_record(bytes(damaged), offset, SEED, 5, 2, size)


@pytest.mark.parametrize("bad", [LogEntry(Index(1), Term(1)), entry(2)])
def test_an_entry_out_of_place_or_not_encoded_is_refused(bad: LogEntry) -> None:
    with pytest.raises(LocalProtocolError, match="was to be written as encoded entry 1"):
        encode_batch(SEED, 1, Index(1), [bad])


def test_an_empty_batch_is_a_header_and_a_trailer() -> None:
    data, offsets = encode_batch(SEED, 1, Index(4), [])
    assert ([], BATCH_HEADER_BYTES + 4) == (offsets, len(data))
