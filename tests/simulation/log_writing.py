"""How one process writes: one sync at a time, of what was submitted since, and what fails in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raft_over_libp2p.core.events import Persisted
from raft_over_libp2p.core.ready import Write
from raft_over_libp2p.errors import DurabilityLost
from tests.simulation.violation import violated

if TYPE_CHECKING:
    from tests.simulation.server import Server

__all__ = ["LogWriting"]


class LogWriting:
    """One server's; what was submitted belongs to the machine it came from."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._syncs = 0
        self._dies_after_sync = False

    def machine_starts(self) -> None:
        """A machine that starts finds nothing submitted."""
        self._dies_after_sync = False

    def write(self, write: Write) -> bool:
        """Hand a batch to the disk; return whether power fails right now."""
        server = self._server
        world = server.world
        if world.story is not None:
            world.tell(f"{server.id} writes {write}")
        if write.hard_state is not None:
            world.durability.hard_state(server, write.hard_state)
        world.logs.write(server, write)
        world.membership.write(server, write)
        world.snapshots.write(server, write)
        self._change_log(write)
        server.disk.submit(write)
        chance = world.profile.crash_at_write
        if write.reset_to is not None or write.remove_prefix is not None:
            chance *= 10.0
        if chance and world.dice.random() < chance and world.has_faults:
            when = world.dice.randrange(3)
            if when == 0:
                return True
            if when == 1:
                self._dies_after_sync = True
            else:
                latency = world.dice.random() * world.profile.flush_s[1]
                world.push(world.now + latency, self._die_in_sync, server.core)
        self._start_sync()
        return False

    def _change_log(self, write: Write) -> None:
        """Take the batch over into the log as the machine has it."""
        server = self._server
        world = server.world
        if write.reset_to is not None:
            world.marks["log replaced by a snapshot"] += 1
            if write.reset_to > len(world.commitment.entries) + 1:
                violated("snapshot of what is agreed on", f"{server.id} goes on at {write}")
            server.log.reset(write.reset_to, world.commitment.entries)
        if write.truncate_from is not None:
            world.marks["truncation"] += 1
            if server.log.latest.index >= write.truncate_from:
                world.marks["uncommitted configuration rolled back"] += 1
            server.log.cut(write.truncate_from)
        if write.append:
            server.log.add(write.append)

    def _die_in_sync(self, core: int) -> None:
        server = self._server
        if core == server.core:
            server.world.marks["crash during a write"] += 1
            server.world.crash(server)

    def _start_sync(self) -> None:
        server = self._server
        disk, world = server.disk, server.world
        if disk.flushing or not disk.queue or server.id in world.stuck_disks:
            return
        dice, profile = world.dice, world.profile
        waiting = len(disk.queue)
        disk.flushing = waiting if waiting == 1 or dice.random() < 0.7 else dice.randint(1, waiting)
        low, high = profile.flush_s
        latency = low + (high - low) * dice.random()
        if profile.slow_disk and dice.random() < profile.slow_disk:
            world.marks["slow sync"] += 1
            # Up to 20 election timeouts, mostly much less.
            latency += dice.random() ** 4 * 20.0 * profile.raft.election_timeout_s
        self._syncs += 1
        world.push(world.now + latency, self._synced, (server.core, self._syncs))

    def hasten_sync(self) -> None:
        """The disk is well again: what it has been busy with for long is done now."""
        server = self._server
        self._start_sync()
        if server.disk.flushing:
            self._syncs += 1
            server.world.push(server.world.now, self._synced, (server.core, self._syncs))

    def _synced(self, sync: tuple[int, int]) -> None:
        server = self._server
        if sync != (server.core, self._syncs):
            return
        world, disk = server.world, server.disk
        if server.id in world.full_disks and any(
            _needs_space(disk.queue[position]) for position in range(disk.flushing)
        ):
            if server.is_paused:
                world.push(world.now + 0.05, self._synced, sync)
            else:
                server.run_out_of_space()
            return
        try:
            batch = disk.complete()
        except DurabilityLost:
            world.crash(server)
            return
        if world.story is not None:
            world.tell(f"{server.id} synced up to batch {batch}")
        if self._dies_after_sync and world.has_faults:
            world.marks["crash after a write"] += 1
            world.crash(server)
            return
        self._start_sync()
        server.deliver(Persisted(batch))


def _needs_space(write: Write) -> bool:
    return bool(write.append) or write.truncate_from is not None or write.reset_to is not None
