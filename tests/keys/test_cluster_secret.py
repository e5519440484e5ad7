"""The cluster secret: 32 bytes that show nowhere."""

from __future__ import annotations

import copy
import pickle
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

import keys
from keys import ClusterSecret, InvalidClusterSecret

SECRET = bytes(range(200, 232))


@given(st.binary(min_size=32, max_size=32))
def test_hex_gives_back_every_secret(secret: bytes) -> None:
    assert secret == ClusterSecret.from_hex(ClusterSecret(secret).reveal_hex()).reveal()


def test_upper_case_hex_is_the_same_secret() -> None:
    assert ClusterSecret(SECRET) == ClusterSecret.from_hex(SECRET.hex().upper())


def test_two_new_secrets_differ() -> None:
    assert ClusterSecret.generate() != ClusterSecret.generate()


def test_equal_secrets_are_one_in_a_set() -> None:
    assert len({ClusterSecret(SECRET), ClusterSecret(SECRET)}) == 1


@pytest.mark.parametrize(
    "text", ["", "ab" * 31, "ab" * 33, "a" * 63, "zz" * 32, " " + "ab" * 31 + "a"]
)
def test_text_that_is_no_secret_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(InvalidClusterSecret, match="64 hex digits") as caught:
        ClusterSecret.from_hex(text)
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize("length", [0, 31, 33])
def test_bytes_of_another_length_are_refused(length: int) -> None:
    with pytest.raises(InvalidClusterSecret, match=f"32 bytes, not {length}"):
        ClusterSecret(bytes(length))


def test_repr_hides_the_secret() -> None:
    assert repr(ClusterSecret(SECRET)) == "ClusterSecret(<hidden>)" == str(ClusterSecret(SECRET))


@pytest.mark.parametrize(
    "way", [pickle.dumps, copy.copy, copy.deepcopy, vars, ClusterSecret.__getstate__]
)
def test_a_secret_is_not_pickled_copied_or_listed(way: object) -> None:
    with pytest.raises(TypeError):
        way(ClusterSecret(SECRET))  # type: ignore[operator]


@pytest.mark.parametrize("text", [SECRET.hex() + "0", SECRET.hex()[:-1] + "x"])
def test_a_refused_secret_is_not_in_the_frames_of_this_package(text: str) -> None:
    with pytest.raises(InvalidClusterSecret) as caught:
        ClusterSecret.from_hex(text)
    frames = [f for f, _ in traceback.walk_tb(caught.value.__traceback__)]
    ours = [f.f_locals for f in frames if "keys/cluster_secret" in f.f_code.co_filename]
    assert ours
    assert SECRET.hex()[:20] not in repr(ours)


def test_every_public_name_is_there() -> None:
    assert set(keys.__all__) <= {name for name in dir(keys) if getattr(keys, name)}


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        keys.nothing  # noqa: B018
