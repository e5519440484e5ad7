"""The end of a run: all faults end, and the cluster must be well again. Safety alone would not see a stall."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING

from raft_over_libp2p.core.ready import Role
from tests.simulation.go_refusals import nobody_electable_without_go
from tests.simulation.violation import violated

if TYPE_CHECKING:
    from tests.simulation.server import Server
    from tests.simulation.world import World

__all__ = ["Recovery"]

_STALL_S = 10.0
"""Longest time without anything new stored, committed or applied, beyond what a lost call may take to fail."""
_DUEL_S = 30.0
"""Without pre-vote a server that was removed and never heard of it campaigns on, and takes the votes of
laggards (thesis 4.2.3): some elections are lost to it, until the dice let another be first."""
_GO_BACK_OFF_S = 11.0
"""A Go leader waits so long at most before it tries a peer again."""
_RECOVERY_S = 120.0
"""All must be well within so long, however small the batches and however far a server is behind."""
_ASK_EVERY_S = 0.2
_WRITE_EVERY_S = 2.0
"""Seldom, so that a cluster of one entry a round trip can catch up; again, as a leader may fall."""


class Recovery:
    """Heals a world and demands progress of it: a read first, then a write."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._healed_at = world.now
        self._asked_at = self._wrote_at = -math.inf
        self._reads_done = world.clients.reads_done
        self._fresh: list[bytes] = []
        self._held: Server | None = None
        self._progress = 0
        self._progress_at = world.now

    def demand(self) -> None:
        """End all faults and let the world run until it is well.

        Raises:
            Violation: it is not within the time limit.

        """
        self._heal()
        self.world.run_until(self._is_well)
        self.world.recovery_s = self.world.now - self._healed_at
        self.world.clients.final()

    def _heal(self) -> None:
        world = self.world
        world.tell("all faults end")
        world.has_faults = False
        world.profile = dataclasses.replace(
            world.profile,
            drop=0.0,
            duplicate=0.0,
            slow_network=0.0,
            slow_disk=0.0,
            crash_at_write=0.0,
            slow_snapshot=0.0,
            snapshot_broken=0.0,
            snapshot_damaged=0.0,
            snapshot_fails=0.0,
        )
        world.network.blocked.clear()
        world.network.extra_s.clear()
        world.full_disks.clear()
        for server in world.everyone:
            if server.machine is None:
                world.restart(server)
            elif server.is_paused:
                server.resume()
            server.writing.hasten_sync()
        # A process that dies takes its connections along: whoever has one hears of the next.
        for source, target in world.unheard:
            world.network.connect(source, target)
        self._hold_a_go_voter()

    def _hold_a_go_voter(self) -> None:
        """Have one Go voter stand still as under a snapshot that never ends: the others must do.

        It answers heartbeats, and nothing else.
        """
        world = self.world
        latest = world.commitment.entries.latest.configuration
        voters = [world.servers[voter] for voter in latest.voters]
        followers = [v for v in voters if v.is_go and v.role is Role.FOLLOWER]
        if len(voters) > 2 and followers and world.dice.random() < 0.5:
            self._held = world.dice.choice(followers)
            self._held.hold()
            world.marks["Go: a voter held while the others recover"] += 1
            world.tell(f"{self._held.id}'s main loop stands still")

    def _is_well(self) -> bool:
        world = self.world
        # A log that grows by one entry a round trip commits nothing until it has caught up.
        progress = len(world.commitment.entries) + sum(
            server.applied + len(server.disk.image) for server in world.everyone
        )
        if progress > self._progress:
            self._progress, self._progress_at = progress, world.now
        if self._is_late() and self._is_excused():
            return True
        if any(payload in world.clients.acknowledged for payload in self._fresh):
            self._release_held()
            return self._are_level() and not any(server.reads for server in world.everyone)
        if world.now - self._asked_at > _ASK_EVERY_S:
            self._asked_at = world.now
            for server in world.everyone:
                if server.role is Role.LEADER and server.machine is not None:
                    world.workload.read(server)
                    # A new leader must serve reads, and tell all members what is agreed on,
                    # although nobody writes.
                    # (Nobody can read at a Go leader.)
                    has_read = world.clients.reads_done > self._reads_done or server.is_go
                    is_time = world.now - self._wrote_at > _WRITE_EVERY_S
                    if has_read and is_time and (self._fresh or self._are_level()):
                        self._wrote_at = world.now
                        self._fresh += world.workload.write(server)
        return False

    def _is_late(self) -> bool:
        world = self.world
        stall_s = world.profile.call_timeout_s + _STALL_S
        if world.profile.go_peers:
            stall_s += _GO_BACK_OFF_S
        if world.profile.raft.pre_vote_disabled:
            stall_s += _DUEL_S
        is_stalled = world.now - self._progress_at > stall_s
        return is_stalled or world.now - self._healed_at > _RECOVERY_S

    def _is_excused(self) -> bool:
        """Tell whether a stall is the Go peers' own, or give more time; else it is a violation."""
        if self._is_held_needed():
            self._release_held()
            self._progress_at = self._healed_at = self.world.now
            return False
        if not self._is_gos_own_stall():
            self._report()
        return True

    def _release_held(self) -> None:
        if self._held is not None:
            self._held.release()
            self._held = None

    def _is_held_needed(self) -> bool:
        """Tell whether who counts has changed since, so that the others are no majority any more."""
        if self._held is None:
            return False
        latest = [server.log.latest.configuration for server in self.world.everyone]
        return any(c.is_voter(self._held.id) and len(c.voters) <= c.quorum() for c in latest)

    def _is_gos_own_stall(self) -> bool:
        world = self.world
        if self._is_left_to_go():
            world.marks["Go: a leader leaves a Go peer behind"] += 1
            return True
        if nobody_electable_without_go(world, self._held):
            world.marks["Go: its voters refuse all who could lead"] += 1
            return True
        return False

    def _is_left_to_go(self) -> bool:
        """Tell whether only Go peers lack anything, and a Go peer leads them.

        A stale tail above a snapshot, or a hole in its log: a Go leader never gets such a peer out of
        that (mixed-cluster rule 15); one of ours must.
        """
        world = self.world
        for leader in world.everyone:
            if leader.is_go and leader.role is Role.LEADER:
                last = leader.log[-1]
                members = [world.servers[member] for member in leader.log.latest.configuration.ids]
                behind = [
                    member
                    for member in members
                    if member is not self._held
                    and not (self._is_level(member) and member.disk.holds(last.index, last.term))
                ]
                return bool(behind) and all(server.is_go for server in behind)
        return False

    def _are_level(self) -> bool:
        return all(self._is_level(server) for server in self.world.everyone)

    def _is_level(self, server: Server) -> bool:
        """Tell whether ``server`` holds what all members must hold, if it is one."""
        if server is self._held:
            return True
        commitment = self.world.commitment
        agreed = len(commitment.entries)
        if not commitment.entries.latest.configuration.has(server.id):
            return True
        if server.applied == agreed and server.digest != commitment.digests[agreed]:
            violated("recovery", f"{server.id}'s state at {agreed} is another than the replay")
        return server.applied == agreed

    def _report(self) -> None:
        world = self.world
        states = "; ".join(
            f"{server.id} {server.role.value}, term {server.hard_state.term}, log {len(server.log)}, "
            f"applied {server.applied}, owes {len(server.inbound)} answers, "
            f"goes by {server.log.latest}"
            for server in world.everyone
        )
        violated(
            "recovery",
            f"{world.now - self._healed_at:.1f} s after the last fault, "
            f"{world.now - self._progress_at:.1f} s without progress, {len(self._fresh)} fresh "
            f"writes, {len(world.commitment.entries)} committed. {states}",
        )
