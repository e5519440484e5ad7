"""``raft-node migrate``: a folder changes hands between ipfs-cluster-service and this program."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from node.cli.options import folder_options, options_of

if TYPE_CHECKING:
    from node.cli.options import Options
    from node.errors import NodeError
    from node.migration.findings import Findings
    from node.migration.handover import Direction, Handover
    from raft_over_libp2p.errors import StorageError

__all__ = ["migrate_command"]

_DRY_RUN = click.option(
    "--dry-run", "-n", is_flag=True, help="Say what was found and what would be done; do nothing."
)


@click.group("migrate")
def migrate_command() -> None:
    """Take over a Go peer's folder, or give one back: the same peer, and nothing is lost.

    The peer must be stopped. The old data is kept beside the new.
    """


@migrate_command.command("from-go")
@click.argument("folder", metavar="FOLDER")
@_DRY_RUN
@folder_options
@click.pass_context
def from_go_command(ctx: click.Context, /, folder: str, *, dry_run: bool, **flags: object) -> None:
    """Take over the stopped ipfs-cluster-service peer in FOLDER (~/.ipfs-cluster).

    In place, or into the new folder named by -c. Run it again if it was interrupted.
    """
    options = options_of(ctx, flags)
    _migrate("from-go", folder, options.config, options, dry_run=dry_run)


@migrate_command.command("to-go")
@click.argument("target", metavar="[FOLDER]", required=False)
@_DRY_RUN
@folder_options
@click.pass_context
def to_go_command(
    ctx: click.Context, /, target: str | None, *, dry_run: bool, **flags: object
) -> None:
    """Make the stopped peer of -c one that ipfs-cluster-service starts.

    In place, or in the new folder FOLDER. Run it again if it was interrupted.
    """
    options = options_of(ctx, flags)
    _migrate("to-go", options.config, target, options, dry_run=dry_run)


def _migrate(
    direction: Direction, source: str | None, new: str | None, options: Options, *, dry_run: bool
) -> None:
    import os
    import time
    from pathlib import Path

    from node.config import Folder
    from node.errors import FolderError
    from node.migration.from_go import look_at_go, take_over
    from node.migration.handover import find_unfinished
    from node.migration.peer_folder import read_peer_folder
    from node.migration.resuming import resume
    from node.migration.to_go import give_back
    from raft_over_libp2p.errors import StorageError
    from raft_over_libp2p.storage.filesystem import RealFileSystem

    fs = RealFileSystem()
    folder = Folder(Path(os.path.realpath(Folder.find(source).path)))
    if not folder.path.is_dir():
        raise FolderError(f"{folder.path} is not a folder. Nothing was changed.")
    base = str(folder.path)
    target = os.path.realpath(Path(new).expanduser()) if new else None
    if target == base:
        target = None
    began_s = time.monotonic()
    try:
        if dry_run and (unfinished := find_unfinished(fs, base)) is not None:
            raise FolderError(
                f"{base}: `migrate {unfinished.direction}`, begun at {unfinished.stamp}, is not "
                "finished. Nothing was changed. Without --dry-run it is."
            )
        resumed = None if dry_run else resume(fs, base, direction, target)
        if resumed is not None:
            _tell_resumed(resumed, options)
            return
        peer = read_peer_folder(folder, os.environ)
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        if direction == "to-go":
            found, handover = give_back(fs, peer, target, stamp, is_rehearsal=dry_run)
        elif dry_run:
            found, handover = look_at_go(fs, peer, target, stamp)
        else:
            found, handover = take_over(fs, peer, target, stamp)
    except StorageError as error:
        raise _node_error(error) from error
    _tell(found, handover, options, dry_run=dry_run, seconds=time.monotonic() - began_s)


def _node_error(error: StorageError) -> NodeError:
    from node.errors import ExitCode, FolderError, NodeError
    from raft_over_libp2p.errors import DiskFull, DurabilityLost

    if isinstance(error, DurabilityLost):
        failed = NodeError(f"{error} The old folder was not touched.")
        failed.exit_code = ExitCode.DURABILITY_LOST
        return failed
    if isinstance(error, DiskFull):
        return NodeError(f"{error} The old folder was not touched.")
    return FolderError(str(error))


def _tell_resumed(handover: Handover, options: Options) -> None:
    from node.cli.console import facts, print_json

    if options.is_json:
        print_json({"id": handover.peer_id, "resumed": handover.stamp, **_places(handover)})
        return
    facts(
        {
            "peer ID": handover.peer_id,
            "finished": f"what was begun at {handover.stamp}",
            "backup": handover.retired_raft,
            "next": _next(handover),
        }
    )


def _tell(
    found: Findings, handover: Handover, options: Options, *, dry_run: bool, seconds: float
) -> None:
    from node.cli.console import facts, print_json, warn

    for note in found.notes:
        warn(note)
    if options.is_json:
        print_json(_as_json(found, handover, dry_run=dry_run, seconds=seconds))
        return
    snapshot = found.snapshot
    pins = found.pins
    shown = {
        "peer ID": found.peer_id,
        "term": f"{found.term}, " + (f"voted for {found.vote}" if found.vote else "no vote"),
        "snapshot": f"{snapshot.snapshot_id}: {snapshot.size_bytes} bytes, {pins.in_snapshot} pins"
        if snapshot
        else "none",
        "log": f"{found.entry_count} entries, {found.first_index} to {found.last_index}, "
        f"{found.entry_bytes} bytes"
        if found.entry_count
        else f"no entries behind {found.last_index}",
        "pins": f"{pins.with_log}, if all of the log is committed",
        "raft.db": f"{found.store_bytes} bytes",
    }
    for number, server in enumerate(found.configuration.servers, start=1):
        own = " (this peer)" if server.id == found.peer_id else ""
        shown[f"member {number}"] = f"{server.id} {server.suffrage.name.lower()}{own}"
    if dry_run:
        steps = [f"make {handover.staged}, read it back, compare", *handover.steps()]
        shown.update({f"step {number}": step for number, step in enumerate(steps, start=1)})
        shown["dry run"] = "nothing was changed"
    else:
        shown["compared"] = "term, vote, snapshot and every entry were read back, and are the same"
        shown["took"] = f"{seconds:.2f} s"
        shown["backup"] = handover.retired_raft
        shown["next"] = _next(handover)
    facts(shown)


def _as_json(
    found: Findings, handover: Handover, *, dry_run: bool, seconds: float
) -> dict[str, object]:
    return {
        "id": found.peer_id,
        "term": found.term,
        "vote": found.vote,
        "snapshot": found.snapshot.snapshot_id if found.snapshot else None,
        "snapshot_bytes": found.snapshot.size_bytes if found.snapshot else 0,
        "first_index": found.first_index,
        "last_index": found.last_index,
        "entries": found.entry_count,
        "entry_bytes": found.entry_bytes,
        "store_bytes": found.store_bytes,
        "pins_in_snapshot": found.pins.in_snapshot,
        "pins": found.pins.with_log,
        "members": [
            {"id": server.id, "suffrage": server.suffrage.name.lower()}
            for server in found.configuration.servers
        ],
        "notes": list(found.notes),
        "dry_run": dry_run,
        "seconds": round(seconds, 3),
        **_places(handover),
    }


def _places(handover: Handover) -> dict[str, object]:
    return {
        "direction": handover.direction,
        "folder": handover.target or handover.base,
        "backup": handover.retired_raft,
        "steps": handover.steps(),
    }


def _next(handover: Handover) -> str:
    folder = handover.target or handover.base
    if handover.direction == "from-go":
        return f"raft-node daemon -c {folder}"
    return f"ipfs-cluster-service --config {folder} daemon"
