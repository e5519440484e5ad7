"""The Go peer and its harness by themselves: what later tests rest on."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio

from keys.identity import Identity
from raft_over_libp2p.types import LogEntry, LogType
from tests.interop.cluster import Launch, agree, start_cluster
from tests.interop.peer_process import PeerError, PeerOptions, PeerProcess, introduce

pytestmark = pytest.mark.go

_SECRET = "5a" * 32
_CID = "bafkreidgvpkjawlxz6sffxzwgooowe5yt7i6wsyg236mfoks77nywkptdq"


async def _logs(peers: list[PeerProcess]) -> list[list[LogEntry]]:
    return [await peer.dump() for peer in peers]


async def test_three_go_peers_on_a_private_network_hold_one_log(launch: Launch) -> None:
    options = PeerOptions(secret=_SECRET)
    leader, *followers = await agree(await start_cluster(launch, ["go"] * 3, options))

    *_, last = await leader.apply(b"one", b"two", b"")
    for follower in followers:
        await follower.wait(applied=last)

    logs = await _logs([leader, *followers])
    assert logs[0] == logs[1] == logs[2]
    commands = [entry.data for entry in logs[0] if entry.type is LogType.COMMAND]
    assert [b"one", b"two", b""] == commands
    assert [b"one", b"two", b""] == [data for _, _, data in await followers[0].applied()]


async def test_a_peer_with_another_secret_cannot_connect(launch: Launch) -> None:
    ours = await launch("go1", PeerOptions(secret=_SECRET))
    stranger = await launch("go2", PeerOptions(secret="00" * 32))

    with pytest.raises(PeerError, match="failed to dial"):
        await stranger.ask("connect", peer=ours.id, address=ours.address, timeout_ms=500)


async def test_a_killed_leader_is_replaced_and_catches_up(launch: Launch) -> None:
    leader, *others = await agree(await start_cluster(launch, ["go"] * 3, PeerOptions()))
    await leader.apply(b"before")

    await leader.kill()
    await others[0].wait(leader_is_not=leader.id)
    await others[1].wait(leader_is_not=leader.id)
    successor, other = await agree(others)
    (last,) = await successor.apply(b"after")
    await leader.start()
    await leader.wait(applied=last)

    peers = [leader, successor, other]
    await other.wait(applied=last)
    logs = await _logs(peers)
    assert logs[0][: last + 1] == logs[1][: last + 1] == logs[2][: last + 1]
    assert [b"before", b"after"] == [data for _, _, data in await leader.applied()]


async def test_a_paused_leader_is_replaced(launch: Launch) -> None:
    leader, *others = await agree(
        await start_cluster(launch, ["go"] * 3, PeerOptions(store="inmem"))
    )

    leader.pause()
    status = await others[0].wait(leader_is_not=leader.id)
    leader.resume()

    assert status.leader in {peer.id for peer in others}
    await leader.wait(leader_is_not=leader.id)


async def test_a_blocked_peer_hears_nothing_until_it_is_unblocked(launch: Launch) -> None:
    options = PeerOptions(store="inmem", heartbeat_timeout="2s", election_timeout="2s")
    leader, away, near = await agree(await start_cluster(launch, ["go"] * 3, options))

    for peer in (leader, near):
        await peer.ask("block", peer=away.id)
    (last,) = await leader.apply(b"while away")
    await near.wait(applied=last)
    assert [] == await away.applied()

    for peer in (leader, near):
        await peer.ask("unblock", peer=away.id)
    await away.wait(applied=last)


async def test_a_snapshot_is_installed_on_a_peer_that_joins(launch: Launch) -> None:
    options = PeerOptions(trailing_logs=0)
    leader, *_others = await agree(await start_cluster(launch, ["go"] * 3, options))
    *_, last = await leader.apply(*(b"%d" % number for number in range(50)))
    await leader.ask("snapshot")

    newcomer = await launch("go4", options)
    await introduce(leader, newcomer)
    await leader.ask("add_voter", peer=newcomer.id)
    await newcomer.wait(applied=last)

    assert await leader.applied() == await newcomer.applied()
    assert 50 == len(await newcomer.applied())


async def test_leadership_can_be_handed_over(launch: Launch) -> None:
    leader, heir, _ = await agree(
        await start_cluster(launch, ["go"] * 3, PeerOptions(store="inmem"))
    )

    await leader.ask("transfer", peer=heir.id)

    assert heir.id == (await heir.wait(state="Leader")).leader


async def test_a_pin_given_to_a_cluster_follower_is_on_every_peer(launch: Launch) -> None:
    options = PeerOptions(mode="cluster", secret=_SECRET)
    leader, *followers = await agree(await start_cluster(launch, ["go"] * 3, options))

    pin = {"cid": _CID, "name": "forwarded", "timestamp": "2026-01-02T03:04:05Z"}
    await followers[0].ask("log_pin", pin=pin)
    last = (await leader.status()).last_index
    for follower in followers:
        await follower.wait(applied=last)

    pinsets = [await peer.ask("pinset") for peer in (leader, *followers)]
    assert pinsets[0] == pinsets[1] == pinsets[2]
    assert ["forwarded"] == [stored["pin"]["name"] for stored in pinsets[0]["pins"]]


async def test_go_reads_an_identity_that_python_saved(launch: Launch, tmp_path: Path) -> None:
    identity = Identity.generate()
    identity.save(tmp_path / "identity.json")

    options = PeerOptions(store="inmem", identity=str(tmp_path / "identity.json"))
    peer = await launch("go1", options)

    assert str(identity.peer_id) == peer.id


async def test_a_peer_ends_when_its_test_does(launch: Launch) -> None:
    peer = await launch("go1", PeerOptions(store="inmem"))
    process = peer._running()
    assert process.stdin is not None

    await process.stdin.aclose()

    with trio.fail_after(5):
        assert 0 == await process.wait()


async def test_an_unknown_command_is_refused_by_name(launch: Launch) -> None:
    peer = await launch("go1", PeerOptions(store="inmem"))

    with pytest.raises(PeerError, match='unknown command "dance"'):
        await peer.ask("dance")
