"""Loses answers to InstallSnapshot on demand, as the Go peer's ``tap.go``."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import trio

from raft_over_libp2p.core.messages import InstallSnapshotResponse
from raft_over_libp2p.core.ready import Output, Reply
from raft_over_libp2p.transport.interface import Deliver, Link, SnapshotExchange, Transport
from raft_over_libp2p.types import ServerID

__all__ = ["Tap"]


class Tap:
    """A transport through which such answers get, unless it ``is_losing`` them."""

    def __init__(self, transport: Transport, *, is_losing: bool) -> None:
        self._transport = transport
        self.is_losing = is_losing
        self.lost = 0
        self.has_lost = trio.Event()

    @property
    def server_id(self) -> ServerID:
        return self._transport.server_id

    async def run(
        self,
        deliver: Deliver,
        snapshots: SnapshotExchange | None = None,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        await self._transport.run(deliver, snapshots, task_status=task_status)

    def send(self, outputs: Sequence[Output]) -> None:
        self._transport.send([output for output in outputs if not self._loses(output)])

    def _loses(self, output: Output) -> bool:
        is_lost = (
            self.is_losing
            and isinstance(output, Reply)
            and isinstance(output.response, InstallSnapshotResponse)
        )
        if is_lost:
            self.lost += 1
            self.has_lost.set()
        return is_lost

    def set_members(self, members: Collection[ServerID]) -> None:
        self._transport.set_members(members)

    def links(self) -> Mapping[ServerID, Link]:
        return self._transport.links()
