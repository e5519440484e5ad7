"""The driver: one task that owns a core and pumps events, disk, streams and callers.

A turn drains all that waits (events from the transport, finished writes, proposals, reads),
calls the core once for each, and then does what the core owes: one encode and one wake-up a
peer, one write for the log, one batch for the state machine, and every waiter at once.
Nothing here costs a task, a channel, a thread hop or a log line per entry.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import trio

from raft_over_libp2p import limits
from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core.events import Applied, ClockStoodStill, Event, Persisted, RequestReceived
from raft_over_libp2p.core.interfaces import InitialState, Random
from raft_over_libp2p.core.machine import Machine
from raft_over_libp2p.core.messages import ErrorResponse, InstallSnapshotRequest
from raft_over_libp2p.core.ready import (
    ConfigurationChanged,
    LeaderChanged,
    Observation,
    Ready,
    Removed,
    Reply,
    RestoreEnded,
    Role,
    RoleChanged,
    StoreSnapshot,
    TransferEnded,
)
from raft_over_libp2p.core.trace import TracedMachine, Tracer
from raft_over_libp2p.errors import DiskFull, ProposalRefused, StorageError
from raft_over_libp2p.raft.fsm import FSM
from raft_over_libp2p.raft.growth import Growth
from raft_over_libp2p.raft.log_writer import InlineLogWriter, LogThread, LogWriter
from raft_over_libp2p.raft.metrics import Metrics
from raft_over_libp2p.raft.observers import Observed, Observer, peer_changes
from raft_over_libp2p.raft.proposals import Proposals
from raft_over_libp2p.raft.reads import Reads
from raft_over_libp2p.raft.request_table import RequestTable
from raft_over_libp2p.raft.snapshots import Snapshots
from raft_over_libp2p.raft.suspension import SuspendWatch
from raft_over_libp2p.raft.waiting import Waiter
from raft_over_libp2p.storage.interface import Stores
from raft_over_libp2p.storage.recovery import load_initial_state
from raft_over_libp2p.transport.interface import Transport
from raft_over_libp2p.types import (
    BatchID,
    CallID,
    Configuration,
    Index,
    LogEntry,
    LogType,
    ServerID,
    Term,
)
from raft_over_libp2p.wire.configuration import GoConfigurationCodec
from raft_over_libp2p.wire.log_entry import encode_entry

__all__ = ["Driver"]

_CODEC: Final = GoConfigurationCodec()
_DISK_PROBE_INTERVAL_S: Final = 1.0
"""How often a full disk is asked whether it takes a write again."""


class Driver:
    """Runs one core; ``Raft`` is what callers see of it.

    Everything but ``run`` and the log writer's two reports is called from the trio thread
    between turns, so no state here needs a lock.
    """

    def __init__(
        self,
        folder: Stores,
        transport: Transport,
        fsm: FSM[Any, Any],
        config: RaftConfig,
        rng: Random,
        *,
        sync_inline: bool,
        tracer: Tracer | None = None,
    ) -> None:
        self.folder = folder
        self.transport = transport
        self.proposals = Proposals()
        self.reads = Reads()
        self.role = Role.FOLLOWER
        self.leader: ServerID | None = None
        self.ended = trio.Event()
        self.stopped = trio.Event()
        """Set when nothing runs for this driver any more: by who runs it."""
        self.end_reason = ""
        """Why nothing more is done; empty while running."""
        self.applied_index = Index(0)
        self.latest = Configuration()
        """The latest configuration; its predecessor until it is committed is ``_committed``."""
        self.role_changed = RoleChanged(Role.FOLLOWER, Term(0))
        self.leader_changed = LeaderChanged(None, Term(0))
        self.observers: list[Observer] = []
        self.requests = RequestTable()
        """Which request IDs the log holds."""
        self.growth = Growth()
        self.metrics = Metrics()
        self._committed = Configuration()
        self._fsm = fsm
        self.config = config
        self._rng = rng
        self._machine_type = Machine if tracer is None else partial(TracedMachine, tracer=tracer)
        self._token = trio.lowlevel.current_trio_token()
        self._is_inline = sync_inline
        writer = InlineLogWriter if sync_inline else LogThread
        self.log_writer: LogWriter = writer(
            folder.log, folder.stable, persisted=self._on_persisted, failed=self._on_write_failed
        )
        self._generation = 0
        self._storage_error: StorageError | None = None
        self._next_disk_probe = math.inf
        self._suspends = SuspendWatch() if config.lease_reads else None
        self._events: list[Event] = []
        self._unanswered: set[CallID] = set()
        self._to_apply: deque[LogEntry] = deque()
        self._changed = trio.Event()
        self._has_change_waiters = False
        self._task: trio.lowlevel.Task | None = None
        self._is_parked = False
        self._has_work = True
        self.transfer: Waiter[ServerID] | None = None
        """Who waits for the transfer of leadership that is under way."""
        self.snapshots = Snapshots(
            folder.snapshots,
            fsm,
            deliver=self.deliver,
            fail=self._stop_on,
            wants=self._wants_snapshot,
            is_inline=sync_inline,
        )
        initial = load_initial_state(folder, _CODEC)
        self.snapshots.restore_newest(initial.snapshot)
        if initial.snapshot is not None:
            self.applied_index = initial.snapshot.index
        self.core = self._new_core(initial, trio.current_time())

    def _new_core(self, initial: InitialState, now: float) -> Machine:
        core = self._machine_type(
            server_id=self.folder.server_id,
            config=self.config,
            log=self.folder.log,
            initial=initial,
            rng=self._rng,
            codec=_CODEC,
            now=now,
        )
        self.requests = RequestTable.of_log(self.folder.log)
        status = core.status(now)
        self.latest = self._committed = status.configuration
        self.role_changed = RoleChanged(Role.FOLLOWER, status.term)
        self.leader_changed = LeaderChanged(None, status.term)
        self._tell_members()
        return core

    @property
    def is_disk_full(self) -> bool:
        return self._next_disk_probe < math.inf

    # -- waking and waiting

    def deliver(self, event: Event) -> None:
        """Take an event in for the next turn (``transport.interface.Deliver``)."""
        if isinstance(event, RequestReceived):
            self._unanswered.add(event.call)
        self._events.append(event)
        self.wake()

    def wake(self) -> None:
        """Have a turn made soon."""
        self._has_work = True
        if self._is_parked and self._task is not None:
            self._is_parked = False
            trio.lowlevel.reschedule(self._task)

    async def changed(self) -> None:
        """Return after the next turn that changed what callers may wait for."""
        self._has_change_waiters = True
        await self._changed.wait()

    def end(self, why: str) -> None:
        """Fail everybody who waits, and stop; only the first ``why`` counts."""
        if self.end_reason:
            return
        self.end_reason = why
        self.ended.set()
        self.proposals.fail_all(why)
        self.reads.fail_all(why)
        self.snapshots.close()
        if self.transfer is not None:
            self.transfer.set_error(ProposalRefused(f"leadership was not handed over: {why}"))
        self._changed.set()
        for observer in self.observers:
            observer.end()

    def reload_config(self, config: RaftConfig) -> None:
        """Go by ``config`` from now on."""
        self.config = config
        self.core.reload_config(config, trio.current_time())
        self.wake()

    @property
    def fsm_pending(self) -> int:
        """How many committed entries wait to be applied."""
        return len(self._to_apply)

    async def run(self) -> None:
        """Make turns until ended or cancelled.

        Raises:
            StorageError: a write failed in a way that leaves nothing to trust.

        """
        self._task = trio.lowlevel.current_task()
        while not self.end_reason:
            if self._has_work or self._to_apply:
                await trio.lowlevel.checkpoint()
            else:
                await self._park()
            self._has_work = False
            begun = trio.current_time()
            self._turn(begun)
            self.metrics.turned(begun, trio.current_time())
            self.log_writer.flush()
            if self._storage_error is not None:
                await self._start_over()

    async def _park(self) -> None:
        def abort(_raise_cancel: Callable[[], object]) -> trio.lowlevel.Abort:
            self._is_parked = False
            return trio.lowlevel.Abort.SUCCEEDED

        with trio.CancelScope(deadline=min(self.core.next_timer(), self._next_disk_probe)):
            self._is_parked = True
            await trio.lowlevel.wait_task_rescheduled(abort)

    # -- a turn

    def _turn(self, now: float) -> None:
        core = self.core
        if self._suspends is not None and self._suspends.has_stood_still():
            core.handle(ClockStoodStill(), now)
        events, self._events = self._events, []
        for event in events:
            core.handle(event, now)
        # Inputs are drained before timers: what waited may be a leader's heartbeat (rule 22).
        if core.next_timer() <= now:
            core.handle_timer(now)
        if self._next_disk_probe <= now:
            self._next_disk_probe = now + _DISK_PROBE_INTERVAL_S
            self.log_writer.probe()
        has_changed = False
        if self.proposals.has_new:
            if self.proposals.has_requests:
                # The table must know what this turn's events did to the log.
                has_changed = self._discharge(core.take_ready(), now)
            self.proposals.hand_in(core, self.requests, now)
        if self.reads.has_new:
            self.reads.hand_in(core, now)
        has_changed = self._discharge(core.take_ready(), now) or has_changed
        if self._to_apply:
            has_changed = True
            core.handle(Applied(self._apply_some(now)), now)
            self._discharge(core.take_ready(), now)
        self.snapshots.answer_waiters()
        if has_changed and self._has_change_waiters:
            self._has_change_waiters = False
            self._changed.set()
            self._changed = trio.Event()

    def _discharge(self, ready: Ready, now: float) -> bool:
        """Do what ``ready`` asks, but for applying; return whether waiters must look again.

        ``now`` is the turn's: many a turn has nothing of what is timed.
        """
        size_bytes = 0
        if ready.write is not None:
            size_bytes = sum([len(encode_entry(entry)) for entry in ready.write.append])
            self.requests.follow(ready.write)
            self.metrics.written(ready.write, size_bytes, now)
            self.log_writer.submit(ready.write)
        if ready.send:
            self.transport.send(list(map(self.snapshots.with_size, ready.send)))
            self._unanswered.difference_update(
                output.call for output in ready.send if isinstance(output, Reply)
            )
        self._discharge_state(ready)
        if ready.drop_restore:
            self.snapshots.restore.drop()
        if ready.write_restore is not None:
            self.snapshots.write_restore(ready.write_restore)
        for read in ready.read_states:
            self.reads.resolve(read)
        for observation in ready.observations:
            self._observe(observation)
        if self.role is Role.LEADER and ready.write is not None and ready.write.append:
            self.growth.grew(ready.write.append[-1].index, size_bytes, now)
        if ready.keep_restore is not None:
            # Before anything else is heard (core.ready).
            self.core.handle(self.snapshots.restore.keep(ready.keep_restore), now)
            self._discharge(self.core.take_ready(), now)
            return True
        return bool(ready.observations) or ready.adopt_snapshot is not None

    def _discharge_state(self, ready: Ready) -> None:
        """Do what ``ready`` asks of the state machine and its snapshots, in its order."""
        if ready.adopt_snapshot is not None:
            self.metrics.snapshots_adopted += 1
            self._adopt(ready.adopt_snapshot)
        if ready.take_snapshot is not None:
            self.metrics.snapshots_begun += 1
            self.snapshots.take(ready.take_snapshot)
        if ready.committed:
            self._to_apply.extend(ready.committed)
        for stored in ready.store_snapshot:
            self.snapshots.store(stored)
        for call in ready.drop_snapshot:
            self.snapshots.drop(call)
        if self.snapshots.holds_any:
            # Last, because the reply to a call may come with the adoption of its snapshot.
            for output in ready.send:
                if isinstance(output, Reply):
                    self.snapshots.drop(output.call)

    def _adopt(self, stored: StoreSnapshot) -> None:
        # What was handed out and not applied yet is older than the snapshot: it holds it.
        self._to_apply.clear()
        self.snapshots.adopt(stored)
        self.applied_index = stored.meta.index

    def _apply_some(self, now: float) -> Index:
        """Apply up to a turn's worth of committed entries and return the last one's index."""
        count = min(len(self._to_apply), limits.MAX_APPLY_BATCH_ENTRIES)
        batch = [self._to_apply.popleft() for _ in range(count)]
        commands = [entry for entry in batch if entry.type is LogType.COMMAND]
        results: Sequence[Any] = ()
        begun = ended = now
        if commands:
            begun = trio.current_time()
            results = self._fsm.apply(commands)
            ended = trio.current_time()
        self.metrics.applied(len(commands), batch[-1].index, begun, ended)
        if commands:
            self.requests.applied(commands, results)
        self.applied_index = batch[-1].index
        self.proposals.resolve(batch, results, self.leader)
        return self.applied_index

    def _observe(self, observation: Observation) -> None:
        self.metrics.observed(observation)
        if isinstance(observation, RoleChanged):
            if self.role is Role.LEADER and observation.role is not Role.LEADER:
                # What is committed is agreed on: a leader that removed itself ends so. Its own
                # disk may be the last to hold it, and only then does it come out to be applied.
                agreed = self.core.status(trio.current_time()).commit_index
                self.proposals.fail_in_log(
                    "leadership was lost while it was being agreed on", after=agreed
                )
            self.role = observation.role
            self.growth.restart()
            self.role_changed = observation
        elif isinstance(observation, LeaderChanged):
            self.leader = observation.leader
            self.leader_changed = observation
        elif isinstance(observation, ConfigurationChanged):
            changes = peer_changes(self.latest, observation.configuration)
            self.latest = observation.configuration
            if observation.committed:
                self._committed = observation.configuration
            self._tell_members()
            for change in changes:
                self._tell_observers(change)
        elif isinstance(observation, RestoreEnded):
            self.snapshots.restore.tell(observation, self.applied_index)
        elif isinstance(observation, TransferEnded):
            self._tell_transfer(observation)
        self._tell_observers(observation)
        if isinstance(observation, Removed) and self.config.shutdown_on_remove:
            self.end(f"it was removed from the cluster by entry {observation.index}")

    def _tell_transfer(self, ended: TransferEnded) -> None:
        waiter, self.transfer = self.transfer, None
        if waiter is None:
            return
        if ended.error:
            waiter.set_error(ProposalRefused(f"leadership stays here: {ended.error}"))
        else:
            waiter.set_value(ended.target)

    def _tell_observers(self, observation: Observed) -> None:
        if self.end_reason:
            return  # their iterations have ended
        for observer in self.observers:
            observer.tell(observation)

    def _tell_members(self) -> None:
        self.transport.set_members({*self.latest.ids, *self._committed.ids})

    def _wants_snapshot(self, request: InstallSnapshotRequest) -> bool:
        """Tell whether the bytes of ``request`` are worth the disk: the core decides again."""
        trusted = self.config.trusted_peers
        members = {*self.latest.ids, *self._committed.ids}
        if trusted is not None and request.leader not in trusted | members:
            return False
        core = self.core.status(trio.current_time())
        return request.term >= core.term and request.last_log_index > core.commit_index

    # -- the disk

    # The log writer may call from its own thread; an inline one calls from ours, where the
    # word is passed on at once, so that time on a fake clock never overtakes a write.

    def _on_persisted(self, generation: int, batch: BatchID) -> None:
        if self._is_inline:
            self._persisted(generation, batch)
        else:
            self._token.run_sync_soon(self._persisted, generation, batch)

    def _on_write_failed(self, generation: int, error: StorageError) -> None:
        if self._is_inline:
            self._write_failed(generation, error)
        else:
            self._token.run_sync_soon(self._write_failed, generation, error)

    def _stop_on(self, error: StorageError) -> None:
        """Take in a failure of the snapshots' disk, which is the log's: it ends this server."""
        self._storage_error = error
        self.wake()

    def _persisted(self, generation: int, batch: BatchID) -> None:
        if generation == self._generation:
            self._next_disk_probe = math.inf
            self.metrics.persisted(batch, trio.current_time())
            self.deliver(Persisted(batch))

    def _write_failed(self, generation: int, error: StorageError) -> None:
        if generation == self._generation:
            self._storage_error = error
            self.wake()

    async def _start_over(self) -> None:
        """Stop; or on a full disk, start the core again from what is durable (rule 9).

        The old core may already have sent an entry it could not write, so it must never
        write another at that place in the same term: it is dropped, leadership with it.

        A snapshot may be durable behind which the log cannot be begun before there is space:
        until then this server does nothing but refuse what it is asked.
        """
        self.metrics.write_failed()
        while True:
            error, self._storage_error = self._storage_error, None
            if error is not None and not isinstance(error, DiskFull):
                raise error
            self._give_up_core()
            try:
                durable = load_initial_state(self.folder, _CODEC)
            except DiskFull:
                await trio.sleep(_DISK_PROBE_INTERVAL_S)
            else:
                self._restart_core(durable)
                return

    def _give_up_core(self) -> None:
        """Hand out nothing more of this core, and tell everybody who waits for it."""
        why = "the disk of this server is full"
        self.proposals.fail_all(why)
        self.reads.fail_all(why)
        self.snapshots.restore.abandon(why)
        self._generation += 1
        self.log_writer.next_generation()
        self._to_apply.clear()
        self.snapshots.drop_partial()
        self._next_disk_probe = trio.current_time() + _DISK_PROBE_INTERVAL_S
        if self.role is not Role.FOLLOWER:
            self._observe(RoleChanged(Role.FOLLOWER, self.role_changed.term))
        if self.leader is not None:
            self._observe(LeaderChanged(None, self.leader_changed.term))
        # What the old core was told is not the next one's, and requests are refused here.
        self._events.clear()
        refusal = ErrorResponse(error=why)
        self.transport.send([Reply(call, refusal) for call in self._unanswered])
        for call in self._unanswered:
            self.snapshots.drop(call)
        self._unanswered.clear()

    def _restart_core(self, durable: InitialState) -> None:
        """Go on with a new core from ``durable``, in the numbering of the old one."""
        if durable.snapshot is not None and durable.snapshot.index > self.applied_index:
            # A leader's snapshot reached the disk and was not adopted: what is durable counts.
            self.snapshots.restore_newest(durable.snapshot)
            self.applied_index = durable.snapshot.index
        restart = replace(
            durable,
            applied_index=self.applied_index,
            first_call=self.core.next_call,
            first_batch=self.core.next_batch,
            campaign_after_write=True,
        )
        self.core = self._new_core(restart, trio.current_time())
        self.wake()
