"""Python peers beside other releases of hashicorp/raft than the one IPFS Cluster ships."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pytest

from raft_over_libp2p.types import LogType, Term
from tests.interop.cluster import (
    Language,
    Launch,
    assert_one_log,
    await_applied,
    language_of,
    led_by,
    one_among_two,
    start_cluster,
)
from tests.interop.peer_process import PeerOptions

pytestmark = [pytest.mark.go, pytest.mark.slow]

_OPTIONS: Final = PeerOptions(secret="5a" * 32)
_MANY: Final = [b"entry %d" % number for number in range(200)]


@pytest.fixture(params=["1.6.0", "1.8.0"])
def go_release(request: pytest.FixtureRequest) -> str:
    """Replace that of the other tests; 1.6.0 has no pre-vote."""
    return str(request.param)


@one_among_two
async def test_peers_elect_replicate_commit_and_hand_over_under_each_language(
    launch: Launch, languages: Sequence[Language]
) -> None:
    peers = await led_by(languages[0], await start_cluster(launch, languages, _OPTIONS))
    leader, *others = peers
    heir = next(peer for peer in others if language_of(peer) != languages[0])
    term = (await leader.status()).term

    *_, last = await leader.apply(*_MANY)
    await await_applied(peers, last)
    await leader.ask("transfer", peer=heir.id)
    await heir.wait(state="Leader")
    *_, last = await heir.apply(*_MANY)
    await heir.ask("transfer", peer=leader.id)
    await leader.wait(state="Leader")
    (last,) = await leader.apply(b"and back")

    await await_applied(peers, last)
    log = await assert_one_log(peers)
    assert 2 * len(_MANY) + 1 == sum(entry.type is LogType.COMMAND for entry in log)
    assert Term(term + 2) == log[-1].term
