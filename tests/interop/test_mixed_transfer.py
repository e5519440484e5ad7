"""Leadership is handed over between the languages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pytest

from raft_over_libp2p.types import LogType, Term
from tests.interop.cluster import (
    Language,
    Launch,
    agree,
    assert_one_log,
    await_applied,
    each_leads,
    language_of,
    led_by,
    one_among_two,
    start_cluster,
)
from tests.interop.peer_process import PeerError, PeerOptions

pytestmark = [pytest.mark.go, pytest.mark.slow]

_OPTIONS: Final = PeerOptions(secret="5a" * 32)


@one_among_two
async def test_leadership_goes_to_the_other_language_and_back(
    launch: Launch, languages: Sequence[Language]
) -> None:
    """Rule 21 [M]: the one that takes over is up to date, and asks for votes in the next term."""
    peers = await led_by(languages[0], await start_cluster(launch, languages, _OPTIONS))
    leader, other, _ = peers
    terms = [(await leader.status()).term]

    for giver, taker in ((leader, other), (other, leader)):
        (last,) = await giver.apply(b"before the transfer")
        await giver.ask("transfer", peer=taker.id)
        status = await taker.wait(state="Leader", timeout_s=1)
        terms.append(status.term)
        (last,) = await taker.apply(b"after the transfer")
        await await_applied(peers, last)

    first = terms[0]
    assert [first, Term(first + 1), Term(first + 2)] == terms  # at the first attempt
    log = await assert_one_log(peers)
    assert 4 == sum(entry.type is LogType.COMMAND for entry in log)


@each_leads
async def test_a_transfer_to_a_dead_peer_fails_and_the_leader_goes_on(
    launch: Launch, leading: Language
) -> None:
    languages: dict[Language, tuple[Language, ...]] = {
        "go": ("go", "python", "go"),
        "python": ("python", "go", "python"),
    }
    leader, *others = await led_by(
        leading, await start_cluster(launch, languages[leading], _OPTIONS)
    )
    dead = next(peer for peer in others if language_of(peer) != leading)
    term = (await leader.status()).term
    await dead.kill()

    with pytest.raises(PeerError, match="transfer"):
        await leader.ask("transfer", peer=dead.id)

    (last,) = await leader.apply(b"by the same leader")
    await await_applied([peer for peer in others if peer is not dead], last)
    assert term == (await leader.status()).term


@each_leads
async def test_a_transfer_to_nobody_in_particular_goes_to_a_voter(
    launch: Launch, leading: Language
) -> None:
    other: Language = "python" if leading == "go" else "go"
    leader, *others = await led_by(
        leading, await start_cluster(launch, (leading, other, other), _OPTIONS)
    )

    await leader.ask("transfer")

    successor, *_ = await agree([leader, *others])
    assert successor in others
    (last,) = await successor.apply(b"after")
    await await_applied([leader, *others], last)
