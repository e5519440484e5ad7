"""When a run has settled: everybody votes, a daemon leads, all hold one state."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import trio

from tests.chaos.namespaces import Namespace
from tests.chaos.peers import Member, Peer, Standing
from tests.chaos.settling import HEAL_S, settle

_PINS = {"cid": "v1"}


class _Peer(Peer):
    """Is up, and holds ``held``."""

    def __init__(self, number: int, language: str) -> None:
        super().__init__(Member(number, language, Namespace(-1, -1, "10.77.0.1")), Path())
        self.held = _PINS

    @property
    def is_up(self) -> bool:
        return True

    async def start(self) -> None: ...

    async def kill(self) -> None: ...

    def signal(self, number: signal.Signals) -> None: ...

    async def standing(self) -> Standing:
        return Standing("Follower", "", 1, 7, frozenset())

    async def pins(self) -> dict[str, str]:
        return self.held

    async def add(self, member: Member) -> str | None: ...

    async def remove(self, member: Member) -> str | None: ...


class _Cluster:
    """Does what it is asked; ``late_removal`` takes effect after so many looks at the leader."""

    def __init__(self, peers: Sequence[_Peer], leader: _Peer) -> None:
        self.voters = {peer.peer_id for peer in peers}
        self.leading = leader
        self.late_removal: tuple[int, _Peer] | None = None
        self._looks = 0

    async def leader(self) -> tuple[Peer, Standing] | None:
        self._looks += 1
        if self.late_removal is not None and self._looks > self.late_removal[0]:
            self.voters.discard(self.late_removal[1].peer_id)
            self.late_removal = None
        voters = frozenset(self.voters)
        return self.leading, Standing("Leader", self.leading.peer_id, 1, 7, voters)

    async def add(self, peer: Peer) -> None:
        found = await self.leader()
        if found is not None and peer.peer_id not in found[1].voters:
            self.voters.add(peer.peer_id)

    async def transfer_to(self, target: Peer) -> bool:
        if isinstance(target, _Peer) and target.peer_id in self.voters:
            self.leading = target
        return self.leading is target


async def test_a_peer_that_a_late_call_removes_is_added_again(autojump_clock: Callable) -> None:
    """Seed 903 of two daemons and a Go peer: python1, a voter, was removed after python2 was back."""
    python1, python2, go3 = peers = [_Peer(1, "python"), _Peer(2, "python"), _Peer(3, "go")]
    cluster = _Cluster(peers, leader=go3)
    cluster.voters.discard(python2.peer_id)
    cluster.late_removal = (3, python1)

    state = await settle(peers, cluster)

    assert _PINS == state
    assert cluster.late_removal is None
    assert {peer.peer_id for peer in peers} == cluster.voters


async def test_under_a_go_leader_a_run_has_not_settled(autojump_clock: Callable) -> None:
    python1, go2 = peers = [_Peer(1, "python"), _Peer(2, "go")]
    cluster = _Cluster(peers, leader=go2)

    await settle(peers, cluster)

    assert cluster.leading is python1


async def test_peers_that_stay_apart_never_settle(autojump_clock: Callable) -> None:
    python1, python2 = peers = [_Peer(1, "python"), _Peer(2, "python")]
    python2.held = {}

    started = trio.current_time()
    state = await settle(peers, _Cluster(peers, leader=python1))

    assert state is None
    assert HEAL_S <= trio.current_time() - started
