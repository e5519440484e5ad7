"""``raft-node status``: the cluster on one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import click

from node.cli.options import common_options, options_of
from node.errors import ExitCode

if TYPE_CHECKING:
    from node.http.status import StatusBody

__all__ = ["status_command"]

_STANDINGS: Final = {
    "nonvoter": "; has no vote",
    "staging": "; votes once it has caught up",
    "catching-up": "; not a member yet as far as it has read the log",
    "not-a-member": "; is no member of the cluster it knows",
    "waiting": "; belongs to no cluster yet",
    "removed": "; was removed from the cluster",
}


@click.command("status")
@click.option("--digest", is_flag=True, help="Also compute the pinset's digest (reads every pin).")
@common_options
@click.pass_context
def status_command(ctx: click.Context, /, *, digest: bool, **flags: object) -> None:
    """Show the cluster as one peer sees it: leader, members, who lags and why.

    Exit code 4 when that peer knows of no leader.
    """
    from node.cli.console import print_json

    options = options_of(ctx, flags)
    with options.client() as client:
        body = client.get("/raft/status", {"digest": "true"} if digest else None)
    if options.is_json:
        print_json(body)
    else:
        _print(cast("StatusBody", body))
    if body["leader"] is None:
        ctx.exit(ExitCode.NO_LEADER)


def _print(status: StatusBody) -> None:
    from node.cli.console import facts, warn
    from node.cli.members import print_members

    facts(
        {
            "peer": f"{status['id']}  {status['peername']}",
            "role": _role(status),
            "leader": _leader(status),
            "quorum": f"{status['quorum']} of {_voters(status)} voters needed, "
            f"{status['voters_connected']} reached from here",
            "log": f"committed {status['commit_index']}, applied {status['applied_index']}, "
            f"on disk {status['durable_index']}, snapshot at {status['snapshot_index']}",
            "pins": _pins(status),
        }
    )
    click.echo()
    print_members(status)
    if status["disk_full"]:
        warn("the disk is full: this peer takes no entries until there is space again")
    if status["standing"] in {"removed", "not-a-member"}:
        warn(
            "this peer is not, or no longer, in the cluster; its folder is kept. Stop it, or "
            "have it in with `raft-node peers add` on a member"
        )
    if status["members"] and not status["configuration_committed"]:
        warn("a change of the members is not agreed on yet")


def _role(status: StatusBody) -> str:
    standing = _STANDINGS.get(status["standing"], "")
    return f"{status['role']}, term {status['term']}{standing}"


def _leader(status: StatusBody) -> str:
    if status["leader"] is None:
        heard = status["last_leader_contact_s"]
        return "none known" + ("" if heard is None else f"; one was heard {heard:.1f} s ago")
    return "this peer" if status["leader"] == status["id"] else status["leader"]


def _voters(status: StatusBody) -> int:
    return sum(member["suffrage"] == "voter" for member in status["members"])


def _pins(status: StatusBody) -> str:
    if status["pins"] is None:
        return status["state_error"]
    digest = f", digest {status['digest']}" if status["digest"] else ""
    return f"{status['pins']}{digest}"
