"""Clusters of test peers in both languages, and getting one of a given language to lead."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final, Literal, TypeAlias

import trio

from tests.interop.peer_process import PeerOptions, PeerProcess, id_of, introduce

__all__ = ["Language", "Launch", "agree", "await_applied", "led_by", "start_cluster"]

Language: TypeAlias = Literal["go", "python"]
Launch: TypeAlias = Callable[[str, PeerOptions], Awaitable[PeerProcess]]
"""Starts the peer of a name, whose language is what the name begins with."""

_SLOW: Final = "2s"
_ATTEMPTS: Final = 10


def language_of(peer: PeerProcess) -> Language:
    return "go" if peer.name.startswith("go") else "python"


async def start_cluster(
    launch: Launch,
    languages: Sequence[Language],
    options: PeerOptions | None = None,
    *,
    leader: Language | None = None,
) -> list[PeerProcess]:
    """Start a voter of each language given, connected to one another.

    Those that are not of the language ``leader`` campaign later than those that are.
    """
    names = [f"{language}{number}" for number, language in enumerate(languages, start=1)]
    options = replace(options or PeerOptions(), voters=[id_of(name) for name in names])
    slow = replace(options, heartbeat_timeout=_SLOW, election_timeout=_SLOW)
    peers: dict[str, PeerProcess] = {}

    async def start(name: str) -> None:
        is_fast = leader is None or name.startswith(leader)
        peers[name] = await launch(name, options if is_fast else slow)

    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(start, name)
    started = [peers[name] for name in names]
    await introduce(*started)
    return started


async def agree(peers: Sequence[PeerProcess]) -> list[PeerProcess]:
    """Wait until all of ``peers`` follow one of them, and return that one, then the others."""
    for _ in range(_ATTEMPTS):
        named = {(await peer.wait(leader=True)).leader for peer in peers}
        led = [peer for peer in peers if {peer.id} == named]
        if led and (await led[0].status()).state == "Leader":
            return [*led, *(peer for peer in peers if peer is not led[0])]
        await trio.sleep(0.1)  # an election is under way
    raise AssertionError(f"{[peer.name for peer in peers]} do not agree on a leader: {named}")


async def led_by(language: Language, peers: Sequence[PeerProcess]) -> list[PeerProcess]:
    """Have a peer of ``language`` lead; return it, then the others.

    A leader of the other language is paused until somebody takes over. A follower of the
    other language is started afresh meanwhile: with the old leader in mind it would refuse
    its vote until it campaigns itself.
    """
    for _ in range(_ATTEMPTS):
        leader, *others = await agree(peers)
        if language_of(leader) == language:
            return [leader, *others]
        leader.pause()
        try:
            wanted, unwanted = _split(language, others)
            for peer in unwanted:
                await peer.kill()
                await peer.start()
            await wanted[0].wait(leader_is_not=leader.id)
        finally:
            leader.resume()
    raise AssertionError(f"no {language} peer came to lead in {_ATTEMPTS} elections")


def _split(
    language: Language, peers: Sequence[PeerProcess]
) -> tuple[list[PeerProcess], list[PeerProcess]]:
    wanted = [peer for peer in peers if language_of(peer) == language]
    return wanted, [peer for peer in peers if peer not in wanted]


async def await_applied(peers: Sequence[PeerProcess], index: int) -> None:
    for peer in peers:
        await peer.wait(applied=index)
