"""Peers that come and go, as the component offers it: what is asked, agreed on and refused."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
import trio

from keys.identity import Identity
from keys.peer_id import PeerID
from pinstate.state import PinState
from raft_over_libp2p.errors import InconsistentState, NoLeader, NotLeader, ProposalRefused
from tests.node.world import PEERS, World, a_world, pin, three_peers

A, B, C = PEERS


def multiaddr(peer: PeerID, port: int = 9096) -> str:
    return f"/ip4/127.0.0.1/tcp/{port}/p2p/{peer}"


async def wait_until(world: World, peer: PeerID, condition) -> None:
    """Return when ``condition()`` holds, looking at each change ``peer`` sees."""
    with trio.fail_after(60):
        while not condition():
            await world.peers[peer].raft.changed()


async def test_a_cluster_of_one_grows_by_multiaddrs(autojump_clock) -> None:
    async with a_world() as world, AsyncExitStack() as stack:
        await stack.enter_async_context(world.peer(A, []))
        await world.peers[A].ready(timeout_s=30)
        await world.peers[A].log_pin(pin("before"))
        for peer in (B, C):
            await stack.enter_async_context(world.peer(peer, None))

            await world.peers[A].log_add_peer(multiaddr(peer))

            await world.peers[peer].ready(timeout_s=30)
            assert pin("before").cid in world.peers[peer].state()
        assert sorted(PEERS) == world.peers[C].peers()


async def test_an_address_in_the_log_is_remembered_by_every_peer(autojump_clock) -> None:
    async with three_peers() as three:
        moved = three.followers[0].peer_id

        await three.leader.log_add_peer(multiaddr(moved, 1234))

        for peer in PEERS:
            await wait_until(three, peer, lambda p=peer: three.addresses[p].known(moved))
        assert 1 == len({three.addresses[peer].known(moved) for peer in PEERS})


async def test_a_peer_that_is_not_there_is_not_added_and_nothing_is_left(autojump_clock) -> None:
    async with a_world() as world, world.peer(A, []) as alone:
        await alone.ready(timeout_s=30)

        with pytest.raises(ProposalRefused, match="does not answer"):
            await alone.log_add_peer(multiaddr(B))

        assert [A] == alone.peers()
        assert world.addresses[A].known(B) is None
        await alone.log_pin(pin("still writes"))


async def test_a_peer_is_added_through_a_follower(autojump_clock) -> None:
    async with a_world() as world, AsyncExitStack() as stack:
        for peer in (A, B):
            await stack.enter_async_context(world.peer(peer, [A, B]))
        for peer in (A, B):
            await world.peers[peer].ready(timeout_s=30)
        await stack.enter_async_context(world.peer(C, None))

        await world.followers[0].log_add_peer(multiaddr(C))

        await world.peers[C].ready(timeout_s=30)
        assert sorted(PEERS) == world.leader.peers()


async def test_a_multiaddr_without_a_peer_is_refused(autojump_clock) -> None:
    async with three_peers() as three:
        with pytest.raises(ValueError, match="names no peer"):
            await three.leader.log_add_peer("/ip4/127.0.0.1/tcp/9096")


async def test_a_removed_peer_is_no_member_and_its_address_is_forgotten(autojump_clock) -> None:
    async with three_peers() as three:
        gone = three.followers[0].peer_id
        await three.leader.log_add_peer(multiaddr(gone))

        await three.leader.log_rm_peer(gone)

        assert gone not in three.leader.peers()
        assert three.addresses[three.leader.peer_id].known(gone) is None
        await three.leader.log_pin(pin("two are enough"))


async def test_a_leader_may_remove_itself(autojump_clock) -> None:
    async with three_peers() as three:
        old, other = three.leader, three.followers[0]

        await old.rm_peer(old.peer_id)

        await wait_until(
            three, other.peer_id, lambda: other.raft.leader() not in {None, str(old.peer_id)}
        )
        await other.log_pin(pin("goes on"))
        assert old.peer_id not in other.peers()


async def test_a_stranger_cannot_be_removed(autojump_clock) -> None:
    async with a_world() as world, world.peer(A, []) as alone:
        await alone.ready(timeout_s=30)

        with pytest.raises(ProposalRefused, match="not a member"):
            await alone.log_rm_peer(B)


async def test_the_only_voter_refuses_to_remove_itself(autojump_clock) -> None:
    async with a_world() as world, world.peer(A, []) as alone:
        await alone.ready(timeout_s=30)

        with pytest.raises(ProposalRefused, match="1-peer cluster"):
            await alone.log_rm_peer(A)


async def test_a_change_without_a_quorum_changes_nothing(autojump_clock) -> None:
    async with three_peers() as three:
        leader, gone = three.leader, three.followers[0].peer_id
        for follower in three.followers:
            three.cut_off(follower.peer_id)

        with pytest.raises((ProposalRefused, NoLeader)):
            await leader.rm_peer(gone, timeout_s=5)

        assert sorted(PEERS) == leader.peers()


async def test_a_removed_peer_comes_back_with_an_empty_disk(autojump_clock) -> None:
    async with a_world() as world, AsyncExitStack() as stack:
        for peer in (A, B):
            await stack.enter_async_context(world.peer(peer, [A, B]))
        async with world.peer(C, None):
            await world.peers[A].ready(timeout_s=30)
            await world.peers[A].log_add_peer(multiaddr(C))
            await world.peers[A].log_rm_peer(C)
        await world.peers[A].log_pin(pin("meanwhile"))
        world.wipe(C)
        await stack.enter_async_context(world.peer(C, None))

        await world.peers[A].log_add_peer(multiaddr(C))

        await world.peers[C].ready(timeout_s=30)
        assert pin("meanwhile").cid in world.peers[C].state()


async def test_leadership_goes_to_the_named_peer(autojump_clock) -> None:
    async with three_peers() as three:
        old, target = three.leader, three.followers[1].peer_id

        assert target == await old.transfer_leadership(target)

        await wait_until(three, target, lambda: three.peers[target].raft.is_leader)


async def test_leadership_is_not_handed_over_by_a_follower(autojump_clock) -> None:
    async with three_peers() as three:
        with pytest.raises(NotLeader):
            await three.followers[0].transfer_leadership()


async def test_a_leader_that_shuts_down_hands_over_first(autojump_clock) -> None:
    async with three_peers() as three:
        old, other = three.leader, three.followers[0]
        started = trio.current_time()

        await old.shutdown()

        await wait_until(
            three, other.peer_id, lambda: other.raft.leader() not in {None, str(old.peer_id)}
        )
        assert trio.current_time() - started < other._config.raft.heartbeat_timeout_s


async def test_a_peer_that_shuts_down_leaves_a_snapshot(autojump_clock) -> None:
    async with a_world() as world, world.peer(A, []) as alone:
        await alone.ready(timeout_s=30)
        await alone.log_pin(pin("a"))

        await alone.shutdown()

        assert 1 == len(world.disks[A].listdir("/peer/raft/snapshots"))


async def test_a_rollback_makes_the_given_state_the_agreed_one(autojump_clock) -> None:
    async with three_peers() as three:
        for name in ("stays", "goes"):
            await three.leader.log_pin(pin(name))
        wanted = PinState([pin("stays"), pin("comes")])

        await three.leader.rollback(wanted)

        for peer in PEERS:
            await wait_until(three, peer, lambda p=peer: three.peers[p].state() == wanted)


async def test_a_rollback_ends_an_inconsistency(autojump_clock) -> None:
    async with three_peers() as three:
        await three.leader.log_pin(pin("a"))
        await three.leader.raft.apply(b"\xc1", timeout_s=5)
        with pytest.raises(InconsistentState):
            three.leader.state()

        await three.leader.rollback(PinState([pin("b")]))

        assert PinState([pin("b")]) == three.leader.state()


async def test_only_the_leader_rolls_back(autojump_clock) -> None:
    async with three_peers() as three:
        with pytest.raises(NotLeader):
            await three.followers[0].rollback(PinState())


async def test_a_final_refusal_is_told_through_a_follower_at_once(autojump_clock) -> None:
    async with three_peers() as three:
        stranger = Identity.from_seed(bytes([9]) * 32).peer_id
        started = trio.current_time()

        with pytest.raises(ProposalRefused, match="not a member"):
            await three.followers[0].log_rm_peer(stranger)

        assert trio.current_time() - started < 0.1
