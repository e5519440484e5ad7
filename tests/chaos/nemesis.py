"""Does to a cluster what a schedule says, and makes all of it good again."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import trio

from tests.chaos.network import Network
from tests.chaos.partitions import SHAPES, between
from tests.chaos.peers import GoPeer, Member, Peer, PythonPeer, Standing
from tests.chaos.router import Condition
from tests.chaos.schedule import LEADER, Fault, Schedule

__all__ = ["Nemesis"]

_GLANCE_S: Final = 0.5
"""For finding the leader: whoever does not answer by then is not asked further."""
_REMOVAL_ATTEMPTS: Final = 3
_CHANGE_ATTEMPTS: Final = 40
_CHANGE_PAUSE_S: Final = 0.5
_FULL_LOG_BYTES: Final = 64 * 1024
"""Some hundred entries into a segment; beyond the vote, snapshots, and what a daemon prints."""
_SUPERVISION_S: Final = 0.5


class Nemesis:
    """Faults against ``peers``. What a fault did is taken back when it ends, or by :meth:`heal`."""

    def __init__(
        self,
        network: Network,
        peers: Sequence[Peer],
        *,
        has_clocks: bool,
    ) -> None:
        self.struck: Counter[str] = Counter()
        """Faults that took place, by kind."""
        self.events: list[dict[str, object]] = []
        """What took place, with monotonic times as in the history."""
        self.ended: list[str] = []
        """Daemons that ended by themselves; they are started again."""
        self.not_started: list[str] = []
        """Daemons that ended before they answered because their disk was full, as they may."""
        self._network = network
        self._peers = {peer.number: peer for peer in peers}
        self._python = [peer for peer in peers if isinstance(peer, PythonPeer)]
        self._has_clocks = has_clocks

    async def play(self, schedule: Schedule) -> None:
        """Return when the last fault of ``schedule`` has ended."""
        start = trio.current_time()
        async with trio.open_nursery() as nursery:
            for fault in schedule.faults:
                await trio.sleep_until(start + fault.at_s)
                nursery.start_soon(self._strike, fault)

    async def supervise(self) -> None:
        """Start daemons again that ended by themselves, as an init system does; until cancelled."""
        while True:
            await trio.sleep(_SUPERVISION_S)
            for peer in self._python:
                if peer.is_meant_to_run and not peer.is_up:
                    end = f"{peer.member.name} ended by itself with exit code {peer.exit_code}"
                    is_excused = peer.had_full_disk and not peer.has_answered
                    (self.not_started if is_excused else self.ended).append(end)
                    await _start_if_down(peer)

    async def heal(self) -> None:
        """End what is left of any fault, and have every process run and be a member."""
        self._network.heal()
        for peer in self._peers.values():
            peer.signal(signal.SIGCONT)
            if isinstance(peer, PythonPeer):
                while peer.disk_faults:
                    peer.free_disk()
                peer.shift_clock(0.0)
        async with trio.open_nursery() as nursery:
            for peer in self._peers.values():
                nursery.start_soon(_start_if_down, peer)

    async def leader(self) -> tuple[Peer, Standing] | None:
        """Return who says that it leads the latest term, of those that answer at once."""
        leading: list[tuple[Peer, Standing]] = []

        async def look(peer: Peer) -> None:
            with trio.move_on_after(_GLANCE_S):
                standing = await peer.standing()
                if standing is not None and standing.role == "Leader":
                    leading.append((peer, standing))

        async with trio.open_nursery() as nursery:
            for peer in self._peers.values():
                nursery.start_soon(look, peer)
        return max(leading, key=lambda found: found[1].term, default=None)

    async def _strike(self, fault: Fault) -> None:
        victims = await self._victims(fault)
        if fault.kind in {"loss", "delay", "duplication"}:
            await self._disturb(fault, victims, Condition(**fault.settings))
        elif fault.kind in SHAPES:
            addresses = [peer.member.namespace.address for peer in victims]
            await self._disturb(fault, victims, Condition(blocked=SHAPES[fault.kind](addresses)))
        else:
            await _STRIKES[fault.kind](self, fault, victims)

    async def _victims(self, fault: Fault) -> list[Peer]:
        """Return all peers, those the fault is about first."""
        numbers = list(fault.victims)
        if numbers[0] == LEADER:
            found = await self.leader()
            numbers = numbers[1:] if found is None else [found[0].number, *numbers[1:]]
        return [self._peers[number] for number in dict.fromkeys(numbers)]

    def _note(self, fault: Fault, victims: Sequence[Peer]) -> None:
        self.struck[fault.kind] += 1
        names = [peer.member.name for peer in victims]
        event = {"at_ns": time.monotonic_ns(), "fault": fault.number, "kind": fault.kind}
        self.events.append({**event, "victims": names, "lasts_s": fault.lasts_s})

    async def _disturb(self, fault: Fault, victims: Sequence[Peer], condition: Condition) -> None:
        self._note(fault, victims)
        self._network.disturb(fault.number, condition)
        await trio.sleep(fault.lasts_s)
        self._network.settle(fault.number)

    async def _swizzle(self, fault: Fault, victims: Sequence[Peer]) -> None:
        """Cut off the peers of a subset one by one, and join them again in another order."""
        self._note(fault, victims)
        chosen = [peer.member.namespace.address for peer in victims[: len(victims) // 2 + 1]]
        everyone = [peer.member.namespace.address for peer in victims]
        cut: list[str] = []
        steps = [(True, address) for address in chosen]
        steps += [(False, address) for address in sorted(chosen)]
        for is_cut, address in steps:
            cut = [*cut, address] if is_cut else [other for other in cut if other != address]
            blocked = between(cut, everyone)
            self._network.disturb(fault.number, Condition(blocked=blocked))
            await trio.sleep(fault.lasts_s / len(steps))
        self._network.settle(fault.number)

    async def _kill(self, fault: Fault, victims: Sequence[Peer]) -> None:
        if victims[0].is_up:
            self._note(fault, victims[:1])
            await self._kill_and_restart(fault, victims[0])

    async def _kill_all(self, fault: Fault, victims: Sequence[Peer]) -> None:
        self._note(fault, victims)
        async with trio.open_nursery() as nursery:
            for peer in victims:
                nursery.start_soon(self._kill_and_restart, fault, peer)

    async def _kill_and_restart(self, fault: Fault, peer: Peer) -> None:
        async with self._held(peer) as is_free:
            if is_free and peer.is_up:
                await peer.kill()
                await trio.sleep(fault.lasts_s / 2)
                await peer.start()

    async def _pause(self, fault: Fault, victims: Sequence[Peer]) -> None:
        async with self._held(victims[0]) as is_free:
            if is_free and victims[0].is_up:
                self._note(fault, victims[:1])
                victims[0].signal(signal.SIGSTOP)
                try:
                    await trio.sleep(fault.lasts_s)
                finally:
                    victims[0].signal(signal.SIGCONT)

    @asynccontextmanager
    async def _held(self, peer: Peer) -> AsyncIterator[bool]:
        """Whether no other fault is busy with its process."""
        try:
            peer.process_lock.acquire_nowait()
        except trio.WouldBlock:
            yield False
            return
        try:
            yield True
        finally:
            peer.process_lock.release()

    async def _full_disk(self, fault: Fault, victims: Sequence[Peer]) -> None:
        peer = next(p for p in victims if isinstance(p, PythonPeer))
        self._note(fault, [peer])
        peer.fill_disk()
        try:
            await trio.sleep(fault.lasts_s)
        finally:
            peer.free_disk()

    async def _full_log(self, fault: Fault, victims: Sequence[Peer]) -> None:
        peer = next(p for p in victims if isinstance(p, PythonPeer))
        self._note(fault, [peer])
        peer.limit_files(_FULL_LOG_BYTES)
        try:
            await trio.sleep(fault.lasts_s)
        finally:
            peer.limit_files(-1)

    async def _clock_jump(self, fault: Fault, victims: Sequence[Peer]) -> None:
        if not self._has_clocks:
            return
        peer = next(p for p in victims if isinstance(p, PythonPeer))
        self._note(fault, [peer])
        peer.shift_clock(fault.settings["jump_s"])
        await trio.sleep(fault.lasts_s)
        peer.shift_clock(0.0)

    async def _transfer(self, fault: Fault, victims: Sequence[Peer]) -> None:
        target = next(p for p in reversed(victims) if isinstance(p, PythonPeer))
        if await self.transfer_to(target):
            self._note(fault, [target])

    async def transfer_to(self, target: Peer) -> bool:
        """Ask for ``target`` to lead; return whether it was said to."""
        found = await self.leader()
        if found is None:
            return False
        leader = found[0]
        if isinstance(leader, GoPeer):
            return await leader.change("transfer", target.member) is None
        if isinstance(leader, PythonPeer):
            return await leader.change("POST", f"/raft/leader/transfer?to={target.peer_id}") is None
        return False

    async def _remove(self, fault: Fault, victims: Sequence[Peer]) -> None:
        peer, *others = victims
        for attempt in range(_REMOVAL_ATTEMPTS):
            asked = others[attempt % len(others)]
            if await self._is_done("remove", peer, asked, asked.remove):
                self._note(fault, [peer])
                await trio.sleep(fault.lasts_s / 2)
                break
            await trio.sleep(_CHANGE_PAUSE_S)
        with trio.move_on_after(fault.lasts_s):
            await self.add(peer)

    async def add(self, peer: Peer) -> None:
        """Have ``peer`` added to the cluster, by whoever can, until it is a voter.

        It may be removed again at any time after: by a call that was given up on.
        """
        for attempt in range(_CHANGE_ATTEMPTS):
            found = await self.leader()
            if found is not None and peer.peer_id in found[1].voters:
                return
            others = [other for other in self._peers.values() if other is not peer and other.is_up]
            if others:
                asked = others[attempt % len(others)]
                await self._is_done("add", peer, asked, asked.add)
            await trio.sleep(_CHANGE_PAUSE_S)

    async def _is_done(
        self, verb: str, peer: Peer, asked: Peer, ask: Callable[[Member], Awaitable[str | None]]
    ) -> bool:
        """Ask for a change of members, and write down what was answered."""
        event: dict[str, object] = {"at_ns": time.monotonic_ns(), "asked": asked.member.name}
        event |= {verb: peer.member.name, "answer": "given up on"}
        self.events.append(event)
        said = await ask(peer.member)
        event["answer"] = "done" if said is None else said
        return said is None


async def _start_if_down(peer: Peer) -> None:
    async with peer.process_lock:
        if not peer.is_up:
            await peer.start()


_STRIKES: Final = {
    "swizzle": Nemesis._swizzle,
    "kill": Nemesis._kill,
    "kill-all": Nemesis._kill_all,
    "pause": Nemesis._pause,
    "full-disk": Nemesis._full_disk,
    "full-log": Nemesis._full_log,
    "clock-jump": Nemesis._clock_jump,
    "transfer": Nemesis._transfer,
    "removal": Nemesis._remove,
}
"""Kinds that are about processes and members, not links alone."""
