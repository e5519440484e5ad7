"""Every message that Go encoded, in both directions, and everything its decoder tolerates."""

from __future__ import annotations

from typing import Any

import pytest

from raft_over_libp2p.errors import RemoteProtocolError
from raft_over_libp2p.wire.go_time import canonical_time, unix_ns
from raft_over_libp2p.wire.legacy_reader import LegacyReader, MoreBytesNeeded
from raft_over_libp2p.wire.log_entry import decode_entry, encode_entry
from raft_over_libp2p.wire.schema import REQUEST_VOTE_RESPONSE
from raft_over_libp2p.wire.structure import StructureScanner
from tests.wire.recorded import (
    GO_TYPES,
    NEW_TIME,
    OLD_DECODER,
    marshalled_time,
    recorded,
    value_of,
)

CODEC_VECTORS = recorded()["codec_vectors"]
TOLERANCE = recorded()["decoder_tolerance"]

# What go-msgpack 0.5.5, which reads IPFS Cluster's old log store, does otherwise than the v2
# decoder of the wire. There the wire's decoder is followed; the old one never reads the wire.
OLD_DECODER_DIFFERS = {
    ("RequestVoteResponse", "keys as bin8"),
    ("RequestVoteResponse", "ID([]byte) as empty fixstr"),
    ("RequestVoteResponse", "ID([]byte) as empty bin8"),
    ("errorString(string)", "bin8"),
    ("errorString(string)", "bin16"),
    ("errorString(string)", "array"),
    ("Log", "AppendedAt bin8 (MarshalBinary in bin)"),
    ("Log", "AppendedAt ext -1 ts96"),
    ("Log", "AppendedAt fixext8 -1 ts64"),
    ("Log", "AppendedAt fixext4 -1 ts32"),
    ("AppendEntriesRequest", "Addr empty str (heartbeat check: leaderAddr != nil)"),
    ("Configuration", "ID as bin"),
}
PRESETS = {
    "missing field keeps previous value (preset Term=99 Granted=true)": {
        "Term": 99,
        "Granted": True,
    },
    "nil resets to zero? (preset Term=99)": {"Term": 99},
    "nil into preset (Term=99)": {"Term": 99},
}


def vector_name(vector: Any) -> str:
    return f"{vector['type']}: {vector['name']} [{vector['codec']}]"


def tolerance_name(case: Any) -> str:
    return f"{case['target']}: {case['case']} [{case['codec']}]"


@pytest.mark.parametrize("vector", CODEC_VECTORS, ids=vector_name)
def test_a_value_is_written_as_go_writes_it(vector: Any) -> None:
    value = value_of(vector["value"], new_time=NEW_TIME in vector["codec"])

    assert vector["hex"] == GO_TYPES[vector["type"]].write(value).hex()


@pytest.mark.parametrize("vector", CODEC_VECTORS, ids=vector_name)
def test_what_go_wrote_is_read_as_its_value(vector: Any) -> None:
    reader = LegacyReader(bytes.fromhex(vector["hex"]) + b"trailing")

    value = GO_TYPES[vector["type"]].read(reader)

    assert value_of(vector["value"], new_time=NEW_TIME in vector["codec"]) == value
    assert len(vector["hex"]) // 2 == reader.position


@pytest.mark.parametrize("vector", CODEC_VECTORS, ids=vector_name)
def test_the_scanner_finds_where_what_go_wrote_ends(vector: Any) -> None:
    data = bytes.fromhex(vector["hex"])
    step = max(1, len(data) // 1000)
    scanner = StructureScanner(0, len(data))

    early = [end for end in range(0, len(data), step) if scanner.advance(data[:end])]

    assert [] == early
    assert scanner.advance(data + b"trailing")
    assert len(data) == scanner.position


LOG_VECTORS = [v for v in CODEC_VECTORS if v["type"] == "Log" and v["value"]["Type"] <= 5]


@pytest.mark.parametrize("vector", LOG_VECTORS, ids=vector_name)
def test_an_entry_that_go_wrote_keeps_its_instant_and_gets_canonical_bytes(vector: Any) -> None:
    received = bytes.fromhex(vector["hex"])
    time = vector["value"]["AppendedAt"]

    entry = decode_entry(received)

    encoded, entry.encoded = entry.encoded, None
    assert encoded == encode_entry(entry)
    assert int(time["unix"]) * 10**9 + time["nsec"] == unix_ns(entry.appended_at)
    if NEW_TIME not in vector["codec"]:
        assert marshalled_time(time) == entry.appended_at


def is_canonical(vector: Any) -> bool:
    value = vector["value"]
    is_command = value["Type"] == 0
    return (
        NEW_TIME not in vector["codec"]
        and value["Extensions"] != {"bytes": ""}
        and (value["Data"] is not None if is_command else value["Data"] != {"bytes": ""})
    )


@pytest.mark.parametrize("vector", list(filter(is_canonical, LOG_VECTORS)), ids=vector_name)
def test_an_entry_that_go_wrote_is_canonical_already(vector: Any) -> None:
    received = bytes.fromhex(vector["hex"])

    assert received == decode_entry(received).encoded


def wanted_of(case: Any) -> Any:
    """The case whose result is ours: the wire decoder's, where the old one differs."""
    key = (case["target"], case["case"])
    if OLD_DECODER not in case["codec"] or key not in OLD_DECODER_DIFFERS:
        return case
    return next(
        c for c in TOLERANCE if (c["target"], c["case"]) == key and OLD_DECODER not in c["codec"]
    )


def canonical_times(value: Any) -> Any:
    """Times in MarshalBinary form: what Go decodes from any accepted form of the instant."""
    if isinstance(value, list):
        return [canonical_times(element) for element in value]
    if isinstance(value, dict):
        return {
            name: canonical_time(field) if name == "AppendedAt" else canonical_times(field)
            for name, field in value.items()
        }
    return value


@pytest.mark.parametrize("case", TOLERANCE, ids=tolerance_name)
def test_what_go_tolerates_is_tolerated_and_nothing_else(case: Any) -> None:
    wanted = wanted_of(case)
    reader = LegacyReader(bytes.fromhex(case["hex"]))
    preset = PRESETS.get(case["case"])

    def read() -> Any:
        if preset is None:
            return GO_TYPES[case["target"]].read(reader)
        zero = REQUEST_VOTE_RESPONSE.read(LegacyReader(b"\xc0"))
        return REQUEST_VOTE_RESPONSE.read(reader, zero | preset)

    if wanted["ok"]:
        assert value_of(wanted["decoded"]) == canonical_times(read())
        assert wanted["unread_bytes"] == len(reader.data) - reader.position
    else:
        with pytest.raises(MoreBytesNeeded if wanted["err"] == "EOF" else RemoteProtocolError):
            read()


def test_the_old_decoders_differences_are_exactly_the_listed_ones() -> None:
    by_key: dict[tuple[str, str], list[Any]] = {}
    for case in TOLERANCE:
        result = (case["ok"], case["decoded"] if case["ok"] else None)
        by_key.setdefault((case["target"], case["case"]), []).append(result)

    differing = {key for key, results in by_key.items() if results[0] != results[1]}

    assert differing == OLD_DECODER_DIFFERS
