"""What the Python peers of a mixed cluster did is a behaviour of the model (``tests/model``).

Go peers leave no trace: the model has of them what the Python peers heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
import trio

from raft_over_libp2p.types import ServerID
from tests.interop.cluster import (
    Language,
    Launch,
    await_applied,
    language_of,
    led_by,
    one_among_two,
    start_cluster,
)
from tests.interop.peer_process import PeerOptions, PeerProcess
from tests.model.lines import Line
from tests.model.tampering import acknowledge_before_it_is_durable, vote_twice
from tests.model.trace_file import merged
from tests.model.traces import judge

pytestmark = [pytest.mark.go, pytest.mark.tlc, pytest.mark.slow, pytest.mark.timeout(300)]

_OPTIONS: Final = PeerOptions(secret="5a" * 32)
_LEADERS: Final[tuple[Language, ...]] = ("python", "go", "python")


@one_among_two
async def test_a_mixed_cluster_is_a_behaviour_of_the_model(
    launch: Launch, tmp_path: Path, languages: Sequence[Language]
) -> None:
    paths: list[Path] = []

    async def traced(name: str, options: PeerOptions) -> PeerProcess:
        if name.startswith("python"):
            paths.append(tmp_path / f"{name}.ndjson")
            options = replace(options, trace=str(paths[-1]))
        return await launch(name, options)

    peers = await start_cluster(traced, languages, _OPTIONS)
    for language in _LEADERS:
        leader, *others = await led_by(language, peers)
        *_, last = await leader.apply(b"one", b"two", b"three")
        await await_applied([leader, *others], last)
    for peer in peers:
        await peer.kill()

    trace = merged(paths)
    go = [peer.id for peer in peers if language_of(peer) == "go"]
    servers = [peer.id for peer in peers]
    await trio.to_thread.run_sync(_check, trace, servers, go)


def _check(trace: list[Line], servers: list[ServerID], go: list[ServerID]) -> None:
    judgement = judge(trace, servers, go=go)
    assert (None, "") == (judgement.refused, judgement.why)

    for tamper in (vote_twice, acknowledge_before_it_is_durable):
        refused = judge(tamper(trace), servers, go=go).refused
        assert refused is not None, tamper.__name__
