"""Real servers on libp2p: a snapshot whose connection is cut half-way is installed all the same."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import trio

from keys.cluster_secret import ClusterSecret
from keys.identity import Identity
from node.swarm.host import PeerSwarm, open_swarm
from raft_over_libp2p import limits
from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.raft import Raft
from raft_over_libp2p.storage.data_folder import DataFolder
from raft_over_libp2p.transport.libp2p_transport import Libp2pTransport
from raft_over_libp2p.transport.streams import RaftStream
from raft_over_libp2p.transport.timing import TransportTiming
from raft_over_libp2p.types import Configuration, LogEntry, ServerID
from raft_over_libp2p.wire.configuration import GoConfigurationCodec
from tests.transport.test_libp2p_transport import LOOPBACK, introduce

CONFIG = RaftConfig(trailing_logs=0, snapshot_threshold=1_000_000)
SIZE = 24 * limits.MIB


class Blob:
    """A state of one large blob, and how many operations came after it."""

    def __init__(self, blob: bytes = b"") -> None:
        self.blob = blob
        self.count = 0

    def apply(self, entries: Sequence[LogEntry]) -> Sequence[int]:
        self.count += len(entries)
        return [self.count] * len(entries)

    def snapshot(self) -> Iterator[bytes]:
        yield self.count.to_bytes(8, "big")
        for start in range(0, len(self.blob), limits.MIB):
            yield self.blob[start : start + limits.MIB]

    def restore(self, chunks: Iterable[bytes]) -> tuple[int, bytes]:
        data = b"".join(chunks)
        return int.from_bytes(data[:8], "big"), data[8:]

    def adopt(self, image: tuple[int, bytes]) -> None:
        self.count, self.blob = image


class Server:
    def __init__(self, swarm: PeerSwarm, folder: Path, state: Blob) -> None:
        self.swarm = swarm
        self.id = ServerID(str(swarm.peer_id))
        self.folder = folder
        self.state = state

    @asynccontextmanager
    async def open(self, founders: Sequence[ServerID] = ()) -> AsyncIterator[Raft[bytes, int]]:
        timing = TransportTiming.of(CONFIG)
        with DataFolder.open(str(self.folder), self.id) as stores:
            if founders and stores.is_fresh:
                stores.bootstrap(Configuration.of_voters(*founders), GoConfigurationCodec())
            async with Raft.open_fsm(
                folder=stores,
                transport=Libp2pTransport(self.swarm.host, timing, dial=self.swarm.dial),
                fsm=self.state,
                config=CONFIG,
            ) as raft:
                yield raft

    async def cut(self) -> None:
        """End every connection at once, as a broken network does."""
        for connections in list(self.swarm.host.get_network().connections.values()):
            for connection in list(connections):
                await connection.muxed_conn.close()


async def test_a_snapshot_goes_on_after_a_cut_while_writes_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: dict[ServerID, int] = {}
    write = RaftStream.write

    async def counting(stream: RaftStream, data: bytes, timeout_s: float) -> None:
        await write(stream, data, timeout_s)
        written[stream.peer] = written.get(stream.peer, 0) + len(data)

    monkeypatch.setattr(RaftStream, "write", counting)
    blob = random.Random(1).randbytes(SIZE)
    secret = ClusterSecret.generate()
    async with AsyncExitStack() as stack:
        one, two = [
            await stack.enter_async_context(open_swarm(Identity.generate(), secret, [LOOPBACK]))
            for _ in range(2)
        ]
        introduce(one, two)
        leader = Server(one, tmp_path / "leader", Blob(blob))
        late = Server(two, tmp_path / "late", Blob())
        raft = await stack.enter_async_context(leader.open([leader.id]))
        await raft.wait_for_leader(timeout_s=10)
        await raft.apply(b"before", timeout_s=10)
        await raft.snapshot(timeout_s=10)
        await raft.apply(b"after", timeout_s=10)
        behind = await stack.enter_async_context(late.open())
        await raft.add_nonvoter(late.id, timeout_s=10)
        with trio.fail_after(60):
            while raft.status().peers[late.id].snapshot_bytes_sent < SIZE // 2:
                await trio.lowlevel.checkpoint()
            await late.cut()
            await raft.apply(b"meanwhile", timeout_s=10)
            while late.state.count < 3:
                await behind.changed()

        assert blob == late.state.blob
        assert raft.status().core.snapshot_index == behind.status().core.snapshot_index
        assert SIZE < written[late.id] < 1.2 * SIZE
