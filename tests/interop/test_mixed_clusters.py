"""Go and Python servers in one cluster, on a private network, over real libp2p.

Each test runs both ways round: whatever one language does to the other, the other does to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import pytest

from raft_over_libp2p.types import LogType
from tests.interop.cluster import (
    Language,
    Launch,
    agree,
    assert_one_log,
    await_applied,
    each_leads,
    led_by,
    one_among_two,
    start_cluster,
)
from tests.interop.peer_process import PeerError, PeerOptions, PeerProcess

pytestmark = [pytest.mark.go, pytest.mark.slow]

_OPTIONS: Final = PeerOptions(secret="5a" * 32)
_MANY: Final = [b"entry %d" % number for number in range(300)]
"""More than four AppendEntries of 64."""

_GO_AMONG_PYTHON: Final[tuple[Language, ...]] = ("go", "python", "python")
_PYTHON_AMONG_GO: Final[tuple[Language, ...]] = ("python", "go", "go")


async def _cluster_led_by(
    launch: Launch, languages: Sequence[Language], leading: Language
) -> list[PeerProcess]:
    peers = await start_cluster(launch, languages, _OPTIONS)
    return await led_by(leading, peers)


@one_among_two
@each_leads
async def test_what_a_leader_commits_is_the_same_on_all(
    launch: Launch, languages: Sequence[Language], leading: Language
) -> None:
    peers = await _cluster_led_by(launch, languages, leading)

    *_, last = await peers[0].apply(b"", b"one", bytes(range(256)), b"x" * 70_000, *_MANY)
    await await_applied(peers, last)

    log = await assert_one_log(peers)
    data = [entry.data for entry in log if entry.type is LogType.COMMAND]
    assert [b"", b"one", bytes(range(256)), b"x" * 70_000, *_MANY] == data


@one_among_two
async def test_a_killed_leader_is_replaced_by_the_other_language_and_catches_up(
    launch: Launch, languages: Sequence[Language]
) -> None:
    leader, *others = await _cluster_led_by(launch, languages, languages[0])
    (first,) = await leader.apply(b"under the first")
    await await_applied(others, first)

    await leader.kill()
    for other in others:
        await other.wait(leader_is_not=leader.id)
    successor, _ = await agree(others)
    *_, last = await successor.apply(*_MANY)
    await leader.start()
    await await_applied([leader, *others], last)

    log = await assert_one_log([leader, *others])
    terms = {entry.data: entry.term for entry in log if entry.type is LogType.COMMAND}
    assert terms[b"under the first"] < terms[_MANY[0]]


@one_among_two
async def test_a_follower_that_was_away_catches_up_from_the_other_language(
    launch: Launch, languages: Sequence[Language]
) -> None:
    leader, *others = await _cluster_led_by(launch, languages, languages[1])
    away = next(peer for peer in others if peer.name.startswith(languages[0]))

    await away.kill()
    *_, last = await leader.apply(*_MANY)
    await away.start()
    await await_applied([leader, *others], last)

    log = await assert_one_log([leader, *others])
    assert 1 == log[0].index  # by entries, from the first on


@one_among_two
async def test_two_servers_of_two_languages_elect_and_commit(
    launch: Launch, languages: Sequence[Language]
) -> None:
    one, two, third = await start_cluster(launch, languages, _OPTIONS)
    await agree([one, two, third])

    await third.kill()
    leader, follower = await agree([one, two])
    (last,) = await leader.apply(b"with the other's vote and answer")
    await follower.wait(applied=last)

    await assert_one_log([leader, follower])


@one_among_two
async def test_entries_that_were_never_committed_give_way_to_the_other_language(
    launch: Launch, languages: Sequence[Language]
) -> None:
    old, *others = await _cluster_led_by(launch, languages, languages[0])
    (agreed,) = await old.apply(b"agreed")
    await await_applied(others, agreed)

    for other in others:
        await other.kill()
    with pytest.raises(PeerError):
        await old.apply(b"never", b"committed")
    assert agreed < (await old.dump())[-1].index
    await old.kill()
    for other in others:
        await other.start()
    leader, _ = await agree(others)
    *_, last = await leader.apply(*_MANY)
    await old.start()
    await await_applied([old, *others], last)

    log = await assert_one_log([old, *others])
    assert b"never" not in {entry.data for entry in log}


@pytest.mark.parametrize("security", ["noise", "tls"])
async def test_servers_agree_over_each_security_that_go_has(launch: Launch, security: str) -> None:
    options = replace(_OPTIONS, security=security)
    leader, *others = await agree(await start_cluster(launch, _GO_AMONG_PYTHON, options))

    (last,) = await leader.apply(b"encrypted")
    await await_applied(others, last)

    await assert_one_log([leader, *others])
