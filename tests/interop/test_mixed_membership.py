"""Peers of both languages come and go under a leader of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import pytest
import trio

from raft_over_libp2p.types import LogType
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

_OPTIONS: Final = PeerOptions(secret="5a" * 32)
_TWO_ELECTIONS_S: Final = 1.5
"""More than twice the longest election timeout of these options."""
_MANY: Final = [b"entry %d" % number for number in range(200)]


async def _cluster_led_by(
    launch: Launch,
    languages: Sequence[Language],
    leading: Language,
    options: PeerOptions = _OPTIONS,
    joiners: Sequence[Language] = (),
) -> tuple[list[PeerProcess], list[PeerProcess]]:
    """Start voters and blank peers side by side; return them, the leader first, and the blank."""
    blank: list[PeerProcess] = []

    async def start() -> None:
        blank.extend(await start_blank(launch, joiners, options))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(start)
        members = await start_cluster(launch, languages, options)
    await introduce(*members, *blank)
    return await led_by(leading, members), blank


@one_among_two
async def test_a_python_peer_that_a_go_leader_removed_campaigns_no_more(
    launch: Launch, languages: Sequence[Language]
) -> None:
    """raft-wire 4.6, rule 10: Go sends the removal once, and never says that it is agreed on."""
    (leader, *others), _ = await _cluster_led_by(launch, languages, "go")
    removed = next(peer for peer in others if language_of(peer) == "python")
    await leader.apply(b"of three")
    term = (await leader.status()).term

    await leader.ask("remove", peer=removed.id)

    rest = [leader, *(peer for peer in others if peer is not removed)]
    await removed.wait(servers=voters(*rest))
    with pytest.raises(PeerError, match="still Leader"):
        await leader.wait(state="Follower", timeout_s=_TWO_ELECTIONS_S)
    await removed.wait(state="Follower")
    with pytest.raises(PeerError, match="still Follower"):
        await removed.wait(state="Candidate", timeout_s=_TWO_ELECTIONS_S)
    assert [term] * 3 == [(await peer.status()).term for peer in (*rest, removed)]
    (last,) = await leader.apply(b"of two")
    await await_applied(rest, last)


async def test_joiners_of_both_languages_get_their_vote_from_a_python_leader(
    launch: Launch,
) -> None:
    """Rule 19 [M]: a Go follower takes Suffrage 2 for a nonvoter's, and the promotion after it."""
    members, joiners = await _cluster_led_by(
        launch, ("python", "go", "go"), "python", joiners=["go", "python"]
    )
    leader, *_ = members
    await leader.apply(*_MANY)

    for joiner in joiners:
        await leader.ask("join", peer=joiner.id)
        (last,) = await leader.apply(b"to one more")

    await await_applied([*members, *joiners], last)
    await await_members([*members, *joiners], voters(*members, *joiners))
    log = await assert_one_log([*members, *joiners])
    changes = [entry for entry in log if entry.type is LogType.CONFIGURATION]
    assert 1 + 2 * len(joiners) == len(changes)  # staging first, then the vote


@each_leads
async def test_a_nonvoter_of_a_higher_term_does_not_cost_the_pair_its_leader(
    launch: Launch, leading: Language
) -> None:
    """Rule 20 [M]: Go steps down without adopting the term, once for each that is missing."""
    go, python, third = await start_cluster(launch, ("go", "python", "go"), _OPTIONS)
    await third.kill()
    leader, other = await led_by(leading, [go, python])
    await leader.ask("demote", peer=third.id)
    (last,) = await leader.apply(b"while the third is away")
    await other.wait(applied=last)
    term = (await leader.status()).term

    # Alone, and not knowing that it has no vote any more, it campaigns on and on.
    for peer in (leader, other):
        await peer.ask("block", peer=third.id)
    third.options = replace(
        third.options,
        pre_vote_disabled=True,
        heartbeat_timeout="50ms",
        election_timeout="50ms",
        leader_lease_timeout="50ms",
    )
    await third.start()
    ahead = (await third.wait(term=term + 6)).term
    for peer in (leader, other):
        await peer.ask("unblock", peer=third.id)
        await peer.connect(third.id, third.address)

    await third.wait(servers=voters(go, python) | {third.id: "Nonvoter"}, leader=True)
    successor, *_ = await agree([go, python, third])
    (last,) = await successor.apply(b"all three")
    await await_applied([go, python, third], last)
    status = await successor.status()
    assert ahead < status.term
    log = await assert_one_log([go, python])
    reigns = {entry.term for entry in log if entry.term > term}
    assert len(reigns) <= 2


async def test_a_python_leader_cut_off_from_its_voters_confirms_no_read_by_nonvoters(
    launch: Launch,
) -> None:
    """Rule 5 [M]: a Go leader's VerifyLeader returns ok there, for any answer counts."""
    members, nonvoters = await _cluster_led_by(
        launch, ("python", "go", "go"), "python", joiners=["go", "go"]
    )
    leader, *others = members
    for nonvoter in nonvoters:
        await leader.ask("add_nonvoter", peer=nonvoter.id)
    (last,) = await leader.apply(b"with nonvoters")
    await await_applied([*members, *nonvoters], last)
    await leader.ask("verify")

    async with trio.open_nursery() as nursery:
        for peer in others:
            nursery.start_soon(partial(leader.ask, "block", peer=peer.id))
    with pytest.raises(PeerError, match="verify"):
        await leader.ask("verify")

    assert {peer.id for peer in nonvoters} <= set((await leader.status()).connected)
    for peer in others:
        await leader.ask("unblock", peer=peer.id)
