"""The members of a cluster as a table: ``status`` and ``peers ls`` show the same one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from node.http.status import MemberStatus, StatusBody

__all__ = ["print_members"]

_ROLES: Final = {"staging": "learner"}
"""hashicorp's word for a member that votes once it has caught up, and the field's."""
_MIB: Final = 1024 * 1024


def print_members(status: StatusBody, names: Mapping[str, str] | None = None) -> None:
    """Print a line for each member, with its name where ``names`` are given."""
    from node.cli.console import table

    rows = [_row(member, status) for member in status["members"]]
    columns: tuple[str, ...] = ("member", "role", "reached", "heard", "match", "lag", "note")
    if names is not None:
        columns = ("member", "name", *columns[1:])
        rows = [(row[0], names.get(row[0], ""), *row[1:]) for row in rows]
    table(
        columns,
        rows,
        right=("heard", "match", "lag"),
        styles={"leader": "green", "learner": "yellow", "no": "red"},
    )


def _row(member: MemberStatus, status: StatusBody) -> tuple[str, ...]:
    suffrage = member["suffrage"]
    heard = member["last_contact_s"]
    return (
        member["id"],
        "leader" if member["is_leader"] else _ROLES.get(suffrage, suffrage),
        "yes" if member["is_connected"] else "no",
        "-" if heard is None or member["is_self"] else f"{heard:.1f} s",
        "-" if member["match_index"] is None else str(member["match_index"]),
        _lag(member),
        _note(member, status),
    )


def _lag(member: MemberStatus) -> str:
    """Return the entries it lacks, and for how long it has lacked the oldest."""
    entries, seconds = member["lag_entries"], member["lag_s"]
    if entries is None:
        return "-"
    return f"{entries}, {seconds:.1f} s" if entries and seconds else str(entries)


def _note(member: MemberStatus, status: StatusBody) -> str:
    if member["is_self"]:
        return "this peer"
    if member["snapshot_bytes_total"]:
        sent, total = member["snapshot_bytes_sent"], member["snapshot_bytes_total"]
        return f"is sent a snapshot: {sent / _MIB:.1f} of {total / _MIB:.1f} MiB"
    if member["last_error"]:
        return member["last_error"]
    if member["mode"] == "backing-off":
        return "not answering"
    if member["id"] == status["transfer_target"]:
        return "is to lead next"
    return "votes once it has caught up" if member["suffrage"] == "staging" else ""
