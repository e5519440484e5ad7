"""CIDs: text to bytes and back, as go-cid does."""

from __future__ import annotations

import base64
import contextlib
import hashlib

import base58
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pinstate.cid import (
    InvalidCid,
    check_cid_bytes,
    check_multihash,
    cid_of_datastore_key,
    cid_text,
    datastore_key,
    identity_multiaddr_cid,
    multiaddr_of_identity_cid,
    parse_cid,
    raw_sha256_cid,
)
from tests.pinstate.cluster_vectors import PINS, STORED_PINS, cases, cids

V0 = "QmXZrtE5jQwXNqCJMfHUTQkvhQ4ZAnqMnmzFMJfLewur2n"
V1 = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"


def base36(data: bytes) -> str:
    number, digits = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 36)
        digits = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + digits
    return "0" * (len(data) - len(data.lstrip(b"\0"))) + digits


@cases(STORED_PINS)
def test_the_text_of_a_vector_is_that_of_its_bytes(vector: dict) -> None:
    cid = PINS[vector["name"]].cid
    assert (vector["json"]["cid"], cid) == (cid_text(cid), parse_cid(vector["json"]["cid"]))


@cases(STORED_PINS)
def test_a_datastore_key_is_gos_in_both_directions(vector: dict) -> None:
    cid = PINS[vector["name"]].cid
    assert (vector["ds_key"], cid) == (datastore_key(cid), cid_of_datastore_key(vector["ds_key"]))


@given(cids)
def test_every_common_base_spells_the_same_cid(cid: bytes) -> None:
    b32 = base64.b32encode(cid).decode()
    b32hex = base64.b32hexencode(cid).decode()
    texts = [
        "f" + cid.hex(),
        "F" + cid.hex().upper(),
        "b" + b32.lower().rstrip("="),
        "B" + b32.rstrip("="),
        "c" + b32.lower(),
        "C" + b32,
        "v" + b32hex.lower().rstrip("="),
        "V" + b32hex.rstrip("="),
        "t" + b32hex.lower(),
        "T" + b32hex,
        "k" + base36(cid),
        "K" + base36(cid).upper(),
        "z" + base58.b58encode(cid).decode(),
        "m" + base64.b64encode(cid).decode().rstrip("="),
        "M" + base64.b64encode(cid).decode(),
        "u" + base64.urlsafe_b64encode(cid).decode().rstrip("="),
        "U" + base64.urlsafe_b64encode(cid).decode(),
        cid_text(cid),
    ]
    assert [cid] * len(texts) == [parse_cid(text) for text in texts]


@given(cids)
def test_a_datastore_key_names_its_cid(cid: bytes) -> None:
    key = datastore_key(cid)
    assert [cid, cid] == [cid_of_datastore_key(key), cid_of_datastore_key(key[3:].encode())]


def test_a_raw_block_has_the_cid_ipfs_gives_it() -> None:
    # `ipfs add --cid-version 1 --raw-leaves` of "hello world"
    expected = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e"
    assert expected == cid_text(raw_sha256_cid(b"hello world"))


def test_the_undefined_cid_has_gos_text() -> None:
    assert cid_text(b"") == "b"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "too short"),
        ("Q", "too short"),
        ("hello", "no multibase starts with 'h'"),
        (V0[:-1], "no multibase starts with 'Q'"),
        (V0[:-1] + "0", "base58 has no '0'"),
        (V0 + "a", "no multibase starts with 'Q'"),
        (V1[:-1] + "1", "base32 has no '1'"),
        (V1[:-1], "digest has|digits"),
        (V1 + "aa", "digest has 33"),
        ("/ipfs/" + V0, "no multibase starts with '/'"),
        (" " + V0, "no multibase"),
        ("b" + "a" * 3000, "3001 characters"),
        ("f0", "odd number"),
        ("f0x", "base16 has no 'x'"),
        ("ba", "this many digits"),
        ("baaa", "this many digits"),
        ("k_1", "base36 has no '_'"),
        ("v-", "base32hex has no '-'"),
        ("m-", "base64 has no '-'"),
        ("u+", "base64url has no"),
        ("f00", "version is 0"),
        ("f02", "version is 2"),
        ("f01", "ends early"),
        ("f0155", "ends early"),
        ("f01551220", "0 bytes and says 32"),
        ("f1220ff", "CIDv0 has 34 bytes, this has 3"),
        ("f8100", "longer than it needs"),
        ("fffffffffffffffffff01", "ends early"),
        ("é" * 10, "no multibase"),
    ],
)
def test_text_that_is_no_cid_is_named_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(InvalidCid, match=reason) as caught:
        parse_cid(text)
    assert repr(text)[:100].rstrip("'") in str(caught.value)


@given(st.text(max_size=80) | st.text("Qmbfkzu12345abcdef", max_size=80))
def test_any_text_gives_a_cid_or_invalid_cid(text: str) -> None:
    with contextlib.suppress(InvalidCid):
        check_cid_bytes(parse_cid(text))


@given(cids, st.data())
def test_a_cid_cut_short_or_with_more_is_refused(cid: bytes, data: st.DataObject) -> None:
    end = data.draw(st.integers(0, len(cid) - 1))
    for wrong in (cid[:end], cid + b"\0"):
        with pytest.raises(InvalidCid):
            check_cid_bytes(wrong)


def test_bad_bytes_are_shown_in_hex() -> None:
    with pytest.raises(InvalidCid, match="010203 is not a CID"):
        check_cid_bytes(b"\x01\x02\x03")


def test_no_bytes_are_called_so() -> None:
    with pytest.raises(InvalidCid, match="no bytes is not a CID"):
        check_cid_bytes(b"")


@pytest.mark.parametrize("key", ["/r", "", "/r/CIQ", "/r/ciqisg", "AAAA!", b"\xff", "/r/AAAA"])
def test_a_key_that_names_no_cid_is_refused(key: str | bytes) -> None:
    with pytest.raises(InvalidCid):
        cid_of_datastore_key(key)


@given(st.binary(max_size=300))
def test_a_multiaddr_travels_in_an_identity_cid(address: bytes) -> None:
    cid = identity_multiaddr_cid(address)
    check_cid_bytes(cid)
    assert (b"\x01\x55\x00", address) == (cid[:3], multiaddr_of_identity_cid(cid))


def test_another_cid_carries_no_multiaddr() -> None:
    with pytest.raises(InvalidCid, match="carries no multiaddr"):
        multiaddr_of_identity_cid(raw_sha256_cid(b""))


@pytest.mark.parametrize("multihash", [b"", b"\x12", b"\x12\x20", b"\x12\x01ab", b"\x80\x80"])
def test_bytes_that_are_no_multihash_are_refused(multihash: bytes) -> None:
    with pytest.raises(ValueError, match="is not a multihash"):
        check_multihash(multihash)


def test_a_multihash_is_taken() -> None:
    check_multihash(b"\x12\x20" + hashlib.sha256(b"").digest())
