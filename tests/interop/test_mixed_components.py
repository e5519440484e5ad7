"""IPFS Cluster's consensus component and ours in one cluster: operations are forwarded to the
leader over go-libp2p-gorpc, and every peer comes to hold the same pinset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pytest

from tests.interop.cluster import (
    Language,
    Launch,
    await_applied,
    each_leads,
    led_by,
    one_among_two,
    start_cluster,
)
from tests.interop.peer_process import PeerOptions, PeerProcess

pytestmark = [pytest.mark.go, pytest.mark.slow]

_OPTIONS: Final = PeerOptions(mode="cluster", secret="5a" * 32)
_KEPT: Final = "bafkreidgvpkjawlxz6sffxzwgooowe5yt7i6wsyg236mfoks77nywkptdq"
_REMOVED: Final = "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn"


async def _pinsets(peers: Sequence[PeerProcess]) -> dict[str, dict[str, str]]:
    """Return, by peer, the stored bytes of each pin by its CID."""
    pinsets: dict[str, dict[str, str]] = {}
    for peer in peers:
        result: dict[str, Any] = await peer.ask("pinset")
        pinsets[peer.name] = {pin["cid"]: pin["stored"] for pin in result["pins"]}
    return pinsets


async def _sync(leader: PeerProcess, followers: Sequence[PeerProcess]) -> None:
    await await_applied(followers, (await leader.status()).last_index)


def _pin(cid: str, name: str) -> dict[str, object]:
    return {
        "cid": cid,
        "name": name,
        "replication_factor_min": -1,
        "replication_factor_max": -1,
        "metadata": {"by": name, "a": "b"},
        "timestamp": "2026-01-02T03:04:05Z",
        "expire_at": "2036-01-02T03:04:05Z",
    }


@one_among_two
@each_leads
async def test_what_is_pinned_through_any_peer_is_on_every_peer(
    launch: Launch, languages: Sequence[Language], leading: Language
) -> None:
    peers = await start_cluster(launch, languages, _OPTIONS)
    leader, *followers = peers = await led_by(leading, peers)

    for peer in peers:
        await peer.ask("log_pin", pin=_pin(_KEPT, f"by {peer.name}"))
        await peer.ask("log_pin", pin=_pin(_REMOVED, "for a moment"))
        await _sync(leader, followers)
        both = await _pinsets(peers)
        assert dict.fromkeys(both, both[leader.name]) == both
        assert {_KEPT, _REMOVED} == set(both[leader.name])
        assert f"by {peer.name}".encode().hex() in both[leader.name][_KEPT]

        await peer.ask("log_unpin", pin={"cid": _REMOVED})
        await _sync(leader, followers)
        one = await _pinsets(peers)
        expected = {_KEPT: both[leader.name][_KEPT]}
        assert dict.fromkeys(one, expected) == one


@one_among_two
async def test_under_a_python_leader_no_field_of_one_pin_leaks_into_the_next(
    launch: Launch, languages: Sequence[Language]
) -> None:
    """Go decodes each operation over the one before: fields left out keep their old values."""
    peers = await start_cluster(launch, languages, _OPTIONS)
    leader, *followers = peers = await led_by("python", peers)
    go = next(peer for peer in followers if peer.name.startswith("go"))

    for asked in (leader, go):
        await asked.ask("log_pin", pin=_pin(_KEPT, "with every field"))
        await asked.ask("log_pin", pin={"cid": _REMOVED, "timestamp": "2026-01-02T03:04:05Z"})
        await _sync(leader, followers)

        pinsets = await _pinsets(peers)
        assert dict.fromkeys(pinsets, pinsets[leader.name]) == pinsets
        assert b"with every field".hex() not in pinsets[go.name][_REMOVED]
