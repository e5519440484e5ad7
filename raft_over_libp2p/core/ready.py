"""What the core's caller owes: the output of :meth:`Machine.take_ready`, drained each turn.

The contract, in the order of the fields:

1. ``write`` goes to the disk: hard state first, then the reset or the truncation, then
   entries, then one fdatasync for all of it. When it is durable the caller hands in
   ``Persisted(batch)``. Batches are written in the order of their numbers; several may be
   merged into one write, answered by ``Persisted`` of the last. A failed write ends this
   core: see ``Machine``.
2. ``send`` may leave at once, also while the write is on its way. Whatever must not be said
   before something is durable (votes, acknowledgements, a new term) is held inside the core
   and appears here only after the ``Persisted`` it waits for. The caller never reorders
   calls to one peer on one stream.
3. ``adopt_snapshot``: the state prepared for its call takes the place of the state machine,
   which then has applied up to ``meta.index``. No ``Applied`` is owed for it.
4. ``take_snapshot``: the state machine has applied exactly ``meta.index`` now. Its state is
   taken before step 5 and written in the background; then ``SnapshotTaken(meta.index)`` or
   ``SnapshotNotTaken`` is handed in. One at a time.
5. ``committed`` is applied in order, then ``Applied(last index)`` is handed in.
6. ``store_snapshot``: what was spooled for each call is verified and made durable in the
   background, and a state is prepared from it; then ``SnapshotStored`` or
   ``SnapshotNotStored`` is handed in. One at a time.
7. ``drop_snapshot``: what came with each call is not wanted: forget the spooled bytes and the
   prepared state. A snapshot that is in the store already may stay there: what it covers is
   agreed on. A ``Reply`` to a call means the same, unless its snapshot was adopted.
8. ``write_restore``: a user's snapshot is written in the background, durable but for its name,
   and a state is prepared from it; then ``RestoreWritten`` or ``RestoreFailed`` is handed in.
   One at a time. ``keep_restore``: it gets its name, durably, and ``RestoreKept`` or
   ``RestoreFailed`` is handed in before anything else is: this machine must not learn meanwhile
   that another leads. ``drop_restore``: it is not wanted any more.
9. ``read_states`` and ``observations`` are told to whoever waits for them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeAlias

from raft_over_libp2p.core.messages import Request, Response
from raft_over_libp2p.types import BatchID, CallID, Configuration, Index, LogEntry, ServerID, Term

__all__ = [
    "OWN_RESTORE",
    "Alarm",
    "Call",
    "ConfigurationChanged",
    "HardState",
    "HeartbeatFailed",
    "HeartbeatResumed",
    "LeaderChanged",
    "Observation",
    "Output",
    "ReadRefused",
    "ReadState",
    "Ready",
    "Removed",
    "Reply",
    "RestoreEnded",
    "Role",
    "RoleChanged",
    "SnapshotMeta",
    "StoreSnapshot",
    "TransferEnded",
    "Write",
]


class Role(Enum):
    """hashicorp/raft's ``RaftState``, by its words; a pre-candidate is a candidate."""

    FOLLOWER = "Follower"
    CANDIDATE = "Candidate"
    LEADER = "Leader"


@dataclass(frozen=True, slots=True)
class HardState:
    """What a server must remember across a crash besides its log (Raft Figure 2)."""

    term: Term
    vote: ServerID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotMeta:
    """Where a snapshot stands in the log, and the configuration in force there."""

    index: Index
    term: Term
    configuration: Configuration
    configuration_index: Index


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """One batch for the disk; ``append`` is contiguous and follows what is left of the log.

    Before ``append``, ``reset_to`` discards the whole log, so that its next entry has that
    index; or ``truncate_from`` removes that index and all after it. At any time after,
    entries up to ``remove_prefix`` may be unlinked: a durable snapshot covers them, and the
    core reads them no more.
    """

    batch: BatchID
    hard_state: HardState | None = None
    truncate_from: Index | None = None
    append: tuple[LogEntry, ...] = ()
    reset_to: Index | None = None
    remove_prefix: Index | None = None


@dataclass(frozen=True, slots=True)
class StoreSnapshot:
    """The snapshot whose bytes came with the InstallSnapshot ``call``."""

    call: CallID
    meta: SnapshotMeta


OWN_RESTORE: Final = CallID(0)
"""The call of a ``StoreSnapshot`` that a user restores here: no call of a transport has it."""


@dataclass(frozen=True, slots=True)
class Call:
    """Send ``request`` to ``peer``; its answer or failure comes back under ``call``."""

    call: CallID
    peer: ServerID
    request: Request


@dataclass(frozen=True, slots=True)
class Reply:
    """Answer the request that came in as ``call``."""

    call: CallID
    response: Response


Output: TypeAlias = Call | Reply


@dataclass(frozen=True, slots=True)
class ReadState:
    """The read registered under ``token`` is linearisable once ``index`` is applied."""

    token: int
    index: Index


@dataclass(frozen=True, slots=True)
class ReadRefused:
    """The read under ``token`` was not confirmed: its leader leads no more, or does not answer.

    With ``is_unsupported`` the ``leader`` is a peer that confirms no reads of its followers.
    """

    token: int
    leader: ServerID | None
    is_unsupported: bool = False


@dataclass(frozen=True, slots=True)
class RoleChanged:
    role: Role
    term: Term


@dataclass(frozen=True, slots=True)
class LeaderChanged:
    """Who leads ``term`` as far as this server knows; None when it knows of nobody."""

    leader: ServerID | None
    term: Term


@dataclass(frozen=True, slots=True)
class ConfigurationChanged:
    """The latest configuration is now this one; ``committed`` tells whether it is agreed on."""

    configuration: Configuration
    index: Index
    committed: bool


@dataclass(frozen=True, slots=True)
class HeartbeatFailed:
    """A leader has not heard from ``peer`` for a while; ``last_contact`` is the core's clock."""

    peer: ServerID
    last_contact: float


@dataclass(frozen=True, slots=True)
class HeartbeatResumed:
    peer: ServerID


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something an operator must hear of: a peer that lost its log, two leaders in a term."""

    peer: ServerID | None
    message: str


@dataclass(frozen=True, slots=True)
class Removed:
    """This server was a member, is none in the latest configuration, and hears of no leader.

    ``index`` is that configuration's, which is agreed on, or whose voters refused several times
    to elect this server. It campaigns no more. It is not told at the moment the removal
    commits, but an election timeout after the last word of a leader: a server that is added
    again, and catches up through its own removal, hears leaders all the while.
    """

    index: Index


@dataclass(frozen=True, slots=True)
class TransferEnded:
    """The transfer of leadership to ``target`` is over; with ``error`` empty another server leads."""

    target: ServerID
    error: str


@dataclass(frozen=True, slots=True)
class RestoreEnded:
    """A user's restore is over: done if ``error`` is empty; ``is_unknown`` if somebody may hold it."""

    error: str
    is_unknown: bool


Observation: TypeAlias = (
    RoleChanged
    | LeaderChanged
    | ConfigurationChanged
    | HeartbeatFailed
    | HeartbeatResumed
    | Alarm
    | Removed
    | TransferEnded
    | RestoreEnded
)


@dataclass(slots=True)
class Ready:
    """One turn's outputs; the module's docstring is the contract."""

    write: Write | None = None
    send: list[Output] = field(default_factory=list)
    committed: list[LogEntry] = field(default_factory=list)
    read_states: list[ReadState | ReadRefused] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)
    adopt_snapshot: StoreSnapshot | None = None
    take_snapshot: SnapshotMeta | None = None
    store_snapshot: list[StoreSnapshot] = field(default_factory=list)
    drop_snapshot: list[CallID] = field(default_factory=list)
    write_restore: SnapshotMeta | None = None
    keep_restore: SnapshotMeta | None = None
    drop_restore: bool = False
