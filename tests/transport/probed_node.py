"""A server that is asked as the recorded Go nodes were: real streams' code, wire and core.

The disk is memory, and done at once; nobody else is there.
"""

from __future__ import annotations

import random
from collections import deque
from typing import Final

import trio
import trio.testing

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core.events import Applied, Event, Persisted, SnapshotStored
from raft_over_libp2p.core.interfaces import InitialState
from raft_over_libp2p.core.machine import Machine
from raft_over_libp2p.core.messages import InstallSnapshotRequest
from raft_over_libp2p.core.ready import Reply
from raft_over_libp2p.transport.inbound import Inbound
from raft_over_libp2p.types import CallID, ServerID
from raft_over_libp2p.wire.configuration import GoConfigurationCodec
from raft_over_libp2p.wire.dialects import GO
from tests.core.logs import MemoryLog

__all__ = ["ProbedNode"]

_BETWEEN_PROBES_S: Final = 0.1
"""As long as the recording waited for more of an answer."""


class _ProbedStream:
    """Brings one request; then is silent, or at its end."""

    def __init__(self, peer: ServerID, request: bytes, *, is_half_closed: bool) -> None:
        self.peer = peer
        self.answer = bytearray()
        self.has_ended = False
        self._incoming = deque([request] if request else [])
        self._is_half_closed = is_half_closed

    async def read(self) -> bytes:
        await trio.lowlevel.checkpoint()
        if self._incoming:
            return self._incoming.popleft()
        if not self._is_half_closed:
            await trio.sleep_forever()
        return b""

    def write_nowait(self, data: bytes) -> bool:
        self.answer += data
        return True

    async def close(self) -> None:
        self.has_ended = True

    async def reset(self) -> None:
        self.has_ended = True


class _NoSpool:
    """Takes snapshots' bytes and forgets them."""

    def write(self, chunk: bytes) -> None:
        pass

    def cancel(self) -> None:
        pass


class _Exchange:
    def spool(self, call: CallID, peer: ServerID, request: InstallSnapshotRequest) -> _NoSpool:
        return _NoSpool()


class ProbedNode:
    """A blank server of an ID; what it is asked changes it."""

    def __init__(self, server_id: ServerID) -> None:
        self._now = 100.0
        self._disk = MemoryLog()
        self._machine = Machine(
            server_id=server_id,
            config=RaftConfig(),
            log=self._disk,
            initial=InitialState(),
            rng=random.Random(7),
            codec=GoConfigurationCodec(),
            now=self._now,
        )
        self._inbound = Inbound(server_id)
        self._to_handle, self._delivered = trio.open_memory_channel[Event](8)
        self._inbound.open(self._to_handle.send_nowait, _Exchange())  # type: ignore[arg-type]

    async def asked(
        self, peer: ServerID, request: bytes, *, is_half_closed: bool
    ) -> tuple[bytes, bool]:
        """Return what ``peer`` is answered on a stream, and whether that is ended then."""
        self._now += _BETWEEN_PROBES_S
        stream = _ProbedStream(peer, request, is_half_closed=is_half_closed)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._handle_all)
            nursery.start_soon(self._inbound.serve, GO, stream)
            await trio.testing.wait_all_tasks_blocked()
            outcome = bytes(stream.answer), stream.has_ended
            nursery.cancel_scope.cancel()
        return outcome

    async def _handle_all(self) -> None:
        async for event in self._delivered:
            self._handle(event)

    def _handle(self, event: Event) -> None:
        """Take in ``event``, and all that follows from it."""
        events = deque([event])
        while events:
            self._machine.handle(events.popleft(), self._now)
            ready = self._machine.take_ready()
            if ready.write is not None:
                self._disk.write(ready.write)
                events.append(Persisted(ready.write.batch))
            if ready.committed:
                events.append(Applied(ready.committed[-1].index))
            events += [SnapshotStored(asked.call, asked.meta) for asked in ready.store_snapshot]
            for output in ready.send:
                if isinstance(output, Reply):
                    self._inbound.reply(output.call, output.response)
