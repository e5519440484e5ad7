"""The Go peer and its harness by themselves: what later tests rest on."""

# ruff: noqa: SIM300 - the expected value stands on the left

from __future__ import annotations

import pytest
import trio

from raft_over_libp2p.types import LogEntry, LogType
from tests.interop.conftest import LaunchGo
from tests.interop.go_peer import GoOptions, GoPeer, GoPeerError, introduce

pytestmark = pytest.mark.go

_SECRET = "5a" * 32
_CID = "bafkreidgvpkjawlxz6sffxzwgooowe5yt7i6wsyg236mfoks77nywkptdq"


async def _cluster(launch_go: LaunchGo, options: GoOptions, size: int = 3) -> list[GoPeer]:
    peers = [await launch_go(f"go{number}", options) for number in range(1, size + 1)]
    await introduce(*peers)
    for peer in peers:
        await peer.ask("bootstrap", peers=[p.id for p in peers])
    return peers


async def _leader_first(peers: list[GoPeer]) -> list[GoPeer]:
    """Wait until all agree on a leader; return it, then the others."""
    leaders = {(await peer.wait(leader=True)).leader for peer in peers}
    (leader,) = leaders
    await next(p for p in peers if p.id == leader).ask("barrier")
    return sorted(peers, key=lambda peer: peer.id != leader)


async def _logs(peers: list[GoPeer]) -> list[list[LogEntry]]:
    return [await peer.dump() for peer in peers]


async def test_three_go_peers_on_a_private_network_hold_one_log(launch_go: LaunchGo) -> None:
    options = GoOptions(secret=_SECRET)
    leader, *followers = await _leader_first(await _cluster(launch_go, options))

    *_, last = await leader.apply(b"one", b"two", b"")
    for follower in followers:
        await follower.wait(applied=last)

    logs = await _logs([leader, *followers])
    assert logs[0] == logs[1] == logs[2]
    commands = [entry.data for entry in logs[0] if entry.type is LogType.COMMAND]
    assert [b"one", b"two", b""] == commands
    assert [b"one", b"two", b""] == [data for _, _, data in await followers[0].applied()]


async def test_a_peer_with_another_secret_cannot_connect(launch_go: LaunchGo) -> None:
    ours = await launch_go("ours", GoOptions(secret=_SECRET))
    stranger = await launch_go("stranger", GoOptions(secret="00" * 32))

    with pytest.raises(GoPeerError, match="failed to dial"):
        await stranger.ask("connect", peer=ours.id, address=ours.address, timeout_ms=500)


async def test_a_killed_leader_is_replaced_and_catches_up(launch_go: LaunchGo) -> None:
    leader, *others = await _leader_first(await _cluster(launch_go, GoOptions()))
    await leader.apply(b"before")

    await leader.kill()
    await others[0].wait(leader_is_not=leader.id)
    await others[1].wait(leader_is_not=leader.id)
    successor, other = await _leader_first(others)
    (last,) = await successor.apply(b"after")
    await leader.start()
    await leader.wait(applied=last)

    peers = [leader, successor, other]
    await other.wait(applied=last)
    logs = await _logs(peers)
    assert logs[0][: last + 1] == logs[1][: last + 1] == logs[2][: last + 1]
    assert [b"before", b"after"] == [data for _, _, data in await leader.applied()]


async def test_a_paused_leader_is_replaced(launch_go: LaunchGo) -> None:
    leader, *others = await _leader_first(await _cluster(launch_go, GoOptions(store="inmem")))

    leader.pause()
    status = await others[0].wait(leader_is_not=leader.id)
    leader.resume()

    assert status.leader in {peer.id for peer in others}
    await leader.wait(leader_is_not=leader.id)


async def test_a_blocked_peer_hears_nothing_until_it_is_unblocked(launch_go: LaunchGo) -> None:
    options = GoOptions(store="inmem", heartbeat_timeout="2s", election_timeout="2s")
    leader, away, near = await _leader_first(await _cluster(launch_go, options))

    for peer in (leader, near):
        await peer.ask("block", peer=away.id)
    (last,) = await leader.apply(b"while away")
    await near.wait(applied=last)
    assert [] == await away.applied()

    for peer in (leader, near):
        await peer.ask("unblock", peer=away.id)
    await away.wait(applied=last)


async def test_a_snapshot_is_installed_on_a_peer_that_joins(launch_go: LaunchGo) -> None:
    options = GoOptions(trailing_logs=0)
    leader, *_others = await _leader_first(await _cluster(launch_go, options))
    *_, last = await leader.apply(*(b"%d" % number for number in range(50)))
    await leader.ask("snapshot")

    newcomer = await launch_go("newcomer", options)
    await introduce(leader, newcomer)
    await leader.ask("add_voter", peer=newcomer.id)
    await newcomer.wait(applied=last)

    assert await leader.applied() == await newcomer.applied()
    assert 50 == len(await newcomer.applied())


async def test_leadership_can_be_handed_over(launch_go: LaunchGo) -> None:
    leader, heir, _ = await _leader_first(await _cluster(launch_go, GoOptions(store="inmem")))

    await leader.ask("transfer", peer=heir.id)

    assert heir.id == (await heir.wait(state="Leader")).leader


async def test_a_pin_given_to_a_cluster_follower_is_on_every_peer(launch_go: LaunchGo) -> None:
    options = GoOptions(mode="cluster", secret=_SECRET)
    leader, *followers = await _leader_first(await _cluster(launch_go, options))

    pin = {"cid": _CID, "name": "forwarded", "timestamp": "2026-01-02T03:04:05Z"}
    await followers[0].ask("log_pin", pin=pin)
    last = (await leader.status()).last_index
    for follower in followers:
        await follower.wait(applied=last)

    pinsets = [await peer.ask("pinset") for peer in (leader, *followers)]
    assert pinsets[0] == pinsets[1] == pinsets[2]
    assert ["forwarded"] == [stored["pin"]["name"] for stored in pinsets[0]["pins"]]


async def test_a_peer_ends_when_its_test_does(launch_go: LaunchGo) -> None:
    peer = await launch_go("orphan", GoOptions(store="inmem"))
    process = peer._running()
    assert process.stdin is not None

    await process.stdin.aclose()

    with trio.fail_after(5):
        assert 0 == await process.wait()


async def test_an_unknown_command_is_refused_by_name(launch_go: LaunchGo) -> None:
    peer = await launch_go("lone", GoOptions(store="inmem"))

    with pytest.raises(GoPeerError, match='unknown command "dance"'):
        await peer.ask("dance")
