"""Go's raft.db files for tests: the recorded ones, and made ones of any content and shape."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import pack_into

from raft_over_libp2p.storage.bolt_writer import write_bolt_file
from raft_over_libp2p.storage.filesystem import FileSystem
from raft_over_libp2p.storage.go_store import uint64_key
from raft_over_libp2p.storage.snapshot_store import FileSnapshotStore
from raft_over_libp2p.types import Configuration, LogEntry, LogType, ServerID
from raft_over_libp2p.wire.configuration import GoConfigurationCodec
from tests.storage.entries import entry
from tests.storage.snapshots import FIXTURES, meta

ME = ServerID("12D3KooWAakVbvz4AW6iP8ALNsVWQ1Uyx6SWcHJxjXCf5Nwc3PdW")
OTHER = ServerID("12D3KooWQVH5M6nE71dHEmhe3njuRh5ypwHgrxm6t8BN2yvUrLUF")
MEMBERS = Configuration.of_voters(ME, OTHER)
GO_STORES = sorted([*FIXTURES.rglob("raft.db"), *FIXTURES.rglob("*boltdb*.db")])


def members_entry(
    index: int,
    term: int = 1,
    members: Configuration = MEMBERS,
    kind: LogType = LogType.CONFIGURATION,
) -> LogEntry:
    return entry(index, term, GoConfigurationCodec().encode(members), kind)


def make_store(
    fs: FileSystem,
    path: str,
    entries: Iterable[LogEntry] = (),
    *,
    term: int | None = None,
    vote_term: int | None = None,
    vote: bytes | None = None,
) -> None:
    """Write a raft.db; what is None is left out, as by a peer that never set it."""
    values = [
        (b"CurrentTerm", None if term is None else uint64_key(term)),
        (b"LastVoteCand", vote),
        (b"LastVoteTerm", None if vote_term is None else uint64_key(vote_term)),
    ]
    conf = [(key, value) for key, value in values if value is not None]
    logs = ((uint64_key(each.index), each.encoded or b"") for each in entries)
    write_bolt_file(fs, path, {b"conf": conf, b"logs": logs})


def of_version(data: bytes, version: int, page_bytes: int) -> bytes:
    """Return the file ``data`` as one of another format version, its two checksums right."""
    changed = bytearray(data)
    for page in (0, page_bytes):
        meta_page = changed[page + 16 : page + 72]
        pack_into("<I", meta_page, 4, version)
        checksum = 0xCBF29CE484222325
        for byte in meta_page:
            checksum = (checksum ^ byte) * 0x100000001B3 % (1 << 64)
        changed[page + 16 : page + 80] = meta_page + checksum.to_bytes(8, "little")
    return bytes(changed)


def make_snapshot(
    fs: FileSystem,
    folder: str,
    index: int,
    term: int,
    chunks: Sequence[bytes] = (b"state",),
    members: Configuration = MEMBERS,
) -> None:
    sink = FileSnapshotStore(fs, folder).create(meta(index, term, members), 1_700_000_000_000)
    for chunk in chunks:
        sink.write(chunk)
    sink.finish()
