"""A small model of hashicorp/raft, for worlds in which some servers are Go peers.

What differs from our core is what matters here (mixed-cluster rules, part C): the main loop
stands still while it writes and while it takes a snapshot in; term and vote are separate
writes; heartbeats are handled beside the main loop; a follower commits up to its own last
entry; the previous entry is not looked for in the snapshot unless that is the last thing there
is; a late snapshot rolls state and configuration back; a vote given before is given again
without a look at the log; anybody's TimeoutNow is obeyed. Release 1.6 knows no pre-vote.

Each handler is a generator that yields how long it stands still (a write), or ``HELD`` until
:meth:`GoRaft.wake`; the main loop goes through them one by one, as Go's does.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    Request,
    RequestPreVoteRequest,
    RequestPreVoteResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    Response,
    TimeoutNowRequest,
    TimeoutNowResponse,
)
from raft_over_libp2p.core.ready import Role
from raft_over_libp2p.types import (
    NO_INDEX,
    NO_TERM,
    CallID,
    Configuration,
    Index,
    LogEntry,
    LogType,
    ServerID,
    Term,
)
from raft_over_libp2p.wire.configuration import GoConfigurationCodec
from tests.simulation.entry_log import Placed
from tests.simulation.go_candidate import GoCandidate
from tests.simulation.go_fault import GoFault
from tests.simulation.go_leader import GoLeader

if TYPE_CHECKING:
    from tests.simulation.go_server import GoServer
    from tests.simulation.network import Flight

__all__ = ["HELD", "GoRaft", "Task"]

HELD: Final = None
Task: TypeAlias = Generator[float | None, None, None]


class GoRaft:
    """One process's Raft; what it has in memory dies with it."""

    def __init__(self, server: GoServer) -> None:
        self.server = server
        self.world = server.world
        self.disk = server.go_disk
        self.config = server.config
        disk = self.disk
        self.term = disk.current_term
        self.role = Role.FOLLOWER
        self.known_leader: ServerID | None = None
        self.commit = 0
        self.last_log: tuple[int, Term] = disk.last_log
        newest = disk.snapshots.newest
        self.last_snapshot: tuple[int, Term] = (0, NO_TERM)
        self.fsm: tuple[int, Term, int] = (0, NO_TERM, 0)
        """Index, term and state after the last entry that the state machine saw."""
        self.committed = self.latest = Placed(NO_INDEX, NO_TERM, Configuration())
        if newest is not None:
            meta = newest.meta
            self.last_snapshot = (meta.index, meta.term)
            self.fsm = (meta.index, meta.term, newest.digest)
            self._restart_configuration(meta.configuration_index, meta.term, meta.configuration)
        for index in range(self.last_snapshot[0] + 1, self.last_log[0] + 1):
            if index in disk.store:
                self._take_configuration(disk.store[index])
        self.contact = server.world.now
        self.from_transfer = False
        self.leader: GoLeader | None = None
        self.candidate: GoCandidate | None = None
        self.snapshot_due = True
        self._queue: deque[Callable[[], Task]] = deque()
        self._main: Task | None = None
        self._is_held = False
        """The main loop waits for the bytes of a snapshot."""
        self._is_stuck = False
        self._beside = 0
        self._parked: list[Task] = []
        self._timers = 0

    def _restart_configuration(self, index: Index, term: Term, configuration: object) -> None:
        self.committed = self.latest = Placed(index, term, configuration)  # type: ignore[arg-type]

    # -- loops

    @property
    def is_busy(self) -> bool:
        """Whether the main loop stands still."""
        return self._main is not None

    def post(self, make: Callable[[], Task]) -> None:
        """Have the main loop run a handler when it comes to it."""
        self._queue.append(make)
        self._next()

    def _next(self) -> None:
        while self._main is None and self._queue and self.server.machine is not None:
            self._main = self._queue.popleft()()
            self._go_on(self._main)

    def _go_on(self, task: Task) -> None:
        """Run ``task`` to where it next stands still."""
        server = self.server
        if server.machine is None or server.raft is not self:
            return
        if server.is_paused or (task is self._main and self._beside and not self._may_race):
            self._parked.append(task)
            return
        try:
            wait_s = next(task)
        except StopIteration:
            self._ended(task)
            return
        if wait_s is HELD:
            self._is_held = True
        else:
            self.world.push(self.world.now + wait_s, self._go_on, task)

    def _ended(self, task: Task) -> None:
        if task is self._main:
            self._main = None
            self._next()
            return
        self._beside -= 1
        if not self._beside:
            self.unpark()

    def unpark(self) -> None:
        """Go on with what could not while the process was stopped."""
        parked, self._parked = self._parked, []
        for task in parked:
            self._go_on(task)
        self._next()

    def wake(self) -> None:
        """The snapshot that the main loop waits for is there, or will not come."""
        if self._is_held and self._main is not None:
            self._is_held = False
            self._go_on(self._main)

    def hold(self) -> None:
        """Stand still as under a snapshot without an end."""
        self._is_stuck = True
        self.post(self._stand_still)

    def _stand_still(self) -> Task:
        while self._is_stuck:
            yield HELD

    def release(self) -> None:
        self._is_stuck = False
        self.wake()

    @property
    def _may_race(self) -> bool:
        return self.world.profile.go_races

    def beside(self, make: Callable[[], Task], *, changes: bool) -> None:
        """Run a heartbeat's handler beside the main loop.

        Where it ``changes`` term or role, what may come of that is Go's own fault
        (hashicorp/raft #695): only some worlds have it, in others it waits for its turn.
        """
        if changes and self._main is not None and not self._is_held and not self._may_race:
            self.post(make)
            return
        if changes and self._main is not None:
            self.world.marks["Go: heartbeat beside the main loop"] += 1
        self._beside += 1
        self._go_on(make())

    # -- the stable store

    def write_s(self) -> float:
        """Return how long a synced write takes now."""
        world = self.world
        low, high = world.profile.flush_s
        taken = low + (high - low) * world.dice.random()
        if world.profile.slow_disk and world.dice.random() < world.profile.slow_disk:
            taken += world.dice.random() ** 4 * 3.0
        return taken

    def set_term(self, term: Term) -> Task:
        """hashicorp's ``setCurrentTerm``: durable, then in memory; a failing disk panics."""
        yield self.write_s()
        if term < self.term:
            raise GoFault(f"{self.server.id} went back to term {term} from {self.term}")
        if term != self.term:
            self.disk.set_current_term(term)
            self.server.hard_state = self.disk.hard_state
        self.term = term

    def persist_vote(self, term: Term, candidate: ServerID) -> Task:
        """Two writes, and between them the new term stands beside the old candidate."""
        yield self.write_s()
        self.disk.set_vote_term(term)
        yield self.write_s()
        if self.disk.current_term != term:
            raise GoFault(f"{self.server.id} voted in {term} while it went on to another")
        self.disk.set_vote_candidate(candidate)

    def last_entry(self) -> tuple[int, Term]:
        """hashicorp's ``getLastEntry``: of log and snapshot what reaches further."""
        if self.last_log[0] >= self.last_snapshot[0]:
            return self.last_log
        return self.last_snapshot

    @property
    def last_index(self) -> int:
        return max(self.last_log[0], self.last_snapshot[0])

    # -- roles

    def follow(self) -> None:
        """hashicorp's ``setState(Follower)``: it forgets the leader."""
        self.known_leader = None
        was = self.role
        self.role = self.server.role = Role.FOLLOWER
        self.candidate = None
        if self.leader is not None:
            self.leader.stop()
            self.leader = None
            self.server.leads_no_more()
        if was is not Role.FOLLOWER:
            if was is Role.LEADER:
                self.contact = self.world.now
            self.arm_follower()

    def lead(self, term: Term) -> Task:
        """Take office: what it was elected in had better be the term it is in."""
        if self.term != term:
            raise GoFault(f"{self.server.id} was elected in {term} and leads {self.term}")
        self.candidate = None
        self.known_leader = self.server.id
        self.role = self.server.role = Role.LEADER
        self._timers += 1
        self.server.leads(term)
        self.leader = GoLeader(self, term)
        yield from self.leader.begin()

    def campaign(self) -> Task:
        """hashicorp's ``setState(Candidate)``, and one run of its candidate's loop."""
        self.known_leader = None
        if self.role is not Role.CANDIDATE:
            self.world.marks["Go: campaign"] += 1
        self.role = self.server.role = Role.CANDIDATE
        self.candidate = GoCandidate(self)
        yield from self.candidate.begin()

    # -- timers

    def _local_s(self, seconds: float) -> float:
        return seconds / self.server.clock_rate

    def random_s(self, seconds: float) -> float:
        """hashicorp's ``randomTimeout``, on this server's clock."""
        return self._local_s(seconds * (1.0 + self.world.dice.random()))

    def arm_follower(self) -> None:
        self.arm(self.random_s(self.config.heartbeat_timeout_s), self._on_heartbeat_timer)

    def arm(self, seconds: float, task: Callable[[], Task]) -> None:
        """Have the main loop run ``task`` in a while, unless another is armed before."""
        self._timers += 1
        self.world.push(self.world.now + seconds, self._fire, (self._timers, task))

    def _fire(self, armed: tuple[int, Callable[[], Task]]) -> None:
        number, task = armed
        if number == self._timers and self.server.raft is self:
            if self.server.is_paused:
                self.world.push(self.world.now + 0.05, self._fire, armed)
                return
            self.post(lambda: self._if_armed(number, task))

    def _if_armed(self, number: int, task: Callable[[], Task]) -> Task:
        if number == self._timers:
            yield from task()

    def _on_heartbeat_timer(self) -> Task:
        if self.role is not Role.FOLLOWER:
            return
        self.arm_follower()
        limit_s = self._local_s(self.config.heartbeat_timeout_s)
        if self.world.now - self.contact < limit_s:
            return
        self.known_leader = None
        if self.latest.index and self.latest.configuration.is_voter(self.server.id):
            yield from self.campaign()

    # -- requests

    def request(self, call: CallID, peer: ServerID, request: Request) -> None:
        """Take in a request that is here as a whole."""
        if isinstance(request, AppendEntriesRequest):
            if request.is_heartbeat:
                changes = request.term > self.term or (
                    request.term == self.term and self.role is not Role.FOLLOWER
                )
                self.beside(lambda: self._append(call, request), changes=changes)
            else:
                self.post(lambda: self._append(call, request))
        elif isinstance(request, RequestVoteRequest):
            self.post(lambda: self._vote(call, request))
        elif isinstance(request, RequestPreVoteRequest):
            if self.world.profile.go_is_1_6:
                self.server.close_stream(call)  # an unknown RPC type: it just closes the stream
            else:
                self.post(lambda: self._pre_vote(call, peer, request))
        elif isinstance(request, TimeoutNowRequest):
            self.post(lambda: self._timeout_now(call))
        else:
            self.server.refuse_protocol(call)

    def reply(self, call: CallID, response: Response) -> None:
        self.server.answer(call, response)

    def _timeout_now(self, call: CallID) -> Task:
        self.world.marks["Go: TimeoutNow obeyed"] += 1
        self.from_transfer = True
        if self.role is Role.LEADER:
            self.follow()
        self.reply(call, TimeoutNowResponse())
        yield from self.campaign()

    def _vote(self, call: CallID, request: RequestVoteRequest) -> Task:
        granted = False
        stated = self.term
        latest, candidate = self.latest.configuration, request.candidate
        is_stranger = bool(latest.servers) and not latest.has(candidate)
        is_loyal = self.known_leader not in {None, candidate} and not request.leadership_transfer
        if not is_stranger and not is_loyal and request.term >= self.term:
            if request.term > self.term:
                self.follow()
                yield from self.set_term(request.term)
                stated = request.term
            if not latest.servers or latest.is_voter(candidate):
                granted = yield from self._may_grant(request)
        self.reply(call, RequestVoteResponse(term=stated, granted=granted))

    def _may_grant(self, request: RequestVoteRequest) -> Generator[float | None, None, bool]:
        disk, candidate = self.disk, request.candidate
        if disk.vote_term == request.term and disk.vote_candidate is not None:
            if disk.vote_candidate != candidate:
                return False
            known = self.world.elections.votes.get((self.server.id, request.term))
            if known != candidate:
                raise GoFault(
                    f"{self.server.id} grants {candidate} what it never gave: a torn vote"
                )
            self.world.marks["Go: vote given again"] += 1
            return True
        index, term = self.last_entry()
        if (request.last_log_term, request.last_log_index) < (term, index):
            return False
        yield from self.persist_vote(request.term, candidate)
        self.contact = self.world.now
        return True

    def _pre_vote(self, call: CallID, peer: ServerID, request: RequestPreVoteRequest) -> Task:
        stated, granted = self.term, False
        latest = self.latest.configuration
        is_stranger = bool(latest.servers) and not latest.has(peer)
        if not is_stranger and self.known_leader in {None, peer} and request.term >= self.term:
            stated = request.term
            ours = self.last_entry()
            is_fresh = (request.last_log_term, request.last_log_index) >= (ours[1], ours[0])
            granted = is_fresh and (not latest.servers or latest.is_voter(peer))
        self.reply(call, RequestPreVoteResponse(term=stated, granted=granted))
        return
        yield 0.0

    # -- entries

    def _append(self, call: CallID, request: AppendEntriesRequest) -> Task:
        last_log = Index(self.last_index)
        if request.term < self.term:
            self.reply(
                call, AppendEntriesResponse(term=self.term, last_log=last_log, success=False)
            )
            return
        stated = self.term
        if request.term > self.term or (self.role is not Role.FOLLOWER and not self.from_transfer):
            self.follow()
            yield from self.set_term(request.term)
            stated = request.term
        self.known_leader = request.leader
        success, is_mismatch = yield from self._take_entries(request)
        if success:
            self.contact = self.world.now
            self.server.acknowledges(request)
        self.reply(
            call,
            AppendEntriesResponse(
                term=stated, last_log=last_log, success=success, no_retry_backoff=is_mismatch
            ),
        )

    def _take_entries(
        self, request: AppendEntriesRequest
    ) -> Generator[float | None, None, tuple[bool, bool]]:
        """Return whether all was taken, and else whether the logs differ."""
        store = self.disk.store
        prev = request.prev_log_index
        if prev:
            last, last_term = self.last_entry()
            stored = store.get(prev)
            found = last_term if prev == last else stored.term if stored is not None else None
            if found != request.prev_log_term:
                if prev == self.last_snapshot[0]:
                    self.world.marks["Go: prev check blind to the snapshot"] += 1
                return False, True
        if request.entries:
            is_stored = yield from self._store(request.entries, request.leader)
            if not is_stored:
                return False, False
        self._follow_commit(request)
        return True, False

    def _store(
        self, entries: tuple[LogEntry, ...], leader: ServerID
    ) -> Generator[float | None, None, bool]:
        store = self.disk.store
        new: Sequence[LogEntry] = ()
        for position, entry in enumerate(entries):
            if entry.index > self.last_log[0]:
                new = entries[position:]
                break
            stored = store.get(entry.index)
            if stored is None:
                self.world.marks["Go: a hole in its log"] += 1
                return False
            if stored.term != entry.term:
                yield self.write_s()
                self.server.check_removal(entry.index, leader)
                self.disk.delete_from(entry.index)
                self.last_log = self.disk.last_log
                if entry.index <= self.latest.index:
                    self.world.marks["Go: configuration taken back"] += 1
                    self.latest = self.committed
                new = entries[position:]
                break
        if new:
            yield self.write_s()
            if self.server.id in self.world.full_disks:
                self.world.marks["Go: entries not stored"] += 1
                return False
            self.server.check_entries(new)
            self.disk.store_logs(new)
            for entry in new:
                self._take_configuration(entry)
            self.last_log = (new[-1].index, new[-1].term)
        return True

    def _take_configuration(self, entry: LogEntry) -> None:
        """hashicorp's ``processConfigurationLogEntry``: the one before counts as agreed on."""
        if entry.type is LogType.CONFIGURATION:
            self.committed = self.latest
            configuration = GoConfigurationCodec().decode(entry.data)
            self.latest = Placed(entry.index, entry.term, configuration)

    def _follow_commit(self, request: AppendEntriesRequest) -> None:
        told = request.leader_commit_index
        if told <= self.commit:
            return
        covered = request.prev_log_index + len(request.entries or ())
        upto = min(told, self.last_index)
        self.server.check_commit(request.leader, upto, covered)
        if upto > self.commit:
            self.commit = upto
            self.note_commit()

    def note_commit(self) -> None:
        """Take the configuration for agreed on, and apply."""
        if self.latest.index <= self.commit:
            self.committed = self.latest
        self.process_logs()

    def process_logs(self) -> None:
        entries = []
        for index in range(self.server.applied + 1, self.commit + 1):
            entry = self.disk.store.get(index)
            if entry is None:
                raise GoFault(f"{self.server.id} panics: no entry {index} to apply")
            entries.append(entry)
        if entries:
            self.server.apply(entries)

    # -- snapshots

    def install(self, call: CallID, flight: Flight) -> Task:
        """Take a snapshot in; the main loop is held from its first byte to its last."""
        request = flight.request
        if not isinstance(request, InstallSnapshotRequest):
            return
        stated = self.term
        is_old = request.term < self.term
        if not is_old:
            if request.term > self.term:
                self.follow()
                yield from self.set_term(request.term)
                stated = request.term
            self.known_leader = request.leader
        if not self.server.is_whole(flight) and not self.server.is_broken(flight):
            self.world.marks["Go: main loop held by a snapshot"] += 1
        while not self.server.is_whole(flight) and not self.server.is_broken(flight):
            yield HELD
        if self.server.is_broken(flight):
            self.server.forget_call(call)
            return
        success = False
        if not is_old:
            yield self.write_s()
            success = self._installed(flight, request)
        self.reply(call, InstallSnapshotResponse(term=stated, success=success))

    def _installed(self, flight: Flight, request: InstallSnapshotRequest) -> bool:
        snapshot = flight.snapshot
        if snapshot is None or snapshot.is_damaged or self.server.id in self.world.full_disks:
            return False
        self.server.check_install(flight, snapshot, request.leader)
        self.disk.add_snapshot(snapshot)
        meta = snapshot.meta
        if self.last_log[0] > meta.index:
            self.world.marks["Go: log kept above a snapshot"] += 1
        self.fsm = (meta.index, meta.term, snapshot.digest)
        self.last_snapshot = (meta.index, meta.term)
        self._restart_configuration(meta.configuration_index, meta.term, meta.configuration)
        self.server.restore(snapshot)
        self.compact(meta.index)
        self.contact = self.world.now
        return True

    def compact(self, snapshot_index: int) -> None:
        """hashicorp's ``compactLogs``: it keeps trailing entries, and never those above."""
        last = self.last_log[0]
        if last > self.config.trailing_logs:
            self.disk.delete_upto(min(snapshot_index, last - self.config.trailing_logs))
