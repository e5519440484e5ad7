"""``raft-node recover``: what is left of a cluster goes on when the majority is lost for good."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from node.cli.options import folder_options, options_of

if TYPE_CHECKING:
    from node.cli.options import Options
    from node.recovering import Recovery

__all__ = ["recover_command"]

_LOSS = (
    "Writes that were acknowledged may be missing, if only the lost peers had them; and writes "
    "that nobody agreed on may be there."
)


@click.command("recover")
@click.argument("peers_json", metavar="PEERS_JSON")
@click.option(
    "--dry-run", "-n", is_flag=True, help="Say what was found and what would be done; do nothing."
)
@folder_options
@click.pass_context
def recover_command(
    ctx: click.Context, /, peers_json: str, *, dry_run: bool, **flags: object
) -> None:
    """Make the peers in the file PEERS_JSON the cluster's members, whatever a majority says.

    Only for when most voters are gone for good: it may lose writes that were acknowledged.
    Stop all peers that are left, run this in the folder of each with the same file, and then
    start them. The file is hashicorp's: [{"id": "12D3...", "address": "12D3..."}, ...].
    """
    from node.errors import ExitCode, FolderError, NodeError
    from node.recovering import recover
    from raft_over_libp2p.errors import DiskFull, DurabilityLost, StorageError

    options = options_of(ctx, flags)
    try:
        recovery = recover(options.folder(), peers_json, is_rehearsal=dry_run)
    except DurabilityLost as error:
        failed = NodeError(str(error))
        failed.exit_code = ExitCode.DURABILITY_LOST
        raise failed from error
    except DiskFull as error:
        raise NodeError(f"{error} Nothing was changed.") from error
    except StorageError as error:
        raise FolderError(str(error)) from error
    _tell(recovery, options, dry_run=dry_run)


def _tell(recovery: Recovery, options: Options, *, dry_run: bool) -> None:
    from node.cli.console import facts, print_json, warn

    recovered = recovery.recovered
    snapshot = recovered.snapshot
    if options.is_json:
        print_json(
            {
                "id": recovery.peer_id,
                "data_folder": recovery.data_folder,
                "index": snapshot.index,
                "term": snapshot.term,
                "entries_applied": recovered.entries_applied,
                "previous": list(recovered.previous.ids),
                "members": [
                    {"id": server.id, "suffrage": server.suffrage.name.lower()}
                    for server in snapshot.configuration.servers
                ],
                "dry_run": dry_run,
            }
        )
        return
    warn(_LOSS)
    shown = {
        "peer ID": recovery.peer_id,
        "state": f"up to entry {snapshot.index} of term {snapshot.term}, "
        f"{recovered.entries_applied} of them from the log, agreed on or not",
    }
    shown |= {
        f"was member {number}": str(member)
        for number, member in enumerate(recovered.previous.ids, start=1)
    }
    for number, server in enumerate(snapshot.configuration.servers, start=1):
        own = " (this peer)" if server.id == recovery.peer_id else ""
        shown[f"member {number}"] = f"{server.id} {server.suffrage.name.lower()}{own}"
    if dry_run:
        shown["dry run"] = "nothing was changed"
    else:
        shown["kept"] = f"a snapshot of it in {recovery.data_folder}/snapshots; the log is empty"
        shown["next"] = "run this on every peer that is left, then start them all"
    facts(shown)
