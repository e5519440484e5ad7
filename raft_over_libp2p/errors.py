"""Every error this package raises, and the outcome each one tells of.

::

    RaftError
    |- NotLeader(leader)              definitely not applied; says who leads
    |  `- ReadIndexUnsupported        nothing was read: the leader confirms no follower's reads
    |- ProposalRefused                definitely not applied: queue or size limit, disk full, closing
    |- OutcomeUnknown                 maybe applied: leadership lost, deadline, disconnected
    |- NoLeader                       nobody to ask in time; says which peers are unreachable and why
    |- LocalProtocolError             our caller broke a rule
    |- RemoteProtocolError            a peer broke a rule
    |  |- FrameTooLarge
    |  |- MalformedMessage
    |  |- UnsupportedVersion
    |  `- PeerIDMismatch
    |- UnauthorisedPeer
    |- StorageError
    |  |- DataDirLocked
    |  |- CorruptLog(path, offset)
    |  |- CorruptSnapshot
    |  |- DiskFull                    definitely not written
    |  `- DurabilityLost              fatal: an fsync failed, the peer stops
    |- NoState                        nothing has been agreed on yet
    |- InconsistentState              an operation could not be applied; no state until a rollback
    `- InvariantViolation             our bug; stops the process
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

from raft_over_libp2p.types import ServerID

__all__ = [
    "CorruptLog",
    "CorruptSnapshot",
    "DataDirLocked",
    "DiskFull",
    "DurabilityLost",
    "FrameTooLarge",
    "InconsistentState",
    "InvariantViolation",
    "LocalProtocolError",
    "MalformedMessage",
    "NoLeader",
    "NoState",
    "NotLeader",
    "OutcomeUnknown",
    "PeerIDMismatch",
    "ProposalRefused",
    "RaftError",
    "ReadIndexUnsupported",
    "RemoteProtocolError",
    "StorageError",
    "UnauthorisedPeer",
    "UnsupportedVersion",
    "invariant",
]


class RaftError(Exception):
    """Base of all errors of this package."""


class NotLeader(RaftError):
    """This server does not lead, so the operation was definitely not applied."""

    def __init__(self, leader: ServerID | None = None) -> None:
        """Name the ``leader`` where one is known."""
        self.leader = leader
        super().__init__(
            f"this server is not the leader; {leader} is"
            if leader
            else "this server is not the leader, and it knows of none"
        )


class ReadIndexUnsupported(NotLeader):
    """Nothing was read: the leader, as every Go peer, offers its followers no linearisable reads.

    Ask the ``leader`` itself, or take what this server knows, which may be old.
    """

    def __init__(self, leader: ServerID) -> None:
        """Name the ``leader``."""
        super().__init__(leader)
        self.args = (f"{leader} leads, and offers no linearisable reads to its followers",)


class ProposalRefused(RaftError):
    """The operation was definitely not applied: a limit was hit, the disk is full, or it closes."""


class OutcomeUnknown(RaftError):
    """The operation may or may not be applied; ask for the state before repeating it."""


class NoLeader(RaftError):
    """No leader was found in time, so nothing was proposed."""

    def __init__(self, message: str, unreachable: Mapping[ServerID, str] | None = None) -> None:
        """Keep why each voter in ``unreachable`` could not be reached (server ID to reason)."""
        self.unreachable: dict[ServerID, str] = dict(unreachable or {})
        if self.unreachable:
            reasons = "; ".join(f"{peer}: {why}" for peer, why in self.unreachable.items())
            message = f"{message} (unreachable: {reasons})"
        super().__init__(message)


class LocalProtocolError(RaftError):
    """The calling program broke a rule of the API."""


class RemoteProtocolError(RaftError):
    """A peer sent what the protocol does not allow; its stream is closed."""


class FrameTooLarge(RemoteProtocolError):
    """A frame is larger than its limit allows."""


class MalformedMessage(RemoteProtocolError):
    """Bytes that do not decode as the message they should be."""


class UnsupportedVersion(RemoteProtocolError):
    """A protocol or snapshot version this server does not speak."""


class PeerIDMismatch(RemoteProtocolError):
    """A message claims another sender than the one libp2p authenticated."""


class UnauthorisedPeer(RaftError):
    """A peer asked for what it has no right to."""


class StorageError(RaftError):
    """Base of what can be wrong with a data folder."""


class DataDirLocked(StorageError):
    """Another process owns the data folder."""


class CorruptLog(StorageError):
    """The log is damaged where a crash cannot have damaged it; this server will not guess."""

    def __init__(self, path: str, offset: int, why: str) -> None:
        """Say where: ``offset`` in bytes from the start of the file ``path``."""
        self.path = path
        self.offset = offset
        super().__init__(
            f"{path} is damaged at byte {offset}: {why}. Nothing was changed. Restore this folder "
            "from a backup, or remove this peer from the cluster and add it again with an empty one."
        )


class CorruptSnapshot(StorageError):
    """A snapshot whose size or checksum is wrong."""


class DiskFull(StorageError):
    """No space was left; what was to be written is definitely not there."""


class DurabilityLost(StorageError):
    """A write or fsync failed, so nothing said about the disk can be trusted: stop this peer."""


class NoState(RaftError):
    """No operation has been agreed on yet, so there is no agreed state."""


class InconsistentState(RaftError):
    """An agreed entry could not be applied; there is no state to give until a rollback or restore."""


class InvariantViolation(RaftError):
    """A rule that always holds did not: a bug of ours. The process must stop."""


def invariant(holds: bool, message: str) -> None:  # noqa: FBT001 - reads like assert
    """Raise :class:`InvariantViolation` unless ``holds``; unlike ``assert`` it survives ``-O``."""
    if not holds:
        _violated(message)


def _violated(message: str) -> NoReturn:
    raise InvariantViolation(message)
