"""Snapshots that one language takes and the other takes in."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import pytest

from raft_over_libp2p.types import Index, Term
from tests.interop.cluster import (
    Language,
    Launch,
    agree,
    assert_one_log,
    await_applied,
    await_members,
    each_leads,
    language_of,
    led_by,
    one_among_two,
    start_blank,
    start_cluster,
    voters,
)
from tests.interop.peer_process import PeerError, PeerOptions, PeerProcess, introduce

pytestmark = [pytest.mark.go, pytest.mark.slow]

_OPTIONS: Final = PeerOptions(secret="5a" * 32, trailing_logs=0)
_MANY: Final = [b"entry %d" % number + bytes(30_000) for number in range(40)]
"""More than a megabyte: several of Yamux's windows."""

_SMALL: Final = [b"entry %d" % number + bytes(2000) for number in range(40)]
"""Less than 256 KiB, for which a snapshot is given the network timeout and no more."""


async def _cluster_led_by(
    launch: Launch,
    languages: Sequence[Language],
    leading: Language,
    options: PeerOptions = _OPTIONS,
) -> list[PeerProcess]:
    return await led_by(leading, await start_cluster(launch, languages, options))


def _unlike(leader: PeerProcess, others: Sequence[PeerProcess]) -> tuple[PeerProcess, PeerProcess]:
    """Return one of ``others`` whose language is not the leader's, and the other one."""
    member = next(peer for peer in others if language_of(peer) != language_of(leader))
    return member, next(peer for peer in others if peer is not member)


@one_among_two
@each_leads
async def test_a_wiped_peer_is_restored_by_a_snapshot_and_starts_again_from_it(
    launch: Launch, languages: Sequence[Language], leading: Language
) -> None:
    """Rule 14 [M]: though blank, it votes; rule 12: its log begins behind the snapshot."""
    leader, *others = peers = await _cluster_led_by(launch, languages, leading)
    wiped, other = _unlike(leader, others)
    *_, covered = await leader.apply(*_MANY)
    await leader.ask("snapshot")

    await wiped.wipe()
    await wiped.start()
    (last,) = await leader.apply(b"after the snapshot")
    await await_applied(peers, last)
    assert [covered] == await wiped.restored()
    await assert_one_log(peers)
    assert covered < (await wiped.dump())[0].index

    await wiped.kill()
    await wiped.start()
    (last,) = await leader.apply(b"after its restart")
    await await_applied(peers, last)
    assert [covered] == await wiped.restored()  # by its own log from there on
    await await_members(peers, voters(*peers))
    await other.kill()  # so that the leader needs the installed peer's answers
    (last,) = await leader.apply(b"with its answer")
    await wiped.wait(applied=last)
    assert await leader.applied() == await wiped.applied()


async def test_a_snapshot_right_behind_a_membership_change_is_installed_on_a_go_joiner(
    launch: Launch,
) -> None:
    """Rule 12: Go itself takes none there; the configuration that goes with it is the newest."""
    leader, *others = peers = await _cluster_led_by(launch, ("python", "go", "python"), "python")
    demoted, _ = _unlike(leader, others)
    (joiner,) = await start_blank(launch, ["go"], _OPTIONS)
    await introduce(*peers, joiner)
    await leader.apply(b"one")
    change = await leader.ask("demote", peer=demoted.id)

    taken = await leader.ask("snapshot")
    await leader.ask("add_voter", peer=joiner.id)
    (last,) = await leader.apply(b"two")

    assert change["index"] == taken["index"]
    await await_applied([*peers, joiner], last)
    members = voters(*peers, joiner) | {demoted.id: "Nonvoter"}
    await await_members([*peers, joiner], members)
    assert change["index"] < (await joiner.dump())[0].index
    assert await leader.applied() == await joiner.applied()


@each_leads
async def test_a_snapshot_whose_answer_was_lost_rolls_nobody_back(
    launch: Launch, leading: Language
) -> None:
    """Rule 4 [M]: Go takes in an older snapshot; so a Python leader sends none twice.

    Rule 16 [M]: a Go leader sends one again until it is taken; a Python follower takes it once.
    Rule 17 [M]: heartbeats have their own stream: a member with an open call has a leader.
    """
    other: Language = "python" if leading == "go" else "go"
    options = replace(_OPTIONS, network_timeout="1s")
    leader, *others = peers = await _cluster_led_by(
        launch, (leading, other, leading), leading, options
    )
    member, _ = _unlike(leader, others)
    term = (await leader.status()).term
    await member.wipe()
    member.options = replace(member.options, lose_snapshot_answers=True)
    *_, covered = await leader.apply(*_SMALL)
    await leader.ask("snapshot")

    await member.start()
    await member.wait(applied=covered)
    *_, last = await leader.apply(*_SMALL)
    await leader.ask("demote", peer=member.id)
    await leader.ask("add_voter", peer=member.id)
    await member.ask("lose_no_more", timeout_ms=5000)
    assert (leader.id, term) == ((status := await member.status()).leader, status.term)

    await await_applied(peers, last)
    await await_members(peers, voters(*peers))
    restored = await member.restored()
    assert sorted(set(restored)) == restored  # each newer than the one before
    assert covered == restored[0]
    assert await leader.applied() == await member.applied()


@pytest.mark.parametrize("compacted", [False, True], ids=["whole log", "compacted log"])
async def test_a_go_follower_with_a_stale_tail_above_its_snapshot_is_healed(
    launch: Launch, *, compacted: bool
) -> None:
    """Rule 15 [M]: it refuses every append until its last entry is the one of a snapshot."""
    go, *others = peers = await _cluster_led_by(launch, ("go", "python", "python"), "go")
    *_, agreed = await go.apply(*_MANY[:15])
    await await_applied(others, agreed)
    await go.ask("snapshot")
    for peer in others:
        await peer.kill()
    with pytest.raises(PeerError):
        await go.apply(*(b"never committed" for _ in range(5)))
    assert Index(agreed + 5) == (await go.dump())[-1].index
    await go.kill()

    for peer in others:
        await peer.start()
    leader, _ = await agree(others)
    if compacted:
        await leader.apply(b"behind which the log is let go")
        await leader.ask("snapshot")
    await go.start()
    (last,) = await leader.apply(b"after all")

    await go.wait(applied=last)
    (last,) = await leader.apply(b"to be refused, if it is not healed yet")
    # Whatever heals it is newer than its stale tail.
    await go.wait(applied=max(last, agreed + 6))
    expected = await leader.applied()
    assert expected == await go.applied()
    assert b"never committed" not in {data for _, _, data in expected}
    (last,) = await leader.apply(b"by an entry again")
    await await_applied(peers, last)
    assert last == (await go.dump())[-1].index
    await go.kill()
    await go.start()
    (last,) = await leader.apply(b"after a restart")
    await go.wait(applied=last)
    assert await leader.applied() == await go.applied()


@one_among_two
async def test_a_users_snapshot_takes_the_place_of_the_state_on_go_followers_too(
    launch: Launch, languages: Sequence[Language]
) -> None:
    """Rule 11: as hashicorp's Restore, but the leader is the last of the majority that takes it."""
    leader, *others = peers = await _cluster_led_by(launch, languages, "python")
    go = next(peer for peer in others if language_of(peer) == "go")
    *_, last = await leader.apply(*_SMALL)
    await await_applied(peers, last)
    imported = [(Index(1), Term(1), b"imported" + bytes(300_000)), (Index(2), Term(1), b"too")]
    image = b"".join(
        struct.pack(">QQI", index, term, len(data)) + data for index, term, data in imported
    )

    restored = await leader.ask("restore", data=image.hex())

    assert last + 1 == restored["index"]
    (last,) = await leader.apply(b"after")
    await await_applied(peers, last)
    for peer in peers:
        assert imported == (await peer.applied())[:-1]
        assert b"after" == (await peer.applied())[-1][2]

    await go.kill()
    await go.start()
    leader, *others = await led_by("go", peers)
    (last,) = await leader.apply(b"under Go")
    await await_applied(peers, last)
    state = await leader.applied()
    assert [b"after", b"under Go"] == [data for *_, data in state[2:]]
    for peer in others:
        assert state == await peer.applied()
