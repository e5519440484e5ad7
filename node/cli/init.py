"""``raft-node init``: a folder for a new peer."""

from __future__ import annotations

import click

from node.cli.options import folder_options, options_of

__all__ = ["init_command"]


@click.command("init")
@click.option(
    "--peers",
    default="",
    metavar="ADDR,ADDR",
    help="The other first members: multiaddrs that end in /p2p/<peer ID>.",
)
@click.option(
    "--custom-secret", is_flag=True, help="Ask for the cluster's secret (or CLUSTER_SECRET)."
)
@click.option("--peername", default="", help="A name for people [the host's name].")
@click.option(
    "--listen", multiple=True, metavar="ADDR", help="Where peers reach it [0.0.0.0:9096]."
)
@click.option("--api-listen", multiple=True, metavar="ADDR", help="The HTTP API [127.0.0.1:9094].")
@click.option(
    "--consensus", type=click.Choice(["raft"]), help="Taken for ipfs-cluster-service's sake."
)
@click.option(
    "--force", is_flag=True, help="Write the configuration anew; identity and secret are kept."
)
@folder_options
@click.pass_context
def init_command(ctx: click.Context, /, **flags: object) -> None:
    """Make a folder for a new peer: identity, cluster secret, service.json.

    Alone it makes a cluster of one. For a first set of several peers run it on each, which
    tells their IDs, and then on each with --force, --custom-secret and --peers: all members
    must be given the same secret and the same set; each implies itself.
    """
    from node.cli.console import facts, print_json
    from node.folder_setup import NewPeer, create_folder

    own = ("peers", "custom_secret", "peername", "listen", "api_listen", "consensus", "force")
    options = options_of(ctx, {k: v for k, v in flags.items() if k not in own})
    peer = NewPeer(
        peers=tuple(part.strip() for part in str(flags["peers"]).split(",") if part.strip()),
        secret_hex=_secret(asked=bool(flags["custom_secret"])),
        peername=str(flags["peername"]),
        listen_multiaddrs=_texts(flags["listen"]),
        api_listen_multiaddrs=_texts(flags["api_listen"]),
        is_rewritten=bool(flags["force"]),
    )
    folder = options.folder()
    made = create_folder(folder, peer)
    if options.is_json:
        print_json({"id": made.peer_id, "folder": str(folder.path), "cluster_peers": made.members})
        return
    others = len(made.members) - 1
    facts(
        {
            "peer ID": made.peer_id,
            "folder": str(folder.path),
            "cluster": f"this peer and {others} others" if others else "of one: this peer",
            "secret": "as given"
            if peer.secret_hex
            else "new, in service.json; others need the same",
            "next": "raft-node daemon" + (f" -c {folder.path}" if options.config else ""),
        }
    )


def _secret(*, asked: bool) -> str:
    """Return the secret to use: never from the command line, where other users could read it."""
    import os

    if not asked:
        return os.environ.get("CLUSTER_SECRET", "")
    return os.environ.get("CLUSTER_SECRET") or click.prompt(
        "Cluster secret (64 hexadecimal digits)", hide_input=True, err=True
    )


def _told_secret(given: str, *, is_kept: bool) -> str:
    if given:
        return "as given"
    return "kept" if is_kept else "new, in service.json; other members need the same"


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, tuple) else ()
