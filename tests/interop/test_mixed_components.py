"""IPFS Cluster's consensus component and ours in one cluster: operations are forwarded to the
leader over go-libp2p-gorpc, and every peer comes to hold the same pinset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pytest
import trio

from pinstate.log_op import LogOp, LogOpType
from raft_over_libp2p.types import LogType
from tests.interop.cluster import (
    Language,
    Launch,
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
@each_leads
async def test_a_rollback_heals_and_gives_every_peer_the_same_pinset(
    launch: Launch, languages: Sequence[Language], leading: Language
) -> None:
    """Go's Rollback adds the pins given to those there are; ours leaves the pins given alone."""
    peers = await led_by(leading, await start_cluster(launch, languages, _OPTIONS))
    leader, *followers = peers
    await leader.ask("log_pin", pin=_pin(_KEPT, "kept by Go alone"))
    (garbage,) = await leader.apply(b"\xc1")
    await await_applied(followers, garbage)
    for peer in peers:
        with pytest.raises(PeerError, match="not consistent"):
            await peer.ask("pinset")

    await leader.ask("rollback", pins=[_pin(_REMOVED, "of the rollback")])

    await _sync(leader, followers)
    pinsets = await _pinsets(peers)
    assert dict.fromkeys(pinsets, pinsets[leader.name]) == pinsets
    expected = {"go": {_KEPT, _REMOVED}, "python": {_REMOVED}}
    assert expected[leading] == set(pinsets[leader.name])


async def test_addresses_in_the_log_leave_the_state_of_ipfs_cluster_as_it_is(
    launch: Launch,
) -> None:
    """Rule 13: operations 3 and 4 are entries like others, and Go ignores what they say."""
    peers = await led_by(
        "python", await start_cluster(launch, ("python", "go", "python"), _OPTIONS)
    )
    leader, *followers = peers
    go = next(peer for peer in followers if language_of(peer) == "go")
    python = next(peer for peer in followers if language_of(peer) == "python")
    await leader.ask("log_pin", pin=_pin(_KEPT, "before"))
    await _sync(leader, followers)
    before = await _pinsets(peers)

    await leader.ask("log_add_peer", address=go.address)
    await leader.ask("log_rm_peer", peer=python.id)
    await leader.ask("log_add_peer", address=python.address)

    await _sync(leader, followers)
    await await_members(peers, voters(*peers))
    assert before == await _pinsets(peers)
    assert {LogOpType.ADD_PEER, LogOpType.RM_PEER} <= await _op_types(go)
    await leader.ask("log_pin", pin={"cid": _REMOVED, "timestamp": "2026-01-02T03:04:05Z"})
    await _sync(leader, followers)
    after = await _pinsets(peers)
    assert dict.fromkeys(after, after[leader.name]) == after
    assert {_KEPT, _REMOVED} == set(after[go.name])


async def _op_types(peer: PeerProcess) -> set[int]:
    entries = [entry for entry in await peer.dump() if entry.type is LogType.COMMAND]
    return {LogOp.decode(entry.data).type for entry in entries}


@each_leads
async def test_a_follower_has_a_leader_of_the_other_language_add_and_remove_a_peer(
    launch: Launch, leading: Language
) -> None:
    """Forwarded over go-libp2p-gorpc: AddPeer and RmPeer, the only ones a Go leader has."""
    other: Language = "python" if leading == "go" else "go"
    joiners: list[PeerProcess] = []

    async def start() -> None:
        joiners.extend(await start_blank(launch, [other], _OPTIONS))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(start)
        peers = await start_cluster(launch, (leading, other, leading), _OPTIONS)
    await introduce(*peers, *joiners)
    leader, *followers = peers = await led_by(leading, peers)
    asked = next(peer for peer in followers if language_of(peer) == other)
    await leader.ask("log_pin", pin=_pin(_KEPT, "for the newcomer"))

    await asked.ask("add_peer", peer=joiners[0].id)
    await await_members([*peers, *joiners], voters(*peers, *joiners))
    await _sync(leader, [*followers, *joiners])
    pinsets = await _pinsets([*peers, *joiners])
    assert dict.fromkeys(pinsets, pinsets[leader.name]) == pinsets

    await asked.ask("rm_peer", peer=joiners[0].id)
    await await_members(peers, voters(*peers))


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
