"""``raft-node init``: a folder for a new peer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from node.cli.options import folder_options, options_of

if TYPE_CHECKING:
    from node.folder_setup import NewPeer

__all__ = ["init_command"]


@click.command("init")
@click.option(
    "--peers",
    default="",
    metavar="ADDR,ADDR",
    help="The other first members: multiaddrs that end in /p2p/<peer ID>.",
)
@click.option(
    "--join",
    default="",
    metavar="ADDR,ADDR",
    help="Members of a running cluster: the daemon asks one of them to be added.",
)
@click.option("--wait", is_flag=True, help="Make no cluster: wait until a member adds this peer.")
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

    Alone it makes a cluster of one. More peers come by --join: make their folders with it, and
    with the secret of the cluster, and start them. For a first set of several peers run init on
    each, which tells their IDs, and then on each with --force, --custom-secret and --peers: all
    members must be given the same secret and the same set; each implies itself.
    """
    from node.cli.console import facts, print_json
    from node.folder_setup import NewPeer, create_folder

    options = options_of(ctx, {k: v for k, v in flags.items() if k not in _OWN})
    is_joining = bool(flags["join"] or flags["wait"])
    folder = options.folder()
    is_kept = bool(flags["force"]) and folder.service_json.exists()
    peer = NewPeer(
        peers=_addresses(flags["peers"]),
        join=_addresses(flags["join"]),
        is_waiting=bool(flags["wait"]),
        secret_hex=_secret(asked=bool(flags["custom_secret"]), needed=is_joining and not is_kept),
        peername=str(flags["peername"]),
        listen_multiaddrs=_texts(flags["listen"]),
        api_listen_multiaddrs=_texts(flags["api_listen"]),
        is_rewritten=bool(flags["force"]),
    )
    made = create_folder(folder, peer)
    if options.is_json:
        print_json({"id": made.peer_id, "folder": str(folder.path), "cluster_peers": made.members})
        return
    facts(
        {
            "peer ID": made.peer_id,
            "folder": str(folder.path),
            "cluster": _told_cluster(made.members, peer),
            "secret": _told_secret(peer.secret_hex, is_kept=is_kept),
            "next": "raft-node daemon" + (f" -c {folder.path}" if options.config else ""),
        }
    )


_OWN = frozenset(
    {"peers", "join", "wait", "custom_secret", "peername", "listen", "api_listen", "consensus",
     "force"}
)  # fmt: skip


def _told_cluster(members: list[str], peer: NewPeer) -> str:
    if peer.join:
        return f"asks to be added at {', '.join(peer.join)}"
    if not members:
        return "none yet: waits for `raft-node peers add` on a member"
    others = len(members) - 1
    return f"this peer and {others} others" if others else "of one: this peer"


def _secret(*, asked: bool, needed: bool) -> str:
    """Return the secret to use: never from the command line, where other users could read it."""
    import os

    given = os.environ.get("CLUSTER_SECRET", "")
    if needed and not given and not asked:
        raise click.UsageError(
            "a peer that joins needs the secret of the cluster: set CLUSTER_SECRET, or be asked "
            "for it with --custom-secret"
        )
    if given or not asked:
        return given
    return click.prompt("Cluster secret (64 hexadecimal digits)", hide_input=True, err=True)


def _told_secret(given: str, *, is_kept: bool) -> str:
    if given:
        return "as given"
    return "kept" if is_kept else "new, in service.json; other members need the same"


def _addresses(value: object) -> tuple[str, ...]:
    return tuple(part.strip() for part in str(value).split(",") if part.strip())


def _texts(value: object) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, tuple) else ()
