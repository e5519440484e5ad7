"""InstallSnapshot on the network: a stream of its own, whose bytes take time and may break off.

A request is delivered when all of its bytes are there, and never otherwise
(``transport.interface``). Then it may still be late: the leader that sent it may have given it
up, or lead no more.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from raft_over_libp2p.core.messages import (
    AppendEntriesRequest,
    InstallSnapshotRequest,
    TimeoutNowRequest,
)
from tests.simulation.violation import violated

if TYPE_CHECKING:
    from tests.simulation.network import Flight, Network

__all__ = ["SnapshotStreams"]

_LONGEST_S = 3.0
"""To send one, and again until what was sent arrives."""


class SnapshotStreams:
    """The part of a network that carries snapshots."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._receivers: dict[Flight, int] = {}

    def give_up_older(self, flight: Flight) -> None:
        """Another snapshot to the same peer ends the one before."""
        source = flight.source
        for other in list(source.outstanding.values()):
            if other.kind == flight.kind and other.target is flight.target:
                if _is_busy(other, flight):
                    violated(
                        "one snapshot at a time",
                        f"{source.id} sends {flight.request} while {other.request} is on its way",
                    )
                self._network.fail_one(other)

    @staticmethod
    def check_entries(flight: Flight) -> None:
        """Heartbeats only, to a peer that a snapshot is on its way to (mixed-cluster rule 4)."""
        request = flight.request
        if not isinstance(request, AppendEntriesRequest) or request.is_heartbeat:
            return
        for other in flight.source.outstanding.values():
            is_to_it = other.snapshot is not None and other.target is flight.target
            if is_to_it and _is_busy(other, flight):
                violated(
                    "no entries beside a snapshot",
                    f"{flight.source.id} sends {request} while {other.request} is on its way",
                )

    def carry(self, flight: Flight) -> None:
        """Send what the source has at that place; without it the call fails."""
        network = self._network
        world = network.world
        dice, profile = world.dice, world.profile
        request = flight.request
        if not isinstance(request, InstallSnapshotRequest):
            violated("simulator", f"{request} carries no snapshot")
        snapshot = flight.source.disk.snapshots.find(request.last_log_index, request.last_log_term)
        world.marks["snapshot sent"] += 1
        if snapshot is None:
            world.marks["snapshot gone before it was sent"] += 1
            world.push(world.now + 0.001, network.fail, flight)
            return
        # What arrives is what the header says; that it is what was taken, the checker has seen.
        committed_in = world.commitment.committed_in
        flight.is_early = not committed_in or committed_in[-1] < request.term
        damaged = dice.random() < profile.snapshot_damaged
        flight.snapshot = dataclasses.replace(snapshot, is_damaged=damaged)
        self._receivers[flight] = flight.target.process
        low, high = profile.latency_s
        takes_s = low + (high - low) * dice.random()
        if flight.target.is_go:
            world.push(world.now + takes_s, self._head_arrives, flight)
            takes_s *= 2.0
        if dice.random() < profile.slow_snapshot:
            takes_s += _LONGEST_S * dice.random() ** 2
        if dice.random() < profile.snapshot_broken:
            world.push(world.now + takes_s * dice.random(), self._break, flight)
            return
        world.push(world.now + takes_s, self._sent, flight)

    def _head_arrives(self, flight: Flight) -> None:
        """A Go peer takes a snapshot off the stream itself, and does nothing else meanwhile."""
        target = flight.target
        is_blocked = (flight.source.id, target.id) in self._network.blocked
        if not is_blocked and target.process == self._receivers.get(flight):
            target.begin_stream(flight)

    def _tell_broken(self, flight: Flight) -> None:
        """A Go peer hears that a stream was reset, once anything reaches it."""
        world, target = self._network.world, flight.target
        if not target.is_go:
            return
        if world.has_faults and (flight.source.id, target.id) in self._network.blocked:
            world.push(world.now + 0.5, self._tell_broken, flight)
            return
        target.end_stream(flight, whole=False)

    def _break(self, flight: Flight) -> None:
        world = self._network.world
        self._tell_broken(flight)
        world.marks["snapshot broken off"] += 1
        self._receivers.pop(flight, None)
        world.push(world.now + world.dice.random() * 0.1, self._network.fail, flight)

    def _sent(self, flight: Flight) -> None:
        """The last byte leaves, if the sender is still there and has not given the call up."""
        network = self._network
        world = network.world
        if not network.is_open(flight) or flight.source.machine is None:
            self._break(flight)
            return
        profile, dice = world.profile, world.dice
        if flight.target.is_go:
            # On one connection nothing that is sent later comes before it (rule 4).
            self._arrive(flight)
            return
        late_s = 0.0
        if dice.random() < profile.slow_snapshot:
            late_s = _LONGEST_S * dice.random() ** 2
        world.push(world.now + late_s, self._arrive, flight)
        if profile.duplicate and dice.random() < profile.duplicate:
            world.push(world.now + dice.random() * _LONGEST_S, self._arrive_again, flight)

    def _arrive(self, flight: Flight) -> None:
        network = self._network
        world, source, target = network.world, flight.source, flight.target
        process = self._receivers.pop(flight, None)
        if (source.id, target.id) in network.blocked or (
            world.profile.drop and world.dice.random() < world.profile.drop
        ):
            network.lose(flight, is_silent=True)
            self._tell_broken(flight)
            return
        if target.machine is None or process != target.process:
            network.lose(flight)
            return
        if target.is_go:
            target.end_stream(flight, whole=True)
            return
        if not network.is_open(flight):
            world.marks["snapshot that nobody waits for arrives"] += 1
        network.deliver(flight)

    def _arrive_again(self, flight: Flight) -> None:
        """The same comes a second time, as from a leader that tried again."""
        if flight.target.machine is None or (flight.source.id, flight.target.id) in (
            self._network.blocked
        ):
            return
        self._network.world.marks["snapshot duplicated"] += 1
        twin = type(flight)(
            flight.source, flight.target, flight.call, flight.request, flight.deadline
        )
        twin.snapshot = flight.snapshot
        twin.is_duplicate = True
        self._network.deliver(twin)


def _is_busy(open_call: Flight, flight: Flight) -> bool:
    """Tell whether one leader in one term sends ``flight`` while ``open_call`` is on its way.

    To a peer that was removed and added again meanwhile it may: it is a new one to it.
    """
    first, second = open_call.request, flight.request
    if not isinstance(first, InstallSnapshotRequest) or isinstance(second, TimeoutNowRequest):
        return False
    if open_call.core != flight.core or first.term != second.term:
        return False
    peer, placed = flight.target.id, flight.source.log.placed
    return all(p.configuration.has(peer) for p in placed if p.index > first.configuration_index)
