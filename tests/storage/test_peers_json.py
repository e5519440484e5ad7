"""hashicorp/raft's ``peers.json``, in both forms; and everything that is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raft_over_libp2p.errors import ProposalRefused
from raft_over_libp2p.storage.peers_json import parse_peers_json, read_peers_json
from raft_over_libp2p.types import Configuration, Server, ServerID, Suffrage

A = {"id": "a", "address": "a"}


def test_objects_name_voters_unless_they_say_otherwise(tmp_path: Path) -> None:
    """``ReadConfigJSON``; the file is hashicorp's own example but for the addresses."""
    file = tmp_path / "peers.json"
    file.write_text(
        '[{"id": "adf4238a", "address": "10.1.0.1:8300"},'
        ' {"id": "8b6dda82", "address": "10.1.0.2:8300", "non_voter": true}]\n'
    )
    expected = (
        Server(ServerID("adf4238a"), "10.1.0.1:8300"),
        Server(ServerID("8b6dda82"), "10.1.0.2:8300", Suffrage.NONVOTER),
    )
    assert Configuration(expected) == read_peers_json(file)


def test_text_is_address_and_id_of_a_voter() -> None:
    """``ReadPeersJSON``."""
    expected = Configuration.of_voters(ServerID("a:1"), ServerID("b:1"))
    assert expected == parse_peers_json(b'["a:1", "b:1"]')


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ({}, "not a JSON list of peers"),
        (None, "not a JSON list of peers"),
        ([], "need at least one voter"),
        ([{**A, "non_voter": True}], "need at least one voter"),
        ([A, A], "found duplicate ID in configuration: a"),
        ([A, {"id": "b", "address": "a"}], "found duplicate address in configuration: a"),
        (["a", "a"], "found duplicate ID in configuration: a"),
        (["a", A], "peer 2 is not text, and others are"),
        ([A, "a"], "peer 1 is not text, and others are"),
        ([""], "empty ID"),
        ([7], "peer 1 is not an object"),
        ([{"id": "a"}], "peer 1 has no address"),
        ([{"address": "a"}], "peer 1 has no id"),
        ([{**A, "id": ""}], "peer 1 has no id"),
        ([{**A, "id": 7}], "peer 1 has no id"),
        ([{**A, "nonvoter": True}], "peer 1 has the unknown key 'nonvoter'"),
        ([{**A, "non_voter": 1}], "peer 1: its non_voter is neither true nor false"),
        ([{**A, "id": "\ud800"}], "peer 1: .* has half a surrogate pair"),
        (["\ud800"], "peer 1: .* has half a surrogate pair"),
        ([f"p{n}" for n in range(1025)], "at most 1024 servers"),
    ],
)
def test_what_cannot_be_a_configuration_is_refused(value: object, why: str) -> None:
    with pytest.raises(ProposalRefused, match=why):
        parse_peers_json(json.dumps(value).encode())


@pytest.mark.parametrize("data", [b"", b"[", b"\xff", b"[" * 100_000, b'["a"] ["b"]'])
def test_what_is_no_json_is_refused(data: bytes) -> None:
    with pytest.raises(ProposalRefused, match="not JSON"):
        parse_peers_json(data)


def test_an_endless_file_is_refused_and_named(tmp_path: Path) -> None:
    file = tmp_path / "peers.json"
    file.write_bytes(b" " * ((1 << 20) + 1))
    with pytest.raises(ProposalRefused, match=rf"{file}: it is over 1048576 bytes"):
        read_peers_json(file)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProposalRefused, match=r"peers\.json cannot be read: No such file"):
        read_peers_json(tmp_path / "peers.json")
