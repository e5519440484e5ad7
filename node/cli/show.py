"""``raft-node id`` and ``version``: who answers."""

from __future__ import annotations

from typing import cast

import click

from node.cli.options import common_options, options_of

__all__ = ["id_command", "print_peer", "version_command"]


@click.command("id")
@common_options
@click.pass_context
def id_command(ctx: click.Context, /, **flags: object) -> None:
    """Show who a running peer is: its ID, name and addresses."""
    options = options_of(ctx, flags)
    with options.client() as client:
        peer = client.get("/id")
    if options.is_json:
        from node.cli.console import print_json

        print_json(peer)
    else:
        print_peer(peer)


@click.command("version")
@common_options
@click.pass_context
def version_command(ctx: click.Context, /, **flags: object) -> None:
    """Show the version of a running peer."""
    from node.cli.console import print_json

    options = options_of(ctx, flags)
    with options.client() as client:
        version = client.get("/version")
    if options.is_json:
        print_json(version)
    else:
        click.echo(version.get("version", ""))


def print_peer(peer: dict[str, object]) -> None:
    """Print a peer as ipfs-cluster-ctl does."""
    from rich.text import Text

    from node.cli.console import stdout

    console = stdout()
    others = len(cast("list[str]", peer.get("cluster_peers") or [])) - 1
    head = Text.assemble((str(peer["id"]), "bold"), f" | {peer.get('peername', '')}")
    if peer.get("error"):
        console.print(Text.assemble(head, " | ", ("ERROR", "red"), f": {peer['error']}"))
        return
    console.print(Text.assemble(head, f" | Sees {max(others, 0)} other peers"))
    console.print("  > Addresses:")
    for address in cast("list[str]", peer.get("addresses") or []):
        console.print(Text(f"    - {address}"))
