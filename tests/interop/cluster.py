"""Clusters of test peers in both languages, and getting one of a given language to lead."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal, TypeAlias

import pytest
import trio

from raft_over_libp2p.types import LogEntry, LogType, ServerID
from tests.interop.peer_process import PeerOptions, PeerProcess, id_of, introduce

__all__ = [
    "Language",
    "Launch",
    "agree",
    "assert_one_log",
    "await_applied",
    "await_members",
    "each_leads",
    "language_of",
    "led_by",
    "one_among_two",
    "start_blank",
    "start_cluster",
    "voters",
]

Language: TypeAlias = Literal["go", "python"]
Launch: TypeAlias = Callable[[str, PeerOptions], Awaitable[PeerProcess]]
"""Starts the peer of a name, whose language is what the name begins with."""

one_among_two = pytest.mark.parametrize(
    "languages",
    [
        pytest.param(("go", "python", "python"), id="one Go, two Python"),
        pytest.param(("python", "go", "go"), id="one Python, two Go"),
    ],
)
each_leads = pytest.mark.parametrize("leading", ["go", "python"])

_TRANSFERS: Final = 10
_LOOKS: Final = 100
"""10 s, as other waits: a leader that is gone is named until two heartbeat timeouts have passed."""
_PAUSE_S: Final = 0.1


def language_of(peer: PeerProcess) -> Language:
    return "go" if peer.name.startswith("go") else "python"


async def start_cluster(
    launch: Launch, languages: Sequence[Language], options: PeerOptions | None = None
) -> list[PeerProcess]:
    """Start a voter of each language given, connected to one another."""
    names = _names(languages, 1)
    options = replace(options or PeerOptions(), voters=[id_of(name) for name in names])
    started = await _start(launch, names, options)
    await introduce(*started)
    return started


async def start_blank(
    launch: Launch, languages: Sequence[Language], options: PeerOptions | None = None
) -> list[PeerProcess]:
    """Start a peer of each language given that waits to be added, and knows nobody yet.

    Their numbers begin behind those of a cluster of three.
    """
    return await _start(launch, _names(languages, 4), options or PeerOptions())


async def _start(launch: Launch, names: Sequence[str], options: PeerOptions) -> list[PeerProcess]:
    peers: dict[str, PeerProcess] = {}

    async def start(name: str) -> None:
        peers[name] = await launch(name, options)

    async with trio.open_nursery() as nursery:
        for name in names:
            nursery.start_soon(start, name)
    return [peers[name] for name in names]


def _names(languages: Sequence[Language], first: int) -> list[str]:
    return [f"{language}{number}" for number, language in enumerate(languages, start=first)]


async def agree(peers: Sequence[PeerProcess]) -> list[PeerProcess]:
    """Wait until all of ``peers`` follow one of them, and return that one, then the others."""
    for _ in range(_LOOKS):
        named = {(await peer.wait(leader=True)).leader for peer in peers}
        led = [peer for peer in peers if {peer.id} == named]
        if led and (await led[0].status()).state == "Leader":
            return [*led, *(peer for peer in peers if peer is not led[0])]
        await trio.sleep(_PAUSE_S)  # an election is under way
    raise AssertionError(f"{[peer.name for peer in peers]} do not agree on a leader: {named}")


async def led_by(language: Language, peers: Sequence[PeerProcess]) -> list[PeerProcess]:
    """Have a peer of ``language`` lead, by a transfer if need be; return it, then the others."""
    for _ in range(_TRANSFERS):
        leader, *others = await agree(peers)
        if language_of(leader) == language:
            return [leader, *others]
        heir = next(peer for peer in others if language_of(peer) == language)
        await leader.ask("transfer", peer=heir.id)
    raise AssertionError(f"no {language} peer came to lead in {_TRANSFERS} transfers")


async def await_applied(peers: Sequence[PeerProcess], index: int) -> None:
    for peer in peers:
        await peer.wait(applied=index)


def voters(*peers: PeerProcess) -> dict[ServerID, str]:
    """Return the members of a configuration in which all of ``peers`` vote."""
    return {peer.id: "Voter" for peer in peers}


async def await_members(peers: Sequence[PeerProcess], members: Mapping[ServerID, str]) -> None:
    """Wait until all of ``peers`` have just these ``members``, each with its suffrage."""
    for peer in peers:
        await peer.wait(servers=members)


async def assert_one_log(peers: Sequence[PeerProcess]) -> list[LogEntry]:
    """Every server holds the same entries, bytes and times included, and has applied the same.

    Returns the entries; where some were let go, those that all still have are compared.
    """
    logs = {peer.name: await peer.dump() for peer in peers}
    applied = {peer.name: await peer.applied() for peer in peers}
    first = max(log[0].index for log in logs.values())
    logs = {name: [e for e in log if e.index >= first] for name, log in logs.items()}
    any_name = peers[0].name
    assert dict.fromkeys(logs, logs[any_name]) == logs
    assert dict.fromkeys(applied, applied[any_name]) == applied
    commands = [entry for entry in logs[any_name] if entry.type is LogType.COMMAND]
    expected = [(e.index, e.term, e.data) for e in commands]
    assert expected == [command for command in applied[any_name] if command[0] >= first]
    return logs[any_name]
