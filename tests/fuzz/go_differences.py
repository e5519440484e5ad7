"""Where a decoder of ours and Go's may disagree: each case is in docs/divergences.md.

Nothing else may differ, neither what is read nor whether it is. A predicate looks at what Go
read, or at the bytes, wherever these show the difference, and at our refusal only beside that.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from msgpack.fallback import Unpacker  # type: ignore[import-untyped]
from multiaddr import Multiaddr
from multiaddr.exceptions import Error

from pinstate.cid import datastore_key, raw_sha256_cid
from raft_over_libp2p import limits
from raft_over_libp2p.errors import RaftError
from raft_over_libp2p.wire.configuration import decode_configuration, decode_peers
from tests.fuzz.go_program import GoDecoders
from tests.fuzz.go_targets import GoTarget

__all__ = ["DIFFERENCES", "Case", "Difference", "Disagreement", "difference_of"]

_NAMES: Final = ("ID", "Addr", "Leader", "Candidate", "Address")
_PAYLOADS: Final = ("Data", "Extensions", "Configuration", "Peers")
_CONFIGURATION_TYPES: Final = (2, 3, 5)
_NEWEST_TYPE: Final = 5
_NO_LIMIT: Final = (1 << 32) - 1
_MOST_SUFFRAGE: Final = 2


class Disagreement(AssertionError):
    """The two decoders differ, and no difference that is listed explains it."""


@dataclass(frozen=True, slots=True)
class Case:
    """One input and what came of it; ``refusal`` is ours, None where we accept."""

    target: str
    data: bytes
    refusal: Exception | None
    go: Any
    """What Go read; None where it refuses."""
    values: tuple[Any, Any]
    """Ours and Go's as the target says them, where both accept."""

    def refusal_says(self, words: str) -> bool:
        return self.refusal is not None and words in str(self.refusal)


@dataclass(frozen=True, slots=True)
class Difference:
    """One that is listed: ``row`` stands in docs/divergences.md as it does here."""

    row: str
    holds: Callable[[Case], bool]
    example: tuple[str, bytes]
    """A target and an input that show it."""


def difference_of(go: GoDecoders, target: GoTarget, data: bytes) -> Difference | None:
    """Return the listed difference that ``data`` shows, None if both decoders agree about it.

    Raises:
        Disagreement: they do not, and it is listed nowhere.

    """
    said = go.ask(target.number, data)
    ours, consumed, refusal = None, None, None
    try:
        ours, consumed = target.ours(data)
    except target.refusals as error:
        refusal = error
    if "value" not in said:
        return None if refusal else _difference_we_alone_read(target, data, ours, said["error"])
    value = said["value"]
    if refusal is None and ours == target.theirs(value) and consumed in (None, said["consumed"]):
        return None
    values = (None, None) if refusal else (ours, target.theirs(value))
    case = Case(target.name, data, refusal, value, values)
    for difference in DIFFERENCES:
        if difference.holds(case):
            return difference
    if refusal is not None:
        raise Disagreement(
            f"{target.name}: we refuse ({refusal}), and Go reads {value}: {data.hex()}"
        )
    raise Disagreement(
        f"{target.name}: we read {ours} in {consumed} bytes, and Go {target.theirs(value)} "
        f"in {said['consumed']}: {data.hex()}"
    )


def _difference_we_alone_read(target: GoTarget, data: bytes, ours: Any, error: str) -> Difference:
    case = Case(target.name, data, None, None, (ours, None))
    if _is_a_list_of_peers(case):
        return A_LIST_OF_PEERS
    raise Disagreement(f"{target.name}: Go refuses ({error}), and we read {ours}: {data.hex()}")


def _is_a_list_of_peers(case: Case) -> bool:
    """Tell whether ``decode_configuration`` took it for what entries of types 2 and 3 hold."""
    if case.target != "configuration":
        return False
    try:
        return bool(decode_peers(case.data).servers)
    except RaftError:
        return False


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the fields of all structs in what Go read."""
    if isinstance(value, list):
        for element in value:
            yield from _fields(element)
    elif isinstance(value, dict):
        for name, field in value.items():
            yield name, field
            yield from _fields(field)


def _is_text(digits: str | None) -> bool:
    try:
        bytes.fromhex(digits or "").decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_too_large(case: Case) -> bool:
    def is_over(name: str, field: Any) -> bool:
        if name == "Size":
            return bool(field > limits.MAX_SNAPSHOT_BYTES)
        at_most = limits.MIB if name in _PAYLOADS else limits.MAX_SMALL_FIELD_BYTES
        return isinstance(field, str) and len(field) > 2 * at_most

    fields = [("", case.go), *_fields(case.go)]
    return case.refusal is not None and any(is_over(name, field) for name, field in fields)


def _has_too_many(case: Case) -> bool:
    lists = [case.go, *(field for _, field in _fields(case.go))]
    return case.refusal is not None and any(
        isinstance(field, list) and len(field) > limits.MAX_APPEND_ENTRIES for field in lists
    )


def _has_too_many_numbers(case: Case) -> bool:
    return case.refusal_says(f"numbers; at most {limits.MAX_SMALL_FIELD_BYTES}")


def _nests(case: Case) -> bool:
    return case.refusal_says(f"nests deeper than {limits.MAX_NESTING}")


def _holds_no_configuration(case: Case) -> bool:
    if case.refusal is None:
        return False
    if case.target in {"InstallSnapshot request", "meta.json"}:
        return not _decodes_configuration(case)
    return any(map(_is_no_entry, _entries(case)))


def _entries(case: Case) -> list[Any]:
    if case.target == "log entry":
        return [case.go]
    return (case.go["Entries"] or []) if case.target == "AppendEntries request" else []


def _has_an_odd_time(case: Case) -> bool:
    """Tell whether nothing but the times of entries was read otherwise."""
    entries = _entries(case)
    if not entries or case.refusal is not None:
        return False
    ours, theirs = map(_without_times, case.values)
    return bool(ours == theirs)


def _without_times(value: Any) -> Any:
    """Return what a target says of an entry, or of a request with entries, but for their times."""
    if any(isinstance(field, list) for field in value):
        return [_without_times(f) if isinstance(f, list) else f for f in value]
    return value[:-1]


def _decodes_configuration(case: Case) -> bool:
    version = case.go.get("SnapshotVersion", case.go.get("Version"))
    try:
        if version == 0:
            decode_peers(bytes.fromhex(case.go["Peers"] or ""))
        elif version == 1 and case.target == "InstallSnapshot request":
            decode_configuration(bytes.fromhex(case.go["Configuration"] or ""))
    except RaftError:
        return False
    return True


def _is_no_entry(entry: Any) -> bool:
    # Go has a zero entry where a nil stands on its own.
    if entry is None or entry["Type"] > _NEWEST_TYPE:
        return True
    if entry["Type"] not in _CONFIGURATION_TYPES:
        return False
    try:
        decode_configuration(bytes.fromhex(entry["Data"] or ""))
    except RaftError:
        return True
    return False


def _is_nil_entry(case: Case) -> bool:
    return case.target == "log entry" and case.data[:1] == b"\xc0"


def _is_no_entry_of_ours(case: Case) -> bool:
    return _is_nil_entry(case) or _holds_no_configuration(case)


def _names_nobody(case: Case) -> bool:
    if case.refusal is None or case.target in {"meta.json", "peers.json", "operation", "pin"}:
        return False
    if case.target == "list of peers":
        return not all(map(_is_text, case.go or ()))
    return any(
        (name in _NAMES and not _is_text(field))
        or (name == "Size" and field < 0)
        or (name == "Suffrage" and not 0 <= field <= _MOST_SUFFRAGE)
        for name, field in _fields(case.go)
    )


def _has_a_list_twice(case: Case) -> bool:
    return case.refusal is None and any(
        case.data.count(name) > 1 for name in (b"Entries", b"Servers")
    )


def _has_a_new_field(case: Case) -> bool:
    return case.target == "pin" and case.refusal_says("there is no field")


def _has_more_elements(case: Case) -> bool:
    return case.target == "pin" and case.refusal_says("fields") and case.refusal_says("an array of")


def _has_an_odd_origin(case: Case) -> bool:
    if case.target not in {"pin", "operation"} or case.refusal is None:
        return False
    pin = case.go.get("pin", case.go)
    return not all(map(_has_text, pin["Origins"] or ()))


def _has_text(origin: str | None) -> bool:
    if origin is None:  # Go takes nil in a list, and panics when it writes it.
        return False
    try:
        str(Multiaddr(bytes.fromhex(origin)))
    except Error:
        return False
    return True


def _ends_within_a_record(case: Case) -> bool:
    if case.target != "snapshot" or case.refusal is None:
        return False
    unpacker = Unpacker(
        raw=True, use_list=False, object_pairs_hook=list, strict_map_key=False,
        max_buffer_size=_NO_LIMIT, max_str_len=_NO_LIMIT, max_bin_len=_NO_LIMIT,
        max_array_len=_NO_LIMIT, max_map_len=_NO_LIMIT, max_ext_len=_NO_LIMIT,
    )  # fmt: skip
    unpacker.feed(case.data)
    end = 0
    for _ in unpacker:
        end = unpacker.tell()
    return end != len(case.data)


def _holds_what_go_does_not_list(case: Case) -> bool:
    return case.target == "snapshot" and case.go["stored"] > len(case.go["pins"])


def _has_a_wrong_checksum(case: Case) -> bool:
    return case.target == "meta.json" and case.refusal_says("does not match its checksum")


def _is_not_as_go_writes_it(case: Case) -> bool:
    """Tell whether Go, given back what it read here, would write something else."""
    if case.target != "meta.json":
        return False
    written = json.loads(case.go["written"])
    try:
        read, _ = json.JSONDecoder().raw_decode(case.data.decode().lstrip())
    except ValueError:
        return True
    return {key: read.get(key) for key in written} != written or not all(
        _is_text(_hex_of(name)) for name in _strings_in(read)
    )


def _strings_in(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for element in value:
            yield from _strings_in(element)
    elif isinstance(value, dict):
        yield from _strings_in(list(value.values()))


def _hex_of(text: str) -> str:
    return text.encode("utf-8", "surrogatepass").hex()


def _is_careless(case: Case) -> bool:
    """Tell whether a ``peers.json`` has other keys or values than the two forms have."""
    if not case.target.startswith("peers.json") or case.refusal is None:
        return False
    try:
        peers = json.loads(case.data, object_pairs_hook=_pairs)
    except ValueError:
        return True
    if not all(_is_text(_hex_of(text)) for text in _strings_in(peers)):
        return True
    return not isinstance(peers, list) or not all(map(_is_proper_peer, peers))


def _pairs(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _is_proper_peer(peer: Any) -> bool:
    if isinstance(peer, str):
        return True
    return (
        isinstance(peer, dict)
        and peer.keys() <= {"id", "address", "non_voter"}
        and isinstance(peer.get("id"), str)
        and isinstance(peer.get("address"), str)
        and isinstance(peer.get("non_voter", False), bool)
    )


_KEY: Final = datastore_key(raw_sha256_cid(b"")).removeprefix("/r/").encode()
_META: Final = (
    b'{"Version":1,"ID":"1-2-3","Index":2,"Term":1,"Peers":null,"Configuration":{"Servers":null},'
    b'"ConfigurationIndex":1,"Size":3,"CRC":"AAAAAAAAAAA="}\n'
)
_SERVER: Final = b"\x83\xa8Suffrage\x00\xa2ID\xa1a\xa7Address\xa1b"

A_LIST_OF_PEERS: Final = Difference(
    "A list of peers in a configuration entry",
    _is_a_list_of_peers,
    ("configuration", b"\x91\xa1a"),
)
"""The only one where we read what Go does not."""

DIFFERENCES: Final = (
    A_LIST_OF_PEERS,
    Difference(
        "Entry data or extensions over 1 MiB, any other field over 4 KiB, a snapshot over 1 GiB",
        _is_too_large,
        ("TimeoutNow request", b"\x81\xa4Addr\xda\x10\x01" + b"a" * 4097),
    ),
    Difference(
        "More than 1024 entries in a request, 1024 servers in a configuration",
        _has_too_many,
        ("list of peers", b"\xdc\x04\x01" + b"\xa1a" * 1025),
    ),
    Difference(
        "nesting deeper than 8",
        _nests,
        ("TimeoutNow request", b"\x81\xa3New" + b"\x91" * 8 + b"\xc0"),
    ),
    Difference(
        "Bytes sent as a list of more than 4096 numbers",
        _has_too_many_numbers,
        ("log entry", b"\x81\xa4Data\xdc\x10\x01" + b"\x07" * 4097),
    ),
    Difference(
        "An entry of unknown type; a nil entry; a configuration entry that holds no configuration; "
        "a configuration in a snapshot request that does not decode",
        _is_no_entry_of_ours,
        ("AppendEntries request", b"\x81\xa7Entries\x91\xc0"),
    ),
    Difference(
        "A suffrage that is not 0, 1 or 2; a name or address that is not UTF-8; a snapshot of "
        "negative size",
        _names_nobody,
        ("InstallSnapshot request", b"\x82\xa4Size\xff\xafSnapshotVersion\x05"),
    ),
    Difference(
        "The key `Entries` or `Servers` twice in one message",
        _has_a_list_twice,
        (
            "configuration",
            b"\x82\xa7Servers\x91" + _SERVER + b"\xa7Servers\x91\x81\xa8Suffrage\x01",
        ),
    ),
    Difference(
        "A time with more than 30 bits of nanoseconds",
        _has_an_odd_time,
        ("log entry", b"\x81\xaaAppendedAt\xaf\x01" + bytes(8) + b"\x40\x00\x00\x00\xff\xff"),
    ),
    Difference(
        "A pin that a peer forwards, with a field that IPFS Cluster 1.1 does not have",
        _has_a_new_field,
        ("pin", b"\x81\xa3new\x01"),
    ),
    Difference(
        "A pin that a peer forwards, with a field that IPFS Cluster 1.1 does not have",
        _has_more_elements,
        ("pin", b"\xdc\x00\x11" + b"\xc0" * 17),
    ),
    Difference(
        "An origin of a pin that has no text",
        _has_an_odd_origin,
        ("pin", b"\x81\xa1g\x91\xa4\x35\x02\xf5b"),
    ),
    Difference(
        "A snapshot's state that ends within a record",
        _ends_within_a_record,
        ("snapshot", b"\x82\xa1k"),
    ),
    Difference(
        "A value in a snapshot's state that is no pin",
        _holds_what_go_does_not_list,
        ("snapshot", b"\x82\xa1k\xda\x00%c" % len(_KEY) + _KEY + b"\xa1v\xa1\xff"),
    ),
    Difference(
        "A snapshot's `meta.json`",
        _has_a_wrong_checksum,
        ("meta.json", _META.removesuffix(b"}\n") + b',"MetaCRC":"00000000"}\n'),
    ),
    Difference(
        "A `meta.json` as Go does not write it",
        _is_not_as_go_writes_it,
        ("meta.json", _META.replace(b'"Index"', b'"index"')),
    ),
    Difference(
        "A `peers.json` with other keys or values than its two forms have",
        _is_careless,
        ("peers.json", b'[{"id": "a", "address": "b", "voter": true}]'),
    ),
)
