"""What a leader of one language holds alone gives way to what the other language agreed on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import pytest

from raft_over_libp2p.types import Index
from tests.interop.cluster import (
    Language,
    Launch,
    agree,
    assert_one_log,
    await_applied,
    led_by,
    one_among_two,
    start_cluster,
)
from tests.interop.peer_process import PeerError, PeerOptions, PeerProcess

pytestmark = [pytest.mark.go, pytest.mark.slow]

_OPTIONS: Final = PeerOptions(secret="5a" * 32)
_MANY: Final = [b"entry %d" % number for number in range(300)]
"""More than four AppendEntries of 64."""


async def _cluster_led_by(
    launch: Launch,
    languages: Sequence[Language],
    leading: Language,
    options: PeerOptions = _OPTIONS,
) -> list[PeerProcess]:
    peers = await start_cluster(launch, languages, options)
    return await led_by(leading, peers)


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


async def test_a_go_follower_applies_nothing_of_its_stale_tail_under_a_python_leader(
    launch: Launch,
) -> None:
    """Rule 1 [M]: Go commits min(leaderCommit, its own last index).

    The Python leader looks for the last common entry far below the stale tail, and sends few
    entries from there: with its own commit index in it, that request would commit the tail.
    """
    options = replace(_OPTIONS, max_append_entries=4)
    go, *others = await _cluster_led_by(launch, ("go", "python", "python"), "go", options)
    *_, agreed = await go.apply(*_MANY[:60])
    await await_applied(others, agreed)
    for other in others:
        await other.kill()
    stale = [b"stale %d" % number for number in range(20)]
    with pytest.raises(PeerError):
        await go.apply(*stale)
    assert Index(agreed + len(stale)) == (await go.dump())[-1].index
    await go.kill()

    for _ in range(2):  # the second time, whoever leads does not begin where Go's tail does
        for other in others:
            await other.kill()
            await other.start()
        leader, _ = await agree(others)
        *_, last = await leader.apply(*_MANY)
    await go.start()
    await await_applied([go, *others], last)

    assert not set(stale).intersection(data for _, _, data in await go.applied())
    await assert_one_log([go, *others])
