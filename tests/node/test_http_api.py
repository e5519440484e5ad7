"""The API against IPFS Cluster 1.1.6's own answers (rest-examples.json), and its errors."""

import json
import re
from pathlib import Path

import pytest

from pinstate.cid import parse_cid
from pinstate.pin import Pin
from pinstate.state import PinState
from raft_over_libp2p.core.ready import Role
from raft_over_libp2p.errors import (
    InconsistentState,
    NoLeader,
    NotLeader,
    OutcomeUnknown,
    ProposalRefused,
    StorageError,
)
from raft_over_libp2p.types import ServerID
from tests.node.fakes import CID_ABSENT, CID_V0, CID_V1, A, B, C, FakeConsensus, api_client

REST = json.loads(
    (
        Path(__file__).parent.parent / "vectors/fixtures/ipfs-cluster/service/rest-examples.json"
    ).read_text()
)


def _example(name: str) -> dict[str, object]:
    """Return one answer of IPFS Cluster's, the first object of a stream."""
    return json.loads(REST[name]["body"].splitlines()[0])


@pytest.mark.parametrize(
    ("example", "request_line"),
    [
        ("id", "GET /id"),
        ("version", "GET /version"),
        ("peers", "GET /peers"),
        ("pin2", f"POST /pins/{CID_V1}?name=everywhere&mode=recursive"),
        ("allocations", "GET /allocations"),
        ("allocation", f"GET /allocations/{CID_V0}"),
        ("unpin", f"DELETE /pins/{CID_V0}"),
    ],
)
async def test_an_answer_has_the_keys_of_ipfs_clusters_in_the_same_order(
    tmp_path: Path, example: str, request_line: str
) -> None:
    method, path = request_line.split()
    consensus = FakeConsensus(PinState([Pin.of(parse_cid(CID_V0), name="hello", timestamp=0)]))

    async with api_client(consensus, tmp_path) as client:
        answer = await client.request(method, path)

    assert REST[example]["status"] == answer.status_code
    assert REST[example]["content_type"] == answer.headers["content-type"]
    assert list(_example(example)) == list(json.loads(answer.text.splitlines()[0]))


@pytest.mark.parametrize(
    ("example", "request_line"),
    [
        ("allocation_missing", f"GET /allocations/{CID_ABSENT}"),
        ("unpin_missing", f"DELETE /pins/{CID_ABSENT}"),
    ],
)
async def test_a_pin_that_is_not_there_is_answered_as_by_ipfs_cluster(
    tmp_path: Path, example: str, request_line: str
) -> None:
    method, path = request_line.split()

    async with api_client(FakeConsensus(), tmp_path) as client:
        answer = await client.request(method, path)

    assert REST[example]["status"] == answer.status_code
    assert _example(example) | {"outcome": "not-done"} == answer.json()


async def test_a_pin_with_options_is_stored_with_them(tmp_path: Path) -> None:
    consensus = FakeConsensus()
    path = REST["pin"]["request"].split()[1]

    async with api_client(consensus, tmp_path) as client:
        answer = (await client.post(path)).json()

    theirs = _example("pin")
    changing = {"expire_at": 0, "timestamp": 0, "allocations": 0}
    assert theirs | changing == answer | changing
    assert set(answer["allocations"]) < {A, B, C}
    assert len(answer["allocations"]) == 2
    pin = consensus.pins.get(parse_cid(CID_V0))
    assert pin is not None
    assert pin.name == "hello"
    assert pin.expire_at is not None


@pytest.mark.parametrize(
    ("query", "field", "value"),
    [
        ("name=ann", "name", "ann"),
        ("mode=direct", "mode", "direct"),
        ("mode=direct", "max_depth", 0),
        ("replication=2", "replication_factor_max", 2),
        ("replication-min=1&replication-max=3", "replication_factor_min", 1),
        ("replication=-1", "allocations", []),
        ("shard-size=1048576", "shard_size", 1048576),
        (f"user-allocations={B}", "user_allocations", [B]),
        (f"user-allocations={B}&replication=1", "allocations", [B]),
        ("expire-at=2030-01-31T00:00:00.5%2B01:00", "expire_at", "2030-01-30T23:00:00.5Z"),
        ("meta-a=1&meta-b=2", "metadata", {"a": "1", "b": "2"}),
        ("origins=/ip4/1.2.3.4/tcp/5", "origins", ["/ip4/1.2.3.4/tcp/5"]),
    ],
)
async def test_each_option_reaches_the_pin(
    tmp_path: Path, query: str, field: str, value: object
) -> None:
    async with api_client(FakeConsensus(), tmp_path) as client:
        answer = await client.post(f"/pins/{CID_V0}?{query}")

    assert value == answer.json()[field]


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/pins/zzz", "error decoding Cid: 'zzz'"),
        (f"/pins/{CID_V0}?replication=two", "replication: 'two'"),
        (f"/pins/{CID_V0}?replication=-2", "replication: '-2'"),
        (f"/pins/{CID_V0}?replication-min=3&replication-max=2", "larger than"),
        (f"/pins/{CID_V0}?replication-min=-1&replication-max=2", "must both be -1"),
        (f"/pins/{CID_V0}?mode=shallow", "mode: 'shallow' is not recursive or direct"),
        (f"/pins/{CID_V0}?expire-in=soon", "expire-in: 'soon' is not a duration"),
        (f"/pins/{CID_V0}?expire-in=1ms", "expire in less than a second"),
        (f"/pins/{CID_V0}?expire-at=tomorrow", "expire-at: 'tomorrow'"),
        (f"/pins/{CID_V0}?expire-at=2030-02-31T00:00:00Z", "expire-at: '2030-02-31"),
        (f"/pins/{CID_V0}?user-allocations=nobody", "user-allocations: 'nobody'"),
        (f"/pins/{CID_V0}?origins=here", "origins: "),
        (f"/pins/{CID_V0}?pin-update=zzz", "error decoding Cid: 'zzz'"),
        (f"/pins/{CID_V0}?shard-size=-1", "shard-size: '-1'"),
        (f"/pins/{CID_V0}?timeout=0s", "timeout: 0s"),
        (f"/pins/{CID_V0}?timeout=1h", "at most 600 s"),
        (f"/pins/{CID_V0}?name=" + "n" * 256, "longer than 255 bytes"),
        (f"/pins/{CID_V0}?" + "&".join(f"meta-{i}=1" for i in range(129)), "more than 128 options"),
    ],
)
async def test_a_malformed_request_is_refused_naming_what_is_wrong(
    tmp_path: Path, path: str, named: str
) -> None:
    consensus = FakeConsensus()

    async with api_client(consensus, tmp_path) as client:
        answer = await client.post(path)

    assert answer.status_code == 400
    assert answer.json()["code"] == 400
    assert named in answer.json()["message"]
    assert len(consensus.pins) == 0


async def test_more_peers_than_there_are_cannot_be_had(tmp_path: Path) -> None:
    async with api_client(FakeConsensus(), tmp_path) as client:
        answer = await client.post(f"/pins/{CID_V0}?replication=4")

    assert answer.status_code == 500
    assert "Available candidates: 3" in answer.json()["message"]


@pytest.mark.parametrize(
    ("error", "status", "outcome", "retry_after"),
    [
        (NotLeader(ServerID(B)), 503, "not-done", "1"),
        (ProposalRefused("queue full"), 503, "not-done", "1"),
        (NoLeader("nobody leads", {ServerID(C): "refused"}), 503, "no-leader", "1"),
        (OutcomeUnknown("leadership lost"), 504, "unknown", None),
        (InconsistentState("entry 7"), 500, "not-done", None),
        (StorageError("gone"), 500, "unknown", None),
    ],
)
async def test_a_failed_write_says_what_became_of_it(
    tmp_path: Path, error: Exception, status: int, outcome: str, retry_after: str | None
) -> None:
    async with api_client(FakeConsensus(error=error), tmp_path) as client:  # type: ignore[arg-type]
        answer = await client.post(f"/pins/{CID_V0}")

    assert status == answer.status_code
    assert outcome == answer.json()["outcome"]
    assert str(error) in answer.json()["message"]
    assert retry_after == answer.headers.get("retry-after")


async def test_a_client_may_say_how_long_to_wait(tmp_path: Path) -> None:
    consensus = FakeConsensus()

    async with api_client(consensus, tmp_path, operation_timeout_s=20.0) as client:
        await client.post(f"/pins/{CID_V0}?timeout=1500ms")
        await client.post(f"/pins/{CID_V0}")

    assert consensus.timeouts_s == [1.5, 20.0]


async def test_a_read_says_how_fresh_it_is(tmp_path: Path) -> None:
    consensus = FakeConsensus(role=Role.FOLLOWER, leader=B)

    async with api_client(consensus, tmp_path) as client:
        answer = await client.get("/allocations")

    assert answer.status_code == 204
    assert answer.headers["x-raft-applied-index"] == "7"
    assert answer.headers["x-raft-last-contact"] == "0.020"
    assert answer.headers["x-raft-leader"] == B
    assert answer.headers["x-raft-consistency"] == "local"


async def test_a_linearizable_read_on_a_follower_is_refused_naming_the_leader(
    tmp_path: Path,
) -> None:
    consensus = FakeConsensus(role=Role.FOLLOWER, leader=B)

    async with api_client(consensus, tmp_path) as client:
        answer = await client.get("/allocations?consistency=linearizable")

    assert answer.status_code == 503
    assert B in answer.json()["message"]


async def test_a_linearizable_read_on_the_leader_is_answered(tmp_path: Path) -> None:
    consensus = FakeConsensus(PinState([Pin.of(parse_cid(CID_V0))]))

    async with api_client(consensus, tmp_path) as client:
        answer = await client.get("/allocations?consistency=linearizable")

    assert answer.json()["cid"] == CID_V0
    assert answer.headers["x-raft-consistency"] == "linearizable"


async def test_a_list_can_be_narrowed_to_types(tmp_path: Path) -> None:
    consensus = FakeConsensus(PinState([Pin.of(parse_cid(CID_V0))]))

    async with api_client(consensus, tmp_path) as client:
        meta = await client.get("/allocations?filter=meta-pin,shard-pin")
        data = await client.get("/allocations?filter=pin")
        wrong = await client.get("/allocations?filter=mine")

    assert (204, 200, 400) == (meta.status_code, data.status_code, wrong.status_code)
    assert "'mine'" in wrong.json()["message"]


async def test_a_long_list_streams_every_pin_in_order(tmp_path: Path) -> None:
    cids = sorted(b"\x12\x20" + i.to_bytes(32, "big") for i in range(1000))
    consensus = FakeConsensus(PinState(Pin.of(cid) for cid in cids))

    async with api_client(consensus, tmp_path) as client:
        answer = await client.get("/allocations")

    assert cids == [parse_cid(json.loads(line)["cid"]) for line in answer.text.splitlines()]


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET /pins", 501),
        (f"GET /pins/{CID_V0}", 501),
        ("POST /add", 501),
        ("GET /health/graph", 501),
        ("GET /monitor/metrics/ping", 501),
        (f"POST /pins/ipns/{CID_V0}", 501),
        ("GET /nothing", 404),
        ("PUT /id", 405),
    ],
)
async def test_what_is_not_offered_says_so(tmp_path: Path, request_line: str, status: int) -> None:
    method, path = request_line.split()

    async with api_client(FakeConsensus(), tmp_path) as client:
        answer = await client.request(method, path)

    assert status == answer.status_code == answer.json()["code"]
    assert answer.json()["message"]


async def test_a_pin_by_ipfs_path_is_the_same_as_by_cid(tmp_path: Path) -> None:
    async with api_client(FakeConsensus(), tmp_path) as client:
        answer = await client.post(f"/pins/ipfs/{CID_V0}")

    assert answer.json()["cid"] == CID_V0


async def test_a_pin_update_takes_the_place_of_a_pin_that_must_be_there(tmp_path: Path) -> None:
    consensus = FakeConsensus()

    async with api_client(consensus, tmp_path) as client:
        refused = await client.post(f"/pins/{CID_V1}?pin-update={CID_V0}")
        await client.post(f"/pins/{CID_V0}")
        done = await client.post(f"/pins/{CID_V1}?pin-update={CID_V0}")

    assert (404, 200) == (refused.status_code, done.status_code)
    assert done.json()["pin_update"] == CID_V0


async def test_the_peers_are_listed_also_the_one_that_is_not_reached(tmp_path: Path) -> None:
    async with api_client(FakeConsensus(), tmp_path) as client:
        answer = await client.get("/peers")

    peers = [json.loads(line) for line in answer.text.splitlines()]
    assert [peer["id"] for peer in peers] == [A, B, C]
    assert peers[2]["error"] == "connection refused"


async def test_the_status_tells_who_lags_and_why(tmp_path: Path) -> None:
    async with api_client(FakeConsensus(), tmp_path) as client:
        body = (await client.get("/raft/status?digest=true")).json()

    assert body["role"] == "Leader"
    assert (2, 2) == (body["quorum"], body["voters_connected"])
    assert (0, PinState().digest()) == (body["pins"], body["digest"])
    lagging = body["members"][2]
    assert (C, False, 5) == (lagging["id"], lagging["is_connected"], lagging["lag_entries"])
    assert lagging["last_error"] == "connection refused"
    assert (0, 0.0) == (lagging["lag_bytes"], lagging["lag_s"])


async def test_metrics_are_text_that_prometheus_reads(tmp_path: Path) -> None:
    async with api_client(FakeConsensus(), tmp_path) as client:
        answer = await client.get("/raft/metrics")

    assert "text/plain; version=0.0.4; charset=utf-8" == answer.headers["content-type"]
    lines = answer.text.splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("# TYPE "))
    assert ("0", "1", "1") == tuple(
        values[f'raft_turns_seconds_bucket{{le="{bound}"}}'] for bound in ("0.025", "0.05", "+Inf")
    )
    assert ("1", "1", "1", "5") == tuple(
        values[name]
        for name in (
            "raft_turns_seconds_count",
            "raft_reigns_total",
            "raft_is_leader",
            f'raft_peer_lag_entries{{peer="{C}"}}',
        )
    )
    typed = {line.split()[2] for line in lines if line.startswith("# TYPE ")}
    suffix = re.compile(r"(_bucket|_sum|_count)?({.*})?$")
    assert typed == {suffix.sub("", name) for name in values}


# -- limits and passwords


@pytest.mark.parametrize(
    ("headers", "path", "status"),
    [
        ({"content-length": "65537"}, f"/pins/{CID_V0}", 413),
        ({"content-length": "-5"}, f"/pins/{CID_V0}", 413),
        ({}, f"/pins/{CID_V0}?name=" + "n" * 9000, 414),
    ],
)
async def test_what_is_too_large_is_refused_before_it_is_read(
    tmp_path: Path, headers: dict[str, str], path: str, status: int
) -> None:
    consensus = FakeConsensus()

    async with api_client(consensus, tmp_path) as client:
        answer = await client.post(path, headers=headers)

    assert status == answer.status_code == answer.json()["code"]
    assert len(consensus.pins) == 0


@pytest.mark.parametrize(
    ("auth", "path", "status"),
    [
        (None, "/id", 401),
        (("ann", "wrong"), "/id", 401),
        (("ann", ""), "/id", 401),
        (("ann", "hunter2"), "/id", 200),
        (("bob", "a:b"), "/id", 200),
        (None, "/health", 204),
    ],
)
async def test_a_password_is_asked_for_where_one_is_set(
    tmp_path: Path, auth: tuple[str, str] | None, path: str, status: int
) -> None:
    credentials = {"ann": "hunter2", "bob": "a:b"}

    async with api_client(FakeConsensus(), tmp_path, basic_auth=credentials) as client:
        answer = await client.get(path, auth=auth)

    assert status == answer.status_code


@pytest.mark.parametrize("authorization", ["Basic %%%", "Bearer hunter2", "Basic", "Basic YW5u"])
async def test_a_malformed_authorization_is_refused_with_a_challenge(
    tmp_path: Path, authorization: str
) -> None:
    async with api_client(FakeConsensus(), tmp_path, basic_auth={"ann": "hunter2"}) as client:
        answer = await client.get("/id", headers={"authorization": authorization})

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Basic realm=")


async def test_browsers_may_read_only_from_origins_that_are_set(tmp_path: Path) -> None:
    origin = {"origin": "http://example.org"}

    async with api_client(FakeConsensus(), tmp_path) as client:
        closed = await client.get("/id", headers=origin)
    async with api_client(
        FakeConsensus(), tmp_path, cors_allowed_origins=("http://example.org",)
    ) as client:
        opened = await client.get("/id", headers=origin)

    assert "access-control-allow-origin" not in closed.headers
    assert opened.headers["access-control-allow-origin"] == "http://example.org"
