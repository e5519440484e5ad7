"""``raft-node leader transfer``: another peer leads."""

from __future__ import annotations

import click

from node.cli.options import common_options, options_of

__all__ = ["leader_command"]


@click.group("leader")
def leader_command() -> None:
    """Hand leadership over."""


@leader_command.command("transfer", short_help="Have another peer lead.")
@click.argument("peer", metavar="[ID]", default="")
@common_options
@click.pass_context
def leader_transfer(ctx: click.Context, /, *, peer: str, **flags: object) -> None:
    """Have the peer ID lead, or the voter that is furthest; ask any peer of the cluster.

    Writes wait for some tens of milliseconds meanwhile. Exit code 1 when leadership stays
    where it is.
    """
    from node.cli.console import print_json

    options = options_of(ctx, flags)
    with options.client() as client:
        answer = client.change("POST", "/raft/leader/transfer", {"to": peer} if peer else None)
    if options.is_json:
        print_json(answer)
    else:
        click.echo(f"{answer.get('leader')} leads")
