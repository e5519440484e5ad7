"""One machine and a hand that plays everybody else: its peers, its disk, its clock."""

from __future__ import annotations

import random
from collections.abc import Sequence

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core.events import (
    Applied,
    CallFailed,
    PeerConnected,
    Persisted,
    RequestReceived,
    ResponseReceived,
    SnapshotNotStored,
    SnapshotStored,
    SnapshotTaken,
)
from raft_over_libp2p.core.interfaces import InitialState, SnapshotMeta
from raft_over_libp2p.core.machine import Machine
from raft_over_libp2p.core.membership_change import ChangeKind, MembershipChange
from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    InstallSnapshotRequest,
    Request,
    RequestPreVoteRequest,
    RequestPreVoteResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    Response,
)
from raft_over_libp2p.core.ready import (
    Alarm,
    Call,
    HardState,
    Observation,
    ReadRefused,
    ReadState,
    Reply,
    Role,
    StoreSnapshot,
    Write,
)
from raft_over_libp2p.core.status import CoreStatus, PeerProgress
from raft_over_libp2p.types import (
    CONFIGURATION_TYPES,
    BatchID,
    CallID,
    Configuration,
    Index,
    LogEntry,
    ServerID,
    Term,
)
from tests.core.logs import CODEC, MemoryLog, configuration_entry, ids

__all__ = ["Solo", "append", "heartbeat", "prevote_request", "snapshot", "vote_request"]


def append(
    term: int,
    prev: tuple[int, int],
    entries: Sequence[LogEntry] = (),
    commit: int = 0,
    leader: str = "b",
) -> AppendEntriesRequest:
    """Return an AppendEntries; ``prev`` is (index, term)."""
    return AppendEntriesRequest(
        term=Term(term),
        leader=ServerID(leader),
        prev_log_index=Index(prev[0]),
        prev_log_term=Term(prev[1]),
        entries=tuple(entries),
        leader_commit_index=Index(commit),
    )


def snapshot(
    term: int,
    at: tuple[int, int],
    *voters: str,
    leader: str = "b",
    configuration_index: int = 1,
) -> InstallSnapshotRequest:
    """Return an InstallSnapshot; ``at`` is (index, term)."""
    return InstallSnapshotRequest(
        term=Term(term),
        leader=ServerID(leader),
        last_log_index=Index(at[0]),
        last_log_term=Term(at[1]),
        configuration=Configuration.of_voters(*ids(*(voters or ("a", "b", "c")))),
        configuration_index=Index(configuration_index),
        size_bytes=0,
    )


def heartbeat(term: int, leader: str = "b") -> AppendEntriesRequest:
    return AppendEntriesRequest(term=Term(term), leader=ServerID(leader))


def vote_request(
    term: int, last: tuple[int, int], candidate: str = "b", *, transfer: bool = False
) -> RequestVoteRequest:
    """Return a RequestVote; ``last`` is (index, term)."""
    return RequestVoteRequest(
        term=Term(term),
        candidate=ServerID(candidate),
        last_log_index=Index(last[0]),
        last_log_term=Term(last[1]),
        leadership_transfer=transfer,
    )


def prevote_request(term: int, last: tuple[int, int]) -> RequestPreVoteRequest:
    return RequestPreVoteRequest(
        term=Term(term), last_log_index=Index(last[0]), last_log_term=Term(last[1])
    )


class Solo:
    """Server ``a`` among ``voters``; its log is entry 1 (the configuration) and ``log``."""

    def __init__(
        self,
        *voters: str,
        log: Sequence[LogEntry] = (),
        nonvoters: Sequence[str] = (),
        term: int | None = None,
        vote: str | None = None,
        blank: bool = False,
        config: RaftConfig | None = None,
        snapshot: SnapshotMeta | None = None,
        kept: MemoryLog | None = None,
        held_back: bool = False,
    ) -> None:
        first = [] if blank else [configuration_entry(1, 1, *voters, nonvoters=nonvoters)]
        self.disk = kept or MemoryLog([*first, *log])
        last_term = self.disk.kept[-1].term if self.disk.kept else 0
        self.hard_state = HardState(
            Term(last_term if term is None else term), ServerID(vote) if vote else None
        )
        self.config = config or RaftConfig()
        self.now = 100.0
        self._inbound = 0
        self.calls: list[Call] = []
        self.replies: dict[CallID, Response] = {}
        self.waiting: list[Write] = []
        self.committed: list[LogEntry] = []
        self.reads: list[ReadState | ReadRefused] = []
        self.observations: list[Observation] = []
        self.snapshot = snapshot
        self.taking: SnapshotMeta | None = None
        self.storing: list[StoreSnapshot] = []
        self.adopted: list[StoreSnapshot] = []
        self.dropped: list[CallID] = []
        self.applied = snapshot.index if snapshot else 0
        self.machine = self._machine(held_back=held_back)

    def _machine(
        self,
        *,
        held_back: bool = False,
        first_call: CallID = CallID(1),
        first_batch: BatchID = BatchID(1),
    ) -> Machine:
        return Machine(
            server_id=ServerID("a"),
            config=self.config,
            log=self.disk,
            initial=InitialState(
                hard_state=self.hard_state,
                snapshot=self.snapshot,
                configuration_entries=tuple(
                    e for e in self.disk.kept if e.type in CONFIGURATION_TYPES
                ),
                campaign_after_write=held_back,
                first_call=first_call,
                first_batch=first_batch,
            ),
            rng=random.Random(7),
            codec=CODEC,
            now=self.now,
        )

    # -- outputs

    def turn(self) -> None:
        """Take one Ready; its write waits for ``persist``."""
        ready = self.machine.take_ready()
        if ready.write:
            self.waiting.append(ready.write)
        for output in ready.send:
            if isinstance(output, Call):
                self.calls.append(output)
            else:
                assert isinstance(output, Reply)
                assert output.call not in self.replies
                self.replies[output.call] = output.response
        if ready.adopt_snapshot:
            self.adopted.append(ready.adopt_snapshot)
            self.applied = ready.adopt_snapshot.meta.index
        if ready.take_snapshot:
            assert self.taking is None
            assert self.applied == ready.take_snapshot.index
            self.taking = ready.take_snapshot
        self.storing.extend(ready.store_snapshot)
        self.dropped.extend(ready.drop_snapshot)
        self.committed.extend(ready.committed)
        if ready.committed:
            self.applied = ready.committed[-1].index
            self.machine.handle(Applied(ready.committed[-1].index), self.now)
        self.reads.extend(ready.read_states)
        self.observations.extend(ready.observations)

    def persist(self, count: int | None = None) -> None:
        """Make the first ``count`` (default: all) waiting writes durable."""
        count = len(self.waiting) if count is None else count
        done, self.waiting = self.waiting[:count], self.waiting[count:]
        for write in done:
            self.hard_state = write.hard_state or self.hard_state
            self.disk.write(write)
        if done:
            self.machine.handle(Persisted(done[-1].batch), self.now)
        self.turn()

    def crash_and_restart(
        self,
        *,
        held_back: bool = False,
        first_call: CallID = CallID(1),
        first_batch: BatchID = BatchID(1),
    ) -> None:
        """Lose what was not written, and start again from the disk."""
        self.waiting.clear()
        self.calls.clear()
        self.machine = self._machine(
            held_back=held_back, first_call=first_call, first_batch=first_batch
        )

    # -- inputs

    def ask(self, peer: str, request: Request) -> CallID:
        """Let ``peer`` call; the answer is in ``replies`` when it has left."""
        self._inbound += 1
        call = CallID(self._inbound)
        self.machine.handle(RequestReceived(call, ServerID(peer), request), self.now)
        self.turn()
        return call

    def answered(self, peer: str, request: Request) -> Response:
        """Let ``peer`` call, make every write durable, and return the answer."""
        call = self.ask(peer, request)
        self.persist()
        return self.replies[call]

    def respond(self, call: Call, response: Response) -> None:
        self.machine.handle(ResponseReceived(call.call, response), self.now)
        self.turn()

    def fail(self, call: Call, reason: str = "no answer", *, is_hung_up: bool = False) -> None:
        self.machine.handle(CallFailed(call.call, reason, is_hung_up=is_hung_up), self.now)
        self.turn()

    def connect(self, peer: str) -> None:
        self.machine.handle(PeerConnected(ServerID(peer)), self.now)
        self.turn()

    def wait(self, seconds: float) -> None:
        """Let time pass, firing each timer when it is due."""
        end = self.now + seconds
        while self.machine.next_timer() <= end:
            self.now = max(self.now, self.machine.next_timer())
            self.machine.handle_timer(self.now)
            self.turn()
        self.now = end

    def time_out(self) -> None:
        """Fire the timer that is due next."""
        self.now = max(self.now, self.machine.next_timer())
        self.machine.handle_timer(self.now)
        self.turn()

    def take_calls(self, kind: type[Request], peer: str | None = None) -> list[Call]:
        """Return and forget the calls of one kind (to one peer) that left."""
        found = [c for c in self.calls if isinstance(c.request, kind) and peer in {None, c.peer}]
        self.calls = [c for c in self.calls if c not in found]
        return found

    def appends(self, peer: str) -> list[Call]:
        """Return and forget the AppendEntries with a log position that left to ``peer``."""
        found = [
            c
            for c in self.calls
            if isinstance(c.request, AppendEntriesRequest)
            and not c.request.is_heartbeat
            and c.peer == peer
        ]
        self.calls = [c for c in self.calls if c not in found]
        return found

    def heartbeats(self, peer: str) -> list[Call]:
        found = [
            c
            for c in self.calls
            if isinstance(c.request, AppendEntriesRequest)
            and c.request.is_heartbeat
            and c.peer == peer
        ]
        self.calls = [c for c in self.calls if c not in found]
        return found

    def finish_snapshot(self) -> SnapshotMeta:
        """Make the snapshot that is being taken durable, and return it."""
        self.turn()  # what was committed last is applied now
        meta, self.taking = self.taking, None
        assert meta is not None
        self.snapshot = meta
        self.machine.handle(SnapshotTaken(meta.index), self.now)
        self.turn()
        return meta

    def take_snapshot(self) -> SnapshotMeta:
        self.turn()  # what is committed may come in parts
        assert self.machine.snapshot_now(self.now)
        self.turn()
        return self.finish_snapshot()

    def store(self) -> StoreSnapshot:
        """Store what came with an InstallSnapshot."""
        asked = self.storing.pop(0)
        self.machine.handle(SnapshotStored(asked.call, asked.meta), self.now)
        self.turn()
        if asked.call not in self.dropped:
            self.snapshot = asked.meta
        return asked

    def fail_to_store(self, reason: str) -> None:
        asked = self.storing.pop(0)
        self.machine.handle(SnapshotNotStored(asked.call, reason), self.now)
        self.turn()

    def installed(self, peer: str, request: InstallSnapshotRequest) -> Response:
        """Let ``peer`` send a snapshot, store it, and return the answer."""
        call = self.ask(peer, request)
        self.persist()
        if self.storing:
            self.store()
            self.persist()
        return self.replies[call]

    # -- roles

    def campaign(self) -> None:
        """Time out, win the pre-vote, and make the vote for itself durable."""
        while self.status.role is not Role.CANDIDATE:
            self.time_out()
        for call in self.take_calls(RequestPreVoteRequest):
            term = Term(self.term + 1)
            if self.status.role is Role.CANDIDATE:
                self.respond(call, RequestPreVoteResponse(term=term, granted=True))
        self.persist()

    def lead(self) -> None:
        """Win an election; the no-op is on its way to the disk and to the peers."""
        self.campaign()
        for call in self.take_calls(RequestVoteRequest):
            if self.status.role is Role.CANDIDATE:
                self.respond(call, RequestVoteResponse(term=self.term, granted=True))
        assert self.status.role is Role.LEADER
        self.persist()

    def lead_with_commit(self, *acknowledging: str) -> None:
        """Win an election and let ``acknowledging`` peers store the no-op."""
        self.lead()
        for peer in acknowledging:
            self.acknowledge_all(peer)

    def acknowledge_all(self, peer: str) -> None:
        """Answer every append to ``peer`` with success."""
        while calls := self.appends(peer):
            for call in calls:
                self.respond(call, self.success())

    def success(self, last_log: int = 0) -> AppendEntriesResponse:
        return AppendEntriesResponse(term=self.term, last_log=Index(last_log), success=True)

    def reject(self, last_log: int, *, storage: bool = False) -> AppendEntriesResponse:
        return AppendEntriesResponse(
            term=self.term, last_log=Index(last_log), success=False, no_retry_backoff=not storage
        )

    def propose(self, *data: bytes) -> Index:
        index, _ = self.machine.propose(data, self.now)
        self.turn()
        return index

    def change(self, kind: ChangeKind, name: str, *, address: str = "", prev: int = 0) -> Index:
        change = MembershipChange(kind, ServerID(name), address or name)
        index, _ = self.machine.change_membership(change, self.now, prev_index=Index(prev))
        self.turn()
        return index

    # -- what tests ask

    def alarms(self, words: str) -> list[Alarm]:
        """Return the alarms that hold ``words``."""
        return [o for o in self.observations if isinstance(o, Alarm) and words in o.message]

    @property
    def status(self) -> CoreStatus:
        return self.machine.status(self.now)

    @property
    def term(self) -> Term:
        return self.status.term

    def progress(self, peer: str) -> PeerProgress:
        return next(p for p in self.status.peers if p.peer == peer)

    @property
    def log_terms(self) -> list[int]:
        """Terms of the log as the machine holds it, from index 1."""
        view = self.machine._server.log
        return [view.term(Index(i)) or 0 for i in range(1, view.last_index + 1)]
