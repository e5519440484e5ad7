"""``raft-node id``, ``peers ls``, ``version``: who is there."""

from __future__ import annotations

from typing import cast

import click

from node.cli.options import common_options, options_of

__all__ = ["id_command", "peers_command", "version_command"]


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
        _print_peer(peer)


@click.group("peers")
def peers_command() -> None:
    """List the cluster's peers."""


@peers_command.command("ls")
@common_options
@click.pass_context
def peers_ls(ctx: click.Context, /, **flags: object) -> None:
    """List the cluster's peers, each with what it says of itself."""
    from node.cli.console import print_json

    options = options_of(ctx, flags)
    with options.client() as client:
        peers = client.stream("/peers")
        next(peers)
        for peer in peers:
            if options.is_json:
                print_json(peer)
            else:
                _print_peer(peer)


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


def _print_peer(peer: dict[str, object]) -> None:
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
