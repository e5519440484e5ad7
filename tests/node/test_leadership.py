"""Leadership handed over from whichever peer is asked, and to whom it is not."""

from __future__ import annotations

import pytest
import trio

from keys.identity import Identity
from node.leadership import LeadershipTransfer
from node.rpc.client import RpcClient
from node.rpc.server import RpcServer
from node.rpc.services import consensus_methods
from node.rpc.wire import PROTOCOL_ID
from raft_over_libp2p.errors import NoLeader, ProposalRefused
from tests.node.world import PEERS, World, three_peers

NOBODY = Identity.from_seed(bytes([9]) * 32).peer_id


def _served(world: World, *, is_go: bool = False) -> dict[object, LeadershipTransfer]:
    """Have every peer offer transfers; a Go peer has no such method."""
    made = {}
    for peer, consensus in world.peers.items():
        host = world.swarm.host(peer)
        made[peer] = LeadershipTransfer(consensus, RpcClient(host))
        methods = consensus_methods(consensus) | ({} if is_go else made[peer].methods())
        host.serve(PROTOCOL_ID, RpcServer(methods).handle)
    return made


async def _wait_for(world: World, leader: object) -> None:
    with trio.fail_after(30):
        while world.peers[PEERS[0]].leader() != leader:
            await world.peers[PEERS[0]].raft.changed()


@pytest.mark.parametrize("is_asked_at_leader", [True, False])
async def test_leadership_goes_to_the_named_peer_from_whichever_is_asked(
    autojump_clock, *, is_asked_at_leader: bool
) -> None:
    async with three_peers() as three:
        served = _served(three)
        target = three.followers[1].peer_id
        asked = three.leader if is_asked_at_leader else three.followers[0]

        assert target == await served[asked.peer_id].transfer(target, timeout_s=5)
        await _wait_for(three, target)


async def test_without_a_name_a_follower_that_has_everything_leads(autojump_clock) -> None:
    async with three_peers() as three:
        served, old = _served(three), three.leader.peer_id

        new = await served[three.followers[0].peer_id].transfer(None, timeout_s=5)

        assert new in set(PEERS) - {old}


async def test_who_leads_already_keeps_leading(autojump_clock) -> None:
    async with three_peers() as three:
        served, leader = _served(three), three.leader.peer_id

        assert leader == await served[leader].transfer(leader, timeout_s=5)
        assert leader == await served[three.followers[0].peer_id].transfer(leader, timeout_s=5)


async def test_a_transfer_to_a_stranger_is_refused(autojump_clock) -> None:
    async with three_peers() as three:
        served, leader = _served(three), three.leader.peer_id

        with pytest.raises(ProposalRefused):
            await served[three.followers[0].peer_id].transfer(NOBODY, timeout_s=5)
        assert leader == three.leader.peer_id


async def test_a_transfer_to_a_peer_that_is_down_leaves_the_leader(autojump_clock) -> None:
    async with three_peers() as three:
        served, leader, down = _served(three), three.leader, three.followers[0].peer_id
        three.cut_off(down)

        with pytest.raises(ProposalRefused, match="leadership stays"):
            await served[leader.peer_id].transfer(down, timeout_s=30)
        await leader.ready(timeout_s=30)
        assert leader.raft.is_leader


async def test_a_go_leader_takes_no_wish_and_says_so(autojump_clock) -> None:
    async with three_peers() as three:
        served = _served(three, is_go=True)

        with pytest.raises(ProposalRefused, match="a Go peer hands over only when it is stopped"):
            await served[three.followers[0].peer_id].transfer(None, timeout_s=5)


async def test_nobody_can_be_asked_while_nobody_leads(autojump_clock) -> None:
    async with three_peers() as three:
        served, alone = _served(three), three.followers[0]
        for peer in PEERS:
            if peer != alone.peer_id:
                three.cut_off(peer)
        with trio.fail_after(60):
            while alone.raft.leader() is not None:
                await alone.raft.changed()

        with pytest.raises(NoLeader):
            await served[alone.peer_id].transfer(None, timeout_s=5)
