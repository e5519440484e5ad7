"""One simulated process: the owner of one machine, its clock, its disk and its state machine."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING

from raft_over_libp2p.core.events import (
    Applied,
    Event,
    Persisted,
    RequestReceived,
    SnapshotStored,
)
from raft_over_libp2p.core.interfaces import InitialState
from raft_over_libp2p.core.machine import Machine
from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    RequestVoteRequest,
    TimeoutNowRequest,
)
from raft_over_libp2p.core.ready import (
    Call,
    HardState,
    LeaderChanged,
    Observation,
    ReadRefused,
    ReadState,
    Ready,
    Removed,
    Role,
    RoleChanged,
    TransferEnded,
)
from raft_over_libp2p.core.status import CoreStatus
from raft_over_libp2p.types import NO_TERM, BatchID, CallID, Index, LogEntry, ServerID, Term
from raft_over_libp2p.wire.configuration import GoConfigurationCodec
from tests.simulation.check_heartbeats import HeartbeatCheck
from tests.simulation.check_transfers import TransferCheck
from tests.simulation.disk import Disk
from tests.simulation.entry_log import EntryLog
from tests.simulation.log_writing import LogWriting
from tests.simulation.network import Flight
from tests.simulation.real_disk import RealDisk
from tests.simulation.snapshot_keeping import SnapshotKeeping
from tests.simulation.snapshot_store import Snapshot, digest_after
from tests.simulation.violation import violated

if TYPE_CHECKING:
    from tests.simulation.world import World

__all__ = ["Server"]

_STATUS_EVERY_TURNS = 8
"""A status costs about as much as an event, so it is not asked for each turn."""
_MOST_SPINS = 100


class Server:
    """A process that crashes and comes back; ``machine`` is None while it is down."""

    is_go = False
    """Whether it is a Go peer, which opens a stream for each call, and of which less is asked."""

    def __init__(
        self, world: World, server_id: ServerID, hard_state: HardState, entries: list[LogEntry]
    ) -> None:
        self.world = world
        self.id = server_id
        self.config = world.profile.raft
        """What it starts with next, and runs with."""
        self.disk = self._new_disk(hard_state, entries)
        self.machine: Machine | None = None
        self.process = 0
        """Counts starts of the process: its calls die with it."""
        self.core = 0
        """Counts machines: a process that ran out of disk space starts a second one."""
        self.clock_offset = 0.0
        self.clock_rate = 1.0
        # What belongs to the process.
        self.outstanding: dict[CallID, Flight] = {}
        self.in_flight: dict[tuple[ServerID, int], int] = {}
        self.inbound: dict[CallID, Flight] = {}
        self.streams: dict[tuple[ServerID, int], deque[Flight]] = {}
        self.inbox: list[Event] = []
        self.is_paused = False
        self.applied = 0
        self.digest = 0
        """The state machine's state after ``applied``."""
        self.keeping = SnapshotKeeping(self)
        # What belongs to one machine.
        self.log = EntryLog()
        """As the machine has it: the durable log and the writes submitted since."""
        self.hard_state = hard_state
        self.commit_index = 0
        self.agreed_configuration_index = 0
        """The newest configuration that any machine on this disk knew to be agreed on."""
        self.acknowledged = (0, NO_TERM)
        """The last entry this disk was ever said to hold."""
        self.transfers = TransferCheck(world.elections)
        self.role = Role.FOLLOWER
        self.leading_term: Term | None = None
        self.turn_appends = 0
        self.proposals: dict[int, tuple[Term, bytes]] = {}
        self.reads: dict[int, tuple[int, float]] = {}
        """Reads that are asked: what was visible when each began, and when that was."""
        self._heartbeats = HeartbeatCheck(hard_state.term)
        self._turn_is_due = False
        self._timer_at = math.inf
        self._sweep_is_due = False
        self._turns = 0
        self._spins = 0
        self.writing = LogWriting(self)

    def _new_disk(self, hard_state: HardState, entries: list[LogEntry]) -> Disk:
        agreed, retain = self.world.commitment.entries, self.world.profile.retain
        if (real := self.world.profile.real_disk) is not None:
            record = self._record_hard_state
            return RealDisk(self.world, real, self.id, hard_state, entries, record)
        return Disk(hard_state, entries, self._record_hard_state, agreed=agreed, retain=retain)

    def wipe(self) -> None:
        """The folder of a process that is down is emptied; it remembers no vote either."""
        if self.machine is not None:
            violated("simulator", f"{self.id} is wiped while it runs")
        self.disk = self._new_disk(HardState(NO_TERM), [])
        self.agreed_configuration_index = 0
        self.acknowledged = (0, NO_TERM)
        self.world.elections.forget(self.id)

    # -- life

    def start(self) -> None:
        """Start the process from what is durable."""
        if self.machine is not None:
            violated("one incarnation", f"{self.id} is started while it runs")
        self.process += 1
        self.outstanding = {}
        self.in_flight = {}
        self._sweep_is_due = False
        self.inbox = []
        self.is_paused = False
        self.applied = self.digest = 0
        self.keeping = SnapshotKeeping(self)
        dice = self.world.dice
        # A monotonic clock starts anywhere.
        self.clock_offset = dice.random() * 1000.0 - self.world.now * self.clock_rate + 1.0
        self._start_machine(CallID(1), BatchID(1), campaign_after_write=False)

    def _start_machine(
        self, first_call: CallID, first_batch: BatchID, *, campaign_after_write: bool
    ) -> None:
        self.core += 1
        disk = self.disk
        disk.recover()
        newest = disk.snapshots.newest
        if newest is not None and newest.meta.index > self.applied:
            self.restore(newest)
        self.log = disk.image.clone()
        self.hard_state = disk.hard_state
        self.commit_index = self.applied
        self.role = Role.FOLLOWER
        self.leading_term = None
        self.turn_appends = 0
        self._heartbeats = HeartbeatCheck(disk.hard_state.term)
        self.proposals = {}
        self.reads = {}
        self.world.clients.history.crashed(self)
        self._turn_is_due = False
        self._timer_at = math.inf
        self.transfers = TransferCheck(self.world.elections)
        self.writing.machine_starts()
        covered = newest.meta.index if newest is not None else 0
        self.machine = self.world.machine_type(
            server_id=self.id,
            config=self.config,
            log=disk,
            initial=InitialState(
                hard_state=disk.hard_state,
                snapshot=newest.meta if newest is not None else None,
                configuration_entries=tuple(
                    disk.image[placed.index - 1]
                    for placed in disk.image.placed
                    if placed.index > covered
                ),
                applied_index=Index(self.applied),
                first_call=first_call,
                first_batch=first_batch,
                campaign_after_write=campaign_after_write,
            ),
            rng=self.world.dice,
            codec=GoConfigurationCodec(),
            now=self.local_now(),
        )
        self.check_status()
        self.turn()

    def restore(self, snapshot: Snapshot) -> None:
        """``snapshot`` replaces the state machine."""
        self.applied, self.digest = int(snapshot.meta.index), snapshot.digest
        self.commit_index = max(self.commit_index, self.applied)
        handed_out = self.world.commitment.handed_out
        self.world.commitment.handed_out = max(handed_out, self.applied)

    def crash(self) -> None:
        """The process dies, and with it what was not synced."""
        if self.machine is None:
            return
        lost = self.disk.crash(self.world.dice)
        self.keeping.crash()
        self.world.marks["crash"] += 1
        if lost:
            self.world.marks["crash with writes lost"] += 1
        if self.world.story is not None:
            self.world.tell(f"{self.id} crashes and loses {lost} batches")
        self._end_machine()
        self.outstanding = {}
        self.inbox = []

    def _end_machine(self) -> None:
        self.machine = None
        self.core += 1
        self.role = Role.FOLLOWER
        self.world.network.forget_inbound(self)

    def run_out_of_space(self) -> None:
        """A write failed for lack of space: a new machine takes over from what is on the disk."""
        machine = self.machine
        if machine is None:
            return
        self.world.marks["disk full"] += 1
        if self.world.story is not None:
            self.world.tell(f"{self.id} has no space left and starts a new machine")
        next_call, next_batch = machine.next_call, machine.next_batch
        self.disk.fail_full(self.world.dice)
        for call in self.inbound:
            self.keeping.drop(call)
        self._end_machine()
        self.inbox = [
            event
            for event in self.inbox
            if not isinstance(event, Persisted | Applied | RequestReceived)
        ]
        self._start_machine(next_call, next_batch, campaign_after_write=True)

    # -- time

    def local_now(self) -> float:
        return self.clock_offset + self.world.now * self.clock_rate

    def hold(self) -> None:
        """Have a Go peer's main loop stand still."""

    def release(self) -> None:
        """Let it go on."""

    def begin_stream(self, flight: Flight) -> None:
        """The head of an InstallSnapshot is here: only a Go peer takes its bytes off the stream."""

    def end_stream(self, flight: Flight, *, whole: bool) -> None:
        """What a Go peer waits for is all here, or was reset."""

    def pause(self) -> None:
        """Stop handling anything, as under SIGSTOP."""
        self.is_paused = True

    def resume(self) -> None:
        """Handle all that came meanwhile, then what is due."""
        self.is_paused = False
        if self.machine is not None:
            self._take_in(self.core)

    def _arm_timer(self) -> None:
        machine = self.machine
        if machine is None:
            return
        deadline = machine.next_timer()
        if deadline == math.inf:
            return
        world = self.world
        at = (deadline - self.clock_offset) / self.clock_rate
        if at <= world.now:
            self._spins += 1
            if self._spins > _MOST_SPINS:
                violated("timers", f"{self.id} asks for {deadline} again and again")
            at = world.now
        else:
            self._spins = 0
        if at < self._timer_at:
            self._timer_at = at
            world.push(at + 1e-7, self._on_timer, self.core)

    def _on_timer(self, core: int) -> None:
        if core != self.core:
            return
        self._timer_at = math.inf
        if not self.is_paused and not self._turn_is_due:
            self.turn()

    # -- the owner's loop

    def deliver(self, event: Event) -> None:
        """Hand an event to the machine: now, or together with others a little later."""
        machine = self.machine
        if machine is None:
            return
        if self.is_paused or self._turn_is_due:
            self.inbox.append(event)
            return
        world = self.world
        if world.profile.turn_s:
            self.inbox.append(event)
            self._turn_is_due = True
            world.push(
                world.now + world.dice.random() * world.profile.turn_s, self._take_in, self.core
            )
            return
        self._note(event)
        shout = self._shout_in(event)
        before = self.hard_state.term
        machine.handle(event, self.local_now())
        self.turn()
        if shout is not None and self.machine is machine:
            world.membership.shouted(self, before, shout)

    def deliver_later(self, event: Event) -> None:
        """Hand over an event that comes up within a turn: when that has ended."""
        self.world.push(self.world.now, self._deliver_if_running, (event, self.process))

    def _deliver_if_running(self, late: tuple[Event, int]) -> None:
        event, process = late
        if process == self.process:
            self.deliver(event)

    def _take_in(self, core: int) -> None:
        if core != self.core or self.is_paused:
            return
        self._turn_is_due = False
        machine = self.machine
        if machine is None:
            return
        now = self.local_now()
        inbox, self.inbox = self.inbox, []
        for event in inbox:
            self._note(event)
            machine.handle(event, now)
        self.turn()

    def _note(self, event: Event) -> None:
        """Note what this turn's outputs are judged by."""
        if type(event) is RequestReceived:
            request = event.request
            if type(request) is AppendEntriesRequest:
                self.turn_appends += 1
                if request.is_heartbeat:
                    self._heartbeats.calls.append(event.call)
            elif type(request) is TimeoutNowRequest:
                self.transfers.was_asked(self, event.call)
        elif type(event) is Persisted:
            self._heartbeats.told_term = self.disk.hard_state.term
        elif type(event) is SnapshotStored:
            self.keeping.told(event.call)

    def _shout_in(self, event: Event) -> RequestVoteRequest | None:
        """Return the request for a vote of a server that is known here to be removed."""
        if type(event) is not RequestReceived or type(event.request) is not RequestVoteRequest:
            return None
        is_shout = self.world.membership.is_shout(self, event.peer, event.request)
        return event.request if is_shout else None

    def turn(self) -> None:
        """Do what is due and what the machine then owes, until it owes nothing at once."""
        machine = self.machine
        again = True
        while again and machine is not None and self.machine is machine:
            now = self.local_now()
            if machine.next_timer() <= now:
                machine.handle_timer(now)
            again = self._do(machine.take_ready(), now)
            self.turn_appends = 0
        if self.machine is not None:
            if self._heartbeats.calls:
                self._heartbeats.turn_ends(self)
            self._turns += 1
            if self._turns % _STATUS_EVERY_TURNS == 0:
                self.check_status()
            if self.transfers.is_open:
                self.transfers.turn_ends(self)
            self._arm_timer()

    def check_status(self) -> None:
        """Check what the machine says about itself."""
        status = self.status()
        self.world.commitment.status(self, status)
        self.world.membership.status(self, status)

    def status(self) -> CoreStatus:
        machine = self.machine
        if machine is None:
            violated("simulator", f"{self.id} is down and has no status")
        return machine.status(self.local_now())

    def _do(self, ready: Ready, now: float) -> bool:
        """Do what ``core.ready`` asks; return whether the machine was handed something at once."""
        deposed = self._observe(ready.observations) if ready.observations else False
        dies = False
        if ready.write is not None:
            dies = self.writing.write(ready.write)
        if ready.send:
            self._send(ready, dies)
        if dies:
            self.world.marks["crash before a write"] += 1
            self.world.crash(self)
            return False
        self._keep_snapshots(ready)
        fed = self._apply(ready.committed, now) if ready.committed else False
        if ready.read_states:
            self._read_states(ready.read_states)
        if deposed and self.leading_term is not None:
            self.world.commitment.deposed(self)
            self.leading_term = None
        return fed

    def _keep_snapshots(self, ready: Ready) -> None:
        if ready.adopt_snapshot is not None:
            self.keeping.adopt(ready.adopt_snapshot)
            self.world.clients.history.applied(self)
            self.check_status()
        if ready.write is not None and ready.write.remove_prefix is not None:
            self.world.snapshots.compaction(self, ready.write.remove_prefix)
        if ready.take_snapshot is not None:
            self.keeping.take(ready.take_snapshot)
        for stored in ready.store_snapshot:
            self.keeping.store(stored)
        for call in ready.drop_snapshot:
            self.keeping.drop(call)

    def _observe(self, observations: list[Observation]) -> bool:
        deposed = False
        for observation in observations:
            if self.world.story is not None:
                self.world.tell(f"{self.id} observes {observation}")
            if isinstance(observation, RoleChanged):
                self.role = observation.role
                if observation.role is Role.LEADER:
                    self.leading_term = observation.term
                    deposed = False
                    self.world.marks["election"] += 1
                    self.world.elections.elected(self, observation.term)
                else:
                    deposed = True
                    self.proposals.clear()
            elif isinstance(observation, LeaderChanged) and observation.leader is not None:
                self.world.elections.leads(observation.leader, observation.term)
            elif isinstance(observation, TransferEnded):
                self.transfers.ended(self, observation)
            elif isinstance(observation, Removed):
                self.world.membership.removed(self, observation)
        return deposed

    def _record_hard_state(self, hard_state: HardState) -> None:
        self.world.elections.vote_durable(self.id, hard_state)

    # -- messages

    def _send(self, ready: Ready, dies: bool) -> None:
        world = self.world
        sent = ready.send
        if dies:
            sent = sent[: world.dice.randint(0, len(sent))]
        for output in sent:
            if isinstance(output, Call):
                if world.story is not None:
                    world.tell(f"{self.id} calls {output.peer} #{output.call}: {output.request}")
                world.durability.request(self, output.peer, output.request)
                world.network.send_call(self, output)
            else:
                flight = self.inbound.pop(output.call, None)
                if flight is None:
                    violated("replies", f"{self.id} answers {output}, which is not open")
                if world.story is not None:
                    world.tell(f"{self.id} answers {flight.source.id} #{output.call}: {output}")
                world.durability.response(self, flight, output)
                if ready.adopt_snapshot is None or ready.adopt_snapshot.call != output.call:
                    self.keeping.drop(output.call)
                world.network.send_reply(self, output, flight)

    def arm_sweep(self) -> None:
        """Have calls fail at their time limit; one event serves all that are open."""
        if not self._sweep_is_due and self.outstanding:
            self._sweep_is_due = True
            first = next(iter(self.outstanding.values()))
            self.world.push(max(first.deadline, self.world.now), self._sweep, self.process)

    def _sweep(self, process: int) -> None:
        if process != self.process:
            return
        self._sweep_is_due = False
        for flight in list(self.outstanding.values()):
            if flight.deadline > self.world.now:
                break
            self.world.network.fail(flight)
        self.arm_sweep()

    # -- clients

    def _apply(self, entries: list[LogEntry], now: float) -> bool:
        world = self.world
        world.commitment.apply(self, entries)
        self.applied = int(entries[-1].index)
        if world.story is not None:
            world.tell(f"{self.id} applies up to {self.applied}")
        for entry in entries:
            self.digest = digest_after(self.digest, entry)
        self.commit_index = max(self.commit_index, self.applied)
        if self.proposals:
            for entry in entries:
                proposed = self.proposals.pop(entry.index, None)
                if proposed is not None:
                    world.clients.came_out(entry, *proposed, world.now)
        world.clients.history.applied(self)
        machine = self.machine
        if machine is None:
            return False
        if world.profile.apply_s:
            latency = world.dice.random() * world.profile.apply_s
            world.push(world.now + latency, self._applied, (self.core, self.applied))
            return False
        machine.handle(Applied(Index(self.applied)), now)
        return True

    def _applied(self, done: tuple[int, int]) -> None:
        core, index = done
        if core == self.core:
            self.deliver(Applied(Index(index)))

    def _read_states(self, states: list[ReadState | ReadRefused]) -> None:
        for state in states:
            asked = self.reads.pop(state.token, None)
            if asked is None:
                violated("reads", f"{self.id} answers {state}, which nobody waits for")
            if isinstance(state, ReadState):
                self.world.marks["read"] += 1
                floor, began = asked
                self.world.clients.read(self, floor, state.index)
                self.world.clients.history.confirmed(self, state.token, began, state.index)
            else:
                self.world.marks["read refused"] += 1
