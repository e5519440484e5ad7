"""Taking over a stopped Go peer's folder: the same peer, term, vote, log and snapshot."""

from __future__ import annotations

from contextlib import ExitStack

from node.errors import FolderError
from node.migration.findings import Findings, findings_of
from node.migration.handover import Handover, begin, with_free_names
from node.migration.peer_folder import PeerFolder
from node.migration.resuming import check_target, complete, locked, staging
from raft_over_libp2p import limits
from raft_over_libp2p.storage.filesystem import FileSystem
from raft_over_libp2p.storage.go_folder import GO_STORE_NAME, GoFolder
from raft_over_libp2p.storage.go_import import import_go_folder

__all__ = ["look_at_go", "take_over"]


def look_at_go(
    fs: FileSystem, peer: PeerFolder, target: str | None, stamp: str
) -> tuple[Findings, Handover]:
    """Return what a take-over would find and do; changes nothing.

    Raises:
        FolderError: no Go peer's folder, or no room for the new one.
        StorageError: the Go peer runs, or its data cannot be taken over.

    """
    _check_go(fs, peer, target)
    with ExitStack() as held:
        held.callback(fs.lock(f"{peer.raft}/{GO_STORE_NAME}").close)
        lock_path = f"{peer.base}/cluster.lock"
        if fs.exists(lock_path):
            held.callback(fs.lock(lock_path, across_programs=True).close)
        with GoFolder(fs, peer.raft) as go:
            return findings_of(go, peer.peer_id), _handover(fs, peer, target, stamp)


def take_over(
    fs: FileSystem,
    peer: PeerFolder,
    target: str | None,
    stamp: str,
    *,
    segment_bytes: int = limits.SEGMENT_BYTES,
) -> tuple[Findings, Handover]:
    """Make the Go peer of ``peer`` one of ours, in its own folder or in a new one at ``target``.

    On return all of it is durable, what was written was read back and compared, Go cannot
    start on the old folder, and the old data stands beside it as a backup. ``stamp`` names that.

    Raises:
        FolderError: no Go peer's folder, or no room for the new one; nothing was changed.
        StorageError: the Go peer runs, its data cannot be taken over, or the disk failed
            before anything of the old side was touched.
        HandoverUnfinished: it broke off in the middle; run it again.

    """
    _check_go(fs, peer, target)
    handover = _handover(fs, peer, target, stamp)
    with locked(fs, "from-go", peer.base, peer.raft), GoFolder(fs, peer.raft) as go:
        findings = findings_of(go, peer.peer_id)
        with staging(fs, handover, peer.files) as path:
            import_go_folder(fs, go, path, peer.peer_id, segment_bytes=segment_bytes)
            begin(fs, handover)
        complete(fs, handover)
    return findings, handover


def _handover(fs: FileSystem, peer: PeerFolder, target: str | None, stamp: str) -> Handover:
    handover = Handover(
        direction="from-go",
        peer_id=peer.peer_id,
        stamp=stamp,
        base=peer.base,
        raft=peer.raft,
        target=target,
    )
    return with_free_names(fs, handover)


def _check_go(fs: FileSystem, peer: PeerFolder, target: str | None) -> None:
    if fs.exists(f"{peer.raft}/FORMAT"):
        raise FolderError(
            f"{peer.raft} is this program's own already; it needs no taking over. Nothing was changed."
        )
    store = f"{peer.raft}/{GO_STORE_NAME}"
    if not fs.exists(store) or fs.is_directory(store):
        raise FolderError(
            f"{store} does not exist, so {peer.base} holds no Raft data of a Go peer. Nothing was "
            "changed. Name the folder of ipfs-cluster-service (by default ~/.ipfs-cluster)."
        )
    check_target(fs, peer.base, peer.raft, target)
