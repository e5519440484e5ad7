"""``raft-node``: the commands, each imported when it is run.

Client commands never import libp2p, and ``--help`` imports nothing but click.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

import click

from node.cli.options import common_options, remember

__all__ = ["main"]

_COMMANDS: Final = {
    "init": ("node.cli.init", "Make a folder for a new peer: identity, secret, service.json."),
    "daemon": ("node.cli.daemon", "Run this folder's peer until it is stopped."),
    "demo": ("node.cli.demo", "Three peers agree on pins and survive the death of their leader."),
    "id": ("node.cli.show", "Show who a running peer is."),
    "status": ("node.cli.status", "Show the cluster: leader, members, who lags and why."),
    "peers": ("node.cli.peers", "List, add and remove the cluster's peers."),
    "leader": ("node.cli.leader", "Hand leadership over."),
    "pin": ("node.cli.pin", "Add, remove and list pins."),
    "migrate": ("node.cli.migrate", "Take over a Go peer's folder, or give one back."),
    "recover": ("node.cli.recover", "Go on without a majority that is lost for good."),
    "version": ("node.cli.show", "Show the version of a running peer."),
}


class LazyGroup(click.Group):
    """A group whose help needs no command's module."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        module, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), f"{cmd_name}_command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 not done, 2 usage or configuration, 3 outcome unknown, "
    "4 no leader or no quorum, 5 daemon unreachable.",
)
@common_options
@click.version_option(package_name="raft-over-libp2p", prog_name="raft-node")
@click.pass_context
def cli(ctx: click.Context, /, **options: object) -> None:
    """A Raft peer of IPFS Cluster: one agreed set of pins, Python and Go peers side by side."""
    remember(ctx, options)


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line; exits with the codes of ``node.errors.ExitCode``."""
    from node.errors import ExitCode, NodeError

    try:
        code = cli.main(arguments, prog_name="raft-node", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = ExitCode.USAGE
    except click.Abort:
        click.echo("aborted", err=True)
        code = ExitCode.NOT_DONE
    except NodeError as error:
        click.secho("error: ", fg="red", nl=False, err=True)
        click.echo(str(error), err=True)
        code = error.exit_code
    except BrokenPipeError:
        # The reader of a list went away (`pin ls | head`); keep Python from saying so again.
        sys.stderr.close()
        code = ExitCode.DONE
    sys.exit(int(code or 0))


if __name__ == "__main__":
    main()
