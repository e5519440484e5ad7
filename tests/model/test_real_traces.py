"""Traces of servers as programs run them: driver, transport, log on a disk; time alone is made up."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
import trio
import trio.testing

from raft_over_libp2p.config import RaftConfig
from raft_over_libp2p.core.trace import TraceRecord
from raft_over_libp2p.testing import memory_cluster
from tests.model.lines import Line
from tests.model.tampering import (
    acknowledge_before_it_is_durable,
    commit_too_early,
    forget_the_last_entries,
    vote_twice,
)
from tests.model.traces import judge, lines_of
from tests.testing.counting import Add, AddCodec, Counters

pytestmark = [pytest.mark.tlc, pytest.mark.slow, pytest.mark.timeout(300)]

_SERVERS = ("n1", "n2", "n3")


async def _elect_write_crash_and_compact(records: list[TraceRecord]) -> None:
    """Two leaders, a follower that needs a snapshot, and each server crashed in turn."""
    config = RaftConfig(trailing_logs=1)
    async with memory_cluster(
        3, state_machine=Counters, codec=AddCodec(), config=config, tracer=records.append
    ) as cluster:
        leader = await cluster.leader()
        await leader.raft.apply(Add("a", 1), timeout_s=5)
        behind = cluster.others(leader)[0]
        await cluster.crash(behind)
        for number in range(8):
            await leader.raft.apply(Add("b", number), timeout_s=5)
        for server in cluster.running:
            await server.raft.snapshot(timeout_s=5)
        await cluster.start(behind)
        await cluster.catch_up()
        await cluster.crash(leader)
        second = await cluster.leader()
        await second.raft.apply(Add("c", 1), timeout_s=5)
        await cluster.start(leader)
        await cluster.catch_up()
        await second.raft.leadership_transfer(leader.server_id, timeout_s=5)
        await (await cluster.leader()).raft.apply(Add("d", 1), timeout_s=5)
        await cluster.catch_up()


@cache
def _trace() -> list[Line]:
    records: list[TraceRecord] = []
    clock = trio.testing.MockClock(autojump_threshold=0)
    trio.run(_elect_write_crash_and_compact, records, clock=clock)
    return lines_of(records)


def test_a_run_of_real_servers_is_a_behaviour_of_the_model() -> None:
    judgement = judge(_trace(), _SERVERS)

    assert (None, "") == (judgement.refused, judgement.why)


def test_the_run_had_all_that_is_to_be_judged() -> None:
    """Else its acceptance would say little."""
    done = {line["do"] for line in _trace()}

    assert {"start", "campaign", "lead", "append", "commit", "snapshot", "install"} <= done


@pytest.mark.parametrize(
    ("tamper", "refused"),
    [
        (commit_too_early, ("commit", None)),
        (vote_twice, ("says", "vote")),
        (acknowledge_before_it_is_durable, ("says", "ack")),
        (forget_the_last_entries, ("start", None)),
    ],
)
def test_a_trace_that_was_tampered_with_is_refused_at_that_line(
    tamper: Callable[[list[Line]], list[Line]], refused: tuple[str, str | None]
) -> None:
    line = judge(tamper(_trace()), _SERVERS).refused

    assert line is not None
    assert refused == (line["do"], line.get("what"))
