"""meta.json: Go's files, read and written again to the same bytes; and what is no such file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_over_libp2p import limits
from raft_over_libp2p.core.interfaces import SnapshotMeta
from raft_over_libp2p.errors import MalformedMessage, UnsupportedVersion
from raft_over_libp2p.storage.interface import SnapshotInfo
from raft_over_libp2p.storage.snapshot_meta import encode_meta, parse_meta, with_checksum
from raft_over_libp2p.types import Configuration, Index, Server, ServerID, Suffrage, Term
from tests.storage.snapshots import GO_SNAPSHOTS, meta

INFO = SnapshotInfo(snapshot_id="1-7-99", meta=meta(7), size_bytes=5, checksum=b"\0" * 8)
SERVER = {"Suffrage": 0, "ID": "a", "Address": "a"}


def changed(**values: Any) -> bytes:
    return json.dumps({**json.loads(encode_meta(INFO)), **values}).encode()


def test_there_are_snapshots_of_go() -> None:
    assert len(GO_SNAPSHOTS) == 8


@pytest.mark.parametrize("path", GO_SNAPSHOTS, ids=lambda path: path.name)
def test_gos_file_is_read_and_written_again_to_the_same_bytes(path: Path) -> None:
    data = (path / "meta.json").read_bytes()
    assert data == encode_meta(parse_meta(data))


def test_every_field_is_read() -> None:
    path = next(path for path in GO_SNAPSHOTS if path.name == "5-200-1795392494441")
    info = parse_meta((path / "meta.json").read_bytes())
    assert ("5-200-1795392494441", 80000, "809159e32b786c9e") == (
        info.snapshot_id, info.size_bytes, info.checksum.hex(),
    )  # fmt: skip
    assert (200, 5, 1) == (info.meta.index, info.meta.term, info.meta.configuration_index)
    suffrages = [server.suffrage for server in info.meta.configuration.servers]
    assert [Suffrage.VOTER, Suffrage.VOTER, Suffrage.NONVOTER] == suffrages
    assert info.meta.configuration.servers[0].id == (
        "12D3KooWQVH5M6nE71dHEmhe3njuRh5ypwHgrxm6t8BN2yvUrLUF"
    )


def test_text_is_escaped_as_go_escapes_it() -> None:
    """Go's encoder makes JSON that may stand in HTML, and leaves other letters as they are."""
    server = Server(ServerID('<é&>"\\\u2028'), "\x01\n")
    info = replace(INFO, meta=meta(7, members=Configuration((server,))))
    expected = '{"Suffrage":0,"ID":"\\u003cé\\u0026\\u003e\\"\\\\\\u2028","Address":"\\u0001\\n"}'
    assert expected.encode() in encode_meta(info)
    assert info == parse_meta(encode_meta(info))


def test_no_servers_are_gos_nil_slice() -> None:
    info = replace(INFO, meta=meta(7, members=Configuration()))
    assert b'"Peers":"wA==","Configuration":{"Servers":null}' in encode_meta(info)
    assert info == parse_meta(encode_meta(info))


uints = st.integers(0, 2**64 - 1)
names = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    index=uints, term=uints, configuration_index=uints, size=uints,
    checksum=st.binary(min_size=8, max_size=8),
    servers=st.lists(st.builds(Server, names.map(ServerID), names, st.sampled_from(Suffrage)), max_size=5),
)  # fmt: skip
def test_what_is_written_is_read_back(
    index: int, term: int, configuration_index: int, size: int, checksum: bytes, servers: Any
) -> None:
    info = SnapshotInfo(
        snapshot_id=f"{term}-{index}-1",
        meta=SnapshotMeta(
            index=Index(index),
            term=Term(term),
            configuration=Configuration(tuple(servers)),
            configuration_index=Index(configuration_index),
        ),
        size_bytes=size,
        checksum=checksum,
    )
    assert info == parse_meta(encode_meta(info))


def test_version_0_has_its_members_in_peers() -> None:
    data = changed(Version=0, Configuration={"Servers": None}, ConfigurationIndex=0)
    found = parse_meta(data).meta
    assert (INFO.meta.configuration, 7) == (found.configuration, found.configuration_index)


def test_unknown_keys_and_bytes_behind_the_value_are_ignored_as_in_go() -> None:
    assert INFO == parse_meta(b" " + changed(Later=[1, {}]) + b"}garbage")


def test_a_newer_version_is_not_guessed_at() -> None:
    with pytest.raises(UnsupportedVersion, match="version 2; this program knows up to 1"):
        parse_meta(changed(Version=2))


def test_no_checksum_is_read_as_none() -> None:
    assert parse_meta(changed(CRC=None)).checksum == b""


@pytest.mark.parametrize("end", range(0, len(encode_meta(INFO)) - 1, 7))
def test_a_cut_file_is_refused(end: int) -> None:
    with pytest.raises(MalformedMessage, match="not JSON"):
        parse_meta(encode_meta(INFO)[:end])


@pytest.mark.parametrize("data", [b"\xff", b"[" * 100_000, b"9" * 5000])
def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage, match="not JSON"):
        parse_meta(data)


@pytest.mark.parametrize("data", [b"[]", b"7", b"null", b'"text"'])
def test_other_json_is_refused(data: bytes) -> None:
    with pytest.raises(MalformedMessage, match="not a JSON object"):
        parse_meta(data)


@pytest.mark.parametrize("key", ["Version", "Index", "Term", "ConfigurationIndex", "Size"])
@pytest.mark.parametrize("value", [None, -1, 2**64, 1.0, "1", True])
def test_a_number_of_another_kind_is_refused(key: str, value: object) -> None:
    with pytest.raises(MalformedMessage, match=f"its {key} is not an unsigned number"):
        parse_meta(changed(**{key: value}))


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ({"ID": 7}, "its ID is not text"),
        ({"ID": "1-7-\ud800"}, "its ID is not text: it has half a surrogate pair"),
        ({"CRC": 7}, "its CRC is not text"),
        ({"CRC": "é"}, "its CRC is not base64"),
        ({"CRC": "AAA"}, "its CRC is not base64"),
        ({"Configuration": None}, "its Configuration is not one"),
        ({"Configuration": []}, "its Configuration is not one"),
        ({"Configuration": {"Servers": {}}}, "its Configuration is not one"),
        ({"Configuration": {"Servers": [7]}}, "a server is not a JSON object"),
        ({"Configuration": {"Servers": [{**SERVER, "Suffrage": 3}]}}, "3 is not a valid Suffrage"),
        ({"Configuration": {"Servers": [{**SERVER, "Address": None}]}}, "its Address is not text"),
        (
            {"Configuration": {"Servers": [SERVER] * (limits.MAX_SERVERS + 1)}},
            "1025 servers, more than 1024",
        ),
        ({"Version": 0, "Peers": "AAAA"}, "list"),
    ],
)
def test_a_value_of_another_kind_is_refused(values: dict[str, object], why: str) -> None:
    with pytest.raises(MalformedMessage, match=why):
        parse_meta(changed(**values))


def test_every_flipped_bit_of_our_own_file_is_noticed_or_changes_nothing() -> None:
    """Only the extra key's own name can be damaged unnoticed, and it says nothing else."""
    data = with_checksum(encode_meta(INFO))
    for place in range(len(data) - 1):  # the newline says nothing
        for bit in range(8):
            damaged = bytearray(data)
            damaged[place] ^= 1 << bit
            try:
                found = parse_meta(bytes(damaged))
            except (MalformedMessage, UnsupportedVersion):
                continue
            assert found == INFO


def test_a_file_with_a_changed_number_does_not_match_its_checksum() -> None:
    data = with_checksum(encode_meta(INFO))
    with pytest.raises(MalformedMessage, match="does not match its checksum"):
        parse_meta(data.replace(b'"ConfigurationIndex":1', b'"ConfigurationIndex":3'))


def test_our_file_is_gos_but_for_one_key_that_go_ignores() -> None:
    """hashicorp/raft ``file_snapshot.go`` readMeta: ``json.Decoder`` without DisallowUnknownFields."""
    ours = json.loads(with_checksum(encode_meta(INFO)))
    assert {*json.loads(encode_meta(INFO)), "MetaCRC"} == set(ours)
    assert INFO == parse_meta(with_checksum(encode_meta(INFO)))
