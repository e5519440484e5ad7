"""``raft-node daemon``: one peer, until it is stopped."""

from __future__ import annotations

import click

from node.cli.options import folder_option, options_of

__all__ = ["daemon_command"]

_LEVELS = ("debug", "info", "warning", "error")


@click.command("daemon")
@click.option(
    "--listen", multiple=True, metavar="ADDR", help="Where peers reach it [service.json's]."
)
@click.option("--api-listen", multiple=True, metavar="ADDR", help="The HTTP API [service.json's].")
@click.option(
    "--loglevel", type=click.Choice(_LEVELS), default="warning", help="What is logged [warning]."
)
@folder_option
@click.pass_context
def daemon_command(
    ctx: click.Context,
    /,
    *,
    listen: tuple[str, ...],
    api_listen: tuple[str, ...],
    loglevel: str,
    **flags: object,
) -> None:
    """Run this folder's peer until SIGTERM or Ctrl-C.

    What it does is told on standard error. Exit code 1 when it cannot start on a full disk, or
    data is damaged, 2 when the folder cannot be used as it is, 74 when the disk failed.
    """
    import logging

    from node.daemon import run_daemon

    logging.basicConfig(
        level=loglevel.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    if loglevel != "debug":
        # It logs as errors what peers do, and every dial that fails; ours say it in order.
        logging.getLogger("libp2p").setLevel(logging.CRITICAL)
    options = options_of(ctx, flags)
    run_daemon(options.folder(), _say, listen_multiaddrs=listen, api_listen_multiaddrs=api_listen)


def _say(name: str, value: str) -> None:
    colour = {"warning": "yellow", "waiting": "yellow", "leader": "green"}.get(name, "cyan")
    click.echo(click.style(name.ljust(9), fg=colour) + "  " + value, err=True)
