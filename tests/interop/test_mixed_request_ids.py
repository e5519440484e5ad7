"""Operations with a request ID beside Go peers, which keep the ID and never look at it."""

from __future__ import annotations

from typing import Final

import pytest

from raft_over_libp2p.raft.request_id import RequestID, frame_request
from raft_over_libp2p.types import Index
from tests.interop.cluster import Launch, assert_one_log, await_applied, led_by, start_cluster
from tests.interop.peer_process import PeerError, PeerOptions

pytestmark = [pytest.mark.go, pytest.mark.slow]

_OPTIONS: Final = PeerOptions(secret="5a" * 32)


async def test_an_operation_sent_twice_is_in_every_log_once_and_go_keeps_its_id(
    launch: Launch,
) -> None:
    peers = await start_cluster(launch, ("go", "go", "python"), _OPTIONS)
    leader, *_ = await led_by("python", peers)
    request = (await leader.ask("new_request"))["request"]

    first = await leader.ask("apply_once", data=b"once".hex(), request=request)
    again = await leader.ask("apply_once", data=b"once".hex(), request=request)

    assert [(first["index"], True), (first["index"], False)] == [
        (each["index"], each["is_new"]) for each in (first, again)
    ]
    await await_applied(peers, first["index"])
    extensions = frame_request(RequestID.parse(request), b"")
    held = [(entry.index, entry.data, entry.extensions) for entry in await assert_one_log(peers)]
    assert [(first["index"], b"once", extensions)] == [
        entry for entry in held if entry[1] == b"once"
    ]


async def test_a_python_leader_knows_an_id_that_a_go_leader_replicated(launch: Launch) -> None:
    peers = await start_cluster(launch, ("go", "python", "python"), _OPTIONS)
    leader, *_ = await led_by("go", peers)
    request = RequestID(b"sixteen bytes ID", Index((await leader.status()).applied_index))
    (index,) = await leader.apply(b"once", extensions=frame_request(request, b""))
    await await_applied(peers, index)
    leader, *_ = await led_by("python", peers)

    outcome = await leader.ask("outcome", request=str(request))
    again = await leader.ask("apply_once", data=b"once".hex(), request=str(request))

    assert {"state": "done", "index": index} == outcome
    assert {"index": index, "is_new": False} == again
    log = await assert_one_log(peers)
    assert [index] == [entry.index for entry in log if entry.data == b"once"]


async def test_under_a_go_leader_nothing_is_said_of_a_request(launch: Launch) -> None:
    peers = await start_cluster(launch, ("go", "go", "python"), _OPTIONS)
    leader, *others = await led_by("go", peers)
    (python,) = [peer for peer in others if peer.name.startswith("python")]
    request = (await python.ask("new_request"))["request"]
    before = await leader.dump()

    with pytest.raises(PeerError, match=leader.id):
        await python.ask("outcome", request=request)
    with pytest.raises(PeerError, match=leader.id):
        await python.ask("apply_once", data=b"once".hex(), request=request)

    assert before == await leader.dump()
