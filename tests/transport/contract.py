"""What every transport promises, as tests: memory and libp2p streams run the same ones."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import pytest
import trio

from raft_over_libp2p.core.events import (
    CallFailed,
    Event,
    PeerConnected,
    RequestReceived,
    ResponseReceived,
)
from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    AppendEntriesResponse,
    ErrorResponse,
    InstallSnapshotRequest,
    InstallSnapshotResponse,
    LeaseRequest,
    LeaseResponse,
    ReadIndexRequest,
    ReadIndexResponse,
    Request,
    RequestPreVoteRequest,
    RequestPreVoteResponse,
    RequestVoteRequest,
    RequestVoteResponse,
    Response,
    TimeoutNowRequest,
    TimeoutNowResponse,
)
from raft_over_libp2p.core.ready import Call, Reply
from raft_over_libp2p.errors import StorageError
from raft_over_libp2p.transport.interface import Transport
from raft_over_libp2p.transport.timing import TransportTiming
from raft_over_libp2p.types import CallID, Configuration, Index, LogEntry, ServerID, Term

E = TypeVar("E", bound=Event)

SHORT = TransportTiming(
    network_timeout_s=0.4,
    heartbeat_call_timeout_s=0.2,
    dial_timeout_s=1.0,
    redial_min_s=0.02,
    redial_max_s=0.1,
    silence_s=5.0,
)
PATIENT = TransportTiming(
    network_timeout_s=10.0, heartbeat_call_timeout_s=10.0, redial_min_s=0.02, redial_max_s=0.1
)


class Inbox:
    """A driver that only listens."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[Event](1000)

    def deliver(self, event: Event) -> None:
        self._send.send_nowait(event)

    async def next(self, kind: type[E]) -> E:
        """Return the next event of ``kind``, dropping others before it."""
        with trio.fail_after(8):
            while True:
                event = await self._receive.receive()
                if isinstance(event, kind):
                    return event

    async def outcome(self) -> ResponseReceived | CallFailed:
        """Return how the next call ended."""
        with trio.fail_after(15):
            while True:
                event = await self._receive.receive()
                if isinstance(event, ResponseReceived | CallFailed):
                    return event

    def rest(self) -> list[Event]:
        """Return what has come already."""
        events = []
        while True:
            try:
                events.append(self._receive.receive_nowait())
            except trio.WouldBlock:
                return events


class BytesSource:
    """A snapshot in memory, for one reader."""

    def __init__(self, data: bytes, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self.is_closed = False
        self._data = data
        self._position = 0
        self.bytes_read = 0

    def read(self, max_bytes: int) -> bytes:
        chunk = self._data[self._position : self._position + max_bytes]
        self._position += len(chunk)
        self.bytes_read += len(chunk)
        return chunk

    def seek(self, offset: int) -> None:
        self._position = offset

    def close(self) -> None:
        self.is_closed = True


class ListSpool:
    """What was spooled for one call, and how that ended."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.is_cancelled = False
        self.is_suspended = False

    def write(self, chunk: bytes) -> None:
        assert not self.is_cancelled
        self.data += chunk

    def cancel(self) -> None:
        self.is_cancelled = True


class ListPart(ListSpool):
    """One that may be suspended and taken up again."""

    def __init__(self, owner: FakeSnapshots, sha256: bytes) -> None:
        super().__init__()
        self.owner = owner
        self.offered = sha256
        self.began_at = 0

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    @property
    def is_of_use(self) -> bool:
        return self.owner.is_wanted

    def sha256(self) -> bytes:
        return hashlib.sha256(self.data).digest()

    def suspend(self) -> None:
        self.is_suspended = self.owner.keeps_parts
        self.is_cancelled = not self.is_suspended


class FakeSnapshots:
    """The snapshots of one server, as a driver would have them."""

    def __init__(self) -> None:
        self.stored: dict[tuple[Index, Term], bytes] = {}
        self.opened: list[BytesSource] = []
        self.spools: dict[CallID, ListSpool] = {}
        self.offers: list[bytes] = []
        self.is_wanted = True
        self.keeps_parts = True
        self.cut_short_bytes = 0
        """How much less a snapshot gives than it says."""

    async def open_snapshot(self, index: Index, term: Term) -> BytesSource:
        await trio.lowlevel.checkpoint()
        if (index, term) not in self.stored:
            raise StorageError(f"there is no snapshot at {index}")
        data = self.stored[index, term]
        source = BytesSource(data[: len(data) - self.cut_short_bytes], len(data))
        self.opened.append(source)
        return source

    def spool(
        self, call: CallID, peer: ServerID, request: InstallSnapshotRequest
    ) -> ListSpool | None:
        assert request.leader == peer
        if not self.is_wanted:
            return None
        self.spools[call] = ListSpool()
        return self.spools[call]

    def resume(
        self, call: CallID, peer: ServerID, request: InstallSnapshotRequest, sha256: bytes
    ) -> ListPart | None:
        assert request.leader == peer
        if not self.is_wanted:
            return None
        self.offers.append(sha256)
        part = ListPart(self, sha256)
        for kept in self.spools.values():
            if isinstance(kept, ListPart) and kept.is_suspended and kept.offered == sha256:
                part.data += kept.data
                part.began_at = len(kept.data)
                kept.is_suspended = False
        self.spools[call] = part
        return part


@dataclass
class Server:
    """A transport that runs, and what it delivers."""

    id: ServerID
    transport: Transport
    inbox: Inbox
    scope: trio.CancelScope
    snapshots: FakeSnapshots

    def call(self, number: int, peer: Server | ServerID, request: Request) -> None:
        target = peer if isinstance(peer, str) else peer.id
        self.transport.send([Call(CallID(number), target, request)])

    def reply(self, call: CallID, response: Response) -> None:
        self.transport.send([Reply(call, response)])


@asynccontextmanager
async def serving(server_id: ServerID, transport: Transport) -> AsyncIterator[Server]:
    """Run ``transport`` until the block ends or its scope is cancelled."""
    inbox, snapshots = Inbox(), FakeSnapshots()
    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        async def run(*, task_status: trio.TaskStatus[None]) -> None:
            with scope:
                await transport.run(inbox.deliver, snapshots, task_status=task_status)

        await nursery.start(run)
        yield Server(server_id, transport, inbox, scope, snapshots)
        scope.cancel()


def heartbeat(leader: Server, term: int = 1) -> AppendEntriesRequest:
    return AppendEntriesRequest(term=Term(term), leader=leader.id)


def append(leader: Server, index: int = 1, term: int = 1, size: int = 3) -> AppendEntriesRequest:
    entry = LogEntry(Index(index), Term(term), data=b"x" * size)
    return AppendEntriesRequest(
        term=Term(term),
        leader=leader.id,
        prev_log_index=Index(index - 1),
        prev_log_term=Term(term if index > 1 else 0),
        entries=(entry,),
        leader_commit_index=Index(0),
    )


def vote(candidate: Server, term: int = 1) -> RequestVoteRequest:
    return RequestVoteRequest(
        term=Term(term),
        candidate=candidate.id,
        last_log_index=Index(7),
        last_log_term=Term(1),
        leadership_transfer=True,
    )


def snapshot(leader: Server, size_bytes: int, index: int = 9) -> InstallSnapshotRequest:
    """Return a request for a snapshot of ``leader``, which has it."""
    leader.snapshots.stored[Index(index), Term(1)] = content(size_bytes)
    return InstallSnapshotRequest(
        term=Term(3),
        leader=leader.id,
        last_log_index=Index(index),
        last_log_term=Term(1),
        configuration=Configuration.of_voters(leader.id),
        configuration_index=Index(1),
        size_bytes=size_bytes,
    )


def content(size_bytes: int) -> bytes:
    return bytes(i % 251 for i in range(size_bytes))


def installed(*, success: bool = True) -> InstallSnapshotResponse:
    return InstallSnapshotResponse(term=Term(3), success=success)


def accepted(term: int = 1, last_log: int = 1) -> AppendEntriesResponse:
    return AppendEntriesResponse(term=Term(term), last_log=Index(last_log), success=True)


class TransportContract:
    """Subclass it and give ``world``: two servers that know each other and run."""

    def world(self, timing: TransportTiming) -> AbstractAsyncContextManager[tuple[Server, Server]]:
        raise NotImplementedError

    def a_stranger(self) -> ServerID:
        """Return the ID of a peer that nobody runs."""
        raise NotImplementedError

    async def test_a_call_is_answered_by_the_reply_to_it(self) -> None:
        async with self.world(PATIENT) as (a, b):
            a.call(5, b, vote(a))
            received = await b.inbox.next(RequestReceived)
            b.reply(received.call, RequestVoteResponse(term=Term(1), granted=True))

            answer = await a.inbox.outcome()

            assert (a.id, vote(a)) == (received.peer, received.request)
            assert (
                ResponseReceived(CallID(5), RequestVoteResponse(term=Term(1), granted=True))
                == answer
            )

    async def test_every_kind_of_call_arrives_as_it_was_sent(self) -> None:
        async with self.world(PATIENT) as (a, b):
            exchanges: list[tuple[Request, Response]] = [
                (heartbeat(a), accepted()),
                (append(a, 3), accepted(last_log=2)),
                (vote(a), RequestVoteResponse(term=Term(2), granted=False)),
                (
                    RequestPreVoteRequest(
                        term=Term(3), last_log_index=Index(1), last_log_term=Term(1)
                    ),
                    RequestPreVoteResponse(term=Term(2), granted=True),
                ),
                (TimeoutNowRequest(), TimeoutNowResponse()),
                (vote(a, 9), ErrorResponse(error="no")),
                (
                    ReadIndexRequest(term=Term(3)),
                    ReadIndexResponse(term=Term(4), index=Index(9)),
                ),
                (ReadIndexRequest(term=Term(3)), ErrorResponse(error="leads no more")),
                (
                    LeaseRequest(term=Term(3), round=2, duration_ms=1000),
                    LeaseResponse(term=Term(3), granted=True),
                ),
            ]
            for number, (request, response) in enumerate(exchanges):
                a.call(number, b, request)
                received = await b.inbox.next(RequestReceived)
                b.reply(received.call, response)

                answer = await a.inbox.outcome()

                assert (request, ResponseReceived(CallID(number), response)) == (
                    received.request,
                    answer,
                )

    async def test_calls_of_a_lane_arrive_in_order_with_new_numbers(self) -> None:
        async with self.world(PATIENT) as (a, b):
            a.transport.send([Call(CallID(n), b.id, append(a, n)) for n in range(1, 31)])

            received = [await b.inbox.next(RequestReceived) for _ in range(30)]

            assert [append(a, n) for n in range(1, 31)] == [r.request for r in received]
            assert len({r.call for r in received}) == 30

    async def test_replies_given_out_of_order_answer_each_its_own_call(self) -> None:
        async with self.world(PATIENT) as (a, b):
            a.transport.send([Call(CallID(n), b.id, append(a, n)) for n in range(1, 5)])
            received = [await b.inbox.next(RequestReceived) for _ in range(4)]
            for n in (4, 2, 1, 3):
                b.reply(received[n - 1].call, accepted(last_log=n))

            answers = [await a.inbox.outcome() for _ in range(4)]

            assert [
                ResponseReceived(CallID(n), accepted(last_log=n)) for n in range(1, 5)
            ] == answers

    async def test_a_heartbeat_passes_an_append_that_waits_for_its_answer(self) -> None:
        """Mixed-cluster rule 17: heartbeats have their own stream."""
        async with self.world(PATIENT) as (a, b):
            a.call(1, b, append(a))
            await b.inbox.next(RequestReceived)
            a.call(2, b, heartbeat(a))
            received = await b.inbox.next(RequestReceived)
            b.reply(received.call, accepted())

            assert ResponseReceived(CallID(2), accepted()) == await a.inbox.outcome()

    async def test_a_read_passes_calls_that_wait_for_their_answers(self) -> None:
        async with self.world(PATIENT) as (a, b):
            a.call(1, b, append(a))
            a.call(2, b, vote(a))
            a.call(3, b, ReadIndexRequest(term=Term(3)))
            calls = [await b.inbox.next(RequestReceived) for _ in range(3)]
            (read,) = (c for c in calls if isinstance(c.request, ReadIndexRequest))
            answer = ReadIndexResponse(term=Term(3), index=Index(9))
            b.reply(read.call, answer)

            assert ResponseReceived(CallID(3), answer) == await a.inbox.outcome()

    async def test_a_call_without_an_answer_fails_in_time(self) -> None:
        async with self.world(SHORT) as (a, b):
            started = trio.current_time()
            a.call(1, b, vote(a))
            await b.inbox.next(RequestReceived)

            failed = await a.inbox.outcome()

            assert isinstance(failed, CallFailed)
            assert "timed out" in failed.reason
            assert trio.current_time() - started < 2.0

    async def test_a_late_reply_is_dropped_and_never_answers_a_later_call(self) -> None:
        async with self.world(SHORT) as (a, b):
            a.call(1, b, vote(a, 1))
            late = await b.inbox.next(RequestReceived)
            assert isinstance(await a.inbox.outcome(), CallFailed)
            b.reply(late.call, RequestVoteResponse(term=Term(1), granted=True))
            a.call(2, b, vote(a, 2))
            received = await b.inbox.next(RequestReceived)
            b.reply(received.call, RequestVoteResponse(term=Term(2), granted=False))

            answer = await a.inbox.outcome()

            assert (
                ResponseReceived(CallID(2), RequestVoteResponse(term=Term(2), granted=False))
                == answer
            )

    async def test_a_call_to_a_peer_that_nobody_runs_fails_with_a_reason(self) -> None:
        async with self.world(SHORT) as (a, _):
            a.call(1, self.a_stranger(), vote(a))

            failed = await a.inbox.outcome()

            assert isinstance(failed, CallFailed)
            assert failed.reason

    async def test_calls_to_a_peer_that_stops_fail(self) -> None:
        async with self.world(PATIENT) as (a, b):
            a.call(1, b, append(a))
            await b.inbox.next(RequestReceived)
            b.scope.cancel()

            failed = await a.inbox.outcome()

            assert isinstance(failed, CallFailed)
            assert failed.call == 1

    async def test_a_member_is_connected_to_and_shown_so(self) -> None:
        async with self.world(PATIENT) as (a, b):
            a.transport.set_members([a.id, b.id])

            connected = await a.inbox.next(PeerConnected)

            assert PeerConnected(b.id) == connected
            link = a.transport.links()[b.id]
            assert (link.is_connected, link.last_error) == (True, "")

    async def test_links_name_every_member_but_this_one(self) -> None:
        async with self.world(PATIENT) as (a, b):
            a.transport.set_members([a.id, b.id, self.a_stranger()])

            assert {b.id, self.a_stranger()} == set(a.transport.links())

    # -- snapshots

    @pytest.mark.parametrize("size_bytes", [0, 5, 65536, 300_000])
    async def test_a_snapshot_arrives_whole_before_its_request_does(self, size_bytes: int) -> None:
        async with self.world(PATIENT) as (a, b):
            request = snapshot(a, size_bytes)
            a.call(1, b, request)
            received = await b.inbox.next(RequestReceived)

            assert (request, a.id) == (received.request, received.peer)
            assert content(size_bytes) == bytes(b.snapshots.spools[received.call].data)
            b.reply(received.call, installed())
            assert ResponseReceived(CallID(1), installed()) == await a.inbox.outcome()
            assert not b.snapshots.spools[received.call].is_cancelled

    async def test_a_snapshot_that_is_not_wanted_is_read_away_and_delivered(self) -> None:
        async with self.world(PATIENT) as (a, b):
            b.snapshots.is_wanted = False
            a.call(1, b, snapshot(a, 300_000))
            received = await b.inbox.next(RequestReceived)
            b.reply(received.call, installed(success=False))

            assert ResponseReceived(CallID(1), installed(success=False)) == await a.inbox.outcome()

    async def test_how_much_of_a_snapshot_is_sent_is_shown_until_it_is_answered(self) -> None:
        async with self.world(PATIENT) as (a, b):
            a.transport.set_members([a.id, b.id])
            a.call(1, b, snapshot(a, 100_000))
            received = await b.inbox.next(RequestReceived)
            link = a.transport.links()[b.id]
            assert (100_000, 100_000) == (link.snapshot_bytes_sent, link.snapshot_bytes_total)
            b.reply(received.call, installed())
            await a.inbox.outcome()
            await trio.testing.wait_all_tasks_blocked()

            link = a.transport.links()[b.id]
            assert (0, 0) == (link.snapshot_bytes_sent, link.snapshot_bytes_total)
            assert [True] == [source.is_closed for source in a.snapshots.opened]

    async def test_other_calls_pass_a_snapshot_that_is_not_answered(self) -> None:
        """Mixed-cluster rule 17."""
        async with self.world(PATIENT) as (a, b):
            a.call(1, b, snapshot(a, 1_000_000))
            for number, request in enumerate([heartbeat(a), append(a), vote(a)], start=2):
                a.call(number, b, request)
                received = await b.inbox.next(RequestReceived)
                while received.request != request:
                    received = await b.inbox.next(RequestReceived)
                b.reply(received.call, accepted())
                assert (await a.inbox.outcome()).call == number

    async def test_an_error_that_answers_a_snapshot_is_passed_on(self) -> None:
        async with self.world(PATIENT) as (a, b):
            a.call(1, b, snapshot(a, 10))
            received = await b.inbox.next(RequestReceived)
            b.reply(received.call, ErrorResponse(error="short read"))

            assert (
                ResponseReceived(CallID(1), ErrorResponse(error="short read"))
                == await a.inbox.outcome()
            )

    async def test_a_snapshot_that_is_not_there_fails_its_call_and_nothing_is_sent(self) -> None:
        async with self.world(PATIENT) as (a, b):
            request = snapshot(a, 10)
            a.snapshots.stored.clear()
            a.call(1, b, request)
            failed = await a.inbox.outcome()

            assert isinstance(failed, CallFailed)
            assert "there is no snapshot at 9" in failed.reason
            assert {} == b.snapshots.spools

    async def test_a_snapshot_that_ends_early_fails_its_call_and_is_not_delivered(self) -> None:
        async with self.world(PATIENT) as (a, b):
            a.snapshots.cut_short_bytes = 10
            a.call(1, b, snapshot(a, 200_000))
            failed = await a.inbox.outcome()
            assert isinstance(failed, CallFailed)
            assert "cannot be read" in failed.reason
            await spools_are_cancelled(b)

            assert [] == [e for e in b.inbox.rest() if isinstance(e, RequestReceived)]

    async def test_a_snapshot_without_an_answer_fails_in_time(self) -> None:
        async with self.world(SHORT) as (a, b):
            a.call(1, b, snapshot(a, 1000))
            await b.inbox.next(RequestReceived)
            failed = await a.inbox.outcome()

            assert isinstance(failed, CallFailed)
            assert "timed out" in failed.reason

    async def test_a_snapshot_to_a_peer_that_leaves_is_given_up(self) -> None:
        async with self.world(PATIENT) as (a, b):
            a.transport.set_members([a.id, b.id])
            a.call(1, b, snapshot(a, 1000))
            received = await b.inbox.next(RequestReceived)
            a.transport.set_members([a.id])

            assert (
                CallFailed(CallID(1), "the peer is not a member any more")
                == await a.inbox.outcome()
            )
            b.reply(received.call, installed())

    async def test_a_second_snapshot_takes_the_place_of_the_first(self) -> None:
        """Mixed-cluster rule 4: a late one would undo the second."""
        async with self.world(PATIENT) as (a, b):
            a.call(1, b, snapshot(a, 1000))
            first = await b.inbox.next(RequestReceived)
            a.call(2, b, snapshot(a, 2000, index=10))
            failed = await a.inbox.outcome()
            second = await b.inbox.next(RequestReceived)
            b.reply(first.call, installed(success=False))
            b.reply(second.call, installed())

            assert CallFailed(CallID(1), "another snapshot is sent to the peer") == failed
            assert ResponseReceived(CallID(2), installed()) == await a.inbox.outcome()


async def spools_are_cancelled(server: Server) -> None:
    """Return once no spool of ``server`` is in use, and there is one."""
    with trio.fail_after(5):
        while not server.snapshots.spools or not all(
            spool.is_cancelled or spool.is_suspended for spool in server.snapshots.spools.values()
        ):
            await trio.lowlevel.checkpoint()
