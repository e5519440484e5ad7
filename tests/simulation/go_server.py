"""A process that is a Go peer: :class:`GoRaft` between the world and a :class:`GoDisk`.

The checkers ask of it what they ask of every server, where hashicorp/raft promises it too. Where
a rule is broken here they tell whose doing it is: what one of our leaders sent must not break a
Go peer (that is what the rules for mixed clusters are for), and is a violation; what Go peers do
to each other ends the run as :class:`GoFault`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn, cast

from raft_over_libp2p.core.events import (
    CallFailed,
    Event,
    PeerConnected,
    RequestReceived,
    ResponseReceived,
)
from raft_over_libp2p.core.machine import Machine
from raft_over_libp2p.core.membership_change import MembershipChange
from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    InstallSnapshotRequest,
    Request,
    Response,
)
from raft_over_libp2p.core.ready import Call, HardState, Reply, Role, SnapshotMeta, Write
from raft_over_libp2p.core.status import CoreStatus
from raft_over_libp2p.errors import NotLeader, ProposalRefused
from raft_over_libp2p.types import (
    NO_INDEX,
    NO_TERM,
    BatchID,
    CallID,
    Index,
    LogEntry,
    LogType,
    ServerID,
    Term,
)
from tests.simulation.check_transfers import TransferCheck
from tests.simulation.go_disk import GoDisk
from tests.simulation.go_fault import GoFault
from tests.simulation.go_raft import GoRaft
from tests.simulation.server import Server
from tests.simulation.snapshot_keeping import SnapshotKeeping
from tests.simulation.snapshot_store import Snapshot
from tests.simulation.violation import violated

if TYPE_CHECKING:
    from tests.simulation.network import Flight
    from tests.simulation.world import World

__all__ = ["GoServer"]


class GoServer(Server):
    """``machine`` is what callers ask, as of our servers; ``raft`` is the model."""

    is_go = True

    def __init__(
        self, world: World, server_id: ServerID, hard_state: HardState, entries: list[LogEntry]
    ) -> None:
        super().__init__(world, server_id, hard_state, entries)
        self.raft: GoRaft | None = None
        self._calls: dict[CallID, Callable[[Response | None], None]] = {}
        self._next_call = 1
        self._next_stream = -1
        self._whole: set[Flight] = set()
        self._broken: set[Flight] = set()

    def _new_disk(self, hard_state: HardState, entries: list[LogEntry]) -> GoDisk:
        return GoDisk(
            hard_state,
            entries,
            self._record_hard_state,
            agreed=self.world.commitment.entries,
            retain=self.world.profile.retain,
        )

    @property
    def go_disk(self) -> GoDisk:
        return cast("GoDisk", self.disk)

    @property
    def _raft(self) -> GoRaft:
        if self.raft is None:
            violated("simulator", f"{self.id} is down")
        return self.raft

    # -- life

    def start(self) -> None:
        if self.machine is not None:
            violated("one incarnation", f"{self.id} is started while it runs")
        self.process += 1
        self.core += 1
        self.outstanding, self.in_flight, self.inbox = {}, {}, []
        self._calls = {}
        self._whole, self._broken = set(), set()
        self._sweep_is_due = self.is_paused = False
        self.applied = self.digest = 0
        self.keeping = SnapshotKeeping(self)
        self.transfers = TransferCheck(self.world.elections)
        self.proposals, self.reads = {}, {}
        self.world.clients.history.crashed(self)
        self.leading_term = None
        self.role = Role.FOLLOWER
        disk = self.go_disk
        disk.show()
        self.log = disk.image
        self.hard_state = disk.hard_state
        newest = disk.snapshots.newest
        if newest is not None:
            self.restore(newest)
        self.commit_index = self.applied
        self.raft = GoRaft(self)
        # The callers' side of hashicorp/raft; nothing else of a Machine is ever asked of it.
        self.machine = cast("Machine", GoCaller(self))
        self.raft.arm_follower()
        self._arm_snapshots(self.core)

    def _end_machine(self) -> None:
        super()._end_machine()
        if self.raft is not None and self.raft.leader is not None:
            self.raft.leader.stop()
        self.raft = None
        self.leading_term = None

    def resume(self) -> None:
        self.is_paused = False
        if self.raft is not None:
            inbox, self.inbox = self.inbox, []
            self.raft.unpark()
            for event in inbox:
                self.deliver(event)

    def turn(self) -> None:
        """Nothing is ever owed: what is to be done is done at once."""

    def check_status(self) -> None:
        """Its own word is not asked for; what it does is checked where it does it."""

    def status(self) -> CoreStatus:
        raft = self._raft
        index, term = raft.last_entry()
        return CoreStatus(
            server_id=self.id,
            role=raft.role,
            term=raft.term,
            leader=raft.known_leader,
            commit_index=Index(raft.commit),
            applied_index=Index(self.applied),
            durable_index=Index(index),
            first_index=Index(1),
            last_index=Index(index),
            last_log_term=term,
            snapshot_index=Index(raft.last_snapshot[0]),
            snapshot_term=raft.last_snapshot[1],
            configuration=raft.latest.configuration,
            configuration_index=raft.latest.index,
            configuration_committed=raft.latest.index <= raft.commit,
            last_leader_contact_s=None,
            peers=(),
        )

    # -- messages

    def ask(
        self, peer: ServerID, request: Request, answered: Callable[[Response | None], None]
    ) -> None:
        """Call ``peer`` on a stream of its own; ``answered`` gets the answer, or None."""
        world = self.world
        call = CallID(self._next_call)
        self._next_call += 1
        self._calls[call] = answered
        if isinstance(request, AppendEntriesRequest | InstallSnapshotRequest):
            world.elections.leads(self.id, request.term)
        if isinstance(request, InstallSnapshotRequest):
            world.snapshots.sent(self, request)
        world.tell(f"{self.id} calls {peer} #{call}: {request}")
        if peer not in world.servers:
            violated("simulator", f"{self.id} calls {peer}, whom nobody knows")
        world.network.send_call(self, Call(call, peer, request))

    def answer(self, call: CallID, response: Response) -> None:
        flight = self.inbound.pop(call, None)
        if flight is not None:
            self.world.tell(f"{self.id} answers {flight.source.id} #{call}: {response}")
            self.keeping.drop(call)
            self.world.network.send_reply(self, Reply(call, response), flight)

    def forget_call(self, call: CallID) -> None:
        """A call that was reset is answered no more."""
        self.inbound.pop(call, None)

    def close_stream(self, call: CallID) -> None:
        """It has no answer to that, and closes the stream."""
        flight = self.inbound.pop(call, None)
        if flight is not None and not flight.is_duplicate:
            self.world.marks["Go: unknown RPC type"] += 1
            self.world.network.reset_streams(flight.source, self, flight.kind)

    def refuse_protocol(self, call: CallID) -> None:
        """It has no handler for a protocol of ours: that one stream is not opened."""
        flight = self.inbound.pop(call, None)
        if flight is None or flight.is_duplicate:
            return
        self.world.marks["Go: a protocol it does not speak"] += 1
        stream = self.streams.get((flight.source.id, flight.kind))
        if stream is not None and flight in stream:
            stream.remove(flight)
        latency_s = self.world.profile.latency_s[1]
        self.world.push(self.world.now + latency_s, self.world.network.fail_one, flight)

    def deliver(self, event: Event) -> None:
        raft = self.raft
        if raft is None:
            return
        if self.is_paused:
            self.inbox.append(event)
        elif isinstance(event, RequestReceived):
            raft.request(event.call, event.peer, event.request)
        elif isinstance(event, ResponseReceived | CallFailed):
            answered = self._calls.pop(event.call, None)
            if answered is not None:
                answered(event.response if isinstance(event, ResponseReceived) else None)
        elif isinstance(event, PeerConnected):
            pass

    def hold(self) -> None:
        if self.raft is not None:
            self.raft.hold()

    def release(self) -> None:
        if self.raft is not None:
            self.raft.release()

    def begin_stream(self, flight: Flight) -> None:
        """The head of an InstallSnapshot is here; its bytes come after it."""
        raft = self.raft
        if raft is None:
            return
        call = CallID(self._next_stream)
        self._next_stream -= 1
        self.inbound[call] = flight
        raft.post(lambda: raft.install(call, flight))

    def end_stream(self, flight: Flight, *, whole: bool) -> None:
        """All bytes are here, or the stream was reset."""
        (self._whole if whole else self._broken).add(flight)
        if self.raft is not None:
            self.raft.wake()

    def is_whole(self, flight: Flight) -> bool:
        return flight in self._whole and flight not in self._broken

    def is_broken(self, flight: Flight) -> bool:
        return flight in self._broken

    # -- what it does, checked

    def _blame(self, leader: ServerID, rule: str, message: str) -> NoReturn:
        if self.world.is_go(leader):
            raise GoFault(f"{rule}: {message}, by {leader}")
        violated(rule, f"{message}, by {leader}")

    def leads(self, term: Term) -> None:
        """It was elected."""
        if self._raft.latest.index != self.log.latest.index:
            raise GoFault(f"{self.id} counted votes by {self._raft.latest}: {self.log.latest}")
        self.leading_term = term
        self.world.marks["election"] += 1
        self.world.marks["Go: elected"] += 1
        self.world.tell(f"{self.id} leads {term}")
        self.world.elections.elected(self, term)

    def leads_no_more(self) -> None:
        self.world.tell(f"{self.id} leads no more")
        self.proposals.clear()
        self.leading_term = None

    def check_entries(self, entries: Sequence[LogEntry]) -> None:
        """Entries are about to be stored."""
        previous = entries[0].index - 1
        term = self.log[previous - 1].term if 0 < previous <= len(self.log) else NO_TERM
        if previous == 0 or previous <= len(self.log):
            self.world.logs.entries(f"{self.id} writes", term, entries)

    def check_appended(self, entries: Sequence[LogEntry]) -> None:
        """As a leader it appends."""
        write = Write(batch=BatchID(0), append=tuple(entries))
        self.world.membership.write(self, write)
        self.check_entries(entries)

    def check_removal(self, first: int, leader: ServerID) -> None:
        """Entries from ``first`` on give way to a leader's."""
        self.world.marks["Go: truncation"] += 1
        agreed, store = self.world.commitment.entries, self.go_disk.store
        ours = store[first]
        if first <= len(agreed) and agreed[first - 1].term == ours.term:
            self._blame(leader, "no truncation of what is committed", f"{self.id} loses {ours!r}")

    def check_commit(self, leader: ServerID, upto: int, covered: int) -> None:
        """It takes entries up to ``upto`` for committed, of which a message covers ``covered``."""
        agreed, store = self.world.commitment.entries, self.go_disk.store
        for index in range(max(covered, self.applied) + 1, upto + 1):
            entry = store.get(index)
            if entry is not None and (index > len(agreed) or agreed[index - 1].term != entry.term):
                self._blame(leader, "sent commit is covered", f"{self.id} commits {entry!r} unseen")

    def check_committed(self, upto: int) -> None:
        """As a leader it counted."""
        self.world.commitment.claim(self, upto)

    def check_install(self, flight: Flight, snapshot: Snapshot, leader: ServerID) -> None:
        """A snapshot is about to replace its state.

        One of our leaders must not take it back. But a leader whose own term has nothing agreed on
        yet may need the acknowledgement of this very server, and cannot know what it applied:
        a server of ours would take no harm from the snapshot, and which are Go's it cannot tell.
        """
        meta, commitment = snapshot.meta, self.world.commitment
        if snapshot.digest != commitment.digests[meta.index]:
            violated("a snapshot is the replay", f"{self.id} installs another state")
        self.world.marks["Go: snapshot installed"] += 1
        if meta.index < self.applied and flight.is_early:
            raise GoFault(f"{self.id} at {self.applied} goes back to {meta.index}")
        if meta.index < self.applied:
            self._blame(
                leader,
                "a late snapshot rolls nothing back",
                f"{self.id} at {self.applied} installs {meta}",
            )
        if meta.configuration_index < self.agreed_configuration_index:
            self._blame(
                leader,
                "configurations never go back",
                f"{self.id} knew {self.agreed_configuration_index} and installs {meta}",
            )
        agreed = commitment.entries
        for placed in self.log.placed:
            # It goes by the snapshot's configuration from now on, whatever its log holds.
            is_agreed = agreed.holds(placed.index, placed.term)
            if placed.index > meta.index and is_agreed and not flight.is_early:
                self._blame(
                    leader, "configurations never go back", f"{self.id} holds {placed}: {meta}"
                )
        self.agreed_configuration_index = meta.configuration_index

    def acknowledges(self, request: AppendEntriesRequest) -> None:
        """What it says it holds must be on its disk."""
        if request.entries:
            last = request.entries[-1]
            if not self.disk.holds(last.index, last.term):
                violated("acknowledged is durable", f"{self.id} acknowledges {last!r}")

    def apply(self, entries: list[LogEntry]) -> None:
        raft = self._raft
        self._apply(entries, 0.0)
        placed = self.log.in_force_at(self.applied)
        self.agreed_configuration_index = max(self.agreed_configuration_index, placed.index)
        for entry in entries:
            if entry.type is not LogType.NOOP:
                # The state machine is not told of no-ops; its state is the one after them.
                raft.fsm = (entry.index, entry.term, self.world.commitment.digests[entry.index])

    # -- snapshots of its own

    def _arm_snapshots(self, core: int) -> None:
        delay_s = self.config.snapshot_interval_s * (1.0 + self.world.dice.random())
        self.world.push(self.world.now + delay_s, self._on_snapshot_timer, core)

    def _on_snapshot_timer(self, core: int) -> None:
        if core != self.core or self.raft is None:
            return
        raft = self.raft
        gone = raft.last_log[0] - raft.last_snapshot[0]
        if not self.is_paused and (gone < 0 or gone >= self.config.snapshot_threshold):
            self.take_snapshot()
        self._arm_snapshots(core)

    def take_snapshot(self) -> None:
        """hashicorp's ``takeSnapshot``; a removed index below the configuration's is refused."""
        raft = self._raft
        index, term, digest = raft.fsm
        is_late = index < raft.committed.index or index <= raft.last_snapshot[0]
        if index == 0 or is_late or raft.is_busy or self.id in self.world.full_disks:
            return
        meta = SnapshotMeta(
            index=Index(index),
            term=term,
            configuration=raft.committed.configuration,
            configuration_index=raft.committed.index,
        )
        self.world.snapshots.taken_by_go(self, meta, digest)
        self.world.marks["Go: snapshot taken"] += 1
        raft.disk.add_snapshot(Snapshot(meta, digest))
        raft.last_snapshot = (index, term)
        raft.compact(index)


class GoCaller:
    """What a program that embeds hashicorp/raft calls."""

    def __init__(self, server: GoServer) -> None:
        self._server = server

    def _leader(self) -> GoRaft:
        raft = self._server._raft
        if raft.leader is None:
            raise NotLeader(raft.known_leader)
        return raft

    def handle(self, event: Event, now: float) -> None:
        """What was applied needs no word: its state machine is beside its main loop."""

    def propose(self, data: Sequence[bytes], now: float) -> tuple[Index, Term]:
        del now
        raft = self._leader()
        leader = raft.leader
        if leader is None:
            raise NotLeader(None)
        leader.check_open()
        first = Index(raft.last_index + 1)
        raft.post(lambda: leader.dispatch([(LogType.COMMAND, payload) for payload in data]))
        return first, raft.term

    def read_index(self, token: int, now: float) -> None:
        del token, now
        raise ProposalRefused("hashicorp/raft has no sound read")

    def change_membership(
        self, change: MembershipChange, now: float, *, prev_index: Index = NO_INDEX
    ) -> tuple[Index, Term]:
        del now
        raft = self._leader()
        if raft.leader is None:
            raise NotLeader(None)
        return raft.leader.change(change, prev_index), raft.term

    def transfer_leadership(self, target: ServerID | None, now: float) -> ServerID:
        del now
        raft = self._leader()
        if raft.leader is None:
            raise NotLeader(None)
        self._server.transfers = TransferCheck(self._server.world.elections)
        return raft.leader.hand_over(target)

    def snapshot_now(self, now: float) -> bool:
        del now
        self._server.take_snapshot()
        return True
