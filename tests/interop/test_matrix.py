"""Every kind of mixed cluster goes through what clusters go through, under leaders of each language.

Each test runs in the settings that ``matrix.settings`` gives it: some of them, or all.
"""

from __future__ import annotations

from typing import Final

import pytest

from raft_over_libp2p.types import LogType, Term
from tests.interop.cluster import (
    Language,
    agree,
    assert_one_log,
    await_applied,
    await_members,
    language_of,
    voters,
)
from tests.interop.matrix.mixed_cluster import MixedCluster, other_than
from tests.interop.peer_process import PeerError, PeerProcess

pytestmark = [pytest.mark.go, pytest.mark.slow, pytest.mark.timeout(120, func_only=True)]

_LANGUAGES: Final[tuple[Language, Language]] = ("go", "python")
_MANY: Final = [b"entry %d" % number for number in range(200)]
"""More than three AppendEntries of 64."""
_NO_TIME: Final = bytes.fromhex("01000000000000000000000000ffff")
"""Go's zero time, which the first configuration has."""


async def test_a_leader_is_elected_and_another_one_when_it_dies(mixed: MixedCluster) -> None:
    first, *others = await mixed.agree()
    term = (await first.status()).term
    assert [term] * len(others) == [(await peer.status()).term for peer in others]
    await first.ask("verify")

    await first.kill()
    for peer in others:
        await peer.wait(leader_is_not=first.id)
    second, *_ = await agree(others)
    (last,) = await second.apply(b"under the second")
    await mixed.restart([first])

    await mixed.settle(last)
    leader, *_ = await mixed.agree()
    assert term < (await leader.status()).term


async def test_what_a_leader_of_each_language_commits_is_the_same_on_all(
    mixed: MixedCluster,
) -> None:
    """Bytes, extensions and times."""
    data = [b"", b"one", bytes(range(256)), b"x" * 70_000, *_MANY]
    for language in _LANGUAGES:
        leader, *_ = await mixed.led_by(language)
        *_, last = await leader.apply(*data)
        (last,) = await leader.apply(b"extended", extensions=b"by " + language.encode())

        log = await mixed.settle(last)

        commands = [entry for entry in log if entry.type is LogType.COMMAND]
        assert [*data, b"extended"] == [entry.data for entry in commands][-len(data) - 1 :]
        assert b"by " + language.encode() == commands[-1].extensions
        assert b"" == commands[-2].extensions
        assert _NO_TIME not in {entry.appended_at for entry in commands}
        assert _NO_TIME == log[0].appended_at


async def test_leadership_goes_to_the_other_language_and_back(mixed: MixedCluster) -> None:
    """Rule 21 [M]: the one that takes over is up to date, and asks for votes in the next term."""
    first, *others = await mixed.agree()
    other = next(peer for peer in others if language_of(peer) != language_of(first))
    terms = [(await first.status()).term]

    for giver, taker in ((first, other), (other, first)):
        await giver.apply(b"before the transfer")
        await giver.ask("transfer", peer=taker.id)
        terms.append((await taker.wait(state="Leader")).term)
        (last,) = await taker.apply(b"after the transfer")
        await mixed.settle(last)

    assert [terms[0], Term(terms[0] + 1), Term(terms[0] + 2)] == terms  # at the first attempt


async def test_a_leader_of_each_language_adds_a_peer_of_the_other_that_votes(
    mixed: MixedCluster,
) -> None:
    """Rule 14 [M]: a blank voter of either language votes for who it does not know yet."""
    joiners = await mixed.newcomers(*_LANGUAGES)
    old = list(mixed.members)
    for joiner in joiners:
        leader, *_ = await mixed.led_by(other_than(language_of(joiner)))
        await leader.apply(*_MANY)
        await leader.ask("add_voter", peer=joiner.id)
        mixed.members.append(joiner)
        (last,) = await leader.apply(b"to one more")
        await mixed.settle(last)
        await await_members(mixed.members, voters(*mixed.members))

    # Only with both newcomers is there a majority left.
    leader = next(peer for peer in await mixed.agree() if peer in old)
    dead = [leader, *(peer for peer in old if peer is not leader)][: len(mixed.members) // 2]
    rest = [peer for peer in mixed.members if peer not in dead]
    await mixed.kill(dead)
    for peer in rest:
        await peer.wait(leader_is_not=leader.id)
    successor, *_ = await agree(rest)
    (last,) = await successor.apply(b"with the newcomers' votes")
    await await_applied(rest, last)
    await assert_one_log(rest)


async def test_a_leader_of_each_language_demotes_removes_and_adds_a_peer_of_the_other(
    mixed: MixedCluster,
) -> None:
    for language in _LANGUAGES:
        leader, *others = await mixed.led_by(language)
        member = next(peer for peer in others if language_of(peer) != language)
        stay = [peer for peer in mixed.members if peer is not member]

        await leader.ask("demote", peer=member.id)
        (last,) = await leader.apply(b"one without a vote")
        await await_applied(mixed.members, last)
        await await_members(mixed.members, voters(*stay) | {member.id: "Nonvoter"})

        await leader.ask("remove", peer=member.id)
        *_, last = await leader.apply(*_MANY)
        await await_applied(stay, last)
        await await_members(stay, voters(*stay))

        await leader.ask("add_nonvoter", peer=member.id)
        (last,) = await leader.apply(b"back, without a vote")
        await await_members(mixed.members, voters(*stay) | {member.id: "Nonvoter"})
        await leader.ask("add_voter", peer=member.id)
        (last,) = await leader.apply(b"back, with its vote")

        await mixed.settle(last)
        await await_members(mixed.members, voters(*mixed.members))

        # So many die that its answers count again.
        dead = [peer for peer in stay if peer is not leader][: (len(mixed.members) - 1) // 2]
        await mixed.kill(dead)
        (last,) = await leader.apply(b"with its answer")
        await await_applied([leader, member], last)
        await mixed.restart(dead)


async def test_a_leader_of_each_language_removes_itself_and_is_added_again(
    mixed: MixedCluster,
) -> None:
    for language in _LANGUAGES:
        leader, *others = await mixed.led_by(language)
        (before,) = await leader.apply(b"of all")
        await await_applied(others, before)

        await leader.ask("remove", peer=leader.id)

        await leader.wait(state="Follower", servers=voters(*others))
        for peer in others:
            await peer.wait(leader_is_not=leader.id)
        successor, *_ = await agree(others)
        (last,) = await successor.apply(b"of one less")
        await await_applied(others, last)
        await await_members(others, voters(*others))
        await assert_one_log(others)
        assert before == (await leader.applied())[-1][0]

        await successor.ask("add_voter", peer=leader.id)
        (last,) = await successor.apply(b"of all again")
        await mixed.settle(last)
        await await_members(mixed.members, voters(*mixed.members))


async def test_a_snapshot_of_each_language_is_installed_on_the_other(mixed: MixedCluster) -> None:
    """Of 600 kB: more than two of Yamux's windows."""
    for language in _LANGUAGES:
        leader, *others = await mixed.led_by(language)
        behind = next(peer for peer in others if language_of(peer) != language)
        (first,) = await leader.apply(b"before")
        await behind.wait(applied=first)

        await behind.kill()
        *_, covered = await leader.apply(*(data + bytes(3_000) for data in _MANY))
        await leader.ask("snapshot")
        await mixed.restart([behind])
        (last,) = await leader.apply(b"after the snapshot")
        await behind.wait(applied=last)
        # A newer one, where what became of the first is not known (rule 4).
        assert covered <= (await behind.restored())[-1]

        await behind.kill()  # its folder is what it starts from
        await mixed.restart([behind])
        (last,) = await leader.apply(b"after its restart")
        await mixed.settle(last)
        assert covered < (await behind.dump())[0].index


async def test_each_language_is_cut_off_leading_or_not_and_comes_back(mixed: MixedCluster) -> None:
    """Each side is once the leader's; one of them is the majority."""
    for language in _LANGUAGES:
        leader, *_ = await mixed.led_by(language)
        sides = (mixed.of(language), mixed.of(other_than(language)))
        more, less = sides if mixed.is_majority(sides[0]) else reversed(sides)
        (agreed,) = await leader.apply(b"before the cut")
        await await_applied(mixed.members, agreed)

        await mixed.cut(more, less)
        if leader in less:
            with pytest.raises(PeerError):
                await leader.apply(b"never committed")
            for peer in more:
                await peer.wait(leader_is_not=leader.id)
        (go_on, *_) = await agree(more)
        *_, last = await go_on.apply(*_MANY)
        await await_applied(more, last)
        await mixed.nobody_leads(less)
        for peer in less:
            assert agreed == (await peer.applied())[-1][0]
        await mixed.join(more, less)

        log = await mixed.settle(last)
        assert b"never committed" not in {entry.data for entry in log}
        leader, *_ = await mixed.agree()
        (last,) = await leader.apply(b"after the cut")
        await mixed.settle(last)


async def test_each_language_is_killed_and_restarted(mixed: MixedCluster) -> None:
    for language in _LANGUAGES:
        leader, *_ = await mixed.agree()
        (last,) = await leader.apply(b"before")
        await await_applied(mixed.members, last)
        dead, alive = mixed.of(language), mixed.of(other_than(language))

        await mixed.kill(dead)
        if mixed.is_majority(alive):
            if leader in dead:
                for peer in alive:
                    await peer.wait(leader_is_not=leader.id)
            leader, *_ = await agree(alive)
            *_, last = await leader.apply(*_MANY)
            await await_applied(alive, last)
        else:
            await mixed.nobody_leads(alive)
        await mixed.restart(dead)

        leader, *_ = await mixed.agree()
        (last,) = await leader.apply(b"together again")
        await mixed.settle(last)


async def test_a_peer_of_each_language_that_alone_is_up_to_date_is_elected(
    mixed: MixedCluster,
) -> None:
    """Rule 22 [M]: Go voters refuse pre-votes for a while after the last contact: it asks again.

    Those of 1.6.0 know no pre-vote, and their votes are needed.
    """
    for language in _LANGUAGES:
        chosen, leader, witnesses, behind = _parts(mixed, language)
        await mixed.have_lead(leader)
        (before,) = await leader.apply(b"on all")
        await await_applied(mixed.members, before)

        await mixed.kill(behind)
        *_, last = await leader.apply(*_MANY)
        await chosen.wait(applied=last)
        await mixed.kill([leader, *witnesses])
        await mixed.restart(behind)

        await chosen.wait(state="Leader", timeout_s=20)
        (last,) = await chosen.apply(b"with the votes of those behind")
        await mixed.restart([leader, *witnesses])
        await mixed.settle(last)


def _parts(
    mixed: MixedCluster, language: Language
) -> tuple[PeerProcess, PeerProcess, list[PeerProcess], list[PeerProcess]]:
    """Return who is to be elected, who leads before, who commits with them, and who is behind.

    The first and those behind are just a majority. Those behind are of the other language, as
    far as there are such.
    """
    chosen, *same = mixed.of(language)
    others = [*mixed.of(other_than(language)), *same]
    half = len(mixed.members) // 2
    behind, (leader, *witnesses) = others[:half], others[half:]
    return chosen, leader, witnesses, behind
