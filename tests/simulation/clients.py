"""Clients that write unique payloads at whoever they believe leads, and read there and elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raft_over_libp2p.core.ready import Role
from raft_over_libp2p.errors import NotLeader, ProposalRefused
from tests.simulation.violation import violated

if TYPE_CHECKING:
    from tests.simulation.server import Server
    from tests.simulation.world import World

__all__ = ["Clients"]


class Clients:
    """One stream of operations; several may be open at once."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._next = 0

    def run(self, _: object) -> None:
        """Do one operation and come back for the next."""
        world = self.world
        if not world.has_faults:
            return
        world.push(
            world.now + world.dice.expovariate(1.0 / world.profile.client_every_s), self.run, None
        )
        if world.dice.random() < world.profile.read_share:
            server = self._reader()
            if server is not None:
                self.read(server)
            return
        server = self._target()
        if server is not None:
            self.write(server, world.dice.randint(1, world.profile.proposal_size))

    def _target(self) -> Server | None:
        """Choose a server that says it leads, sometimes any."""
        dice, world = self.world.dice, self.world
        up = [s for s in world.everyone if s.machine is not None and not s.is_paused]
        leaders = [server for server in up if server.role is Role.LEADER]
        if leaders and dice.random() < 0.95:
            return dice.choice(leaders)
        return dice.choice(up) if up else None

    def _reader(self) -> Server | None:
        """Choose a server that says it leads, or as often any."""
        if self.world.dice.random() < 0.5:
            return self._target()
        up = [s for s in self.world.everyone if s.machine is not None and not s.is_paused]
        return self.world.dice.choice(up) if up else None

    def write(self, server: Server, count: int = 1) -> list[bytes]:
        """Propose ``count`` new payloads; return them, or nothing if they were refused."""
        machine = server.machine
        if machine is None:
            return []
        payloads = [b"%d" % (self._next + offset) for offset in range(count)]
        self._next += count
        try:
            first, term = machine.propose(payloads, server.local_now())
        except (NotLeader, ProposalRefused):
            self.world.marks["proposal refused"] += 1
            return []
        self.world.tell(f"{server.id} is asked to write {payloads} at ({first}, {term})")
        self.world.clients.history.writes(payloads, self.world.now)
        for offset, payload in enumerate(payloads):
            server.proposals[first + offset] = (term, payload)
        server.turn()
        return payloads

    def probe_after_transfer(self, led: tuple[Server, int]) -> None:
        """Who handed over and still leads must take proposals again."""
        server, core = led
        machine = server.machine
        if machine is None or core != server.core or server.is_paused:
            return
        if server.role is not Role.LEADER or server.transfers.is_open:
            return
        payload = b"%d" % self._next
        self._next += 1
        try:
            first, term = machine.propose([payload], server.local_now())
        except NotLeader:
            return
        except ProposalRefused as error:
            if "transfer" in str(error):
                violated("a transfer blocks nobody", f"{server.id} after its transfer: {error}")
            return
        self.world.clients.history.writes([payload], self.world.now)
        server.proposals[first] = (term, payload)
        server.turn()

    def read(self, server: Server) -> None:
        """Register a linearisable read."""
        machine = server.machine
        if machine is None:
            return
        token = self._next
        self._next += 1
        floor = self.world.clients.floor()
        try:
            machine.read_index(token, server.local_now())
        except (NotLeader, ProposalRefused):
            self.world.marks["read not taken"] += 1
            return
        self.world.tell(f"{server.id} is asked to read {token}; {floor} is visible")
        server.reads[token] = (floor, self.world.now)
        server.turn()
