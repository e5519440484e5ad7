"""Three components in memory: agreeing on pins from any peer, forwarding, and what fails how."""

from __future__ import annotations

import contextlib
from contextlib import AsyncExitStack

import pytest
import trio

from node.consensus import Consensus, first_configuration
from node.consensus_config import ConsensusConfig
from raft_over_libp2p.errors import (
    LocalProtocolError,
    NoLeader,
    NoState,
    NotLeader,
    OutcomeUnknown,
    ProposalRefused,
    ReadIndexUnsupported,
)
from raft_over_libp2p.types import ServerID
from tests.node.world import PEERS, a_world, pin, three_peers


async def leaderless(peer: Consensus) -> None:
    """Return when ``peer`` knows of no leader any more."""
    with trio.fail_after(60), contextlib.suppress(NoLeader):
        while peer.leader():
            await peer._open_oplog().raft.changed()


async def test_ready_may_be_awaited_many_times(autojump_clock) -> None:
    async with three_peers() as three:
        await three.leader.ready(timeout_s=1)
        await three.leader.ready(timeout_s=1)

        assert three.leader.peer_id == three.leader.leader()


async def test_all_peers_name_the_same_leader_and_members(autojump_clock) -> None:
    async with three_peers() as three:
        assert {three.leader.peer_id} == {peer.leader() for peer in three.peers.values()}
        assert [sorted(PEERS)] * 3 == [peer.peers() for peer in three.peers.values()]


async def test_a_pin_logged_at_any_peer_is_in_every_state(autojump_clock) -> None:
    async with three_peers() as three:
        for number, peer in enumerate(three.peers.values()):
            await peer.log_pin(pin(str(number)))
        for peer in three.peers.values():
            await peer.wait_for_sync()

        expected = sorted(pin(str(number)).cid for number in range(3))
        with trio.fail_after(30):
            for peer in three.peers.values():
                while len(peer.state()) < 3:
                    await peer._open_oplog().raft.changed()

        assert [expected] * 3 == [
            [p.cid for p in peer.state().list()] for peer in three.peers.values()
        ]


async def test_an_unpin_at_a_follower_removes_the_pin(autojump_clock) -> None:
    async with three_peers() as three:
        follower = three.followers[0]
        await follower.log_pin(pin("a"))

        await follower.log_unpin(pin("a"))

        assert 0 == len(three.leader.state())


async def test_before_the_first_pin_there_is_no_state(autojump_clock) -> None:
    async with three_peers() as three:
        with pytest.raises(NoState):
            three.leader.state()


async def test_a_linearizable_state_holds_what_was_acknowledged_before(autojump_clock) -> None:
    async with three_peers() as three:
        await three.followers[0].log_pin(pin("a"))

        assert pin("a").cid in await three.leader.linearizable_state()


async def test_a_follower_gives_a_linearizable_state_too(autojump_clock) -> None:
    async with three_peers() as three:
        await three.leader.log_pin(pin("a"))

        for follower in three.followers:
            assert pin("a").cid in await follower.linearizable_state()


async def test_a_follower_of_a_cut_off_leader_confirms_no_read(autojump_clock) -> None:
    async with three_peers() as three:
        follower = three.followers[0]
        await three.leader.log_pin(pin("a"))
        three.network.isolate(ServerID(str(three.leader.peer_id)))

        with pytest.raises((ProposalRefused, NotLeader)):
            await follower.linearizable_state(timeout_s=0.4)


async def test_a_follower_of_a_go_leader_says_that_it_cannot_read(autojump_clock) -> None:
    async with three_peers() as three:
        three.network.speak_only_go(ServerID(str(three.leader.peer_id)))

        with pytest.raises(ReadIndexUnsupported) as caught:
            await three.followers[0].linearizable_state()

        assert str(three.leader.peer_id) == caught.value.leader


async def test_a_write_goes_on_when_its_leader_dies(autojump_clock) -> None:
    async with three_peers() as three:
        dead, follower = three.leader, three.followers[0]
        three.cut_off(dead.peer_id)

        await follower.log_pin(pin("a"))

        assert pin("a").cid in three.peers[follower.leader()].state()


async def test_a_write_without_a_quorum_names_the_unreachable_voters_in_time(
    autojump_clock,
) -> None:
    async with three_peers() as three:
        survivor = three.followers[0]
        others = {str(peer) for peer in PEERS if peer != survivor.peer_id}
        for peer in PEERS:
            if peer != survivor.peer_id:
                three.cut_off(peer)
        await leaderless(survivor)
        started = trio.current_time()

        with pytest.raises(NoLeader) as caught:
            await survivor.log_pin(pin("a"), timeout_s=8)

        assert trio.current_time() - started < 8.1
        assert others == set(caught.value.unreachable)


async def test_a_leader_that_lost_its_quorum_answers_unknown(autojump_clock) -> None:
    async with three_peers() as three:
        leader = three.leader
        three.cut_off(leader.peer_id)

        with pytest.raises(OutcomeUnknown):
            await leader.log_pin(pin("a"), timeout_s=8)


async def test_a_follower_without_a_client_refuses_to_forward(autojump_clock) -> None:
    async with a_world() as world, AsyncExitStack() as stack:
        for peer in PEERS:
            await stack.enter_async_context(world.peer(peer))
        for consensus in world.peers.values():
            await consensus.ready(timeout_s=30)
        follower = world.followers[0]
        follower._forwarder.client = None

        with pytest.raises(ProposalRefused, match="RPC client"):
            await follower.log_pin(pin("a"))


async def test_a_call_passed_on_by_the_presumed_leader_is_not_passed_back(autojump_clock) -> None:
    async with three_peers() as three:
        follower = three.followers[0]

        with pytest.raises(NoLeader):
            await follower.log_pin(pin("a"), timeout_s=1, forwarded_by=three.leader.peer_id)


async def test_shutdown_is_permanent_and_may_be_repeated(autojump_clock) -> None:
    async with three_peers() as three:
        follower = three.followers[0]
        await follower.shutdown()
        await follower.shutdown()

        with pytest.raises(ProposalRefused, match="shut down"):
            await follower.log_pin(pin("a"))
        with pytest.raises(ProposalRefused, match="shut down"):
            follower.state()


async def test_the_others_go_on_after_one_shuts_down(autojump_clock) -> None:
    async with three_peers() as three:
        gone, rest = three.followers[0], [three.leader, three.followers[1]]
        await gone.shutdown()

        await rest[1].log_pin(pin("a"))

        assert pin("a").cid in rest[0].state()


async def test_a_restarted_peer_has_the_agreed_state_again(autojump_clock) -> None:
    async with a_world() as world, AsyncExitStack() as stack:
        for peer in PEERS[:2]:
            await stack.enter_async_context(world.peer(peer))
        async with world.peer(PEERS[2]) as third:
            await third.ready(timeout_s=30)
            await third.log_pin(pin("a"))
        await world.peers[PEERS[0]].log_pin(pin("b"))

        async with world.peer(PEERS[2]) as third:
            await third.ready(timeout_s=30)

            assert {pin("a").cid, pin("b").cid} == {p.cid for p in third.state().list()}


def test_the_first_configuration_is_the_given_set_and_then_oneself_once() -> None:
    a, b, c = PEERS

    assert (str(a), str(b), str(c)) == first_configuration([a, b], c).ids
    assert (str(a), str(b), str(c)) == first_configuration([a, b, c], b).ids
    assert (str(a),) == first_configuration([], a).ids


@pytest.mark.parametrize(
    "knobs", [{"commit_retries": 0}, {"raft_max_snapshots": 0}, {"leader_timeout_s": 0}]
)
def test_a_knob_out_of_range_is_refused_by_name(knobs: dict[str, int]) -> None:
    with pytest.raises(LocalProtocolError, match=next(iter(knobs))):
        ConsensusConfig(**knobs)
