"""A cluster in one heap of events, driven by one ``random.Random``: the same seed, the same run."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

from raft_over_libp2p.core.machine import Machine
from raft_over_libp2p.core.ready import HardState
from raft_over_libp2p.core.trace import TracedMachine, Tracer
from raft_over_libp2p.types import (
    NO_TERM,
    Configuration,
    Index,
    LogEntry,
    LogType,
    ServerID,
    Suffrage,
    Term,
)
from raft_over_libp2p.types import (
    Server as Member,
)
from raft_over_libp2p.wire.configuration import GoConfigurationCodec
from tests.simulation.administrator import Administrator
from tests.simulation.check_clients import ClientCheck
from tests.simulation.check_commitment import CommitmentCheck
from tests.simulation.check_durability import DurabilityCheck
from tests.simulation.check_elections import ElectionCheck
from tests.simulation.check_logs import LogCheck
from tests.simulation.check_membership import MembershipCheck
from tests.simulation.check_snapshots import SnapshotCheck
from tests.simulation.clients import Clients
from tests.simulation.go_fault import GoFault
from tests.simulation.go_server import GoServer
from tests.simulation.nemesis import Nemesis
from tests.simulation.network import Network
from tests.simulation.profile import Profile
from tests.simulation.real_disk_profile import RealDiskProfile
from tests.simulation.recovery import Recovery
from tests.simulation.server import Server
from tests.simulation.small_limits import small_limits
from tests.simulation.storms import Storms, draw_storms
from tests.simulation.violation import Violation

__all__ = ["World"]


class World:
    """Servers, their network, their clients and whoever watches them."""

    def __init__(
        self,
        seed: int,
        profile: Profile | None = None,
        *,
        machine_type: Callable[..., Machine] = Machine,
        story: Callable[[str], None] | None = None,
        tracer: Tracer | None = None,
    ) -> None:
        """Build the world of ``seed``; ``story`` and ``tracer`` are told each event, if given."""
        self.seed = seed
        self.dice = random.Random(seed)
        if profile is None:
            profile = Profile.draw_mixed(self.dice, random.Random(f"go {seed}"))
            profile = replace(
                profile, real_disk=RealDiskProfile.draw(seed), storms=draw_storms(seed)
            )
        self.disk_dice = random.Random(f"disk {seed}")
        """What is drawn for real storage code, so that other seeds are what they were."""
        self.profile = profile
        # (The naive specification knows nothing of the no-ops that outgrow a Go peer's stale tail.)
        is_traced = tracer is not None and not profile.go_peers
        self.machine_type = (
            partial(TracedMachine, tracer=tracer) if is_traced else machine_type  # type: ignore[arg-type]
        )
        self.story = story
        self.now = 0.0
        self.steps = 0
        self.recovery_s = 0.0
        self.has_faults = True
        self.marks: Counter[str] = Counter()
        """How often each rare thing happened, so that it is seen when one never does."""
        self.full_disks: set[ServerID] = set()
        self.unheard: list[tuple[Server, Server]] = []
        """Who was not told that it is connected again to whom, who started anew."""
        self.stuck_disks: set[ServerID] = set()
        """Disks that begin no sync, so that what is submitted waits."""
        self._heap: list[tuple[float, int, Callable[[Any], None], Any]] = []
        self._pushed = 0

        members = self._members()
        self.commitment = CommitmentCheck()
        self.elections = ElectionCheck(self.commitment)
        self.logs = LogCheck(self.commitment)
        self.membership = MembershipCheck(self.commitment)
        self.snapshots = SnapshotCheck(self.commitment)
        self.durability = DurabilityCheck(
            self.elections, self.logs, self.commitment, self.snapshots
        )
        self.clients = ClientCheck(self.commitment)
        self.network = Network(self)
        self.everyone = self._servers(members)
        self.servers = {server.id: server for server in self.everyone}
        self.stranger = Server(self, ServerID("stranger"), HardState(NO_TERM), [])
        self.workload = Clients(self)

    def _members(self) -> tuple[Member, ...]:
        profile = self.profile
        members = []
        for number in range(1, profile.voters + profile.nonvoters + 1):
            server_id = ServerID(f"s{number}")
            suffrage = Suffrage.VOTER if number <= profile.voters else Suffrage.NONVOTER
            members.append(Member(server_id, server_id, suffrage))
        return tuple(members)

    def _servers(self, members: tuple[Member, ...]) -> list[Server]:
        bootstrap = LogEntry(
            Index(1),
            Term(1),
            LogType.CONFIGURATION,
            GoConfigurationCodec().encode(Configuration(members)),
        )
        self.logs.entries("bootstrap", NO_TERM, [bootstrap])
        bootstrapped = len(members) - self.profile.blank
        servers: list[Server] = []
        for number, member in enumerate(members):
            kind = GoServer if number in self.profile.go_peers else Server
            if number < bootstrapped:
                server = kind(self, member.id, HardState(Term(1)), [bootstrap])
            else:
                server = kind(self, member.id, HardState(NO_TERM), [])
            servers.append(server)
        for number in range(len(members), len(members) + self.profile.spares):
            kind = GoServer if number in self.profile.go_peers else Server
            servers.append(kind(self, ServerID(f"s{number + 1}"), HardState(NO_TERM), []))
        for server in servers:
            drift = self.profile.clock_drift
            server.clock_rate = 1.0 + drift * (2.0 * self.dice.random() - 1.0)
        return servers

    def is_go(self, server_id: ServerID) -> bool:
        """Tell whether a Go peer runs under that ID."""
        return self.servers[server_id].is_go

    # -- events

    def push(self, at: float, action: Callable[[Any], None], argument: Any) -> None:
        """Have ``action(argument)`` happen at ``at``."""
        self._pushed += 1
        heapq.heappush(self._heap, (at, self._pushed, action, argument))

    def tell(self, what: str) -> None:
        """Add a line to the story, if one is told."""
        if self.story is not None:
            self.story(f"{self.now:10.6f} {what}")

    def run(self, steps: int) -> None:
        """Run the seed's faults for ``steps`` events, then demand that the cluster recovers.

        Raises:
            Violation: a checker found a broken rule, or the core raised.

        """
        try:
            with small_limits() if self.profile.has_small_limits else nullcontext():
                self.start()
                Nemesis(self)
                Storms(self)
                Administrator(self)
                self.push(self.now, self.workload.run, None)
                self.run_until(lambda: self.steps >= steps)
                Recovery(self).demand()
        except (Violation, GoFault):
            raise
        except Exception as error:
            # Whatever comes out of the core (or of this world) is a failed seed, not a failed run.
            raise Violation("the core never raises", f"{type(error).__name__}: {error}") from error

    def start(self) -> None:
        """Start every server."""
        for server in self.everyone:
            server.start()

    def run_until(self, is_done: Callable[[], bool]) -> None:
        """Let events happen until ``is_done``."""
        heap = self._heap
        while not is_done():
            self.now, _, action, argument = heapq.heappop(heap)
            self.steps += 1
            action(argument)

    # -- crashes

    def crash(self, server: Server) -> None:
        """Kill ``server``, and start it again some time later."""
        if server.machine is None or not self.has_faults:
            return
        server.crash()
        down_s = 0.02 * 250.0 ** self.dice.random()
        self.push(self.now + down_s, self.restart, server)

    def restart(self, server: Server) -> None:
        """Start ``server`` again, if it is still down."""
        if server.machine is not None:
            return
        self.network.gone.discard(server.id)
        self.tell(f"{server.id} starts with {len(server.disk.image)} entries")
        server.start()
        for other in self.everyone:
            if other is server:
                continue
            if self.dice.random() < 0.5:
                self.network.connect(other, server)
            else:
                self.unheard.append((other, server))
