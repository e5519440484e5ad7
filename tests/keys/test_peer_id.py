"""Peer IDs in all their text forms, checked against IDs that go-libp2p made."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import base58
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keys import InvalidPeerID, PeerID

VECTORS = Path(__file__).parents[1] / "vectors" / "ipfs-cluster.json"
PEERS = json.loads(VECTORS.read_bytes())["peers"]
RSA_TEXT = "QmVxomthxuyy6ZYWHofyZd79RNuYHSHzWB2bFmkQcD3SDC"
A = PeerID.parse(PEERS["a"]["id"])

peer_ids = st.builds(
    PeerID.from_bytes,
    st.one_of(
        st.binary(min_size=32, max_size=32).map(lambda digest: b"\x12\x20" + digest),
        st.binary(min_size=1, max_size=42).map(lambda key: bytes((0, len(key))) + key),
    ),
)


def base36(data: bytes) -> str:
    number, digits = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return digits


@pytest.mark.parametrize("name", PEERS)
def test_text_and_bytes_are_those_of_go_libp2p(name: str) -> None:
    vector = PEERS[name]
    peer = PeerID.parse(vector["id"])
    assert (vector["id_bytes"], vector["id"]) == (peer.multihash.hex(), str(peer))


@pytest.mark.parametrize("name", PEERS)
def test_the_multihash_alone_gives_the_same_peer(name: str) -> None:
    assert PeerID.parse(PEERS[name]["id"]) == PeerID.from_bytes(
        bytes.fromhex(PEERS[name]["id_bytes"])
    )


def test_an_rsa_peer_id_is_read_and_written() -> None:
    assert str(PeerID.parse(RSA_TEXT)) == RSA_TEXT


@given(peer_ids)
def test_every_text_form_names_the_same_peer(peer: PeerID) -> None:
    cid = b"\x01\x72" + peer.multihash
    texts = [
        str(peer),
        peer.cid_text(),
        peer.cid_text().upper(),
        "k" + base36(cid),
        "z" + base58.b58encode(cid).decode(),
        "f" + cid.hex(),
    ]
    # Identity multihashes shorter than a real key can begin with other letters in base58.
    assert {peer} == {PeerID.parse(text) for text in texts if text[0] in "Q1bBkzf"}


def test_cid_text_has_the_prefix_go_prints() -> None:
    assert A.cid_text().startswith("bafzaajaiaejc")


def test_peers_are_ordered_by_text() -> None:
    peers = [PeerID.parse(vector["id"]) for vector in PEERS.values()]
    assert sorted(map(str, peers)) == [str(peer) for peer in sorted(peers)]


def test_all_four_comparisons_agree() -> None:
    low, high = sorted([A, PeerID.parse(PEERS["b"]["id"])])
    assert (True, True, True, True, False) == (
        low < high,
        low <= high,
        high > low,
        high >= low,
        high < low,
    )


def test_a_peer_is_not_compared_with_text() -> None:
    with pytest.raises(TypeError):
        A < str(A)  # type: ignore[operator]  # noqa: B015


def test_equal_peers_are_one_in_a_set() -> None:
    assert len({A, PeerID.parse(A.cid_text())}) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "0 characters"),
        ("1" * 300, "300 characters"),
        ("hello", "neither as base58"),
        ("12D3Koo0", "base58"),
        ("12D3KooWMbbPVGsZYh3ChQjue712NHHGNybRRXwnuSpezYjGbCD", "not a peer ID"),
        ("bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi", "not one of a libp2p key"),
        ("b!!!", "base32"),
        ("k-1", "base36"),
        ("fzz", "base16"),
        ("f017", "not one of a libp2p key"),
        ("z0", "base58"),
    ],
)
def test_text_that_is_no_peer_id_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidPeerID, match=reason):
        PeerID.parse(text)


@pytest.mark.parametrize(
    ("multihash", "reason"),
    [
        (b"", "0 bytes"),
        (b"\x12\x20" + bytes(31), "31 bytes and says 32"),
        (b"\x12\x1f" + bytes(31), "SHA2-256 digest of 31"),
        (b"\x00\x00", "identity multihash of 0"),
        (b"\x00\x2b" + bytes(43), "identity multihash of 43"),
        (b"\x13\x40" + bytes(64), "hash 0x13"),
        (bytes(67), "67 bytes"),
    ],
)
def test_bytes_that_are_no_key_hash_are_refused(multihash: bytes, reason: str) -> None:
    with pytest.raises(InvalidPeerID, match=reason):
        PeerID.from_bytes(multihash)


def test_a_public_key_of_another_length_is_refused() -> None:
    with pytest.raises(InvalidPeerID, match="32 bytes, this has 31"):
        PeerID.of_ed25519_public_key(bytes(31))


@given(st.text(max_size=80))
def test_any_other_text_raises_nothing_but_invalid_peer_id(text: str) -> None:
    with contextlib.suppress(InvalidPeerID):
        PeerID.parse(text)
