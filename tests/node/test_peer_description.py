"""``Cluster.ID`` and ``Cluster.Version`` replies, against bytes made by IPFS Cluster's own types."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys.peer_id import PeerID
from node.directory import Directory
from node.peer_description import (
    IPFSDescription,
    PeerDescription,
    decode_description,
    encode_description,
    encode_version,
)
from node.rpc.client import CallNotSent
from node.rpc.wire import ServiceID
from raft_over_libp2p.errors import MalformedMessage
from tests.node.fakes import A, B, C

ID = "12D3KooWMbbPVGsZYh3ChQjue712NHHGNybRRXwnuSpezYjGbCDS"
OTHER = "12D3KooWCugzopk9fYBy1pvYVi94Qr2y9PL4CjSpYZUaXir3YWb7"
FULL = bytes.fromhex(
    "88a169da0026002408011220af06a3e3291714e4f356c19c9b15cd1951ec6e6662aa77be07547f289383341da16191"
    "da0031047f000001062388a50326002408011220af06a3e3291714e4f356c19c9b15cd1951ec6e6662aa77be07547f"
    "289383341da2637092da0026002408011220af06a3e3291714e4f356c19c9b15cd1951ec6e6662aa77be07547f2893"
    "83341dda00260024080112202df04125f0015afb47ce853aef8772094ff9498c14cb1b9e12973c2927da0fa6a36370"
    "6191da0031047f000001062389a503260024080112202df04125f0015afb47ce853aef8772094ff9498c14cb1b9e12"
    "973c2927da0fa6a176a5312e312e36a27276b42f69706673636c75737465722f312e302f727063a2697082a169da00"
    "26002408011220a7f6dfaf8f38b89ba8ce649b594f91e4d01fdc57f9c9493df43b5e50a9987367a16191a8047f0000"
    "01060fa1a2706ea66e6f64652d61"
)
MINIMAL = bytes.fromhex(
    "81a169da0026002408011220af06a3e3291714e4f356c19c9b15cd1951ec6e6662aa77be07547f289383341d"
)
DESCRIPTIONS = [
    (
        FULL,
        PeerDescription(
            id=ID,
            addresses=(f"/ip4/127.0.0.1/tcp/9096/p2p/{ID}",),
            cluster_peers=(ID, OTHER),
            cluster_peers_addresses=(f"/ip4/127.0.0.1/tcp/9097/p2p/{OTHER}",),
            version="1.1.6",
            rpc_protocol_version="/ipfscluster/1.0/rpc",
            ipfs=IPFSDescription(
                id="12D3KooWM82bDYYgzgXaayHDdVciFe3bGvJ69qHnbSztNUJ933VQ",
                addresses=("/ip4/127.0.0.1/tcp/4001",),
            ),
            peername="node-a",
        ),
    ),
    (MINIMAL, PeerDescription(id=ID)),
]


@pytest.mark.parametrize(("data", "description"), DESCRIPTIONS)
def test_a_description_is_written_as_go_writes_it(
    data: bytes, description: PeerDescription
) -> None:
    assert data == encode_description(description)


@pytest.mark.parametrize(("data", "description"), DESCRIPTIONS)
def test_a_description_of_gos_is_read(data: bytes, description: PeerDescription) -> None:
    assert description == decode_description(data)


def test_the_version_is_written_as_go_writes_it() -> None:
    assert bytes.fromhex("81a176a5312e312e36") == encode_version("1.1.6")


def test_unknown_fields_are_ignored() -> None:
    fields = msgpack.unpackb(FULL, raw=True) | {b"zz": [1, {b"a": None}], 7: 8}

    assert decode_description(FULL) == decode_description(msgpack.packb(fields, use_bin_type=False))


@pytest.mark.parametrize("length", range(len(FULL)))
def test_a_description_cut_short_is_refused(length: int) -> None:
    with pytest.raises(MalformedMessage):
        decode_description(FULL[:length])


def test_bytes_behind_a_description_are_refused() -> None:
    with pytest.raises(MalformedMessage):
        decode_description(FULL + b"\xc0")


@pytest.mark.parametrize(
    "change",
    [{b"i": b""}, {b"i": 5}, {b"a": b"x"}, {b"a": [b"\xff\xff"]}, {b"cp": [b"x"]}, {b"v": 1}, {b"ip": 3}],
)  # fmt: skip
def test_a_description_with_a_wrong_field_is_refused(change: dict[bytes, object]) -> None:
    fields = msgpack.unpackb(FULL, raw=True) | change

    with pytest.raises(MalformedMessage):
        decode_description(msgpack.packb(fields, use_bin_type=False))


@given(st.binary(max_size=80))
def test_no_bytes_at_all_make_the_decoder_fail_otherwise(data: bytes) -> None:
    with contextlib.suppress(MalformedMessage):
        decode_description(data)


class _Answers:
    """An RPC client whose calls are answered from a table."""

    def __init__(self, answers: dict[str, Callable[[], bytes]]) -> None:
        self._answers = answers

    async def call(
        self, peer: PeerID, service_id: ServiceID, argument: bytes, *, timeout_s: float
    ) -> bytes:
        assert str(service_id) == "Cluster.ID"
        return self._answers[str(peer)]()


def _refused() -> bytes:
    raise CallNotSent("connection refused")


def _directory(answers: dict[str, Callable[[], bytes]]) -> Directory:
    return Directory(
        own=PeerID.parse(A),
        peername="node-a",
        version="1",
        addresses=lambda: [f"/ip4/127.0.0.1/tcp/1/p2p/{A}"],
        members=lambda: [PeerID.parse(text) for text in (A, B, C)],
        known=lambda: [f"/ip4/127.0.0.1/tcp/2/p2p/{B}", f"/ip4/127.0.0.1/tcp/9/p2p/{ID}"],
        client=_Answers(answers),  # type: ignore[arg-type]
    )


async def test_members_are_asked_who_they_are_and_silence_is_told() -> None:
    directory = _directory(
        {B: lambda: encode_description(PeerDescription(id=B, peername="node-b")), C: _refused}
    )

    found = {peer.id: peer for peer in await directory.describe_peers()}

    assert sorted([A, B, C]) == list(found)
    assert (found[A].peername, found[B].peername) == ("node-a", "node-b")
    assert found[C].error == "connection refused"


async def test_a_malformed_answer_is_that_peers_error() -> None:
    directory = _directory({B: lambda: b"\xc1", C: _refused})

    found = {peer.id: peer for peer in await directory.describe_peers()}

    assert "not a peer's description" in found[B].error


def test_a_peer_names_the_addresses_of_members_only() -> None:
    directory = _directory({})

    assert directory.describe_self().cluster_peers_addresses == (f"/ip4/127.0.0.1/tcp/2/p2p/{B}",)
    assert directory.describe_self() == decode_description(directory.encoded_self())
