"""The daemon's address book: who answers where, what lasts, and whom nobody dials any more."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from multiaddr import Multiaddr

from keys.cluster_secret import ClusterSecret
from keys.identity import Identity
from keys.peer_id import PeerID
from node.address_book import AddressBook
from node.peer_addresses import PeerNotReached
from node.swarm.dialing import DialFailed
from node.swarm.host import PeerSwarm, open_swarm
from node.swarm_addresses import SwarmAddresses

ANY = Multiaddr("/ip4/127.0.0.1/tcp/0")
SECRET = ClusterSecret.from_hex("ab" * 32)
NOBODY = Identity.from_seed(bytes([9]) * 32).peer_id
ELSEWHERE = "/ip4/10.0.0.9/tcp/9096"


def _multiaddr(peer: PeerID, address: object) -> bytes:
    return Multiaddr(f"{address}/p2p/{peer}").to_bytes()


def _addresses(swarm: PeerSwarm, folder: Path, *lines: str) -> SwarmAddresses:
    return SwarmAddresses(swarm, AddressBook.of(lines, source="test"), folder / "peerstore")


@asynccontextmanager
async def _swarms(count: int) -> AsyncIterator[list[PeerSwarm]]:
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(
                open_swarm(Identity.from_seed(bytes([n + 1]) * 32), SECRET, [ANY])
            )
            for n in range(count)
        ]


@pytest.mark.parametrize("is_connected", [False, True])
async def test_a_peer_is_reached_where_it_listens(tmp_path: Path, *, is_connected: bool) -> None:
    async with _swarms(2) as [one, two]:
        addresses = _addresses(one, tmp_path)
        if is_connected:
            await one.connect(two.peer_id, two.listen_addrs)

        await addresses.reach(
            two.peer_id, _multiaddr(two.peer_id, two.listen_addrs[0]), timeout_s=5
        )

        await one.connect(two.peer_id)
        assert not (tmp_path / "peerstore").exists()


@pytest.mark.parametrize("is_connected", [False, True])
async def test_who_answers_in_place_of_a_peer_is_named_with_it(
    tmp_path: Path, *, is_connected: bool
) -> None:
    async with _swarms(3) as [one, two, three]:
        addresses = _addresses(one, tmp_path)
        if is_connected:
            await one.connect(two.peer_id, two.listen_addrs)

        with pytest.raises(
            PeerNotReached, match=f"{three.peer_id} answers there, not {two.peer_id}"
        ):
            await addresses.reach(
                two.peer_id, _multiaddr(two.peer_id, three.listen_addrs[0]), timeout_s=5
            )


async def test_an_address_nobody_answers_at_is_not_made_up_for_by_another(tmp_path: Path) -> None:
    """A connection that stands, or an address known already, says nothing about a new address."""
    async with _swarms(2) as [one, two]:
        addresses = _addresses(one, tmp_path, f"{two.listen_addrs[0]}/p2p/{two.peer_id}")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        await one.connect(two.peer_id)

        with pytest.raises(PeerNotReached, match=f"tcp/{port}: .*Connection refused"):
            await addresses.reach(
                two.peer_id, _multiaddr(two.peer_id, f"/ip4/127.0.0.1/tcp/{port}"), timeout_s=5
            )


async def test_a_silent_address_is_given_up_in_time(tmp_path: Path) -> None:
    async with _swarms(1) as [one]:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            port = silent.getsockname()[1]
            with pytest.raises(PeerNotReached, match=r"no answer within 0\.2 s"):
                await _addresses(one, tmp_path).reach(
                    NOBODY, _multiaddr(NOBODY, f"/ip4/127.0.0.1/tcp/{port}"), timeout_s=0.2
                )


async def test_a_peer_is_reached_by_its_id_where_it_is_known(tmp_path: Path) -> None:
    async with _swarms(3) as [one, two, three]:
        addresses = _addresses(one, tmp_path, f"{two.listen_addrs[0]}/p2p/{two.peer_id}")

        await addresses.reach(two.peer_id, None, timeout_s=5)
        with pytest.raises(PeerNotReached, match="no addresses known"):
            await addresses.reach(three.peer_id, None, timeout_s=5)


async def test_what_is_remembered_is_in_the_file_and_comes_first(tmp_path: Path) -> None:
    async with _swarms(2) as [one, two]:
        peer = two.peer_id
        addresses = _addresses(one, tmp_path, f"/ip4/10.0.0.1/tcp/1/p2p/{peer}")

        addresses.remember(peer, _multiaddr(peer, ELSEWHERE))

        kept = AddressBook.read(tmp_path / "peerstore")
        assert (ELSEWHERE, "/ip4/10.0.0.1/tcp/1") == kept.addresses[str(peer)]
        assert _multiaddr(peer, ELSEWHERE) == addresses.known(peer)


async def test_of_many_addresses_the_newest_few_are_kept(tmp_path: Path) -> None:
    async with _swarms(2) as [one, two]:
        addresses = _addresses(one, tmp_path)

        for port in range(1, 8):
            addresses.remember(two.peer_id, _multiaddr(two.peer_id, f"/ip4/10.0.0.1/tcp/{port}"))

        assert [7, 6, 5, 4] == [
            int(line.split("/")[4]) for line in (tmp_path / "peerstore").read_text().split()
        ]


async def test_a_forgotten_peer_is_in_no_file_and_is_dialled_no_more(tmp_path: Path) -> None:
    async with _swarms(2) as [one, two]:
        addresses = _addresses(one, tmp_path, f"{two.listen_addrs[0]}/p2p/{two.peer_id}")

        addresses.forget(two.peer_id)

        assert "" == (tmp_path / "peerstore").read_text()
        assert addresses.known(two.peer_id) is None
        with pytest.raises(DialFailed, match="no addresses known"):
            await one.connect(two.peer_id)


async def test_the_log_tells_a_peer_where_it_is_said_to_be(tmp_path: Path) -> None:
    async with _swarms(1) as [one]:
        addresses = _addresses(one, tmp_path)
        addresses.own = ("/ip4/10.0.0.1/tcp/1",)

        addresses.remember(one.peer_id, _multiaddr(one.peer_id, ELSEWHERE))

        again = SwarmAddresses(one, AddressBook.read(tmp_path / "peerstore"), tmp_path / "x")
        assert (ELSEWHERE, ELSEWHERE) == (addresses.agreed_own, again.agreed_own)
        assert _multiaddr(one.peer_id, "/ip4/10.0.0.1/tcp/1") == addresses.known(one.peer_id)
        assert () == addresses.lines()


async def test_a_file_that_cannot_be_written_is_told_and_written_with_the_next_change(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with _swarms(2) as [one, two]:
        addresses = _addresses(one, tmp_path)
        with monkeypatch.context() as patched, caplog.at_level(logging.ERROR):
            patched.setattr("node.address_book.write_private", full)
            addresses.remember(two.peer_id, _multiaddr(two.peer_id, ELSEWHERE))
        told = "No space left on device" in caplog.text
        addresses.remember(one.peer_id, _multiaddr(one.peer_id, ELSEWHERE))

        assert told
        assert 2 == len((tmp_path / "peerstore").read_text().split())
