"""Snapshots for storage tests: Go's, copied to where a test may change them, and made ones."""

from __future__ import annotations

import json
from pathlib import Path

from raft_over_libp2p.core.interfaces import SnapshotMeta
from raft_over_libp2p.storage.interface import SnapshotInfo, SnapshotStore
from raft_over_libp2p.storage.snapshot_store import FileSnapshotStore
from raft_over_libp2p.types import Configuration, Index, ServerID, Term
from tests.storage.conftest import Disk

VECTORS = Path(__file__).parent.parent / "vectors"
FIXTURES = VECTORS / "fixtures"
GO_FOLDERS = sorted(path.parent for path in FIXTURES.rglob("snapshots"))
GO_SNAPSHOTS = sorted(
    path.parent for path in FIXTURES.rglob("meta.json") if path.parent.suffix != ".tmp"
)
GO_LIST = json.loads((VECTORS / "raft.json").read_text())["fixtures"]["snapshot_list_order"]
MEMBERS = Configuration.of_voters(ServerID("12D3KooWMe"), ServerID("12D3KooWOther"))


def meta(index: int, term: int = 1, members: Configuration = MEMBERS) -> SnapshotMeta:
    return SnapshotMeta(
        index=Index(index), term=Term(term), configuration=members, configuration_index=Index(1)
    )


def put(disk: Disk, path: str, data: bytes) -> None:
    """Write a whole file, durably, making its directories."""
    made = disk.root
    for name in path.split("/")[:-1]:
        made += f"/{name}"
        if not disk.fs.exists(made):
            disk.fs.mkdir(made)
    if disk.fs.exists(f"{disk.root}/{path}"):
        disk.fs.unlink(f"{disk.root}/{path}")
    file = disk.fs.open_file(f"{disk.root}/{path}", create=True)
    file.pwrite(data, 0)
    file.fdatasync()
    file.close()


def put_go_folder(disk: Disk, folder: Path) -> None:
    for file in sorted((folder / "snapshots").rglob("*")):
        if file.is_file():
            put(disk, str(file.relative_to(folder)), file.read_bytes())


def get(disk: Disk, path: str) -> bytes:
    file = disk.fs.open_file(f"{disk.root}/{path}")
    try:
        return file.pread(file.size(), 0)
    finally:
        file.close()


def open_store(disk: Disk, retain: int = 5) -> FileSnapshotStore:
    return FileSnapshotStore(disk.fs, disk.root, retain=retain)


def take(
    store: SnapshotStore, index: int, term: int = 1, data: bytes = b"state", unix_ms: int = 1000
) -> SnapshotInfo:
    sink = store.create(meta(index, term), unix_ms)
    sink.write(data)
    return sink.finish()


def read_all(store: SnapshotStore, info: SnapshotInfo, max_bytes: int = 1 << 20) -> bytes:
    reader = store.open(info)
    try:
        return b"".join(iter(lambda: reader.read(max_bytes), b""))
    finally:
        reader.close()
