"""A world without dice in its faults: a test cuts links, kills and waits, step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core.membership_change import ChangeKind
from raft_over_libp2p.core.messages import AppendEntriesRequest
from raft_over_libp2p.core.ready import Role
from raft_over_libp2p.core.trace import Tracer
from raft_over_libp2p.types import Index, ServerID
from tests.simulation.administrator import Administrator
from tests.simulation.network import KINDS
from tests.simulation.profile import Profile
from tests.simulation.server import Server
from tests.simulation.violation import violated
from tests.simulation.world import World

__all__ = ["Directed"]

_LATENCY_S = (0.001, 0.002)


class Directed:
    """Servers ``s1``, ``s2`` ..., one entry a message and no pre-vote unless asked for."""

    def __init__(
        self,
        voters: int = 3,
        *,
        nonvoters: int = 0,
        spares: int = 0,
        pre_vote_disabled: bool = True,
        trailing_logs: int = 10240,
        max_append_entries: int = 1,
        call_timeout_s: float = 10.0,
        tracer: Tracer | None = None,
    ) -> None:
        raft = RaftConfig(
            max_append_entries=max_append_entries,
            max_inflight_appends=1,
            pre_vote_disabled=pre_vote_disabled,
            trailing_logs=trailing_logs,
        )
        profile = Profile(
            voters=voters,
            nonvoters=nonvoters,
            spares=spares,
            raft=raft,
            latency_s=_LATENCY_S,
            call_timeout_s=call_timeout_s,
            flush_s=(0.0005, 0.001),
        )
        self.world = World(1, profile, tracer=tracer)
        self.world.start()
        self._administrator = Administrator(self.world)

    def server(self, number: int) -> Server:
        """Return ``s<number>``."""
        return self.world.servers[ServerID(f"s{number}")]

    def run_for(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        world, end = self.world, self.world.now + seconds
        world.push(end, lambda _: None, None)
        world.run_until(lambda: world.now >= end)

    def wait_for(self, is_so: Callable[[], bool], what: str, within_s: float = 30.0) -> None:
        """Let time pass until ``is_so``.

        Raises:
            Violation: it is not within the time limit.

        """
        world, end = self.world, self.world.now + within_s
        world.push(end, lambda _: None, None)
        world.run_until(lambda: is_so() or world.now >= end)
        if not is_so():
            violated("scenario", f"waited for {what} in vain")

    def elect(self, number: int) -> Server:
        """Have ``s<number>`` elected, and give it time to say so to those it reaches."""
        chosen = self.elect_at_once(number)
        self.run_for(0.05)
        return chosen

    def elect_at_once(self, number: int) -> Server:
        """Have ``s<number>`` elected; nothing it sent as a leader has arrived yet.

        Whoever would campaign before it is started again, and so draws another timeout.
        """
        chosen = self.server(number)
        world = self.world
        for _ in range(1000):
            if chosen.role is Role.FOLLOWER:
                self._hold_back_others(chosen)
            if self._comes_to_lead(chosen, world.now + 0.01):
                return chosen
        return violated("scenario", f"{chosen.id} was not elected")

    def _comes_to_lead(self, chosen: Server, end: float) -> bool:
        world = self.world
        world.push(end, lambda _: None, None)
        world.run_until(lambda: chosen.role is Role.LEADER or world.now >= end)
        return chosen.role is Role.LEADER

    def _hold_back_others(self, chosen: Server) -> None:
        for server in self.world.everyone:
            if server is not chosen and server.machine is not None:
                while self._campaigns_at(server) < self._campaigns_at(chosen) + 0.05:
                    self.restart(server)

    def _campaigns_at(self, server: Server) -> float:
        machine = server.machine
        if machine is None:
            violated("simulator", f"{server.id} is down")
        return (machine.next_timer() - server.clock_offset) / server.clock_rate

    def cut(self, numbers: set[int], others: set[int]) -> None:
        """Let nothing pass between the two sides."""
        for a in numbers:
            for b in others:
                one, two = self.server(a).id, self.server(b).id
                self.world.network.blocked |= {(one, two), (two, one)}

    def cut_one_way(self, source: int, target: int) -> None:
        """Let nothing of ``source`` reach ``target``."""
        self.world.network.blocked.add((self.server(source).id, self.server(target).id))

    def heal(self) -> None:
        """Let everything pass."""
        self.world.network.blocked.clear()

    def reset(self, numbers: set[int], others: set[int]) -> None:
        """Break all streams between the two sides, so that what was lost is noticed now."""
        network = self.world.network
        for a in numbers:
            for b in others:
                one, two = self.server(a), self.server(b)
                for kind in KINDS:
                    network.reset_streams(one, two, kind)
                    network.reset_streams(two, one, kind)

    def slow(self, source: int, target: int, seconds: float) -> None:
        """Have messages of ``source`` to ``target`` take ``seconds`` more."""
        self.world.network.extra_s[self.server(source).id, self.server(target).id] = seconds

    def hold_disk(self, server: Server) -> None:
        """Have nothing of what ``server`` writes become durable."""
        self.world.stuck_disks.add(server.id)

    def release_disk(self, server: Server) -> None:
        """Have all that ``server`` wrote become durable now."""
        self.world.stuck_disks.discard(server.id)
        server.writing.hasten_sync()

    @staticmethod
    def kill(server: Server) -> None:
        """Kill ``server``; it stays down until :meth:`restart`."""
        server.crash()

    @staticmethod
    def restart(server: Server) -> None:
        """Start ``server`` again, killing it before if it runs."""
        server.crash()
        server.start()

    def write(self, server: Server) -> bytes:
        """Propose one entry at ``server``, which must lead."""
        (payload,) = self.world.workload.write(server)
        return payload

    def change(self, server: Server, kind: ChangeKind, number: int) -> bool:
        """Propose at ``server`` a change of ``s<number>``; return whether it was taken."""
        return self._administrator.change(server, kind, self.server(number).id)

    def compact(self, server: Server) -> None:
        """Have ``server`` take a snapshot, and remove what it covers."""
        if server.machine is None:
            violated("simulator", f"{server.id} is down")
        server.machine.snapshot_now(server.local_now())
        server.turn()
        first = server.log.first
        self.wait_for(lambda: server.disk.removed_upto > first, f"{server.id} to compact its log")

    def slow_snapshots(self) -> None:
        """Have snapshots take up to 3 s from now on: to send, to arrive, and to store."""
        self.world.profile = replace(self.world.profile, slow_snapshot=1.0)

    def late_append(
        self, source: Server, target: Server, after: int, commit_index: int | None = None
    ) -> None:
        """What ``source`` sent long ago arrives: all of its entries after ``after``."""
        entries = tuple(source.log[after:])
        request = AppendEntriesRequest(
            term=source.hard_state.term,
            leader=source.id,
            prev_log_index=Index(after),
            prev_log_term=source.log[after - 1].term,
            entries=entries,
            leader_commit_index=Index(
                after + len(entries) if commit_index is None else commit_index
            ),
        )
        self.world.network.send_unasked(source, target, request)
