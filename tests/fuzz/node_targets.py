"""What people and other peers hand a daemon: its files, gorpc objects, HTTP requests."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import trio

from keys.cluster_secret import ClusterSecret
from keys.errors import InvalidClusterSecret, InvalidIdentity, InvalidPeerID
from keys.identity import Identity
from keys.peer_id import PeerID
from node.address_book import AddressBook
from node.config import Folder, ServiceJSON, load_config
from node.config.durations import format_duration, parse_duration
from node.config.peer_multiaddr import split_peer_address
from node.errors import ConfigError
from node.http.app import build_app
from node.http.pin_options import ReplicationFactors
from node.peer_description import decode_description, encode_description
from node.rpc import wire
from node.rpc.server import RpcServer
from node.rpc.services import cluster_methods, consensus_methods
from node.rpc.streams import StreamClosed
from raft_over_libp2p.errors import FrameTooLarge, MalformedMessage
from tests.fuzz.target import Target, cuts
from tests.node.fakes import CID_V0, FakeConsensus, FakeDirectory, api_config
from tests.pinstate.cluster_vectors import FIXTURES, VECTORS

__all__ = ["TARGETS"]

_SERVICE = FIXTURES / "service"
_PEERS = tuple(Identity.from_seed(bytes([n]) * 32).peer_id for n in (1, 2))
_MEMORY = Path("/dev/shm")  # noqa: S108 - each write of a file is synced, and none is worth keeping


@cache
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(
        prefix="raft-fuzz-", dir=_MEMORY if _MEMORY.is_dir() else None
    )


def _folder() -> Folder:
    return Folder(Path(_temporary().name))


def service_json(data: bytes) -> None:
    """What was read is written, and read again as the same settings."""
    folder = _folder()
    folder.service_json.write_bytes(data)
    config = load_config(folder, {})
    ServiceJSON.read(folder.service_json).write()
    assert config == load_config(folder, {})


def environment(data: bytes) -> None:
    """``NAME=value`` lines over a default file."""
    folder = _folder()
    ServiceJSON.default(folder.service_json).write()
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    load_config(folder, dict(line.partition("=")[::2] for line in lines))


def _environments() -> list[bytes]:
    return [
        b"CLUSTER_SECRET=" + b"ab" * 32,
        b"CLUSTER_RAFT_HEARTBEATTIMEOUT=2s",
        b"CLUSTER_RESTAPI_BASICAUTHCREDENTIALS=a:b,c:d",
        b"CLUSTER_LISTENMULTIADDRESS=/ip4/0.0.0.0/tcp/9096",
        b"CLUSTER_REPLICATIONFACTORMIN=2\nCLUSTER_REPLICATIONFACTORMAX=3",
        b"CLUSTER_RAFT_INITPEERSET=12D3KooWMbbPVGsZYh3ChQjue712NHHGNybRRXwnuSpezYjGbCDS",
    ]


def identity_json(data: bytes) -> None:
    identity = Identity.from_json(data.decode("utf-8", "surrogateescape"))
    assert identity == Identity.from_json(identity.to_json())
    assert identity.to_json() == Identity.from_json(identity.to_json()).to_json()


def peerstore(data: bytes) -> None:
    path = _folder().peerstore
    path.write_bytes(data)
    book = AddressBook.read(path)
    book.write(path)
    assert book == AddressBook.read(path)


def duration(data: bytes) -> None:
    seconds = parse_duration(data.decode("utf-8", "surrogateescape"))
    again = parse_duration(format_duration(seconds))
    assert abs(seconds - again) <= max(1e-9, abs(seconds) * 1e-12)


def secret(data: bytes) -> None:
    text = data.decode("utf-8", "surrogateescape")
    assert text.lower() == ClusterSecret.from_hex(text).reveal_hex()


def peer_id(data: bytes) -> None:
    found = PeerID.parse(data.decode("utf-8", "surrogateescape"))
    for text in (str(found), found.cid_text()):
        assert found == PeerID.parse(text)


def peer_address(data: bytes) -> None:
    peer, address = split_peer_address(data.decode("utf-8", "surrogateescape"))
    assert (peer, address) == split_peer_address(f"{address}/p2p/{peer}")


def _addresses() -> list[bytes]:
    tail = b"/p2p/12D3KooWMbbPVGsZYh3ChQjue712NHHGNybRRXwnuSpezYjGbCDS"
    heads = (
        b"/ip4/10.0.0.1/tcp/9096",
        b"/ip6/::1/tcp/1",
        b"/dns4/example.com/tcp/443/wss",
        b"/unix/tmp/x",
        b"/ip4/1.2.3.4/udp/4001/quic-v1",
    )
    return [head + tail for head in heads]


# -- gorpc


def rpc_objects(data: bytes) -> None:
    """Objects are cut alike however they come, and each decoder takes or refuses each."""

    def objects(pieces: list[bytes]) -> tuple[list[bytes], bool]:
        reader, found = wire.ObjectReader(max_bytes=4096), []
        try:
            for piece in pieces:
                reader.feed(piece)
                while (one := reader.take()) is not None:
                    found.append(one)
        except (MalformedMessage, FrameTooLarge):
            return found, False
        return found, True

    if len(data) > 4096:
        return
    whole = objects([data])
    assert whole == objects(list(cuts(data)))
    for one in whole[0]:
        for decode in (
            wire.decode_service_id,
            wire.decode_response_header,
            wire.decode_bytes,
            wire.decode_peer_id,
        ):
            with suppress(MalformedMessage):
                decode(one)


def rpc_header(data: bytes) -> None:
    header = wire.decode_response_header(data)
    encoded = wire.encode_response_header(header)
    again = wire.decode_response_header(encoded)
    assert encoded == wire.encode_response_header(again)


def description(data: bytes) -> None:
    found = decode_description(data)
    assert found == decode_description(encode_description(found))


def _rpc_bodies(*go_types: str) -> list[bytes]:
    return [
        bytes.fromhex(body["msgpack"])
        for body in VECTORS["rpc_bodies"]
        if not go_types or body["go_type"] in go_types
    ]


class _Scripted:
    """An inbound stream that brings given bytes."""

    def __init__(self, pieces: list[bytes]) -> None:
        self._pieces = pieces

    async def read(self, max_bytes: int) -> bytes:
        if not self._pieces:
            raise StreamClosed("no more")
        piece = self._pieces.pop(0)
        if piece[max_bytes:]:
            self._pieces.insert(0, piece[max_bytes:])
        return piece[:max_bytes]

    async def write(self, data: bytes) -> None:
        pass

    async def close(self) -> None:
        pass

    async def reset(self) -> None:
        pass


class _Agreeing:
    """A component that agrees to whatever is asked."""

    def __getattr__(self, name: str) -> Any:
        async def agree(*_arguments: object, **_options: object) -> None:
            pass

        return agree


def rpc_call(data: bytes) -> None:
    """Nothing that a peer sends makes a handler raise: that would end the host."""
    methods = cluster_methods(lambda: b"\x80", b"\x80") | consensus_methods(_Agreeing())  # type: ignore[arg-type]
    server = RpcServer(methods)
    trio.run(server.handle, _Scripted(list(cuts(data))), _PEERS[0])


def _calls() -> list[bytes]:
    captured = [bytes.fromhex(v["msgpack"]) for v in VECTORS["pins"][:6]]
    peer = wire.encode_peer_id(_PEERS[1].multihash)
    address = wire.encode_bytes(bytes.fromhex("047f000001060fa1"))
    arguments = {
        "LogPin": captured,
        "LogUnpin": captured[:1],
        "AddPeer": [peer],
        "RmPeer": [peer],
        "LogAddPeer": [address],
        "LogRmPeer": [peer],
    }
    return [
        wire.encode_service_id(wire.ServiceID("Consensus", method)) + argument
        for method, each in arguments.items()
        for argument in each
    ] + [wire.encode_service_id(wire.ServiceID("Cluster", "ID")) + b"\x80"]


# -- HTTP


@cache
def _app() -> Any:
    consensus = FakeConsensus()
    config = api_config(_folder().path, basic_auth=None)
    return build_app(
        consensus,
        FakeDirectory(),
        consensus,
        config=config,
        version="1",
        replication=ReplicationFactors(),
        is_removed=lambda: False,
    )


def http(data: bytes) -> None:
    """A request line, headers and a body, as Hypercorn hands them on: answered, never with 500.

    A 500 is a bug of ours but where IPFS Cluster has it: more peers wanted than there are.
    """
    head, _, body = data.partition(b"\r\n\r\n")
    line, *headers = head.split(b"\r\n")
    method, _, target = line.partition(b" ")
    path, _, query = target.partition(b"?")
    answers: list[dict[str, Any]] = []
    pieces = list(cuts(body)) or [b""]

    async def receive() -> dict[str, Any]:
        if not pieces:
            return {"type": "http.disconnect"}
        piece = pieces.pop(0)
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message: dict[str, Any]) -> None:
        answers.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": method.decode("ascii", "replace").upper(),
        "scheme": "http",
        "path": unquote(path.decode("ascii", "replace")),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [
            (name.strip().lower(), value.strip())
            for name, _, value in (header.partition(b":") for header in headers)
        ],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "state": {},
        "extensions": {},
    }
    trio.run(_app(), scope, receive, send)
    status = answers[0]["status"]
    content = b"".join(message.get("body", b"") for message in answers[1:])
    assert status < 500 or status == 501 or b"not enough" in content, (status, content)


def _http_requests() -> list[bytes]:
    pin = f"POST /pins/{CID_V0}".encode()
    peer = str(_PEERS[0]).encode()
    return [
        pin + b"?name=a&replication-min=1&replication-max=2&meta-a=b&mode=direct",
        pin + b"?expire-in=1h&shard-size=5&user-allocations=" + peer,
        pin + b"?expire-at=2099-01-31T00:00:00Z&origins=/ip4/1.2.3.4/tcp/1/p2p/" + peer,
        pin + b"?pin-update=" + CID_V0.encode() + b"&timeout=5s",
        b"DELETE /pins/" + CID_V0.encode(),
        b"GET /allocations?filter=pin,meta-pin&consistency=linearizable",
        b"GET /allocations/" + CID_V0.encode() + b"?consistency=local",
        b"GET /peers\r\nContent-Length: 0",
        b"GET /raft/status?digest=true",
        b"POST /raft/leader/transfer?to=" + peer,
        b"DELETE /peers/" + peer,
        b'POST /peers\r\nContent-Type: application/json\r\n\r\n{"peer_id": "' + peer + b'"}',
        b'POST /peers\r\n\r\n{"peer_multiaddress": "/ip4/1.2.3.4/tcp/1/p2p/' + peer + b'"}',
        b"GET /id\r\nAuthorization: Basic YTpi\r\nOrigin: http://x",
        b"GET /health",
    ]


def _file(name: str) -> Callable[[], list[bytes]]:
    return lambda: [(_SERVICE / name).read_bytes()]


def _services() -> list[bytes]:
    found = json.loads((_SERVICE / "service.json").read_bytes())
    smaller = {"cluster": found["cluster"], "consensus": {"raft": found["consensus"]["raft"]}}
    return [json.dumps(found).encode(), json.dumps(smaller).encode(), b"{}"]


_PEER_TEXTS = [
    str(_PEERS[0]).encode(),
    _PEERS[0].cid_text().encode(),
    b"QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N",
    b"k51qzi5uqu5dkwkqm42v9j9kqcam2jiuvloi16g72i4i4amoo2m8u3ol3mqu6s",
]

TARGETS = (
    Target("config-service", service_json, _services, (ConfigError,)),
    Target("config-environment", environment, _environments, (ConfigError,)),
    Target("config-identity", identity_json, _file("identity.json"), (InvalidIdentity,)),
    Target("config-peerstore", peerstore, _file("peerstore"), (ConfigError,)),
    Target("config-secret", secret, lambda: [b"ab" * 32, b"AB" * 32], (InvalidClusterSecret,)),
    Target(
        "config-duration",
        duration,
        lambda: [b"1h30m", b"500ms", b"-2.5s", b"1us", b"9h", b"0"],
        (ValueError,),
    ),
    Target("peer-id", peer_id, lambda: _PEER_TEXTS, (InvalidPeerID,)),
    Target("peer-address", peer_address, _addresses, (ValueError,)),
    Target("rpc-objects", rpc_objects, _calls, ()),
    Target(
        "rpc-header",
        rpc_header,
        lambda: _rpc_bodies("rpc.Response"),
        (MalformedMessage,),
    ),
    Target(
        "rpc-description",
        description,
        lambda: _rpc_bodies("api.ID"),
        (MalformedMessage,),
    ),
    Target("rpc-call", rpc_call, _calls, ()),
    Target("http", http, _http_requests, ()),
)
