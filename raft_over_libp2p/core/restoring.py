"""A user's snapshot in the place of a live cluster's state (hashicorp/raft ``Restore``; rule 11).

What it is. A restore is an entry of the log whose content is a whole state: entry S of the
leader's term T, the one after the last, which no log ever holds. InstallSnapshot(S, T) is how
it is sent, and an answer with success is how it is acknowledged, by Python and Go alike: a
server that holds it ends in (S, T), and votes for nobody whose log ends before. So the rules of
any entry make it safe: it is agreed on when a majority of voters holds it durably in term T.

Its steps::

    SETTLING   nothing new is taken; all there is, is agreed on and applied: S is known
    WRITING    the bytes are written beside the snapshots, durable but for their name, and
               decoded; a restart would find nothing of them
    SENDING    to the voters that hold all of the log, as one snapshot each
    KEEPING    all but this server make a majority with it: now it is one of them. The snapshot
               gets its name, the state is adopted, the log begins at S + 1

What is different from hashicorp/raft, which adopts it first and sends it then: this leader is
the last of the majority. Until then its snapshot, log and state are the old ones, so a leader
that crashes, or is overtaken, has nothing to take back. A follower may have; a Python one is then
healed by the next snapshot (``installing``). And once one byte was sent, this leader never
writes another entry S in T: if the restore cannot be finished it leads no more, and hands over to
a voter that has it, if there is one.

It is sent only to who holds entry S - 1, which is of term T: a Go voter with a stale tail would
take the snapshot, and in elections still go by its tail.

What the caller is told: done when a majority has it; *definitely not done* up to the first
message; *unknown* after that. Proposals, changes of members and transfers are refused meanwhile;
reads go on, from the old state, which is the agreed one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from raft_over_libp2p.core import installing, snapshot_sending, transfer
from raft_over_libp2p.core.events import RestoreFailed, RestoreKept, RestoreWritten
from raft_over_libp2p.core.quorum import reached_by_majority
from raft_over_libp2p.core.ready import OWN_RESTORE, SnapshotMeta, StoreSnapshot
from raft_over_libp2p.core.server import Server
from raft_over_libp2p.core.status import ProgressMode
from raft_over_libp2p.errors import ProposalRefused, invariant
from raft_over_libp2p.types import NO_INDEX, Index, LogType

if TYPE_CHECKING:
    from raft_over_libp2p.core.leadership import Leadership
    from raft_over_libp2p.core.progress import Progress

__all__ = ["EVENTS", "Restoring", "begin", "go_on", "is_due", "on_event", "on_timer"]


EVENTS: Final = (RestoreWritten, RestoreKept, RestoreFailed)
"""What :func:`on_event` takes."""


class Phase(Enum):
    """How far it is; see the module's docstring."""

    SETTLING = "settling"
    WRITING = "writing"
    SENDING = "sending"
    KEEPING = "keeping"


@dataclass(slots=True, eq=False)
class Restoring:
    """The restore of this reign that is under way."""

    deadline: float
    phase: Phase = Phase.SETTLING
    meta: SnapshotMeta | None = None
    is_sent: bool = False
    """Somebody may hold it: nobody knows any more that it is not done."""


def begin(server: Server, deadline: float) -> None:
    """Begin one that is given up at ``deadline``; ``RestoreEnded`` tells its end.

    Raises:
        ProposalRefused: nothing was begun: another one, a transfer or a change of members is.

    """
    server.check_takes_writes()
    if not server.membership.is_latest_committed:
        latest = server.membership.latest
        raise ProposalRefused(
            f"cannot restore now: the membership change at entry {latest.index} is open"
        )
    server.restoring = Restoring(deadline)
    server.snapshotting.is_held_back = True


def go_on(server: Server, leadership: Leadership) -> None:
    """Do the next step, if it is time for it."""
    restoring = server.restoring
    if restoring is None:
        return
    if restoring.phase is Phase.SETTLING and _is_settled(server):
        latest = server.membership.latest
        restoring.phase = Phase.WRITING
        restoring.meta = server.ready.write_restore = SnapshotMeta(
            index=Index(server.log.last_index + 1),
            term=server.term,
            configuration=latest.configuration,
            configuration_index=latest.index,
        )
    elif (
        restoring.phase is Phase.SENDING
        and restoring.meta is not None
        and _is_held_but_here(leadership, restoring.meta.index)
    ):
        restoring.phase = Phase.KEEPING
        server.ready.keep_restore = restoring.meta


def _is_settled(server: Server) -> bool:
    """Tell whether all that this leader knows is agreed on, applied, and written."""
    last = server.log.last_index
    is_applied = server.commit_index == server.applied_index == last == server.log.durable_index
    # A snapshot of this server's own, or of an earlier leader, is being written: one at a time.
    return is_applied and server.snapshotting.is_idle and server.installing is None


def _is_held_but_here(leadership: Leadership, index: Index) -> bool:
    holders = [peer.match_index for peer in leadership.voters]
    if leadership.is_voter:
        holders.append(index)
    return reached_by_majority(holders, NO_INDEX) >= index


def is_due(server: Server, leadership: Leadership, peer: Progress) -> bool:
    """Send the restored snapshot to ``peer`` if it is its turn; tell whether it gets no entries now."""
    restoring = server.restoring
    if restoring is None or restoring.meta is None or peer.match_index < server.log.last_index:
        return False
    is_ready = peer.mode is not ProgressMode.BACKING_OFF and not (
        peer.inflight or peer.is_installing or peer.is_leaving or peer.is_silent
    )
    if (
        restoring.phase is Phase.SENDING
        and peer.match_index < restoring.meta.index
        and is_ready
        and peer in leadership.voters
        and snapshot_sending.leaves_a_quorum(leadership, peer)
    ):
        peer.await_snapshot()
        snapshot_sending.send(server, peer, restoring.meta)
        restoring.is_sent = True
    return True


def on_event(server: Server, event: RestoreWritten | RestoreKept | RestoreFailed) -> None:
    """Take in how far the disk is; what nobody waits for any more is dropped."""
    restoring = server.restoring
    if restoring is None or (not isinstance(event, RestoreFailed) and event.meta != restoring.meta):
        server.ready.drop_restore = True
    elif isinstance(event, RestoreFailed):
        _give_up(server, restoring, event.reason)
    elif isinstance(event, RestoreWritten):
        restoring.phase = Phase.SENDING
    else:
        _put_in_force(server, restoring, event.meta)


def _put_in_force(server: Server, restoring: Restoring, meta: SnapshotMeta) -> None:
    leadership = server.leadership
    if leadership is None:
        server.ready.drop_restore = True
        return
    invariant(restoring.phase is Phase.KEEPING, "a restore is kept when a majority holds it")
    server.ready.adopt_snapshot = StoreSnapshot(OWN_RESTORE, meta)
    server.end_restore("")
    installing.replace_log(server, meta)
    leadership.restored(meta.index)
    # It tells the others, through the log, that there is something before it that they lack.
    leadership.append(LogType.NOOP, (b"",))


def on_timer(server: Server) -> None:
    """Give up what took too long."""
    restoring = server.restoring
    if restoring is not None and server.now >= restoring.deadline:
        _give_up(server, restoring, "it took too long")


def _give_up(server: Server, restoring: Restoring, reason: str) -> None:
    """End it; if anybody may hold it, this server must not go on in its term."""
    is_sent = restoring.is_sent
    server.end_restore(reason)
    if is_sent and server.leadership is not None:
        transfer.step_aside(server, server.leadership)
