"""Giving a folder back to Go: the same peer, with term, vote, log and snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Final

from node.errors import FolderError
from node.limits import MAX_CONFIG_FILE_BYTES
from node.migration.findings import Findings, findings_of
from node.migration.handover import (
    Handover,
    begin,
    discard_staged,
    parent_of,
    with_free_names,
    write_file,
)
from node.migration.peer_folder import PeerFolder, with_informer
from node.migration.resuming import check_target, complete, staging
from raft_over_libp2p import limits
from raft_over_libp2p.errors import DiskFull
from raft_over_libp2p.storage.data_folder import DataFolder
from raft_over_libp2p.storage.filesystem import FileSystem
from raft_over_libp2p.storage.go_export import export_to_go
from raft_over_libp2p.storage.go_folder import GoFolder

__all__ = ["give_back"]

_INFORMER_NOTE: Final = (
    "service.json has no informer, and ipfs-cluster-service does not start without one: its "
    "default (disk, freespace) is added."
)


def give_back(
    fs: FileSystem,
    peer: PeerFolder,
    target: str | None,
    stamp: str,
    *,
    is_rehearsal: bool = False,
    segment_bytes: int = limits.SEGMENT_BYTES,
) -> tuple[Findings, Handover]:
    """Make the peer of ``peer`` one that Go starts, in its own folder or a new one at ``target``.

    Our folder is opened as a daemon opens it. ``is_rehearsal`` makes and checks Go's folder,
    says what it holds, and removes it again.

    On return all of it is durable, what was written was read back and compared, this program
    cannot start on the old folder, and the old data stands beside it as a backup.

    Raises:
        FolderError: no folder of ours, or no room for the new one; nothing was changed.
        StorageError: the daemon runs, its data is damaged, or the disk failed before anything
            of the old side was touched.
        HandoverUnfinished: it broke off in the middle; run it again.

    """
    if not fs.exists(f"{peer.raft}/FORMAT"):
        raise FolderError(
            f"{peer.raft} is no data folder of this program. Nothing was changed. "
            "Name the folder of the peer with -c."
        )
    check_target(fs, peer.base, peer.raft, target)
    handover = Handover(
        direction="to-go",
        peer_id=peer.peer_id,
        stamp=stamp,
        base=peer.base,
        raft=peer.raft,
        target=target,
    )
    handover = with_free_names(fs, handover)
    service = with_informer(peer.files["service.json"])
    with _open(fs, peer, segment_bytes) as folder:
        with staging(fs, handover, {**peer.files, "service.json": service}) as path:
            export_to_go(fs, folder, path)
            with GoFolder(fs, path) as go:
                findings = findings_of(go, peer.peer_id)
            if service != peer.files["service.json"]:
                findings = replace(findings, notes=(*findings.notes, _INFORMER_NOTE))
            if not is_rehearsal:
                if target is None and service != peer.files["service.json"]:
                    _rewrite(fs, f"{peer.base}/service.json", with_informer)
                begin(fs, handover)
        if is_rehearsal:
            discard_staged(fs, handover)
        else:
            complete(fs, handover)
    return findings, handover


def _rewrite(fs: FileSystem, path: str, change: Callable[[bytes], bytes]) -> None:
    """Replace a file by a changed one, durably, in one step."""
    file = fs.open_file(path)
    try:
        content = file.pread(MAX_CONFIG_FILE_BYTES, 0)
    finally:
        file.close()
    temporary = f"{path}.tmp"
    if fs.exists(temporary):
        fs.unlink(temporary)
    try:
        write_file(fs, temporary, change(content))
        fs.rename(temporary, path)
    except DiskFull:
        fs.unlink(temporary)
        raise
    fs.sync_directory(parent_of(path))


@contextmanager
def _open(fs: FileSystem, peer: PeerFolder, segment_bytes: int) -> Iterator[DataFolder]:
    with ExitStack() as held:
        folder = held.enter_context(
            DataFolder.open(peer.raft, peer.peer_id, fs=fs, segment_bytes=segment_bytes)
        )
        if parent_of(peer.raft) != peer.base:
            # Go's lock stands beside service.json, wherever the data is.
            held.callback(fs.lock(f"{peer.base}/cluster.lock", across_programs=True).close)
        yield folder
