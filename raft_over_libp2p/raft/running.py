"""A driver with all it needs around it, and what every call of a running server stands on."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core.interfaces import Random
from raft_over_libp2p.core.trace import Tracer
from raft_over_libp2p.errors import ProposalRefused
from raft_over_libp2p.raft.driver import Driver
from raft_over_libp2p.raft.fsm import FSM
from raft_over_libp2p.raft.proposals import Proposal
from raft_over_libp2p.raft.single_error import single_error
from raft_over_libp2p.storage.interface import Stores
from raft_over_libp2p.transport.interface import Transport
from raft_over_libp2p.types import ServerID

__all__ = ["Running", "running"]


@asynccontextmanager
async def running(
    *,
    folder: Stores,
    transport: Transport,
    fsm: FSM[Any, Any],
    config: RaftConfig | None,
    rng: Random | None,
    sync_inline: bool,
    tracer: Tracer | None,
) -> AsyncIterator[Driver]:
    """Run a driver, its transport and its log's thread until the block ends; see ``Raft.open``."""
    driver = Driver(
        folder,
        transport,
        fsm,
        config or RaftConfig(),
        rng or random.SystemRandom(),
        sync_inline=sync_inline,
        tracer=tracer,
    )
    with single_error():
        async with trio.open_nursery() as nursery:
            await nursery.start(_serve, driver)
            try:
                yield driver
            finally:
                driver.end("its block was left")


async def _serve(driver: Driver, *, task_status: trio.TaskStatus[None]) -> None:
    """Run ``driver`` until it is ended, and then stop all that runs for it."""
    driver.log_writer.start()
    try:
        async with trio.open_nursery() as nursery:
            driver.snapshots.run_in(nursery)
            await nursery.start(driver.transport.run, driver.deliver, driver.snapshots)
            nursery.start_soon(driver.run)
            task_status.started()
            await driver.ended.wait()
            nursery.cancel_scope.cancel()
    finally:
        driver.log_writer.close()
        driver.stopped.set()


class Running:
    """A driver that runs until the block that opened it ends; ``Raft`` is the whole of it."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    @property
    def server_id(self) -> ServerID:
        return self._driver.folder.server_id

    async def changed(self) -> None:
        """Return after the next change of leader, role, configuration or applied index.

        Raises:
            ProposalRefused: this server is shut down.

        """
        self._check_open()
        await self._driver.changed()
        self._check_open()

    async def shutdown(self) -> None:
        """Stop this server, and return when nothing of it runs any more (``Shutdown``).

        What waits is told its outcome; later calls are refused. Leaving the block that
        opened it does this too.
        """
        self._driver.end("shutdown was called")
        await self._driver.stopped.wait()

    async def _propose(self, proposal: Proposal, timeout_s: float) -> list[Any]:
        self._check_open()
        if self._driver.is_disk_full:
            raise ProposalRefused("the disk is full; free some space on this peer or ask another")
        return await self._driver.proposals.propose(
            proposal, self._driver.wake, timeout_s=timeout_s
        )

    def _check_open(self) -> None:
        if why := self._driver.end_reason:
            raise ProposalRefused(f"this server is shut down: {why}")
