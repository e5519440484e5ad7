"""Adding and removing peers and moving leadership over HTTP: answers, and what went wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from raft_over_libp2p.errors import NoLeader, OutcomeUnknown, ProposalRefused
from raft_over_libp2p.types import Suffrage
from tests.node.fakes import A, B, C, FakeConsensus, api_client

WHERE = f"/ip4/10.0.0.3/tcp/9096/p2p/{C}"


async def _answer(
    consensus: FakeConsensus, folder: Path, method: str, path: str, body: object = None
) -> tuple[int, dict[str, object]]:
    async with api_client(consensus, folder) as client:
        answer = await client.request(method, path, json=body)
    return answer.status_code, answer.json() if answer.content else {}


async def test_a_peer_is_added_by_its_multiaddr_and_described_as_by_cluster(tmp_path: Path) -> None:
    consensus = FakeConsensus()

    code, body = await _answer(consensus, tmp_path, "POST", "/peers", {"peer_multiaddress": WHERE})

    assert code == 200
    assert [("log_add_peer", WHERE)] == consensus.changes
    assert C == body["id"]
    assert {"id", "addresses", "cluster_peers", "cluster_peers_addresses", "version", "commit",
            "rpc_protocol_version", "error", "ipfs", "peername"} == set(body)  # fmt: skip


async def test_a_peer_is_added_by_its_id_as_by_cluster(tmp_path: Path) -> None:
    consensus = FakeConsensus()

    code, _ = await _answer(consensus, tmp_path, "POST", "/peers", {"peer_id": C})

    assert code == 200
    assert [("add_peer", C)] == consensus.changes


async def test_a_peer_is_removed_without_a_body(tmp_path: Path) -> None:
    consensus = FakeConsensus()

    code, body = await _answer(consensus, tmp_path, "DELETE", f"/peers/{C}?timeout=3s")

    assert (204, {}) == (code, body)
    assert [("log_rm_peer", C)] == consensus.changes
    assert [3.0] == consensus.timeouts_s


@pytest.mark.parametrize(("query", "target"), [("", ""), (f"?to={B}", B)])
async def test_leadership_is_handed_over(tmp_path: Path, query: str, target: str) -> None:
    consensus = FakeConsensus()

    code, body = await _answer(consensus, tmp_path, "POST", f"/raft/leader/transfer{query}")

    assert (200, {"leader": B}) == (code, body)
    assert [("transfer", target)] == consensus.changes


@pytest.mark.parametrize(
    ("request_line", "body", "named"),
    [
        ("POST /peers", b"", "the body must be"),
        ("POST /peers", b"{", "the body must be"),
        ("POST /peers", b"[" * 20000, "the body must be"),
        ("POST /peers", b'["peer_id"]', "the body must be"),
        ("POST /peers", b"{}", "the body must be"),
        ("POST /peers", b'{"peer_id": 5}', "the body must be"),
        ("POST /peers", json.dumps({"peer_id": C, "peer_multiaddress": WHERE}).encode(), "the body"),
        ("POST /peers", b'{"peer_id": "zzz"}', "error decoding peer ID"),
        ("POST /peers", b'{"peer_multiaddress": "/ip4/10.0.0.3/tcp/9096"}', "a peer's ID"),
        ("POST /peers", b'{"peer_multiaddress": "10.0.0.3:9096"}', "is not a multiaddr"),
        ("POST /peers", b'{"peer_multiaddress": "/ip4/10.0.0.3/tcp/9096/p2p/zzz"}', "multiaddr"),
        ("DELETE /peers/zzz", b"", "error decoding peer ID"),
        ("POST /raft/leader/transfer?to=zzz", b"", "error decoding peer ID"),
        ("POST /raft/leader/transfer?timeout=soon", b"", "timeout"),
    ],
)  # fmt: skip
async def test_what_is_malformed_is_refused_and_changes_nothing(
    tmp_path: Path, request_line: str, body: bytes, named: str
) -> None:
    consensus = FakeConsensus()
    method, path = request_line.split()
    async with api_client(consensus, tmp_path) as client:
        answer = await client.request(method, path, content=body)

    assert (400, "not-done") == (answer.status_code, answer.json()["outcome"])
    assert named in answer.json()["message"]
    assert [] == consensus.changes


@pytest.mark.parametrize(
    ("error", "code", "outcome"),
    [
        (ProposalRefused(f"{C} is not a member of this cluster"), 404, "not-done"),
        (ProposalRefused("another membership change is open (entry 7): try again"), 409, "not-done"),
        (ProposalRefused("configuration changed since 3 (latest is 5)"), 409, "not-done"),
        (ProposalRefused("cannot remove ourselves from a 1-peer cluster"), 409, "not-done"),
        (ProposalRefused(f"the leader did not apply it: {C} was not added: it is not reached: "
                         f"/ip4/10.0.0.3/tcp/9096: {B} answers there, not {C}"), 502, "not-done"),
        (ProposalRefused("consensus is shut down"), 503, "not-done"),
        (NoLeader("nobody leads"), 503, "no-leader"),
        (OutcomeUnknown("no majority agreed in time"), 504, "unknown"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("request_line", ["POST /peers", f"DELETE /peers/{C}"])
async def test_a_change_that_is_not_made_says_why_and_what_became_of_it(
    tmp_path: Path, request_line: str, error: Exception, code: int, outcome: str
) -> None:
    consensus = FakeConsensus(error=error)
    method, path = request_line.split()
    async with api_client(consensus, tmp_path) as client:
        answer = await client.request(method, path, json={"peer_multiaddress": WHERE})

    assert {"code": code, "message": str(error), "outcome": outcome} == answer.json()
    assert code == answer.status_code


async def test_a_second_change_while_one_is_open_may_be_tried_again(tmp_path: Path) -> None:
    error = ProposalRefused("another membership change is open (entry 7): try again")
    async with api_client(FakeConsensus(error=error), tmp_path) as client:
        answer = await client.delete(f"/peers/{C}")

    assert answer.headers["Retry-After"] == "1"


async def test_a_transfer_that_fails_leaves_the_leader_and_says_why(tmp_path: Path) -> None:
    error = ProposalRefused(f"leadership stays here: {C} does not answer")

    code, body = await _answer(
        FakeConsensus(error=error), tmp_path, "POST", f"/raft/leader/transfer?to={C}"
    )

    assert (409, str(error), "not-done") == (code, body["message"], body["outcome"])


async def test_the_status_tells_learners_and_snapshots_under_way(tmp_path: Path) -> None:
    consensus = FakeConsensus(suffrages={C: Suffrage.STAGING}, snapshot_bytes=(5, 9))

    _, body = await _answer(consensus, tmp_path, "GET", "/raft/status")

    [learner] = [member for member in body["members"] if member["id"] == C]
    assert ("staging", 5, 9) == (
        learner["suffrage"], learner["snapshot_bytes_sent"], learner["snapshot_bytes_total"],
    )  # fmt: skip
    assert body["standing"] == "voter"


async def test_the_status_of_a_removed_peer_says_so(tmp_path: Path) -> None:
    _, body = await _answer(FakeConsensus(is_removed=True), tmp_path, "GET", "/raft/status")

    assert body["standing"] == "removed"
    assert A not in [member["id"] for member in body["members"]]
