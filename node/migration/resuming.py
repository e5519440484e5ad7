"""A handover under its locks: begun and carried through, or taken up where it broke off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress

from node.errors import ExitCode, FolderError, NodeError
from node.migration.handover import (
    Direction,
    Handover,
    discard_staged,
    find_unfinished,
    finish,
    parent_of,
    write_file,
)
from raft_over_libp2p.errors import DurabilityLost, StorageError
from raft_over_libp2p.storage.filesystem import FileSystem
from raft_over_libp2p.storage.go_folder import GO_STORE_NAME

__all__ = ["HandoverUnfinished", "check_target", "complete", "locked", "resume", "staging"]


class HandoverUnfinished(NodeError):
    """It broke off after it was begun: no side can start until the same command is run again."""

    def __init__(self, handover: Handover, cause: StorageError) -> None:
        """Take the exit code from what went wrong."""
        lost = isinstance(cause, DurabilityLost)
        self.exit_code = ExitCode.DURABILITY_LOST if lost else ExitCode.NOT_DONE
        super().__init__(
            f"{cause} The folder is between two hands ({handover.journal}), and neither side can "
            "start. Nothing is lost. Mend the cause, then run the same command again to finish."
        )


def resume(fs: FileSystem, base: str, direction: Direction, target: str | None) -> Handover | None:
    """Finish what was begun in ``base``, and return it; None when nothing was.

    Raises:
        FolderError: something else was begun there; nothing was changed.
        HandoverUnfinished: it broke off again.
        StorageError: somebody holds the locks; nothing was changed.

    """
    found = find_unfinished(fs, base)
    if found is None:
        return None
    if (found.direction, found.target) != (direction, target):
        where = f"to {found.target}" if found.target else "in place"
        raise FolderError(
            f"{base}: `migrate {found.direction}` {where}, begun at {found.stamp}, is not "
            "finished. Nothing was changed. Run that command again first."
        )
    raft = found.retired_raft if fs.exists(found.retired_raft) else found.raft
    with locked(fs, found.direction, base, raft):
        complete(fs, found)
    return found


@contextmanager
def locked(fs: FileSystem, direction: Direction, base: str, raft: str) -> Iterator[None]:
    """Keep both programs from starting on ``base``: Go's two locks, or ours and Go's.

    Raises:
        DataDirLocked: one of them runs.
        StorageError: ``raft`` has no such lock.

    """
    name = GO_STORE_NAME if direction == "from-go" else "LOCK"
    path = f"{raft}/{name}"
    if not fs.exists(path) or fs.is_directory(path):
        raise StorageError(f"{path} does not exist; nothing was changed")
    with ExitStack() as held:
        # The plain lock first: closing cluster.lock would drop the POSIX lock of a holder in
        # this process.
        held.callback(fs.lock(path).close)
        held.callback(fs.lock(f"{base}/cluster.lock", across_programs=True).close)
        yield


def complete(fs: FileSystem, handover: Handover) -> None:
    """Do what follows :func:`begin`: the new side can start then, and the old one cannot.

    Raises:
        HandoverUnfinished: it broke off.

    """
    try:
        finish(fs, handover)
    except StorageError as error:
        raise HandoverUnfinished(handover, error) from error


@contextmanager
def staging(fs: FileSystem, handover: Handover, files: Mapping[str, bytes]) -> Iterator[str]:
    """Yield the path at which to make the new side's data folder; begin within this.

    Where there is a target, ``files`` stand beside it. What a failure before :func:`begin`
    leaves of all that is removed, as is what an earlier one left.
    """
    discard_staged(fs, handover)
    try:
        path = handover.staged
        if handover.target is not None:
            fs.mkdir(path)
            for name, content in files.items():
                write_file(fs, f"{path}/{name}", content)
            path = f"{path}/raft"
        yield path
    except StorageError:
        with suppress(StorageError):
            if not fs.exists(handover.journal):
                discard_staged(fs, handover)
        raise


def check_target(fs: FileSystem, base: str, raft: str, target: str | None) -> None:
    """Raise FolderError unless a new folder can be made at ``target``."""
    if target is None:
        return
    if fs.exists(target):
        raise FolderError(f"{target} exists. Nothing was changed. Name a folder that does not.")
    if not fs.is_directory(parent_of(target)):
        raise FolderError(
            f"{parent_of(target)} is not a folder. Nothing was changed. Make it first."
        )
    if target == raft or target.startswith(f"{raft}/"):
        raise FolderError(
            f"{target} lies within {raft}, which moves away. Nothing was changed. Name a folder "
            f"outside it, or leave it out to use {base} itself."
        )
