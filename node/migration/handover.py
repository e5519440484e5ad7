"""The moment a folder changes hands: at each step of it at most one side can start.

A service manager may start either side at any time, also while this runs, and after it was
killed or the power failed. Two servers with one ID, or one that forgot its vote, would break
what the cluster agreed on (mixed-cluster rules 2 and 3). So the order is:

1. The new side's data is made under a name that nobody looks at, checked, and durable
   (``staged``); ``migration.json`` then says what is to be done. Until here the old side is
   untouched, and a failure leaves it so.
2. ``identity.json`` gets another name. Neither program starts without it.
3. The old side's data folder gets another name. Before step 2 this would be wrong: Go, finding
   none, would bootstrap a cluster afresh, with no memory of its vote.
4. Where the new side gets another folder, a regular file takes the old data folder's name:
   neither program can make or open a folder there, whatever happens to identity.json.
5. ``staged`` gets its final name. In place, what keeps the old side out from now on is inside
   it: ours has a directory named ``raft.db``, Go's has the file ``raft.db``.
6. In place, ``identity.json`` gets its name back: the new side can start.
7. ``migration.json`` goes.

Each step is synced before the next one, and each looks whether it is done already: after a
crash in steps 2 to 7 :func:`finish` does the rest. Nothing of the old side is deleted.

The caller holds the locks that both programs take before they use a folder.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import Final, Literal, TypeAlias

from node import limits
from node.errors import FolderError
from raft_over_libp2p.errors import DiskFull, StorageError
from raft_over_libp2p.storage.filesystem import FileSystem

__all__ = [
    "JOURNAL_NAME",
    "Direction",
    "Handover",
    "begin",
    "discard_staged",
    "find_unfinished",
    "finish",
    "parent_of",
    "with_free_names",
    "write_file",
]

Direction: TypeAlias = Literal["from-go", "to-go"]

JOURNAL_NAME: Final = "migration.json"
_WORDS: Final = {"from-go": ("taking-over", "taken-over"), "to-go": ("handing-over", "handed-over")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """One folder changing hands; paths are absolute."""

    direction: Direction
    peer_id: str
    stamp: str
    """When it began; part of the backups' names."""
    base: str
    """The folder with the old side's ``identity.json``."""
    raft: str
    """The old side's data folder."""
    target: str | None
    """The new side's folder; None where it takes the old one's place."""

    @property
    def staged(self) -> str:
        """What the new side is made as."""
        return f"{self.target or self.raft}.{_WORDS[self.direction][0]}.tmp"

    @property
    def retired_raft(self) -> str:
        """Where the old side's data stays as a backup."""
        return f"{self.raft}.{_WORDS[self.direction][1]}-{self.stamp}"

    @property
    def retired_identity(self) -> str:
        """What ``identity.json`` is called meanwhile, or for ever where there is a target."""
        return f"{self.base}/identity.json.{_WORDS[self.direction][1]}-{self.stamp}"

    @property
    def identity(self) -> str:
        """The old side's ``identity.json``."""
        return f"{self.base}/identity.json"

    @property
    def journal(self) -> str:
        """Says that this is under way."""
        return f"{self.base}/{JOURNAL_NAME}"

    def steps(self) -> list[str]:
        """Return what :func:`finish` does, for people."""
        steps = [
            f"rename {self.identity} to {self.retired_identity}",
            f"rename {self.raft} to {self.retired_raft} (the backup)",
        ]
        if self.target is not None:
            steps.append(f"put a file at {self.raft}, so that nothing starts there again")
        steps.append(f"rename {self.staged} to {self.target or self.raft}")
        if self.target is None:
            steps.append(f"rename {self.retired_identity} to {self.identity}")
        return steps


def with_free_names(fs: FileSystem, handover: Handover) -> Handover:
    """Return the handover with a stamp whose backups do not stand there already."""
    free, number = handover, 1
    while fs.exists(free.retired_raft) or fs.exists(free.retired_identity):
        number += 1
        free = replace(handover, stamp=f"{handover.stamp}-{number}")
    return free


def find_unfinished(fs: FileSystem, base: str) -> Handover | None:
    """Return what was begun in the folder ``base`` and not finished.

    Raises:
        FolderError: its ``migration.json`` is not one.
        StorageError: it cannot be read.

    """
    path = f"{base}/{JOURNAL_NAME}"
    if not fs.exists(path):
        return None
    file = fs.open_file(path)
    try:
        data = file.pread(limits.MAX_CONFIG_FILE_BYTES, 0)
    finally:
        file.close()
    try:
        found = Handover(**json.loads(data))
        _WORDS[found.direction]
    except (ValueError, TypeError, KeyError) as error:
        raise FolderError(
            f"{path} cannot be read ({error}). Nothing was changed. It says which folder was "
            "about to change hands; docs/migration.md tells the steps, to be finished by hand."
        ) from error
    return found


def begin(fs: FileSystem, handover: Handover) -> None:
    """Note that ``staged`` is whole and shall take over; on return :func:`finish` must be called.

    Raises:
        DiskFull: it was not noted.
        DurabilityLost: it may be noted; the disk failed.

    """
    fs.sync_directory(handover.staged)
    fs.sync_directory(parent_of(handover.staged))
    temporary = f"{handover.journal}.tmp"
    if fs.exists(temporary):
        fs.unlink(temporary)
    try:
        write_file(fs, temporary, (json.dumps(asdict(handover)) + "\n").encode())
        fs.rename(temporary, handover.journal)
    except DiskFull:
        if fs.exists(temporary):
            fs.unlink(temporary)
        raise
    fs.sync_directory(handover.base)


def finish(fs: FileSystem, handover: Handover) -> None:
    """Do what is left of steps 2 to 7; durable on return.

    Raises:
        StorageError: a step failed; call it again when the cause is mended. Until then neither
            side can start.

    """
    raft_parent = parent_of(handover.raft)
    if fs.exists(handover.identity) and fs.exists(handover.retired_identity):
        raise StorageError(
            f"{handover.identity} was made anew; {handover.retired_identity} is the peer's. "
            "Move the former away."
        )
    if fs.exists(handover.staged):
        if fs.exists(handover.identity):
            fs.rename(handover.identity, handover.retired_identity)
            fs.sync_directory(handover.base)
        if fs.is_directory(handover.raft):
            fs.rename(handover.raft, handover.retired_raft)
            fs.sync_directory(raft_parent)
        if handover.target is not None and not fs.exists(handover.raft):
            _put_fence(fs, handover)
        fs.rename(handover.staged, handover.target or handover.raft)
        fs.sync_directory(parent_of(handover.staged))
    if handover.target is None and fs.exists(handover.retired_identity):
        fs.rename(handover.retired_identity, handover.identity)
        fs.sync_directory(handover.base)
    fs.unlink(handover.journal)
    fs.sync_directory(handover.base)


def discard_staged(fs: FileSystem, handover: Handover) -> None:
    """Remove what an attempt that never came to :func:`begin` made."""
    for path in (handover.staged, f"{handover.staged}.lock"):
        if fs.exists(path):
            _remove(fs, path)
    fs.sync_directory(parent_of(handover.staged))


def write_file(fs: FileSystem, path: str, data: bytes) -> None:
    """Make a new file that holds ``data``; its bytes, not its name, are durable on return."""
    file = fs.open_file(path, create=True)
    try:
        file.pwrite(data, 0)
        file.fdatasync()
    finally:
        file.close()


def parent_of(path: str) -> str:
    """Return the directory that ``path`` is in."""
    return path.rpartition("/")[0] or "/"


def _put_fence(fs: FileSystem, handover: Handover) -> None:
    temporary = f"{handover.raft}.fence.tmp"
    if fs.exists(temporary):
        fs.unlink(temporary)
    text = (
        f"Peer {handover.peer_id} moved to {handover.target} ({handover.direction}, "
        f"{handover.stamp}).\nThis file keeps its old side from starting here: it would vote a "
        f"second time.\nIts old data is in {handover.retired_raft}.\n"
    )
    write_file(fs, temporary, text.encode())
    fs.rename(temporary, handover.raft)
    fs.sync_directory(parent_of(handover.raft))


def _remove(fs: FileSystem, path: str) -> None:
    if not fs.is_directory(path):
        fs.unlink(path)
        return
    for name in fs.listdir(path):
        _remove(fs, f"{path}/{name}")
    fs.rmdir(path)
