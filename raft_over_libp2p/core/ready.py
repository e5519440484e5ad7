"""What the core's caller owes: the output of :meth:`Machine.take_ready`, drained each turn.

The contract, in the order of the fields:

1. ``write`` goes to the disk: hard state first, then truncation, then entries, then one
   fdatasync for all of it. When it is durable the caller hands in ``Persisted(batch)``.
   Batches are written in the order of their numbers; several may be merged into one write,
   answered by ``Persisted`` of the last. A failed write ends this core: see ``Machine``.
2. ``send`` may leave at once, also while the write is on its way. Whatever must not be said
   before something is durable (votes, acknowledgements, a new term) is held inside the core
   and appears here only after the ``Persisted`` it waits for. The caller never reorders
   calls to one peer on one stream.
3. ``committed`` is applied in order, then ``Applied(last index)`` is handed in.
4. ``read_states`` and ``observations`` are told to whoever waits for them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from raft_over_libp2p.core.messages import Request, Response
from raft_over_libp2p.types import BatchID, CallID, Configuration, Index, LogEntry, ServerID, Term

__all__ = [
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
    "Reply",
    "Role",
    "RoleChanged",
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
class Write:
    """One batch for the disk; ``append`` is contiguous and follows what is left of the log.

    ``truncate_from`` removes that index and all after it, before ``append``.
    """

    batch: BatchID
    hard_state: HardState | None = None
    truncate_from: Index | None = None
    append: tuple[LogEntry, ...] = ()


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
    """The read under ``token`` was not confirmed: this server leads no more."""

    token: int
    leader: ServerID | None


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


Observation: TypeAlias = (
    RoleChanged | LeaderChanged | ConfigurationChanged | HeartbeatFailed | HeartbeatResumed | Alarm
)


@dataclass(slots=True)
class Ready:
    """One turn's outputs; the module's docstring is the contract."""

    write: Write | None = None
    send: list[Output] = field(default_factory=list)
    committed: list[LogEntry] = field(default_factory=list)
    read_states: list[ReadState | ReadRefused] = field(default_factory=list)
    observations: list[Observation] = field(default_factory=list)
