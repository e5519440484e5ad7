"""What a change of one member makes of a configuration (hashicorp's ``nextConfiguration``)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

from raft_over_libp2p import limits
from raft_over_libp2p.errors import ProposalRefused
from raft_over_libp2p.types import Configuration, Server, ServerID, Suffrage

__all__ = ["ChangeKind", "MembershipChange", "check_configuration", "next_configuration"]


class ChangeKind(Enum):
    """What is done to one server (hashicorp's ``ConfigurationChangeCommand``)."""

    ADD_VOTER = "add-voter"
    """Add a voter, or make one of a member that does not vote."""
    ADD_NONVOTER = "add-nonvoter"
    """Add a member that gets the log and does not vote; a voter stays one."""
    ADD_STAGING = "add-staging"
    """Add a member that becomes a voter when it has caught up; a voter stays one."""
    DEMOTE_VOTER = "demote-voter"
    """Take the vote of a member."""
    REMOVE_SERVER = "remove-server"
    """Remove a member."""


@dataclass(frozen=True, slots=True)
class MembershipChange:
    """One change; ``address`` is what ADD kinds write down, and is the ID on this network."""

    kind: ChangeKind
    server_id: ServerID
    address: str = ""


_ADDED_AS: Final = {
    ChangeKind.ADD_VOTER: Suffrage.VOTER,
    ChangeKind.ADD_NONVOTER: Suffrage.NONVOTER,
    ChangeKind.ADD_STAGING: Suffrage.STAGING,
}


def next_configuration(current: Configuration, change: MembershipChange) -> Configuration:
    """Return ``current`` after ``change``.

    As in hashicorp/raft a server keeps its place, adding a voter again only writes down the
    new address, and removing or demoting a stranger leaves the configuration as it is.

    Raises:
        ProposalRefused: with hashicorp's text: no voter would be left, an ID or address is
            empty, or an address is another member's; or there would be too many members.

    """
    if change.kind is ChangeKind.REMOVE_SERVER:
        servers = [s for s in current.servers if s.id != change.server_id]
    else:
        servers = [_changed(s, change) if s.id == change.server_id else s for s in current.servers]
        if change.kind in _ADDED_AS and not current.has(change.server_id):
            suffrage = _ADDED_AS[change.kind]
            servers.append(Server(change.server_id, change.address, suffrage))
    configuration = Configuration(tuple(servers))
    check_configuration(configuration)
    return configuration


def _changed(server: Server, change: MembershipChange) -> Server:
    if change.kind is ChangeKind.DEMOTE_VOTER:
        return replace(server, suffrage=Suffrage.NONVOTER)
    is_kept = server.suffrage is Suffrage.VOTER or (
        server.suffrage is Suffrage.STAGING and change.kind is ChangeKind.ADD_NONVOTER
    )
    suffrage = server.suffrage if is_kept else _ADDED_AS[change.kind]
    return replace(server, address=change.address, suffrage=suffrage)


def check_configuration(configuration: Configuration) -> None:
    """Refuse what hashicorp's ``checkConfiguration`` refuses, and too many members.

    Raises:
        ProposalRefused: with hashicorp's text.

    """
    ids: set[str] = set()
    addresses: set[str] = set()
    for server in configuration.servers:
        if not server.id:
            raise ProposalRefused(f"empty ID in configuration: {_text(configuration)}")
        if not server.address:
            raise ProposalRefused(f"empty address in configuration: {_server_text(server)}")
        if server.id in ids:
            raise ProposalRefused(f"found duplicate ID in configuration: {server.id}")
        ids.add(server.id)
        if server.address in addresses:
            raise ProposalRefused(f"found duplicate address in configuration: {server.address}")
        addresses.add(server.address)
    if not configuration.voters:
        raise ProposalRefused(f"need at least one voter in configuration: {_text(configuration)}")
    if len(configuration.servers) > limits.MAX_SERVERS:
        raise ProposalRefused(f"a configuration has at most {limits.MAX_SERVERS} servers")


def _server_text(server: Server) -> str:
    """Return ``server`` as Go prints it."""
    return f"{{{server.suffrage.name.title()} {server.id} {server.address}}}"


def _text(configuration: Configuration) -> str:
    return "{[" + " ".join(map(_server_text, configuration.servers)) + "]}"
