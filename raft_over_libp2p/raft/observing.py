"""Following what happens to a server."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import trio

from raft_over_libp2p.core.ready import LeaderChanged, RoleChanged
from raft_over_libp2p.raft.inspecting import Inspecting
from raft_over_libp2p.raft.observers import Observed, Observer
from raft_over_libp2p.types import ServerID

__all__ = ["Observing"]

T = TypeVar("T")


class Observing(Inspecting):
    """The part of ``Raft`` that tells of events."""

    async def wait_for_leader(self, *, timeout_s: float) -> ServerID:
        """Return who leads as soon as this server knows.

        Raises:
            NoLeader: nobody within ``timeout_s``; names the voters it cannot reach, and why.

        """
        with trio.move_on_after(timeout_s):
            while (leader := self._driver.leader) is None:
                await self.changed()
            return leader
        raise self.no_leader(f"no leader was elected within {timeout_s:g} s")

    @contextmanager
    def observe(
        self, is_wanted: Callable[[Observed], bool] = lambda _observation: True
    ) -> Iterator[Observer]:
        """Give an iterator over what happens from now on (``RegisterObserver``).

        ``is_wanted`` is the filter: it is asked in the driver's turn, and must neither block
        nor raise. Raft never waits for an observer: see ``Observer``.
        """
        observer = Observer(is_wanted)
        observers = self._driver.observers
        observers.append(observer)
        try:
            yield observer
        finally:
            observers.remove(observer)
            observer.end()

    def leader_changes(self) -> AsyncGenerator[LeaderChanged, None]:
        """Yield who leads now, and then each change, the newest one when several came meanwhile.

        What an observer may lose, this cannot: the last one yielded is how it is. It ends
        when the server shuts down.
        """
        return self._newest(lambda: self._driver.leader_changed)

    def state_changes(self) -> AsyncGenerator[RoleChanged, None]:
        """Yield this server's role and term now, and then each change, as :meth:`leader_changes`.

        A reign that ended and another that began meanwhile show in the term
        (hashicorp/raft ``LeaderCh``, which tells only of leadership, without its term).
        """
        return self._newest(lambda: self._driver.role_changed)

    async def _newest(self, current: Callable[[], T]) -> AsyncGenerator[T, None]:
        seen: T | None = None
        while not self._driver.end_reason:
            if (value := current()) != seen:
                seen = value
                yield value
            else:
                await self._driver.changed()
