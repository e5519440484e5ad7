"""Leadership is handed over between the languages."""

from __future__ import annotations

from typing import Final

import pytest

from tests.interop.cluster import (
    Language,
    Launch,
    agree,
    await_applied,
    each_leads,
    language_of,
    led_by,
    start_cluster,
)
from tests.interop.peer_process import PeerError, PeerOptions

pytestmark = [pytest.mark.go, pytest.mark.slow]

_OPTIONS: Final = PeerOptions(secret="5a" * 32)


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
