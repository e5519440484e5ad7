"""Linearisable reads that wait for their round: all of one turn share one token."""

from __future__ import annotations

from collections.abc import Callable

from raft_over_libp2p import limits
from raft_over_libp2p.core.machine import Machine
from raft_over_libp2p.core.ready import ReadRefused, ReadState
from raft_over_libp2p.errors import NotLeader, ProposalRefused, ReadIndexUnsupported
from raft_over_libp2p.raft.waiting import Waiter
from raft_over_libp2p.types import Index

__all__ = ["Reads"]


class Reads:
    """Reads not registered yet, and those whose confirmation is awaited, by token."""

    def __init__(self) -> None:
        self._new: dict[bool, list[Waiter[Index]]] = {False: [], True: []}
        """Not registered yet, by whether only this server's leadership will do."""
        self._registered: dict[int, list[Waiter[Index]]] = {}
        self._count = 0
        self._next_token = 1

    @property
    def has_new(self) -> bool:
        return any(self._new.values())

    async def read_index(self, wake: Callable[[], None], *, on_leader: bool = False) -> Index:
        """Queue a read, ``wake`` the driver, and return the index to wait for.

        ``on_leader`` asks that this server leads, and is confirmed to by others from now on.
        """
        if self._count >= limits.MAX_PENDING_READS:
            raise ProposalRefused(f"{self._count} reads wait already; try again later")
        waiter: Waiter[Index] = Waiter()
        self._count += 1
        self._new[on_leader].append(waiter)
        wake()
        try:
            return await waiter.wait()
        finally:
            self._count -= 1

    def hand_in(self, core: Machine, now: float) -> None:
        """Register all new reads with the core, those of a kind under one token."""
        for on_leader, register in ((False, core.read_index), (True, core.verify_leader)):
            new, self._new[on_leader] = self._new[on_leader], []
            if new:
                self._register(new, register, now)

    def _register(
        self, new: list[Waiter[Index]], register: Callable[[int, float], None], now: float
    ) -> None:
        token = self._next_token
        self._next_token += 1
        try:
            register(token, now)
        except NotLeader as error:
            for waiter in new:
                waiter.set_error(NotLeader(error.leader))
        except ProposalRefused as error:
            for waiter in new:
                waiter.set_error(ProposalRefused(str(error)))
        else:
            self._registered[token] = new

    def resolve(self, outcome: ReadState | ReadRefused) -> None:
        """Pass the core's word on to the readers of its token."""
        for waiter in self._registered.pop(outcome.token, ()):
            if isinstance(outcome, ReadState):
                waiter.set_value(outcome.index)
            elif outcome.is_unsupported and outcome.leader is not None:
                waiter.set_error(ReadIndexUnsupported(outcome.leader))
            else:
                waiter.set_error(NotLeader(outcome.leader))

    def fail_all(self, why: str) -> None:
        waiters = [waiter for group in self._registered.values() for waiter in group]
        for new in self._new.values():
            waiters += new
            new.clear()
        self._registered.clear()
        for waiter in waiters:
            waiter.set_error(ProposalRefused(f"nothing was read: {why}"))
