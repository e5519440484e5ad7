"""Peers that mean harm, against a running cluster: it goes on as if nobody had come.

Not among the attacks: a stranger's AppendEntries of a higher term. Whoever holds the cluster's
secret is trusted that far, as by Go's peers, because a member that slept through changes must
take a leader it never heard of (``docs/divergences.md``).
"""

from __future__ import annotations

import logging

import pytest

from raft_over_libp2p.errors import RaftError
from raft_over_libp2p.types import ServerID
from raft_over_libp2p.wire.requests import encode_request
from tests.hostile.attacks import ATTACKS
from tests.hostile.messages import every_request
from tests.hostile.world import RAFT, World, answer, hostile_world


@pytest.mark.parametrize("kind", ATTACKS)
async def test_a_cluster_endures(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    # py-libp2p writes several lines for each stream that breaks off.
    caplog.set_level(logging.CRITICAL, logger="libp2p")
    async with hostile_world() as world:
        for attack in ATTACKS[kind]:
            try:
                await world.endures(attack)
            except BaseException as error:
                error.add_note(f"the attack was {attack.__name__}")
                raise


async def test_a_leader_that_was_deposed_would_be_noticed() -> None:
    """What is not among the attacks succeeds: so the check above can fail."""

    async def usurp(world: World) -> None:
        async with world.stranger() as stranger:
            name = ServerID(str(stranger.peer_id))
            heartbeat = next(every_request(name))
            for victim in world.victims:
                await answer(stranger, victim, RAFT + encode_request(heartbeat, name), 0.2)

    async with hostile_world() as world:
        with pytest.raises((AssertionError, RaftError, ExceptionGroup)):
            await world.endures(usurp)
