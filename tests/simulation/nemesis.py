"""What goes wrong and when, apart from single messages and writes: drawn from the seed's dice."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from raft_over_libp2p.core.messages import RequestVoteRequest, TimeoutNowRequest
from raft_over_libp2p.core.ready import Role
from raft_over_libp2p.types import NO_INDEX, NO_TERM, ServerID
from tests.simulation.check_elections import STRANGERS_TERM
from tests.simulation.network import KINDS

if TYPE_CHECKING:
    from tests.simulation.server import Server
    from tests.simulation.world import World

__all__ = ["Nemesis"]


class Nemesis:
    """Breaks things at random intervals, and mends each after a while."""

    def __init__(self, world: World) -> None:
        self.world = world
        profile = world.profile
        for action, every_s in (
            (self._reset, profile.reset_every_s),
            (self._partition, profile.partition_every_s),
            (self._crash, profile.crash_every_s),
            (self._pause, profile.pause_every_s),
            (self._fill_disk, profile.disk_full_every_s),
            (self._timeout_now, profile.timeout_now_every_s),
            (self._shout, profile.stranger_every_s),
        ):
            takes_two = action in {self._reset, self._partition, self._timeout_now}
            if every_s and (len(world.everyone) > 1 or not takes_two):
                self._repeat(action, every_s)

    def _repeat(self, action: Callable[[], None], every_s: float) -> None:
        world = self.world

        def strike(_: object) -> None:
            if world.has_faults:
                action()
                world.push(world.now + world.dice.expovariate(1.0 / every_s), strike, None)

        world.push(world.now + world.dice.expovariate(1.0 / every_s), strike, None)

    def _some_server(self) -> Server:
        return self.world.dice.choice(self.world.everyone)

    def _reset(self) -> None:
        world = self.world
        source, target = world.dice.sample(world.everyone, 2)
        world.marks["reset"] += 1
        world.network.reset_streams(source, target, world.dice.choice(list(KINDS)))

    def _timeout_now(self) -> None:
        """Somebody is told to campaign by a leader, or by who is none: then it must not."""
        world = self.world
        source, target = world.dice.sample(world.everyone, 2)
        leaders = [server for server in world.everyone if server.role is Role.LEADER]
        if leaders and world.dice.random() < 0.8:
            source = world.dice.choice(leaders)
        if source is not target:
            world.marks["TimeoutNow in a leader's name"] += 1
            world.network.send_unasked(source, target, TimeoutNowRequest())

    def _shout(self) -> None:
        """A server that belongs to no configuration, and whose log is empty, asks for a vote."""
        world = self.world
        world.marks["stranger"] += 1
        for target in world.everyone:
            if target.is_go and not target.log.latest.index:
                continue  # a blank Go peer goes to anybody's term
            request = RequestVoteRequest(
                term=STRANGERS_TERM,
                candidate=world.stranger.id,
                last_log_index=NO_INDEX,
                last_log_term=NO_TERM,
                leadership_transfer=world.dice.random() < 0.5,
            )
            world.network.send_unasked(world.stranger, target, request)

    def _crash(self) -> None:
        dice = self.world.dice
        count = dice.choice((1, 1, 1, 2, len(self.world.everyone)))
        for server in dice.sample(self.world.everyone, min(count, len(self.world.everyone))):
            self.world.crash(server)

    def _pause(self) -> None:
        world, server = self.world, self._some_server()
        if server.machine is None or server.is_paused:
            return
        world.marks["pause"] += 1
        server.pause()
        length_s = 0.1 * 100.0 ** world.dice.random()
        world.tell(f"{server.id} pauses for {length_s:.3f} s")
        world.push(world.now + length_s, self._resume, (server, server.process))

    @staticmethod
    def _resume(paused: tuple[Server, int]) -> None:
        server, process = paused
        if server.process == process and server.is_paused:
            server.resume()

    def _fill_disk(self) -> None:
        world, server = self.world, self._some_server()
        world.full_disks.add(server.id)
        world.tell(f"{server.id}'s disk is full")
        world.push(world.now + world.dice.random() * 5.0, self._free_disk, server.id)

    def _free_disk(self, server_id: ServerID) -> None:
        self.world.full_disks.discard(server_id)

    def _partition(self) -> None:
        world = self.world
        links = self._draw_partition()
        world.marks["partition"] += 1
        world.tell(f"nothing goes {sorted(links)}")
        world.network.blocked |= links
        world.push(world.now + 0.1 * 100.0 ** world.dice.random(), self._heal, links)

    def _draw_partition(self) -> set[tuple[ServerID, ServerID]]:
        dice = self.world.dice
        ids = [server.id for server in self.world.everyone]
        dice.shuffle(ids)
        cut = dice.randint(1, len(ids) - 1)
        left, right = ids[:cut], ids[cut:]
        form = dice.randrange(4)
        if form == 1:  # one way
            return {(a, b) for a in left for b in right}
        if form == 2 and len(right) > 1:  # a bridge: one server sees both sides
            right = right[1:]
        if form == 3:  # one link, both ways
            left, right = left[:1], right[:1]
        return {(a, b) for a in left for b in right} | {(b, a) for a in left for b in right}

    def _heal(self, links: set[tuple[ServerID, ServerID]]) -> None:
        world = self.world
        world.network.blocked -= links
        if world.has_faults and world.dice.random() < 0.5:
            for source, target in sorted(links):
                world.network.connect(world.servers[source], world.servers[target])
