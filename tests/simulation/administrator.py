"""Whoever runs the cluster: adds, removes and wipes servers, hands over leadership, asks for snapshots.

All at random moments, of servers that run and of others, and never waiting for what was asked before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from raft_over_libp2p.core.membership_change import ChangeKind, MembershipChange
from raft_over_libp2p.core.messages import RequestVoteRequest
from raft_over_libp2p.core.ready import Role
from raft_over_libp2p.errors import NotLeader, ProposalRefused
from raft_over_libp2p.types import NO_INDEX, Index, ServerID, Term

if TYPE_CHECKING:
    from tests.simulation.server import Server
    from tests.simulation.world import World

__all__ = ["Administrator"]

_KINDS = (
    ChangeKind.ADD_VOTER,
    ChangeKind.ADD_VOTER,
    ChangeKind.ADD_VOTER,
    ChangeKind.ADD_NONVOTER,
    ChangeKind.ADD_STAGING,
    ChangeKind.DEMOTE_VOTER,
    ChangeKind.REMOVE_SERVER,
    ChangeKind.REMOVE_SERVER,
)


class Administrator:
    """Acts at random intervals until the faults end."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._wiped: set[ServerID] = set()
        profile = world.profile
        for action, every_s in (
            (self._change, profile.change_every_s),
            (self._wipe, profile.wipe_every_s),
            (self._hand_over, profile.hand_over_every_s),
            (self._snapshot, profile.snapshot_every_s),
            (self._shout, profile.change_every_s),
        ):
            if every_s:
                self._repeat(action, every_s)

    def _repeat(self, action: Callable[[], None], every_s: float) -> None:
        world = self.world

        def act(_: object) -> None:
            if world.has_faults:
                action()
                world.push(world.now + world.dice.expovariate(1.0 / every_s), act, None)

        world.push(world.now + world.dice.expovariate(1.0 / every_s), act, None)

    def _someone(self) -> Server | None:
        """Choose whom to ask: mostly who says it leads."""
        world = self.world
        up = [s for s in world.everyone if s.machine is not None and not s.is_paused]
        leaders = [server for server in up if server.role is Role.LEADER]
        if leaders and world.dice.random() < 0.95:
            return world.dice.choice(leaders)
        return world.dice.choice(up) if up else None

    # -- members

    def _change(self) -> None:
        world, server = self.world, self._someone()
        if server is None:
            return
        # Impatient people ask again at once.
        for _ in range(world.dice.choice((1, 1, 2))):
            target = world.dice.choice(world.everyone).id
            self.change(server, world.dice.choice(_KINDS), target, self._draw_prev_index(server))

    def _draw_prev_index(self, server: Server) -> Index:
        drawn = self.world.dice.random()
        if drawn < 0.5:
            return NO_INDEX
        placed = server.log.placed
        if not placed or drawn < 0.8:
            return server.log.latest.index
        return self.world.dice.choice(placed).index

    def change(
        self, server: Server, kind: ChangeKind, target: ServerID, prev_index: Index = NO_INDEX
    ) -> bool:
        """Propose one change; return whether it was taken."""
        world, machine = self.world, server.machine
        if machine is None:
            return False
        try:
            placed = machine.change_membership(
                MembershipChange(kind, target, target), server.local_now(), prev_index=prev_index
            )
        except (NotLeader, ProposalRefused):
            world.marks["change refused"] += 1
            return False
        world.marks[kind.value] += 1
        if kind is ChangeKind.REMOVE_SERVER and target == server.id:
            world.marks["the leader removes itself"] += 1
        world.membership.proposed(server, prev_index)
        world.tell(f"{server.id} is asked to {kind.value} {target}: {placed}")
        server.turn()
        return True

    def _wipe(self) -> None:
        """Empty the folder of a server that was removed, so that it may be added as a new one."""
        world = self.world
        emptied = [s for s in world.everyone if len(s.disk.image) and self._may_be_wiped(s)]
        if emptied:
            self.wipe(world.dice.choice(emptied))

    def _may_be_wiped(self, server: Server) -> bool:
        """Tell whether what ``server`` acknowledged can be forgotten without harm.

        It is not enough that its removal is agreed on: whoever still stands at an older
        configuration, or comes through it while catching up, may find a majority of it among
        servers that forgot and servers that never knew. Neither asks anybody who knows better.
        """
        world = self.world
        agreed = world.commitment.entries
        latest = agreed.latest
        if not agreed.placed or latest.configuration.has(server.id):
            return False
        if server.is_go and any(p.configuration.voters == (server.id,) for p in agreed.placed):
            return False  # it would elect itself when it comes through there again
        wiped = {*self._wiped, server.id}
        ignorant = {
            other.id
            for other in world.everyone
            if not other.disk.image.holds(latest.index, latest.term)
        }
        logs = [agreed, *[s.log for s in world.everyone], *[s.disk.image for s in world.everyone]]
        for placed in {placed for log in logs for placed in log.placed}:
            voters = placed.configuration.voters
            if placed.index > latest.index and placed.configuration.has(server.id):
                return False
            unreliable = wiped.union(ignorant).intersection(voters)
            if wiped.intersection(voters) and len(unreliable) > len(voters) // 2:
                return False
        return True

    def wipe(self, server: Server) -> None:
        """Stop ``server``, empty its folder and start it again."""
        self.world.marks["wiped"] += 1
        self.world.tell(f"{server.id} is stopped and wiped")
        self._wiped.add(server.id)
        server.crash()
        server.wipe()
        self.world.restart(server)

    def _shout(self) -> None:
        """A removed server asks for votes, in a term ahead of the others'."""
        world = self.world
        agreed = world.commitment.entries.latest
        removed = [
            server
            for server in world.everyone
            if len(server.disk.image) and not agreed.configuration.has(server.id)
        ]
        if not removed:
            return
        shouter = world.dice.choice(removed)
        target = world.dice.choice(world.everyone)
        image = shouter.disk.image
        if target is shouter or target.log.in_force_at(target.applied) != agreed:
            return
        request = RequestVoteRequest(
            term=Term(target.hard_state.term + world.dice.randint(1, 3)),
            candidate=shouter.id,
            last_log_index=Index(len(image)),
            last_log_term=image[-1].term,
            leadership_transfer=world.dice.random() < 0.5,
        )
        world.network.send_unasked(shouter, target, request)

    # -- the rest

    def _hand_over(self) -> None:
        world, server = self.world, self._someone()
        if server is not None:
            target = None if world.dice.random() < 0.4 else world.dice.choice(world.everyone).id
            self.hand_over(server, target)

    def hand_over(self, server: Server, target: ServerID | None) -> bool:
        """Ask ``server`` to hand over; return whether it began to."""
        machine = server.machine
        if machine is None:
            return False
        try:
            chosen = machine.transfer_leadership(target, server.local_now())
        except (NotLeader, ProposalRefused):
            self.world.marks["transfer refused"] += 1
            return False
        self.world.marks["transfer begun"] += 1
        self.world.tell(f"{server.id} is asked to hand over to {chosen}")
        server.transfers.began(server, chosen)
        server.turn()
        return True

    def _snapshot(self) -> None:
        server = self.world.dice.choice(self.world.everyone)
        if server.machine is not None and not server.is_paused:
            server.machine.snapshot_now(server.local_now())
            server.turn()
