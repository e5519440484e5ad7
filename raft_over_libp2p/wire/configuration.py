"""A cluster's members as they stand in a log entry, in a snapshot's request and in old peers lists.

Since protocol version 1 hashicorp/raft writes a struct with each server's ID, address and
suffrage; before, and still beside it, a list of the voters' addresses. Both are read, only
the first is written into the log. Source: hashicorp/raft ``configuration.go``.
"""

from __future__ import annotations

from raft_over_libp2p.errors import MalformedMessage
from raft_over_libp2p.types import Configuration, Server, ServerID, Suffrage
from raft_over_libp2p.wire.legacy_reader import LegacyReader, MoreBytesNeeded
from raft_over_libp2p.wire.schema import CONFIGURATION, PEERS, Values

__all__ = [
    "GoConfigurationCodec",
    "decode_configuration",
    "decode_peers",
    "encode_configuration",
    "encode_peers",
    "text_of",
]


def text_of(raw: bytes | None, what: str) -> str:
    """Return ``raw`` as text, empty for nil.

    Raises:
        MalformedMessage: it is not UTF-8; ``what`` names it.

    """
    try:
        return raw.decode() if raw else ""
    except UnicodeDecodeError as error:
        raise MalformedMessage(f"{what} is not UTF-8 text: {error}") from None


def encode_configuration(configuration: Configuration) -> bytes:
    """Return the form of ``LogEntry.data``; no servers at all are Go's nil slice."""
    servers = [
        {"Suffrage": int(s.suffrage), "ID": s.id.encode(), "Address": s.address.encode()}
        for s in configuration.servers
    ]
    return CONFIGURATION.write({"Servers": servers or None})


def decode_configuration(data: bytes) -> Configuration:
    """Read a configuration, or a list of peers (log types 2 and 3), each then a voter.

    Bytes after it are ignored, as Go ignores them.

    Raises:
        MalformedMessage: neither form, or cut short.
        FrameTooLarge: more than ``MAX_SERVERS`` servers, or a name over its limit.

    """
    try:
        if _is_peers_list(data):
            return decode_peers(data)
        values = CONFIGURATION.read(LegacyReader(data))
    except MoreBytesNeeded:
        raise MalformedMessage(f"a configuration of {len(data)} bytes is cut short") from None
    return Configuration(tuple(_server(server) for server in values["Servers"] or ()))


def encode_peers(configuration: Configuration) -> bytes:
    """Return the list of the voters' addresses (Go ``encodePeers``); nil when there are none."""
    voters = [s.address.encode() for s in configuration.servers if s.suffrage is Suffrage.VOTER]
    return PEERS.write(voters or None)


def decode_peers(data: bytes) -> Configuration:
    """Read a list of addresses: each is a voter, its ID its address (Go ``decodePeers``).

    Raises:
        MalformedMessage: no such list, or cut short.
        FrameTooLarge: more than ``MAX_SERVERS`` peers, or an address over its limit.

    """
    try:
        peers: list[bytes | None] | None = PEERS.read(LegacyReader(data))
    except MoreBytesNeeded:
        raise MalformedMessage(f"a list of peers of {len(data)} bytes is cut short") from None
    return Configuration.of_voters(*(ServerID(text_of(peer, "a peer")) for peer in peers or ()))


class GoConfigurationCodec:
    """``core.interfaces.ConfigurationCodec`` in hashicorp/raft's form."""

    def encode(self, configuration: Configuration) -> bytes:
        return encode_configuration(configuration)

    def decode(self, data: bytes) -> Configuration:
        """Return the configuration in ``data``, which was checked when its entry arrived.

        Raises:
            MalformedMessage, FrameTooLarge: as :func:`decode_configuration`.

        """
        return decode_configuration(data)


def _is_peers_list(data: bytes) -> bool:
    """Tell a list of strings from a configuration in array form, which is a list of a list."""
    reader = LegacyReader(data)
    if reader.read_nil() or reader.is_at_map():
        return False
    return bool(reader.read_length()) and reader.is_at_raw()


def _server(values: Values) -> Server:
    try:
        suffrage = Suffrage(values["Suffrage"])
    except ValueError:
        raise MalformedMessage(f"suffrage {values['Suffrage']} is none of 0, 1, 2") from None
    return Server(
        ServerID(text_of(values["ID"], "a server's ID")),
        text_of(values["Address"], "a server's address"),
        suffrage,
    )
