"""Times, configurations and error texts: the small forms inside and beside entries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_over_libp2p.core.interfaces import ConfigurationCodec
from raft_over_libp2p.errors import LocalProtocolError, MalformedMessage
from raft_over_libp2p.types import (
    ZERO_GO_TIME,
    Configuration,
    Index,
    LogEntry,
    Server,
    ServerID,
    Suffrage,
    Term,
)
from raft_over_libp2p.wire import (
    GoConfigurationCodec,
    Outcome,
    decode_entry,
    encode_entry,
    go_time,
    outcome_of,
    unix_ns,
)
from raft_over_libp2p.wire.configuration import encode_peers
from raft_over_libp2p.wire.go_time import canonical_time

CODEC: ConfigurationCodec = GoConfigurationCodec()
CONFIGURATION = Configuration(
    (
        Server(ServerID("a"), "a:1"),
        Server(ServerID("b"), "b:1", Suffrage.NONVOTER),
        Server(ServerID("c"), "c:1", Suffrage.STAGING),
    )
)


def test_a_leaders_time_has_zone_offset_0_as_go_writes_where_local_time_is_utc() -> None:
    assert "010000000edd774dbf075bcd150000" == go_time(1709528767_123456789).hex()


@given(st.integers(-(10**20), 10**20))
def test_a_time_comes_back_to_the_nanosecond(instant: int) -> None:
    assert instant == unix_ns(go_time(instant))


def test_gos_zero_time_lies_in_year_1() -> None:
    assert -62_135_596_800 * 10**9 == unix_ns(ZERO_GO_TIME)


def test_bytes_that_are_no_time_are_refused_by_size() -> None:
    with pytest.raises(LocalProtocolError):
        unix_ns(b"\x01\x02")


@pytest.mark.parametrize(
    ("received", "instant"),
    [
        ("65e556bf", 1709528767_000000000),
        ("1d6f345465e556bf", 1709528767_123456789),
        ("075bcd150000000065e556bf", 1709528767_123456789),
        ("3b9aca000000000000000001", 2_000000000),
        ("00000000ffffffffffffffff", -1_000000000),
    ],
)
def test_a_msgpack_timestamp_becomes_gos_form_in_utc(received: str, instant: int) -> None:
    canonical = canonical_time(bytes.fromhex(received))

    assert instant == unix_ns(canonical)
    assert b"\xff\xff" == canonical[13:]


def test_a_configuration_comes_back_with_every_suffrage() -> None:
    assert CONFIGURATION == CODEC.decode(CODEC.encode(CONFIGURATION))


def test_an_old_peers_list_is_a_configuration_of_voters() -> None:
    assert Configuration.of_voters(ServerID("x"), ServerID("y")) == CODEC.decode(
        b"\x92\xa1x\xc4\x01y"
    )


def test_an_old_peers_list_names_voters_only() -> None:
    assert b"\x91\xa3a:1" == encode_peers(CONFIGURATION)


@pytest.mark.parametrize("data", [b"\xc0", b"\x90", b"\x80", b"\x81\xa7Servers\xc0", b"\x91\x90"])
def test_no_servers_in_any_form_are_the_empty_configuration(data: bytes) -> None:
    assert Configuration() == CODEC.decode(data)


def test_a_configuration_in_array_form_is_no_peers_list() -> None:
    assert Configuration((Server(ServerID("i"), "a"),)) == CODEC.decode(
        b"\x91\x91\x93\x00\xa1i\xa1a"
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x01",
        b"\x81",
        b"\x92\xa1x",
        b"\x81\xa7Servers\x91\x81\xa8Suffrage\x03",
        b"\x81\xa7Servers\x91\x81\xa2ID\xa1\xff",
    ],
)
def test_what_is_no_configuration_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        CODEC.decode(data)


@pytest.mark.parametrize("data", [b"", b"\x86\xaaAppe", b"\x80\x80", b"\xc0", b"\x81\xa4Type\x06"])
def test_what_is_not_one_entry_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_entry(data)


@pytest.mark.parametrize(
    ("shortest", "longer"),
    [
        (b"\xa4Term\x02", b"\xa4Term\xcd\x00\x02"),
        (b"\xa5Index\x05", b"\xa5Index\xcf" + bytes(7) + b"\x05"),
        (b"\xa4Data\xa1x", b"\xa4Data\xda\x00\x01x"),
        (b"\xa4Data\xa1x", b"\xa4Data\xdb\x00\x00\x00\x01x"),
        (b"\xaaExtensions\xc0", b"\xaaExtensions\xa0"),
    ],
)
def test_a_field_in_a_longer_form_does_not_reach_the_log(shortest: bytes, longer: bytes) -> None:
    canonical = encode_entry(LogEntry(Index(5), Term(2), data=b"x"))

    assert canonical == decode_entry(canonical.replace(shortest, longer)).encoded


@pytest.mark.parametrize(
    "text",
    [
        "node is not the leader",
        "this actor is not the leader",
        "timed out enqueuing operation",
        "leadership transfer in progress",
        "timed out waiting for leader: context deadline exceeded",
        "configuration changed since 5 (latest is 7)",
        "rpc: can't find method LogPin",
    ],
)
def test_these_texts_say_that_nothing_was_done(text: str) -> None:
    assert Outcome.NOT_DONE is outcome_of(text, may_have_retried=False)


@pytest.mark.parametrize(
    "text",
    [
        "leadership lost while committing log",
        "raft is already shutdown",
        "snapshot restored while committing log",
        "context deadline exceeded",
        "some text of a later release",
        "",
    ],
)
def test_these_texts_leave_the_outcome_unknown(text: str) -> None:
    assert Outcome.UNKNOWN is outcome_of(text, may_have_retried=False)


def test_the_last_attempts_error_says_nothing_about_the_ones_before() -> None:
    assert Outcome.UNKNOWN is outcome_of("node is not the leader", may_have_retried=True)


def test_a_call_that_was_never_dispatched_was_not_retried_either() -> None:
    assert Outcome.NOT_DONE is outcome_of(
        "rpc: can't find service Consensus", may_have_retried=True
    )
