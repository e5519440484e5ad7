"""The words every room of this package shares: identifiers, log entries, configurations.

Names are hashicorp/raft's, because they are on the wire and operators know them.
Nothing here does I/O or knows how bytes are laid out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final, NewType

__all__ = [
    "CONFIGURATION_TYPES",
    "NO_INDEX",
    "NO_TERM",
    "ZERO_GO_TIME",
    "BatchID",
    "CallID",
    "Configuration",
    "Index",
    "LogEntry",
    "LogType",
    "Server",
    "ServerID",
    "Suffrage",
    "Term",
]

ServerID = NewType("ServerID", str)
"""The text form of a libp2p peer ID (``12D3Koo...``): server ID and server address in one."""
Term = NewType("Term", int)
Index = NewType("Index", int)
CallID = NewType("CallID", int)
"""Names one RPC in flight. Ours and our peers' calls are numbered apart."""
BatchID = NewType("BatchID", int)
"""Names one :class:`~raft_over_libp2p.core.ready.Write`; later batches have larger numbers."""

NO_INDEX: Final = Index(0)
"""Index before the first entry: an empty log ends here."""
NO_TERM: Final = Term(0)

ZERO_GO_TIME: Final = b"\x01" + bytes(12) + b"\xff\xff"
"""Go's zero ``time.Time`` in ``MarshalBinary`` form (15 bytes), as ``AppendedAt`` holds it."""


class LogType(IntEnum):
    """What an entry is for (hashicorp/raft ``LogType``); the numbers are on the wire."""

    COMMAND = 0
    NOOP = 1
    ADD_PEER_DEPRECATED = 2
    REMOVE_PEER_DEPRECATED = 3
    BARRIER = 4
    CONFIGURATION = 5


CONFIGURATION_TYPES: Final = (
    LogType.CONFIGURATION,
    LogType.ADD_PEER_DEPRECATED,
    LogType.REMOVE_PEER_DEPRECATED,
)
"""Entries that hold a configuration. The old two list its voters' addresses, whatever they are
called: protocol 0 and 1 wrote them, and they are read, never written."""


class LogEntry:
    """One entry of the replicated log; treat it as immutable.

    ``appended_at`` is Go's ``MarshalBinary`` form of the leader's wall clock and is kept
    verbatim, as are ``extensions``. ``encoded`` is the entry's canonical msgpack form, set
    once by ``wire.log_entry`` and then spliced into the log file and into every
    AppendEntries: it takes no part in equality.

    A plain slotted class: a frozen dataclass takes three times as long to build, and
    entries are built by the ten thousand.
    """

    __slots__ = ("appended_at", "data", "encoded", "extensions", "index", "term", "type")

    def __init__(
        self,
        index: Index,
        term: Term,
        type: LogType = LogType.COMMAND,  # noqa: A002 - the field's name on the wire
        data: bytes = b"",
        extensions: bytes = b"",
        appended_at: bytes = ZERO_GO_TIME,
        encoded: bytes | None = None,
    ) -> None:
        self.index = index
        self.term = term
        self.type = type
        self.data = data
        self.extensions = extensions
        self.appended_at = appended_at
        self.encoded = encoded

    def _key(self) -> tuple[int, int, int, bytes, bytes, bytes]:
        return (self.index, self.term, self.type, self.data, self.extensions, self.appended_at)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LogEntry) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((self.index, self.term))

    def __repr__(self) -> str:
        return f"LogEntry({self.index}, term={self.term}, {self.type.name}, {len(self.data)} bytes)"

    @property
    def size(self) -> int:
        """Bytes this entry is charged with in windows and caches: payload and a fixed overhead."""
        return len(self.data) + len(self.extensions) + 96


class Suffrage(IntEnum):
    """Whether a server votes (hashicorp/raft ``ServerSuffrage``); the numbers are on the wire."""

    VOTER = 0
    NONVOTER = 1
    STAGING = 2


@dataclass(frozen=True, slots=True)
class Server:
    """One member of a configuration. ``address`` is carried for Go and never dialled."""

    id: ServerID
    address: str
    suffrage: Suffrage = Suffrage.VOTER


@dataclass(frozen=True, slots=True)
class Configuration:
    """The members of a cluster, in the order the log entry lists them."""

    servers: tuple[Server, ...] = ()

    @staticmethod
    def of_voters(*ids: ServerID) -> Configuration:
        """Return a configuration in which each of ``ids`` is a voter, address equal to ID."""
        return Configuration(tuple(Server(server_id, server_id) for server_id in ids))

    @property
    def voters(self) -> tuple[ServerID, ...]:
        """IDs of the voters, in order."""
        return tuple(s.id for s in self.servers if s.suffrage is Suffrage.VOTER)

    @property
    def ids(self) -> tuple[ServerID, ...]:
        """IDs of all members, in order."""
        return tuple(s.id for s in self.servers)

    def is_voter(self, server_id: ServerID) -> bool:
        """Tell whether ``server_id`` votes in this configuration."""
        return any(s.id == server_id and s.suffrage is Suffrage.VOTER for s in self.servers)

    def has(self, server_id: ServerID) -> bool:
        """Tell whether ``server_id`` is a member, voting or not."""
        return any(s.id == server_id for s in self.servers)

    def quorum(self) -> int:
        """Return how many voters make a majority (1 for an empty configuration)."""
        return len(self.voters) // 2 + 1
