"""Linearisable reads beside Go peers: on a follower of a Python leader, and not of a Go one."""

from __future__ import annotations

from typing import Final

import pytest

from tests.interop.cluster import Launch, language_of, led_by, start_cluster
from tests.interop.peer_process import PeerError, PeerOptions

pytestmark = [pytest.mark.go, pytest.mark.slow]

_OPTIONS: Final = PeerOptions(secret="5a" * 32)


async def test_a_python_follower_reads_through_a_python_leader_and_go_voters_confirm_it(
    launch: Launch,
) -> None:
    peers = await start_cluster(launch, ("python", "python", "go"), _OPTIONS)
    leader, *others = await led_by("python", peers)
    follower = next(peer for peer in others if language_of(peer) == "python")
    (last,) = await leader.apply(b"before the read")

    read = await follower.ask("read")

    assert last <= read["index"]
    assert last in [index for index, _, _ in await follower.applied()]


async def test_a_python_follower_of_a_go_leader_says_that_it_cannot_read(launch: Launch) -> None:
    peers = await start_cluster(launch, ("go", "python", "python"), _OPTIONS)
    leader, follower, _ = await led_by("go", peers)

    with pytest.raises(PeerError, match=f"{leader.id} leads, and offers no linearisable reads"):
        await follower.ask("read")
