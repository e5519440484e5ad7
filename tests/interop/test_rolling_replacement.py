"""A cluster changes its language peer by peer, and back, under a client that writes on."""

from __future__ import annotations

from typing import Final

import pytest
import trio

from raft_over_libp2p.types import ServerID
from tests.interop.cluster import Language, await_members, language_of, voters
from tests.interop.matrix.mixed_cluster import MixedCluster, other_than
from tests.interop.matrix.writer import Writer
from tests.interop.peer_process import PeerError, PeerProcess

pytestmark = [pytest.mark.go, pytest.mark.slow, pytest.mark.timeout(120, func_only=True)]

_ATTEMPTS: Final = 20
_WRITES_BETWEEN: Final = 5


async def test_all_go_peers_are_replaced_by_python_ones_and_back_and_no_write_is_lost(
    mixed: MixedCluster,
) -> None:
    """Each by a blank peer that is added before the old one is removed, also if that one leads."""
    writer = Writer(lambda: mixed.members)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(writer.run)
        replaced = await _replace(mixed, mixed.of("go"), writer)
        assert [] == mixed.of("go")
        await _replace(mixed, replaced, writer)
        await writer.stop()

    assert sorted(mixed.setting.languages) == sorted(map(language_of, mixed.members))
    leader, *_ = await mixed.agree()
    (last,) = await leader.apply(b"after all")
    await mixed.settle(last)
    for peer in mixed.members:
        applied = [data for _, _, data in await peer.applied()]
        assert len(set(applied)) == len(applied), peer.name
        # In the order of the acknowledgements, with what failed unclear in between.
        acknowledged = set(writer.acknowledged)
        assert writer.acknowledged == [data for data in applied if data in acknowledged], peer.name


async def _replace(
    mixed: MixedCluster, old: list[PeerProcess], writer: Writer
) -> list[PeerProcess]:
    """Put a peer of the other language in the place of each of ``old``; return the new ones."""
    language: Language = other_than(language_of(old[0]))
    new = await mixed.newcomers(*(language for _ in old))
    for leaves, comes in zip(old, new, strict=True):
        await writer.wrote(_WRITES_BETWEEN)
        await _change(mixed, "add_voter", comes, voters(*mixed.members, comes))
        mixed.members.append(comes)
        await await_members([comes], voters(*mixed.members))

        rest = [peer for peer in mixed.members if peer is not leaves]
        await _change(mixed, "remove", leaves, voters(*rest))
        mixed.members = rest
        await await_members(rest, voters(*rest))
        await leaves.kill()
        await writer.wrote(_WRITES_BETWEEN)
    return new


async def _change(
    mixed: MixedCluster, command: str, peer: PeerProcess, wanted: dict[ServerID, str]
) -> None:
    """Have whoever leads change the members, until they are as ``wanted``."""
    failures: list[str] = []
    for _ in range(_ATTEMPTS):
        leader, members = await _leader_of(mixed)
        if members == wanted:
            return
        try:
            await leader.ask(command, peer=peer.id)
        except PeerError as error:
            # It leads no more, or the last change is not agreed on yet; this one may be.
            failures.append(str(error).partition("\n")[0])
            await trio.sleep(0.1)
    raise AssertionError(f"{command} {peer.name}: {failures}")


async def _leader_of(mixed: MixedCluster) -> tuple[PeerProcess, dict[ServerID, str]]:
    """Wait for a leader, which may be leaving; return it with its members."""
    with trio.fail_after(10):
        while True:
            for peer in mixed.members:
                status = await peer.status()
                if status.state == "Leader":
                    return peer, {ServerID(s["id"]): s["suffrage"] for s in status.configuration}
            await trio.sleep(0.05)
