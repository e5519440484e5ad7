"""Everything that may happen to a Raft server: the inputs of :meth:`Machine.handle`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from raft_over_libp2p.core.messages import Request, Response
from raft_over_libp2p.core.ready import SnapshotMeta
from raft_over_libp2p.types import BatchID, CallID, Index, ServerID

__all__ = [
    "Applied",
    "CallFailed",
    "ClockStoodStill",
    "Event",
    "PeerConnected",
    "Persisted",
    "RequestReceived",
    "ResponseReceived",
    "RestoreFailed",
    "RestoreKept",
    "RestoreWritten",
    "SnapshotNotStored",
    "SnapshotNotTaken",
    "SnapshotStored",
    "SnapshotTaken",
]


@dataclass(frozen=True, slots=True)
class RequestReceived:
    """``peer``, as libp2p authenticated it, calls us; ``call`` is the transport's number.

    The transport has checked the message against its header and limits
    (``transport.authorise``). The core answers each with exactly one ``Reply``, at once or
    later, or never if the core is dropped: the transport then resets the stream.
    """

    call: CallID
    peer: ServerID
    request: Request


@dataclass(frozen=True, slots=True)
class ResponseReceived:
    """A peer answered the call the core numbered ``call``."""

    call: CallID
    response: Response


@dataclass(frozen=True, slots=True)
class CallFailed:
    """No answer will come to ``call``: whether the peer acted on it is unknown.

    With ``is_unsupported`` it is known: the peer does not serve the call's protocol.
    ``is_hung_up`` if the peer took the call and closed its stream without a word, as
    hashicorp/raft does with a call of a type that it does not know.
    """

    call: CallID
    reason: str = ""
    is_unsupported: bool = False
    is_hung_up: bool = False


@dataclass(frozen=True, slots=True)
class PeerConnected:
    """A connection to ``peer`` stands again: do not wait for the back-off to end."""

    peer: ServerID


@dataclass(frozen=True, slots=True)
class Persisted:
    """All of the writes up to and with ``batch`` are fsynced."""

    batch: BatchID


@dataclass(frozen=True, slots=True)
class ClockStoodStill:
    """Time went by that ``now`` does not count: the machine was suspended (``core.leases``)."""


@dataclass(frozen=True, slots=True)
class Applied:
    """The state machine holds every entry up to ``index``."""

    index: Index


@dataclass(frozen=True, slots=True)
class SnapshotTaken:
    """The snapshot at ``index`` that ``Ready.take_snapshot`` asked for is durable and verified."""

    index: Index


@dataclass(frozen=True, slots=True)
class SnapshotNotTaken:
    """It is not: nothing changed, and the next one is due after the next interval."""

    index: Index
    reason: str


@dataclass(frozen=True, slots=True)
class SnapshotStored:
    """The snapshot that came with ``call`` is verified and durable, and a state is prepared from it."""

    call: CallID
    meta: SnapshotMeta


@dataclass(frozen=True, slots=True)
class SnapshotNotStored:
    """It is not (wrong size or checksum, undecodable, a full disk): nothing changed."""

    call: CallID
    reason: str


@dataclass(frozen=True, slots=True)
class RestoreWritten:
    """What ``Ready.write_restore`` asked for is durable but for its name, and a state is prepared."""

    meta: SnapshotMeta


@dataclass(frozen=True, slots=True)
class RestoreKept:
    """What ``Ready.keep_restore`` asked for is done: a restart finds the restored snapshot."""

    meta: SnapshotMeta


@dataclass(frozen=True, slots=True)
class RestoreFailed:
    """One of them is not: nothing is left of it."""

    reason: str


Event: TypeAlias = (
    RequestReceived
    | ResponseReceived
    | CallFailed
    | PeerConnected
    | ClockStoodStill
    | Persisted
    | Applied
    | SnapshotTaken
    | SnapshotNotTaken
    | SnapshotStored
    | SnapshotNotStored
    | RestoreWritten
    | RestoreKept
    | RestoreFailed
)
