"""Messages of the core through bytes and back, and what older peers leave out."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    Response,
    TimeoutNowRequest,
    TimeoutNowResponse,
)
from raft_over_libp2p.errors import UnsupportedVersion
from raft_over_libp2p.types import (
    Configuration,
    Index,
    LogEntry,
    LogType,
    Server,
    ServerID,
    Suffrage,
    Term,
)
from raft_over_libp2p.wire import (
    DecodedRequest,
    RequestReader,
    ResponseReader,
    RPCHeader,
    check_protocol_version,
    check_snapshot_version,
    encode_configuration,
    encode_request,
    encode_response,
)
from raft_over_libp2p.wire.legacy_msgpack import pack_raw
from raft_over_libp2p.wire.schema import (
    APPEND_ENTRIES_REQUEST,
    INSTALL_SNAPSHOT_REQUEST,
    LOG,
    PEERS,
    REQUEST_VOTE_REQUEST,
    GoStruct,
)
from raft_over_libp2p.wire.structure import StructureScanner

US = ServerID("12D3KooWAakVbvz4AW6iP8ALNsVWQ1Uyx6SWcHJxjXCf5Nwc3PdW")
THEM = ServerID("12D3KooWPhxnyc6ayfbzdtwiu9vqxzWn74pHJiw7JSRy8wbw8VVx")

terms = st.integers(0, 2**64 - 1).map(Term)
indexes = st.integers(0, 2**64 - 1).map(Index)
names = st.text(max_size=70).map(ServerID)
servers = st.builds(Server, names, names, st.sampled_from(Suffrage))
configurations = st.builds(Configuration, st.lists(servers, max_size=20).map(tuple))
go_times = st.binary(min_size=14, max_size=14).map(lambda rest: b"\x01" + rest)
plain_entries = st.builds(
    LogEntry,
    indexes,
    terms,
    st.sampled_from([LogType.COMMAND, LogType.NOOP, LogType.BARRIER]),
    st.binary(max_size=300),
    st.binary(max_size=40),
    go_times,
)
configuration_entries = st.builds(
    LogEntry,
    indexes,
    terms,
    st.just(LogType.CONFIGURATION),
    configurations.map(encode_configuration),
)
entry_lists = st.lists(plain_entries | configuration_entries, max_size=20).map(tuple)
requests = st.one_of(
    st.builds(
        AppendEntriesRequest,
        term=terms,
        leader=st.just(US),
        prev_log_index=indexes,
        prev_log_term=terms,
        entries=st.none() | entry_lists,
        leader_commit_index=indexes,
    ),
    st.builds(
        RequestVoteRequest,
        term=terms,
        candidate=st.just(US),
        last_log_index=indexes,
        last_log_term=terms,
        leadership_transfer=st.booleans(),
    ),
    st.builds(RequestPreVoteRequest, term=terms, last_log_index=indexes, last_log_term=terms),
    st.just(TimeoutNowRequest()),
    st.builds(
        InstallSnapshotRequest,
        term=terms,
        leader=st.just(US),
        last_log_index=indexes,
        last_log_term=terms,
        configuration=configurations,
        configuration_index=indexes,
        size_bytes=st.integers(0, 2**30),
    ),
)
answers = st.one_of(
    st.tuples(
        st.just(AppendEntriesRequest(term=Term(1), leader=US)),
        st.builds(
            AppendEntriesResponse,
            term=terms,
            last_log=indexes,
            success=st.booleans(),
            no_retry_backoff=st.booleans(),
        ),
    ),
    st.tuples(
        st.just(
            RequestVoteRequest(
                term=Term(1), candidate=US, last_log_index=Index(0), last_log_term=Term(0)
            )
        ),
        st.builds(RequestVoteResponse, term=terms, granted=st.booleans()),
    ),
    st.tuples(
        st.just(
            RequestPreVoteRequest(term=Term(1), last_log_index=Index(0), last_log_term=Term(0))
        ),
        st.builds(RequestPreVoteResponse, term=terms, granted=st.booleans())
        | st.builds(ErrorResponse, error=st.text(min_size=1, max_size=300)),
    ),
    st.tuples(st.just(TimeoutNowRequest()), st.just(TimeoutNowResponse())),
)


def decode(data: bytes) -> DecodedRequest:
    (decoded,) = RequestReader().feed(data)
    return decoded


def of_struct(struct: GoStruct, **fields: Any) -> dict[str, Any]:
    return {name: field.zero for name, field in struct._fields.items()} | fields


@given(requests)
def test_a_request_comes_back_as_it_was_sent(request: Request) -> None:
    data = encode_request(request, US)

    assert DecodedRequest(RPCHeader(3, US, US), request, len(data)) == decode(data)


@given(requests)
def test_a_general_msgpack_library_reads_our_requests_as_maps_in_go_order(request: Request) -> None:
    data = encode_request(request, US)

    fields = msgpack.unpackb(data[1:], raw=True)

    assert sorted(fields) == list(fields)
    assert US.encode() == fields[b"Addr"] == fields[b"ID"]


@given(answers)
def test_a_response_comes_back_as_it_was_sent(exchange: tuple[Request, Response]) -> None:
    request, response = exchange
    reader = ResponseReader()
    reader.expect(request)

    (decoded,) = reader.feed(encode_response(response, THEM))

    assert response == decoded.response


msgpack_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text()
    | st.binary()
    | st.builds(msgpack.ExtType, st.integers(0, 127), st.binary(max_size=40)),
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(), inner, max_size=20),
    max_leaves=20,
)


@given(msgpack_values, st.binary(max_size=5), st.booleans())
def test_the_scanner_ends_where_a_general_msgpack_library_does(
    value: Any, trailing: bytes, use_bin_type: bool
) -> None:
    packer = msgpack.Packer(use_bin_type=use_bin_type, unicode_errors="surrogatepass")
    data = packer.pack(value)
    scanner = StructureScanner(0, len(data), depth=-20)
    arrived = bytearray()

    for at in range(len(data)):
        assert not scanner.advance(arrived)
        arrived += data[at : at + 1]

    assert scanner.advance(arrived + trailing)
    assert len(data) == scanner.position


def test_entries_go_into_an_append_as_the_bytes_they_have() -> None:
    marked = LogEntry(Index(1), Term(1), encoded=b"\x80")  # not what would be made of it
    request = AppendEntriesRequest(term=Term(1), leader=US, entries=(marked, marked))

    assert b"\xa7Entries\x92\x80\x80\xa2ID" in encode_request(request, US)


def test_an_empty_append_is_no_heartbeat() -> None:
    empty = AppendEntriesRequest(term=Term(1), leader=US, entries=())

    assert () == getattr(decode(encode_request(empty, US)).request, "entries", None)


def test_without_addr_the_leader_field_names_the_leader() -> None:
    data = b"\x00" + APPEND_ENTRIES_REQUEST.write(
        of_struct(APPEND_ENTRIES_REQUEST, Leader=THEM.encode())
    )

    assert THEM == getattr(decode(data).request, "leader", None)


def test_addr_counts_before_the_leader_field() -> None:
    data = b"\x00" + APPEND_ENTRIES_REQUEST.write(
        of_struct(APPEND_ENTRIES_REQUEST, Leader=THEM.encode(), Addr=US.encode())
    )

    assert US == getattr(decode(data).request, "leader", None)


def test_without_addr_the_candidate_field_names_the_candidate() -> None:
    data = b"\x01" + REQUEST_VOTE_REQUEST.write(
        of_struct(REQUEST_VOTE_REQUEST, Candidate=THEM.encode())
    )

    assert THEM == getattr(decode(data).request, "candidate", None)


def snapshot_of_version(version: int) -> InstallSnapshotRequest:
    fields = of_struct(
        INSTALL_SNAPSHOT_REQUEST,
        SnapshotVersion=version,
        LastLogIndex=20,
        ConfigurationIndex=7,
        Peers=PEERS.write([THEM.encode()]),
        Configuration=encode_configuration(Configuration.of_voters(US)),
    )
    request = decode(b"\x02" + INSTALL_SNAPSHOT_REQUEST.write(fields)).request
    assert isinstance(request, InstallSnapshotRequest)
    return request


def test_a_snapshot_of_version_0_takes_its_voters_from_peers() -> None:
    request = snapshot_of_version(0)

    assert Configuration.of_voters(THEM) == request.configuration
    assert Index(20) == request.configuration_index


def test_a_snapshot_of_version_1_has_its_own_configuration() -> None:
    request = snapshot_of_version(1)

    assert Configuration.of_voters(US) == request.configuration
    assert Index(7) == request.configuration_index


@pytest.mark.parametrize("version", [0, 1])
def test_snapshot_versions_0_and_1_are_accepted(version: int) -> None:
    check_snapshot_version(snapshot_of_version(version))


@pytest.mark.parametrize("version", [-1, 2, 7])
def test_other_snapshot_versions_are_refused_in_gos_words(version: int) -> None:
    with pytest.raises(UnsupportedVersion, match=rf"^unsupported snapshot version {version}$"):
        check_snapshot_version(snapshot_of_version(version))


HEARTBEAT = AppendEntriesRequest(term=Term(1), leader=US)
APPEND = AppendEntriesRequest(term=Term(1), leader=US, entries=())


@pytest.mark.parametrize(
    ("version", "request_sent"),
    [(2, APPEND), (3, APPEND), (2, HEARTBEAT), (3, HEARTBEAT), (4, HEARTBEAT)],
)
def test_these_protocol_versions_are_answered(version: int, request_sent: Request) -> None:
    check_protocol_version(RPCHeader(version, US, US), request_sent)


@pytest.mark.parametrize(
    ("version", "request_sent"),
    [(-1, APPEND), (0, APPEND), (1, APPEND), (4, APPEND), (0, HEARTBEAT), (1, HEARTBEAT)],
)
def test_rule_24_other_versions_are_refused_heartbeats_only_below_2(
    version: int, request_sent: Request
) -> None:
    with pytest.raises(
        UnsupportedVersion, match=r"^operation not supported with current protocol version$"
    ):
        check_protocol_version(RPCHeader(version, US, US), request_sent)


def test_an_error_may_come_with_a_struct_as_gos_short_read_does() -> None:
    response = InstallSnapshotResponse(term=Term(61), success=False)
    reader = ResponseReader()
    reader.expect(snapshot_of_version(1))

    data = encode_response(response, US, error="short read")

    assert data.startswith(b"\xaashort read\x85")
    assert [ErrorResponse(error="short read")] == [d.response for d in reader.feed(data)]


def test_an_entry_in_another_accepted_form_gets_canonical_bytes() -> None:
    canonical = LogEntry(Index(5), Term(2), data=b"x")
    other_form = (
        b"\x00\x81\xa7Entries\x91\x84\xa4Term\xcd\x00\x02\xa5Index\x05\xa4Data\xc4\x01x\xa3New\xc0"
    )

    request = decode(other_form).request

    assert isinstance(request, AppendEntriesRequest)
    assert request.entries == (canonical,)
    sent = {"Index": 5, "Term": 2, "Data": b"x", "AppendedAt": canonical.appended_at}
    assert [LOG.write(of_struct(LOG, **sent))] == [e.encoded for e in request.entries or ()]


@given(st.lists(plain_entries, min_size=1, max_size=5))
def test_what_arrives_has_the_bytes_it_would_be_encoded_to(entries: list[LogEntry]) -> None:
    bodies = [
        LOG.write(
            {
                "Index": e.index,
                "Term": e.term,
                "Type": int(e.type),
                "Data": e.data,
                "Extensions": e.extensions,
                "AppendedAt": e.appended_at,
            }
        )
        for e in entries
    ]
    data = b"\x00\x81\xa7Entries" + bytes((0x90 | len(bodies),)) + b"".join(bodies)

    request = decode(data).request

    assert isinstance(request, AppendEntriesRequest)
    assert tuple(entries) == request.entries
    assert encode_request(
        AppendEntriesRequest(term=Term(0), leader=US, entries=tuple(entries)), US
    ) == (
        encode_request(AppendEntriesRequest(term=Term(0), leader=US, entries=request.entries), US)
    )


def test_pack_raw_keeps_nil_and_empty_apart() -> None:
    assert [b"\xc0", b"\xa0"] == [pack_raw(None), pack_raw(b"")]
