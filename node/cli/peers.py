"""``raft-node peers ls``, ``add``, ``rm``: who belongs to the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from node.cli.options import common_options, options_of
from node.errors import ExitCode, NodeError, RequestFailed

if TYPE_CHECKING:
    from node.cli.options import Options
    from node.http.client import APIClient
    from node.http.status import StatusBody

__all__ = ["peers_command"]


@click.group("peers")
def peers_command() -> None:
    """List, add and remove the cluster's peers."""


@peers_command.command("ls")
@common_options
@click.pass_context
def peers_ls(ctx: click.Context, /, **flags: object) -> None:
    """List the members: who leads, who votes, who lags and why.

    With --json each member is a line with what it says of itself, as by ipfs-cluster-ctl.
    """
    options = options_of(ctx, flags)
    with options.client() as client:
        status = None if options.is_json else _status(client)
        peers = _described(client)
    if status is None:
        _print_described(peers, options)
        return
    from node.cli.members import print_members

    print_members(status, {str(peer["id"]): str(peer.get("peername", "")) for peer in peers})


@peers_command.command("add", short_help="Add a peer by its multiaddr, or by its ID.")
@click.argument("peer", metavar="MULTIADDR|ID")
@common_options
@click.pass_context
def peers_add(ctx: click.Context, /, *, peer: str, **flags: object) -> None:
    """Add the peer at MULTIADDR (/ip4/.../tcp/.../p2p/ID), or one whose address is known, by ID.

    The peer must run and belong to no cluster: make its folder with `raft-node init --wait`.
    The leader reaches it first, so that one that is not there costs nothing; then it gets the
    log, and votes when it has caught up, for which this waits (--timeout). Exit code 3 when
    it had not by then: it is a member, and `peers ls` shows how far it is.
    """
    from node.cli.console import print_json

    options = options_of(ctx, flags)
    name = "peer_multiaddress" if peer.startswith("/") else "peer_id"
    with options.client() as client:
        try:
            added = client.change("POST", "/peers", body={name: peer})
        except RequestFailed as error:
            raise _with_what_is_known(error, client, peer.rpartition("/")[2]) from error
    if options.is_json:
        print_json(added)
        return
    click.echo(f"{added.get('id')} {added.get('peername') or ''}".strip() + " votes")


@peers_command.command("rm", short_help="Remove a peer, running or not.")
@click.argument("peer", metavar="ID")
@common_options
@click.pass_context
def peers_rm(ctx: click.Context, /, *, peer: str, **flags: object) -> None:
    """Remove the peer ID from the cluster; it need not be running.

    Its folder is not touched, and it may be added again with it, or with an empty one. A
    leader may remove itself, and another takes over.
    """
    from node.cli.console import print_json

    options = options_of(ctx, flags)
    peer = _checked_id(peer)
    with options.client() as client:
        client.change("DELETE", f"/peers/{peer}")
    if options.is_json:
        print_json({"id": peer, "removed": True})
    else:
        click.echo(f"{peer} is no member any more")


def _with_what_is_known(error: RequestFailed, client: APIClient, peer: str) -> RequestFailed:
    """Return ``error``; where its outcome is unknown, with what the cluster says by now."""
    if error.exit_code is not ExitCode.OUTCOME_UNKNOWN:
        return error
    try:
        status = _status(client)
    except NodeError:
        return error
    members = {} if status is None else {member["id"]: member for member in status["members"]}
    if peer not in members:
        known = "it is no member so far"
    elif members[peer]["suffrage"] == "voter":
        known = "by now it votes"
    else:
        known = "it is a member, and votes once it has caught up"
    return RequestFailed(
        error.status, f"{error}; {known}: see `raft-node peers ls`", error.exit_code
    )


def _checked_id(text: str) -> str:
    from keys.errors import InvalidPeerID
    from keys.peer_id import PeerID

    try:
        return str(PeerID.parse(text))
    except InvalidPeerID as error:
        raise click.UsageError(str(error)) from error


def _status(client: APIClient) -> StatusBody | None:
    """Return the cluster as the daemon sees it; None from a Go daemon, which does not say."""
    try:
        return cast("StatusBody", client.get("/raft/status"))
    except RequestFailed as error:
        if error.status == 404:  # noqa: PLR2004
            return None
        raise


def _described(client: APIClient) -> list[dict[str, object]]:
    peers = client.stream("/peers")
    next(peers)
    return list(peers)


def _print_described(peers: list[dict[str, object]], options: Options) -> None:
    from node.cli.console import print_json
    from node.cli.show import print_peer

    for peer in peers:
        if options.is_json:
            print_json(peer)
        else:
            print_peer(peer)
