"""A cluster in memory, for the tests of programs that embed Raft.

Everything between the program and the wires is real: core, driver, log, votes and snapshots on
a disk in memory. The network is :class:`MemoryNetwork`, and time is trio's, so under its
autojump clock (``autojump_clock`` of pytest-trio) a minute of elections takes milliseconds::

    async def test_a_counter_survives_its_leader(autojump_clock):
        async with memory_cluster(3, state_machine=Counter, codec=CounterCodec()) as cluster:
            leader = await cluster.leader()
            await leader.raft.apply(5, timeout_s=5)
            await cluster.crash(leader)
            rest = await cluster.leader()
            assert 6 == await rest.raft.apply(1, timeout_s=5)

All dice of servers and disks come from ``seed``. Which of several tasks that are ready at the
same moment runs first is trio's to choose, and no part of the seed.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import trio

from raft_over_libp2p import limits
from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core.trace import Tracer
from raft_over_libp2p.errors import LocalProtocolError
from raft_over_libp2p.raft import OpCodec, Raft, StateMachine
from raft_over_libp2p.raft.single_error import single_error
from raft_over_libp2p.storage.data_folder import DataFolder
from raft_over_libp2p.testing.fake_filesystem import FakeFileSystem
from raft_over_libp2p.transport.memory import MemoryNetwork
from raft_over_libp2p.types import Configuration, Index, ServerID
from raft_over_libp2p.wire.configuration import GoConfigurationCodec

__all__ = ["ClusterServer", "MemoryCluster", "memory_cluster"]

Op = TypeVar("Op")
Machine = TypeVar("Machine", bound=StateMachine[Any, Any, Any])

_FOLDER: Final = "/peer/raft"
_SEGMENT_BYTES: Final = 64 * limits.KIB
_POLL_S: Final = 0.005
"""Conditions are the caller's and may look at anything, so they are asked again and again; on
the autojump clock that costs nothing."""


@dataclass(frozen=True, slots=True)
class _Run(Generic[Op, Machine]):
    raft: Raft[Op, Any]
    machine: Machine
    scope: trio.CancelScope
    is_over: trio.Event


class ClusterServer(Generic[Op, Machine]):
    """One server of a :class:`MemoryCluster`: what runs of it now, and its disk."""

    def __init__(self, server_id: ServerID, founders: Configuration) -> None:
        self.server_id = server_id
        self.founders = founders
        """What an empty folder is bootstrapped with; nothing for a server that is added."""
        self.disk = FakeFileSystem()
        """Full disks and failing syncs are its attributes; a crash puts another in its place."""
        self.disk.mkdir("/peer")
        self.disk.sync_directory("/")
        self.starts = 0
        """How often it was started."""
        self._run: _Run[Op, Machine] | None = None

    @property
    def is_running(self) -> bool:
        return self._run is not None

    @property
    def raft(self) -> Raft[Op, Any]:
        """The running server.

        Raises:
            LocalProtocolError: it does not run.

        """
        return self._running().raft

    @property
    def state_machine(self) -> Machine:
        """The state machine of the newest start; a restart makes another.

        Raises:
            LocalProtocolError: it does not run.

        """
        return self._running().machine

    def _running(self) -> _Run[Op, Machine]:
        if self._run is None:
            raise LocalProtocolError(f"{self.server_id} does not run: start it first")
        return self._run

    def __repr__(self) -> str:
        return f"<{self.server_id}{'' if self.is_running else ', stopped'}>"


class MemoryCluster(Generic[Op, Machine]):
    """Servers that come and go; made by :func:`memory_cluster`."""

    def __init__(
        self,
        nursery: trio.Nursery,
        network: MemoryNetwork,
        state_machine: Callable[[], Machine],
        codec: OpCodec[Op],
        config: RaftConfig,
        seed: int,
        failures: list[Exception],
        tracer: Tracer | None,
    ) -> None:
        self.network = network
        """Cut, slow and heal single paths here."""
        self.servers: dict[ServerID, ClusterServer[Op, Machine]] = {}
        self._failures = failures
        self._nursery = nursery
        self._make = state_machine
        self._codec = codec
        self._config = config
        self._seed = seed
        self._tracer = tracer
        self._dice = random.Random(f"{seed} crashes")  # noqa: S311 - seeded dice are the point

    # -- who there is

    @property
    def running(self) -> list[ClusterServer[Op, Machine]]:
        return [server for server in self.servers.values() if server.is_running]

    def others(self, server: ClusterServer[Op, Machine]) -> list[ClusterServer[Op, Machine]]:
        """Return all that run but ``server``."""
        return [other for other in self.running if other is not server]

    async def leader(
        self,
        *,
        among: Iterable[ClusterServer[Op, Machine]] | None = None,
        timeout_s: float = 60.0,
    ) -> ClusterServer[Op, Machine]:
        """Return who leads as soon as a majority of voters agrees on it.

        Only the word of those ``among`` counts, by default of all that run. After a
        partition name one side's: the other may not have noticed yet.
        """
        sides = None if among is None else list(among)
        found: list[ClusterServer[Op, Machine]] = []

        def is_agreed() -> bool:
            found[:] = self._leaders(self.running if sides is None else sides)
            return bool(found)

        await self.wait_until(is_agreed, timeout_s=timeout_s)
        return found[0]

    def _leaders(self, among: list[ClusterServer[Op, Machine]]) -> list[ClusterServer[Op, Machine]]:
        leaders = []
        for server in among:
            if not server.is_running or not server.raft.is_leader:
                continue
            configuration = server.raft.configuration()
            agreeing = [
                other
                for other in among
                if other.is_running
                and configuration.is_voter(other.server_id)
                and other.raft.leader() == server.server_id
                and other.raft.current_term == server.raft.current_term
            ]
            if len(agreeing) >= configuration.quorum():
                leaders.append(server)
        return leaders

    async def wait_until(self, condition: Callable[[], bool], *, timeout_s: float = 60.0) -> None:
        """Return when ``condition`` holds.

        Raises:
            trio.TooSlowError: it does not within ``timeout_s``.

        """
        with trio.fail_after(timeout_s):
            while not condition():  # noqa: ASYNC110 - see _POLL_S
                await trio.sleep(_POLL_S)

    async def catch_up(
        self,
        *,
        among: Iterable[ClusterServer[Op, Machine]] | None = None,
        timeout_s: float = 60.0,
    ) -> Index:
        """Return when all that run, or those ``among``, applied what any of them has applied now.

        Returns the index of that entry.
        """
        servers = self.running if among is None else list(among)
        index = max((server.raft.applied_index for server in servers), default=Index(0))

        def is_applied() -> bool:
            return all(server.raft.applied_index >= index for server in servers)

        await self.wait_until(is_applied, timeout_s=timeout_s)
        return index

    # -- what happens to them

    def partition(self, *groups: Iterable[ClusterServer[Op, Machine]]) -> None:
        """Lose all that goes between servers of different ``groups``; earlier cuts stay."""
        self.network.partition(*([server.server_id for server in group] for group in groups))

    def isolate(self, server: ClusterServer[Op, Machine]) -> None:
        """Lose all that goes to ``server`` and comes from it."""
        self.partition([server], [o for o in self.servers.values() if o is not server])

    def heal(self) -> None:
        """Make all paths whole again."""
        self.network.heal()

    async def start(self, server: ClusterServer[Op, Machine]) -> None:
        """Start ``server``, with a new state machine, from what its disk holds."""
        if server.is_running:
            raise LocalProtocolError(f"{server.server_id} runs already")
        await self._nursery.start(self._serve, server)

    async def stop(self, server: ClusterServer[Op, Machine]) -> None:
        """Stop ``server`` as its program would; its disk stays."""
        run = server._running()  # noqa: SLF001 - one idea in two classes
        run.scope.cancel()
        await run.is_over.wait()

    async def crash(self, server: ClusterServer[Op, Machine]) -> None:
        """Take the power from ``server``: what was not synced is lost, in part or whole."""
        image = server.disk.crash(self._dice)
        await self.stop(server)
        server.disk = image

    async def restart(self, server: ClusterServer[Op, Machine]) -> None:
        """Stop ``server`` if it runs, and start it."""
        if server.is_running:
            await self.stop(server)
        await self.start(server)

    async def add_server(self, name: str = "") -> ClusterServer[Op, Machine]:
        """Start a server with an empty disk, which belongs to no cluster until it is added."""
        server_id = ServerID(name or f"n{len(self.servers) + 1}")
        if server_id in self.servers:
            raise LocalProtocolError(f"there is a server {server_id} already")
        return await self._add(server_id, Configuration())

    async def _add(
        self, server_id: ServerID, founders: Configuration
    ) -> ClusterServer[Op, Machine]:
        server: ClusterServer[Op, Machine] = ClusterServer(server_id, founders)
        self.servers[server_id] = server
        await self.start(server)
        return server

    async def _serve(
        self, server: ClusterServer[Op, Machine], *, task_status: trio.TaskStatus[None]
    ) -> None:
        is_over = trio.Event()
        server.starts += 1
        dice = random.Random(f"{self._seed} {server.server_id} {server.starts}")  # noqa: S311
        try:
            with (
                trio.CancelScope() as scope,
                DataFolder.open(
                    _FOLDER,
                    server.server_id,
                    fs=server.disk,
                    segment_bytes=_SEGMENT_BYTES,
                    entropy=dice.randbytes,
                ) as folder,
            ):
                if folder.is_fresh and server.founders.servers:
                    folder.bootstrap(server.founders, GoConfigurationCodec())
                machine = self._make()
                async with Raft.open(
                    folder=folder,
                    transport=self.network.transport(server.server_id),
                    state_machine=machine,
                    codec=self._codec,
                    config=self._config,
                    rng=dice,
                    sync_inline=True,
                    tracer=self._tracer,
                ) as raft:
                    server._run = _Run(raft, machine, scope, is_over)  # noqa: SLF001
                    task_status.started()
                    await trio.sleep_forever()
        except Exception as error:
            self._failures.append(error)
            raise
        except BaseExceptionGroup as group:
            # It failed while the block was left: who waited for it had been told already.
            _, failed = group.split(trio.Cancelled)
            if failed is not None:
                self._failures.append(_innermost(failed))
            raise
        finally:
            server._run = None  # noqa: SLF001
            is_over.set()


def _innermost(group: BaseExceptionGroup[BaseException]) -> Exception:
    """Return the first error in ``group`` that is no group."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error if isinstance(error, Exception) else LocalProtocolError(repr(error))


@asynccontextmanager
async def memory_cluster(
    size: int,
    *,
    state_machine: Callable[[], Machine],
    codec: OpCodec[Op],
    config: RaftConfig | None = None,
    seed: int = 0,
    delay_s: float = 0.001,
    tracer: Tracer | None = None,
) -> AsyncIterator[MemoryCluster[Op, Machine]]:
    """Run a cluster of ``size`` voters, ``n1`` and so on, until the block ends.

    ``state_machine`` makes a new one for each start of a server. Messages take ``delay_s``.
    ``tracer`` is told each transition of every server (``core.trace``).
    What ends a server, such as a state machine that raises, ends the block and comes out of it.
    """
    network = MemoryNetwork(delay_s=delay_s)
    founders = Configuration.of_voters(*(ServerID(f"n{n}") for n in range(1, size + 1)))
    failures: list[Exception] = []
    try:
        with single_error():
            async with trio.open_nursery() as nursery:
                cluster: MemoryCluster[Op, Machine] = MemoryCluster(
                    nursery,
                    network,
                    state_machine,
                    codec,
                    config or RaftConfig(),
                    seed,
                    failures,
                    tracer,
                )
                for server_id in founders.ids:
                    await cluster._add(server_id, founders)  # noqa: SLF001 - as above
                try:
                    yield cluster
                finally:
                    nursery.cancel_scope.cancel()
    except Exception as error:
        # Who waited for that server failed in turn: the cause is what a test must see.
        if failures and failures[0] is not error:
            raise failures[0] from error
        raise
