"""One cluster of the matrix: who connects to whom, who is cut off, who leads."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import trio

from raft_over_libp2p.types import LogEntry
from tests.interop.cluster import (
    Language,
    Launch,
    agree,
    assert_one_log,
    await_applied,
    language_of,
    led_by,
)
from tests.interop.matrix.settings import Setting
from tests.interop.peer_process import PeerOptions, PeerProcess, id_of

__all__ = ["MixedCluster", "other_than"]

_PATIENCE: Final = float(os.environ.get("INTEROP_PATIENCE", "1"))
"""Raft's timers are so many times as long: for a machine that does much else."""


def _patient(timer_ms: int) -> str:
    return f"{round(timer_ms * _PATIENCE)}ms"


_OPTIONS: Final = PeerOptions(
    secret="5a" * 32,
    trailing_logs=0,
    heartbeat_timeout=_patient(800),
    election_timeout=_patient(800),
    leader_lease_timeout=_patient(800),
)
_MOST_PEERS: Final = 20
"""In one test, those that come later included."""
_ATTEMPTS: Final = 200


def other_than(language: Language) -> Language:
    return "python" if language == "go" else "go"


@dataclass(slots=True)
class MixedCluster:
    """Peers of both languages. Between them, only those of one language open connections."""

    setting: Setting
    launch: Launch
    members: list[PeerProcess] = field(default_factory=list)
    _started: int = 0

    async def start(self) -> None:
        """Start the voters of the setting, connected to one another."""
        names = [self._next_name(language) for language in self.setting.languages]
        voters = [id_of(name) for name in names]
        self.members = await self._launch_all(names, voters)
        await self._introduce(self.members)

    async def newcomers(self, *languages: Language) -> list[PeerProcess]:
        """Start blank peers that know, and are known to, all members and one another."""
        started = await self._launch_all([self._next_name(language) for language in languages])
        await self._introduce([*self.members, *started], of=started)
        return started

    def _next_name(self, language: Language) -> str:
        self._started += 1
        return f"{language}{self._started}"

    async def _launch_all(
        self, names: Sequence[str], voters: Sequence[str] = ()
    ) -> list[PeerProcess]:
        peers: dict[str, PeerProcess] = {}

        async def start(name: str) -> None:
            options = replace(_OPTIONS, security=self.setting.security, voters=voters)
            if not name.startswith(self.setting.dialler):
                others = (f"{self.setting.dialler}{n}" for n in range(1, _MOST_PEERS + 1))
                options = replace(options, never_dial=",".join(map(id_of, others)))
            peers[name] = await self.launch(name, options)

        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(start, name)
        return [peers[name] for name in names]

    def _dials(self, peer: PeerProcess, other: PeerProcess) -> bool:
        """Tell whether ``peer`` may open a connection to ``other``."""
        of_peer, of_other = language_of(peer), language_of(other)
        return peer is not other and of_peer in {of_other, self.setting.dialler}

    async def _introduce(
        self, peers: Sequence[PeerProcess], *, of: Sequence[PeerProcess] | None = None
    ) -> None:
        """Connect each pair, or those of which one is in ``of``."""
        for peer in peers:
            for other in peers:
                if self._dials(peer, other) and (of is None or peer in of or other in of):
                    await peer.connect(other.id, other.address)

    # -- faults

    async def kill(self, peers: Iterable[PeerProcess]) -> None:
        """SIGKILL, to all at once."""
        async with trio.open_nursery() as nursery:
            for peer in peers:
                nursery.start_soon(peer.kill)

    async def restart(self, peers: Sequence[PeerProcess]) -> None:
        """Start killed members again, each connected to those that run.

        One by one: two Go peers that dial each other from their listening ports at the same
        moment open one TCP connection of which each believes to be the initiator.
        """
        for peer in peers:
            await peer.start()  # which dials all whom it may
            for other in self.members:
                # At once, whatever failed before.
                if other.is_running and self._dials(other, peer) and not self._dials(peer, other):
                    await other.connect(peer.id, peer.address)

    async def cut(self, one: Sequence[PeerProcess], two: Sequence[PeerProcess]) -> None:
        """Let nothing through between the two sides."""
        await _ask_each_about_each("block", one, two)

    async def join(self, one: Sequence[PeerProcess], two: Sequence[PeerProcess]) -> None:
        """Undo :meth:`cut`, which was between the languages."""
        await _ask_each_about_each("unblock", one, two)
        for peer in one:
            await self._introduce([peer, *two], of=[peer])

    # -- leaders

    def of(self, language: Language) -> list[PeerProcess]:
        """Return the members of ``language``."""
        return [peer for peer in self.members if language_of(peer) == language]

    def is_majority(self, peers: Sequence[PeerProcess]) -> bool:
        return 2 * len(peers) > len(self.members)

    async def agree(self) -> list[PeerProcess]:
        """Wait until all members follow one of them; return it, then the others."""
        return await agree(self.members)

    async def led_by(self, language: Language) -> list[PeerProcess]:
        """Have a member of ``language`` lead; return it, then the others."""
        return await led_by(language, self.members)

    async def have_lead(self, peer: PeerProcess) -> None:
        """Have this very member lead."""
        leader, *_ = await self.agree()
        if leader is not peer:
            await leader.ask("transfer", peer=peer.id)
            await peer.wait(state="Leader")
            await self.agree()

    async def nobody_leads(self, peers: Sequence[PeerProcess]) -> None:
        """Wait until none of ``peers`` leads."""
        for _ in range(_ATTEMPTS):
            if "Leader" not in {(await peer.status()).state for peer in peers}:
                return
            await trio.sleep(0.05)
        raise AssertionError("a leader without a majority leads on")

    # -- what holds at the end

    async def settle(self, index: int) -> list[LogEntry]:
        """Wait until all members have applied ``index``; return the log that all of them hold."""
        await await_applied(self.members, index)
        await self._assert_diallers()
        return await assert_one_log(self.members)

    async def _assert_diallers(self) -> None:
        """Every connection between the languages was opened by the side that is to open them."""
        python = {peer.id for peer in self.of("python")}
        for peer in self.of("go"):
            status = await peer.status()
            expected = python.intersection(status.connected)
            if self.setting.dialler == "python":
                expected = set()
            assert expected == python.intersection(status.dialled), peer.name


async def _ask_each_about_each(
    command: str, one: Sequence[PeerProcess], two: Sequence[PeerProcess]
) -> None:
    async def ask(peer: PeerProcess, other: PeerProcess) -> None:
        await peer.ask(command, peer=other.id)

    async with trio.open_nursery() as nursery:
        for peer in one:
            for other in two:
                nursery.start_soon(ask, peer, other)
                nursery.start_soon(ask, other, peer)
