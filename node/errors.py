"""What can be wrong outside Raft: configuration, folders, ports, a daemon that does not answer.

::

    NodeError                  carries the exit code of a command that ends with it
    |- ConfigError             2   file, key, value and what is allowed
    |- FolderError             2   a folder that is missing, used already, or somebody else's
    |- AddressInUse            2   a port another process listens on
    |- DaemonUnreachable       5   no answer from the HTTP API
    `- RequestFailed           1, 3 or 4   the API answered with an error; says what became of it
"""

from __future__ import annotations

from enum import IntEnum
from pathlib import Path

__all__ = [
    "AddressInUse",
    "ConfigError",
    "DaemonUnreachable",
    "ExitCode",
    "FolderError",
    "NodeError",
    "RequestFailed",
]


class ExitCode(IntEnum):
    """What a command tells the program that ran it."""

    DONE = 0
    NOT_DONE = 1
    """The operation was definitely not carried out."""
    USAGE = 2
    """Wrong arguments or configuration; nothing was tried."""
    OUTCOME_UNKNOWN = 3
    """It may or may not have been carried out: ask for the state before repeating it."""
    NO_LEADER = 4
    """No leader or no quorum answered, so nothing was carried out."""
    UNREACHABLE = 5
    """The daemon's HTTP API did not answer."""
    DURABILITY_LOST = 74
    """The disk failed under the daemon (``EX_IOERR``)."""


class NodeError(Exception):
    """Base: its text is one line (or few) for an operator; ``exit_code`` is the command's."""

    exit_code: ExitCode = ExitCode.NOT_DONE


class ConfigError(NodeError):
    """A setting is malformed; the message names the source, the key, the value and what is allowed."""

    exit_code = ExitCode.USAGE

    def __init__(self, source: Path | str, key: str, problem: str) -> None:
        """Name where the setting is from (a file, or the environment) and its key path."""
        self.source = source
        self.key = key
        super().__init__(f"{source}: {key}: {problem}" if key else f"{source}: {problem}")


class FolderError(NodeError):
    """A peer's folder cannot be used as asked; nothing in it was changed."""

    exit_code = ExitCode.USAGE


class AddressInUse(NodeError):
    """Another process listens on the address already, or it is not one of this machine's."""

    exit_code = ExitCode.USAGE


class DaemonUnreachable(NodeError):
    """Nobody answered at the API's address, so nothing was asked of the cluster."""

    exit_code = ExitCode.UNREACHABLE


class RequestFailed(NodeError):
    """The HTTP API answered with an error."""

    def __init__(self, status: int, message: str, exit_code: ExitCode) -> None:
        """Keep the HTTP ``status`` and the exit code that tells the operation's outcome."""
        self.status = status
        self.exit_code = exit_code
        super().__init__(message)
