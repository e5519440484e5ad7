"""Hostile and unlucky bytes: each limit with the attack it stops, in bounded time and memory."""

from __future__ import annotations

import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_over_libp2p import limits
from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    InstallSnapshotRequest,
    TimeoutNowRequest,
)
from raft_over_libp2p.errors import (
    FrameTooLarge,
    LocalProtocolError,
    MalformedMessage,
    RemoteProtocolError,
)
from raft_over_libp2p.types import Configuration, Index, LogEntry, ServerID, Term
from raft_over_libp2p.wire import (
    RequestReader,
    ResponseReader,
    UnknownRPCType,
    encode_entry,
    encode_request,
)
from raft_over_libp2p.wire.legacy_msgpack import pack_array_header, pack_raw, pack_text
from tests.wire.recorded import recorded

US = ServerID("12D3KooWAakVbvz4AW6iP8ALNsVWQ1Uyx6SWcHJxjXCf5Nwc3PdW")
GIANT = b"\xff\xff\xff\xff"
MIB = 1024 * 1024


def append(key: str, value: bytes) -> bytes:
    return b"\x00\x81" + pack_text(key) + value


def entry_with(key: str, value: bytes) -> bytes:
    return append("Entries", b"\x91\x81" + pack_text(key) + value)


def feed_all(reader: RequestReader, chunks: list[bytes]) -> None:
    for chunk in chunks:
        reader.feed(chunk)


ATTACKS: dict[str, tuple[bytes, type[RemoteProtocolError]]] = {
    "str32 of 4 GiB as Addr": (append("Addr", b"\xdb" + GIANT), FrameTooLarge),
    "bin32 of 4 GiB as entry data": (entry_with("Data", b"\xc6" + GIANT), FrameTooLarge),
    "entry data over 1 MiB": (entry_with("Data", b"\xdb\x00\x10\x00\x01"), FrameTooLarge),
    "extensions over 1 MiB": (entry_with("Extensions", b"\xdb\x00\x10\x00\x01"), FrameTooLarge),
    "a key of 4 GiB": (b"\x00\x81\xdb" + GIANT, FrameTooLarge),
    "a key over 4 KiB": (b"\x00\x81\xda\x10\x01", FrameTooLarge),
    "Addr over 4 KiB": (append("Addr", b"\xda\x10\x01"), FrameTooLarge),
    "4 G entries": (append("Entries", b"\xdd" + GIANT), FrameTooLarge),
    "1025 entries": (append("Entries", b"\xdc\x04\x01"), FrameTooLarge),
    "a map of 4 G keys": (b"\x00\xdf" + GIANT, FrameTooLarge),
    "a map of 100000 keys": (b"\x00\xdf\x00\x01\x86\xa0" + b"\xa1k\xc0" * 100_000, FrameTooLarge),
    "an unknown field of 4 G elements": (append("New", b"\xdd" + GIANT), FrameTooLarge),
    "an unknown ext of 4 GiB": (append("New", b"\xc9" + GIANT), FrameTooLarge),
    "nesting in an unknown field": (append("New", b"\x91" * 100_000), MalformedMessage),
    "nesting of maps": (append("New", b"\x81\xa1k" * 100_000), MalformedMessage),
    "nesting from the first byte": (b"\x00" + b"\x91" * 100_000, MalformedMessage),
    "a million tiny arrays": (
        append("New", b"\x91" * 5 + b"\xdd\x00\x0f\x42\x40" + b"\x90" * 1_000_000),
        FrameTooLarge,
    ),
    "1024 bytes fields as lists of numbers": (
        append("Entries", b"\xdc\x04\x00" + (b"\x81\xa4Data\xdc\x10\x00" + bytes(4096)) * 1024),
        FrameTooLarge,
    ),
    "bytes as 5000 numbers": (append("Addr", b"\xdc\x13\x88" + bytes(5000)), FrameTooLarge),
    "a vote of 80 MiB": (b"\x01\x81\xa3New\xdb\x05\x00\x00\x00", FrameTooLarge),
    "a configuration of 2 MiB": (
        b"\x02\x81" + pack_text("Configuration") + b"\xdb\x00\x20\x00\x00",
        FrameTooLarge,
    ),
    "a snapshot of more than 1 GiB": (
        b"\x02\x81\xa4Size\xd3\x00\x00\x00\x00\x40\x00\x00\x01",
        FrameTooLarge,
    ),
    "a snapshot of negative size": (b"\x02\x81\xa4Size\xff", MalformedMessage),
    "a nil entry": (append("Entries", b"\x91\xc0"), MalformedMessage),
    "an entry of type 6": (entry_with("Type", b"\x06"), MalformedMessage),
    "a configuration entry without one": (entry_with("Type", b"\x05"), MalformedMessage),
    "a peers entry that holds text": (
        append("Entries", b"\x91\x82\xa4Type\x02\xa4Data\xa1x"),
        MalformedMessage,
    ),
    "2000 servers": (
        append(
            "Entries",
            b"\x91\x82\xa4Type\x05\xa4Data"
            + pack_raw(b"\x81\xa7Servers" + pack_array_header(2000) + b"\x80" * 2000),
        ),
        FrameTooLarge,
    ),
    "a leader that is no text": (append("Leader", b"\xa1\xff"), MalformedMessage),
    "the byte that msgpack never uses": (b"\x00\xc1", MalformedMessage),
    "that byte in an unknown field": (append("New", b"\xc1"), MalformedMessage),
}


@pytest.mark.parametrize("chunk_bytes", [1 << 30, 1000, 1], ids=["whole", "1000", "byte by byte"])
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_an_attack_ends_in_its_error_at_once_and_in_little_memory(
    attack: tuple[bytes, type[RemoteProtocolError]], chunk_bytes: int
) -> None:
    data, error = attack
    reader = RequestReader()
    chunks = [data[at : at + chunk_bytes] for at in range(0, min(len(data), 300_000), chunk_bytes)]
    if len(data) > chunk_bytes * len(chunks):
        chunks.append(data[chunk_bytes * len(chunks) :])
    # Lengths that only a schema knows to be wrong are refused when the frame ends: end it.
    chunks += [b"\x00" * 4096] * 600

    tracemalloc.start()
    try:
        started = time.process_time()
        with pytest.raises(error):
            feed_all(reader, chunks)
        took = time.process_time() - started
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert took < 5.0  # tracemalloc makes it ten times slower than it is
    assert peak < 4 * len(data) + 8 * MIB


def test_a_frame_is_refused_when_its_announced_bytes_pass_80_mib() -> None:
    reader = RequestReader()
    entry = b"\x81\xa4Data" + pack_raw(bytes(MIB))
    reader.feed(append("Entries", pack_array_header(1024)))

    with pytest.raises(FrameTooLarge):
        feed_all(reader, [entry] * 100)


def test_64_entries_of_1_mib_are_read() -> None:
    """A Go leader sends such a frame, and for ever if it is refused."""
    entries = tuple(LogEntry(Index(i), Term(1), data=bytes(MIB)) for i in range(1, 65))
    request = AppendEntriesRequest(term=Term(1), leader=US, entries=entries)
    data = encode_request(request, US)
    reader = RequestReader()

    decoded = [d for at in range(0, len(data), 65536) for d in reader.feed(data[at : at + 65536])]

    assert [request] == [d.request for d in decoded]


def test_an_unknown_rpc_type_is_told_apart_from_a_malformed_message() -> None:
    with pytest.raises(UnknownRPCType):
        RequestReader().feed(b"\x09\x83\xa4Addr")


def test_good_requests_before_a_bad_one_are_returned_and_then_the_error_comes() -> None:
    good = encode_request(TimeoutNowRequest(), US)
    reader = RequestReader()

    decoded = reader.feed(good + good + b"\x00\xc1")

    assert 2 == len(decoded)
    assert isinstance(reader.failure, MalformedMessage)
    with pytest.raises(MalformedMessage):
        reader.feed(b"")


def test_after_an_error_nothing_more_is_read() -> None:
    reader = RequestReader()
    with pytest.raises(UnknownRPCType):
        reader.feed(b"\x09")

    with pytest.raises(UnknownRPCType):
        reader.feed(encode_request(TimeoutNowRequest(), US))


def test_the_snapshots_first_bytes_are_handed_back_and_not_read_as_a_request() -> None:
    snapshot = InstallSnapshotRequest(
        term=Term(3),
        leader=US,
        last_log_index=Index(9),
        last_log_term=Term(2),
        configuration=Configuration.of_voters(US),
        configuration_index=Index(1),
        size_bytes=5,
    )
    reader = RequestReader()

    decoded = reader.feed(encode_request(snapshot, US) + b"\x09\x09")

    assert [snapshot] == [d.request for d in decoded]
    with pytest.raises(LocalProtocolError):
        reader.feed(b"\x09\x09\x09")
    assert b"\x09\x09" == reader.take_remainder()
    assert 1 == len(reader.feed(encode_request(TimeoutNowRequest(), US)))


def test_a_response_that_answers_nothing_is_refused() -> None:
    with pytest.raises(MalformedMessage):
        ResponseReader().feed(b"\xa0\x83")


def test_a_response_over_its_limit_is_refused() -> None:
    reader = ResponseReader()
    reader.expect(TimeoutNowRequest())

    with pytest.raises(FrameTooLarge):
        reader.feed(b"\xdb\x00\x02\x00\x01")


SAMPLE = [
    (prefix + bytes.fromhex(v["hex"]))
    for prefix, go_type in (
        (b"\x00", "AppendEntriesRequest"),
        (b"\x01", "RequestVoteRequest"),
        (b"\x02", "InstallSnapshotRequest"),
        (b"\x03", "TimeoutNowRequest"),
        (b"\x04", "RequestPreVoteRequest"),
    )
    for v in recorded()["codec_vectors"]
    if v["type"] == go_type and v["name"] in {"typical", "one", "heartbeat", "full", "entries-15"}
]


@pytest.mark.parametrize("data", SAMPLE, ids=lambda data: f"type {data[0]}, {len(data)} bytes")
def test_a_message_cut_anywhere_is_incomplete_and_then_complete(data: bytes) -> None:
    for end in range(len(data)):
        reader = RequestReader()

        assert [] == reader.feed(data[:end])
        assert end == reader.buffered_bytes
        assert 1 == len(reader.feed(data[end:]))


@given(st.binary(max_size=200), st.integers(0, 4))
def test_any_bytes_give_a_documented_error_or_none(data: bytes, rpc_type: int) -> None:
    reader = RequestReader()
    try:
        reader.feed(bytes((rpc_type,)) + data)
    except RemoteProtocolError:
        assert reader.failure is not None


@given(st.data())
def test_any_one_changed_byte_gives_a_documented_error_or_none(data: Any) -> None:
    message = bytearray(data.draw(st.sampled_from(SAMPLE)))
    message[data.draw(st.integers(1, len(message) - 1))] = data.draw(st.integers(0, 255))
    whole, pieces = RequestReader(), RequestReader()
    results: list[Any] = []
    for reader, step in ((whole, len(message)), (pieces, 3)):
        try:
            results.append(
                [
                    d
                    for at in range(0, len(message), step)
                    for d in reader.feed(bytes(message[at : at + step]))
                ]
            )
        except RemoteProtocolError as error:
            results.append(error)
        except LocalProtocolError:  # the change made an InstallSnapshot end early
            return
    # In pieces an error may come later, when the frame ends; what is read never differs.
    if isinstance(results[0], list) and isinstance(results[1], list):
        assert results[0][:1] == results[1][:1]


def test_a_large_frame_byte_by_byte_costs_time_in_proportion_to_its_size() -> None:
    def seconds(entries: int) -> float:
        request = AppendEntriesRequest(
            term=Term(1),
            leader=US,
            entries=tuple(
                LogEntry(Index(i), Term(1), data=bytes(50)) for i in range(1, entries + 1)
            ),
        )
        data = encode_request(request, US)
        reader = RequestReader()
        started = time.process_time()
        decoded = [d for at in range(len(data)) for d in reader.feed(data[at : at + 1])]
        took = time.process_time() - started
        assert [request] == [d.request for d in decoded]
        return took

    small = min(seconds(64) for _ in range(3))

    # 16 times the size: quadratic work would take 256 times as long.
    assert seconds(1024) < 64 * small


def test_an_entry_is_encoded_once() -> None:
    entry = LogEntry(Index(1), Term(1), data=b"x")

    assert encode_entry(entry) is encode_entry(entry)


def test_the_limits_leave_room_for_the_largest_honest_message() -> None:
    tokens_of_an_entry = 13

    assert limits.MAX_APPEND_ENTRIES * tokens_of_an_entry + 100 < limits.MAX_FRAME_TOKENS
