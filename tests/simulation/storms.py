"""More of what goes wrong, each kind of it on about one seed in six, from dice of its own.

So the seeds that have none of it are what they were. All of it ends when ``World.has_faults``
does: what is cut is mended, nobody crashes any more; a changed configuration stays, as it is no
fault.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from raft_over_libp2p.types import ServerID
from tests.simulation.strangers import ask_as_a_stranger

if TYPE_CHECKING:
    from raft_over_libp2p.config import RaftConfig
    from tests.simulation.server import Server
    from tests.simulation.world import World

__all__ = [
    "CONFIG",
    "CRASH_LOOP",
    "HALF_OPEN",
    "RELOAD",
    "RING",
    "SLOW_LINK",
    "STORMS",
    "STRANGER",
    "SWIZZLE",
    "Storms",
    "draw_storms",
]

STORMS = RING, SWIZZLE, SLOW_LINK, CRASH_LOOP, CONFIG, HALF_OPEN, STRANGER, RELOAD = (
    "ring partition",
    "swizzle",
    "slow link",
    "crash loop",
    "restart with another configuration",
    "half-open streams",
    "a stranger's requests",
    "configuration reloaded",
)
_STORMY = _ON = 0.4
"""Of the seeds, and of the kinds in such a seed: each kind is on in 16 % of all seeds."""
_HEARTBEAT_S = 0.1
_SMALLEST_RING = 4
"""In a ring of three each reaches all."""


def draw_storms(seed: int) -> frozenset[str]:
    """Return the kinds that are on in ``seed``: none in most."""
    dice = random.Random(f"storms {seed}")
    if dice.random() >= _STORMY:
        return frozenset()
    return frozenset(kind for kind in STORMS if dice.random() < _ON)


class Storms:
    """Has each kind of ``Profile.storms`` strike at random intervals, and mends what it broke."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.dice = random.Random(f"storms at {world.seed}")
        self._clogged: set[ServerID] = set()
        strikes: dict[str, Callable[[], None]] = {
            RING: self._ring,
            SWIZZLE: self._swizzle,
            SLOW_LINK: self._slow_link,
            CRASH_LOOP: self._loop,
            CONFIG: self._restart_otherwise,
            HALF_OPEN: self._half_open,
            STRANGER: self._strange,
            RELOAD: self._reload,
        }
        for kind in STORMS:
            if kind in world.profile.storms:
                most_often_s = 0.1 if kind == STRANGER else 0.5
                self._repeat(strikes[kind], most_often_s * 10.0 ** self.dice.random())

    def _repeat(self, strike: Callable[[], None], every_s: float) -> None:
        def again() -> None:
            strike()
            self._later(self.dice.expovariate(1.0 / every_s), again)

        self._later(self.dice.expovariate(1.0 / every_s), again)

    def _later(self, delay_s: float, action: Callable[[], None]) -> None:
        """Have ``action`` happen then, unless all faults ended before."""

        def act(_: object) -> None:
            if self.world.has_faults:
                action()

        self.world.push(self.world.now + delay_s, act, None)

    def _some_server(self) -> Server:
        return self.dice.choice(self.world.everyone)

    def _while_s(self) -> float:
        return 0.1 * 50.0 ** self.dice.random()

    # -- links

    def _ring(self) -> None:
        """Each server reaches its two neighbours only."""
        world = self.world
        ids = [server.id for server in world.everyone]
        if len(ids) < _SMALLEST_RING:
            return
        self.dice.shuffle(ids)
        near = {(ids[n - 1], ids[n]) for n in range(len(ids))}
        near |= {(b, a) for a, b in near}
        links = {(a, b) for a in ids for b in ids if a != b} - near
        world.marks[RING] += 1
        world.tell(f"a ring: {ids}")
        world.network.blocked |= links
        self._later(self._while_s(), lambda: self._mend(links))

    def _mend(self, links: Iterable[tuple[ServerID, ServerID]]) -> None:
        world = self.world
        for source, target in sorted(links):
            world.network.blocked.discard((source, target))
            if self.dice.random() < 0.5:
                world.network.connect(world.servers[source], world.servers[target])

    def _swizzle(self) -> None:
        """The links of some servers are stopped one server after another, and restored in another order."""
        ids = [server.id for server in self.world.everyone]
        if self._clogged or len(ids) < 2:
            return
        self.world.marks[SWIZZLE] += 1
        chosen = self.dice.sample(ids, self.dice.randint(1, len(ids)))
        at_s = 0.0
        for server_id in chosen:
            self._later(at_s, lambda one=server_id: self._clog(one))  # type: ignore[misc]
            at_s += self.dice.random() * 0.5
        at_s += self._while_s()
        for server_id in self.dice.sample(chosen, len(chosen)):
            self._later(at_s, lambda one=server_id: self._unclog(one))  # type: ignore[misc]
            at_s += self.dice.random() * 0.5

    def _links_of(self, server_id: ServerID) -> set[tuple[ServerID, ServerID]]:
        """Return those to and from ``server_id`` that no other clogged server stops."""
        stopped = self._clogged | {server_id}
        free = [server.id for server in self.world.everyone if server.id not in stopped]
        return {(server_id, one) for one in free} | {(one, server_id) for one in free}

    def _clog(self, server_id: ServerID) -> None:
        self.world.tell(f"nothing comes to or from {server_id}")
        self.world.network.blocked |= self._links_of(server_id)
        self._clogged.add(server_id)

    def _unclog(self, server_id: ServerID) -> None:
        self.world.tell(f"{server_id} is reached again")
        self._clogged.discard(server_id)
        self._mend(self._links_of(server_id))

    def _slow_link(self) -> None:
        """One direction of one pair is slow for a while."""
        world = self.world
        if len(world.everyone) < 2:
            return
        source, target = self.dice.sample(world.everyone, 2)
        world.marks[SLOW_LINK] += 1
        extra_s = self.dice.uniform(10.0, 30.0) * _HEARTBEAT_S
        world.tell(f"{source.id} -> {target.id} takes {extra_s:.2f} s longer")
        link = (source.id, target.id)
        world.network.extra_s[link] = extra_s
        self._later(self._while_s(), lambda: world.network.extra_s.pop(link, None))

    # -- processes

    def _crash(self, server: Server, down_s: float) -> None:
        server.crash()
        self.world.push(self.world.now + down_s, self.world.restart, server)

    def _loop(self) -> None:
        """A server crashes shortly after its start, again and again."""
        server, times = self._some_server(), self.dice.randint(3, 8)

        def again(left: int) -> None:
            if server.machine is not None:
                if left < times:
                    self.world.marks[CRASH_LOOP] += 1
                self._crash(server, 0.02 * 10.0 ** self.dice.random())
            if left:
                # Most fall within the next run, from its first writes on; some before it.
                after_s = 0.02 * 50.0 ** self.dice.random()
                self._later(after_s, lambda: again(left - 1))

        again(times)

    def _restart_otherwise(self) -> None:
        """A server is stopped, and started again with other settings than it had."""
        server = self._some_server()
        if server.machine is None:
            return
        self._crash(server, 0.02 * 50.0 ** self.dice.random())
        server.config = self._other_timing(server.config)
        server.config = replace(
            server.config,
            commit_timeout_s=self.dice.choice((0.02, 0.05, 0.2)),
            max_append_entries=self.dice.choice((1, 2, 8, 64)),
            max_inflight_appends=self.dice.choice((1, 2, 4)),
            pre_vote_disabled=self.dice.random() < 0.2,
        )
        self.world.marks[CONFIG] += 1
        self.world.tell(f"{server.id} is to start with {server.config}")

    def _other_timing(self, config: RaftConfig) -> RaftConfig:
        """Draw what may be reloaded, too.

        With leases no election timeout gets shorter: that would have to wait until the longest
        promise has ended (``RaftConfig.lease_reads``).
        """
        shortest_s = config.election_timeout_s if config.lease_reads else 0.0
        heartbeat_timeout_s = self.dice.choice((0.5, 0.6, 1.0))
        election_timeout_s = self.dice.choice((0.7, 1.0, 2.0))
        return replace(
            config,
            heartbeat_timeout_s=heartbeat_timeout_s,
            election_timeout_s=max(election_timeout_s, heartbeat_timeout_s, shortest_s),
            snapshot_threshold=self.dice.choice((1, 4, 20, 8192)),
            snapshot_interval_s=self.dice.choice((0.1, 1.0, 5.0)),
            trailing_logs=self.dice.choice((0, 3, 30)),
        )

    def _reload(self) -> None:
        """A server that runs is told other settings."""
        server = self._some_server()
        if server.is_go or server.machine is None or server.is_paused:
            return
        server.config = self._other_timing(server.config)
        self.world.marks[RELOAD] += 1
        self.world.tell(f"{server.id} goes by {server.config}")
        server.machine.reload_config(server.config, server.local_now())
        server.turn()

    def _half_open(self) -> None:
        """A machine loses power: no reset leaves it, so whoever calls it waits for the time limit."""
        server = self._some_server()
        if server.machine is None:
            return
        self.world.network.gone.add(server.id)
        self.world.tell(f"{server.id} loses power, and nobody hears of it")
        self._crash(server, 0.1 * 50.0 ** self.dice.random())

    # -- others

    def _strange(self) -> None:
        """Somebody who is no member asks for anything."""
        target = self._some_server()
        if target.machine is not None:
            ask_as_a_stranger(self.world, target, self.dice)
