"""What a leader of one language holds alone gives way to what the other language agreed on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pytest

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
    launch: Launch, languages: Sequence[Language], leading: Language
) -> list[PeerProcess]:
    peers = await start_cluster(launch, languages, _OPTIONS)
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
