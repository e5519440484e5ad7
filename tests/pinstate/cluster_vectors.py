"""The vectors and fixtures that real IPFS Cluster packages made, and pins drawn at random."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from pinstate import LogOp, Pin, PinMode, PinType
from pinstate.pin_msgpack import decode_pin

__all__ = ["FIXTURES", "LOG_OPS", "PINS", "STORED_PINS", "VECTORS", "cases", "ops", "pins"]

_FOLDER = Path(__file__).parents[1] / "vectors"
FIXTURES = _FOLDER / "fixtures" / "ipfs-cluster"
VECTORS: dict[str, Any] = json.loads((_FOLDER / "ipfs-cluster.json").read_bytes())
PINS: dict[str, Pin] = {v["name"]: decode_pin(bytes.fromhex(v["msgpack"])) for v in VECTORS["pins"]}
STORED_PINS = [v for v in VECTORS["pins"] if v["name"] != "zero"]
LOG_OPS = VECTORS["logops"]


def cases(vectors: list[dict[str, Any]]) -> pytest.MarkDecorator:
    """Parametrise a test with ``vector``, named as the vectors are."""
    names = [vector.get("name", str(number)) for number, vector in enumerate(vectors)]
    return pytest.mark.parametrize("vector", vectors, ids=names)


cids = st.one_of(
    st.binary(min_size=32, max_size=32).map(lambda digest: b"\x12\x20" + digest),
    st.binary(min_size=32, max_size=32).map(lambda digest: b"\x01\x55\x12\x20" + digest),
    st.binary(max_size=40).map(lambda data: b"\x01\x71\x00" + bytes((len(data),)) + data),
)
_peers = st.binary(min_size=32, max_size=32).map(lambda key: bytes.fromhex("002408011220") + key)
_peer_lists = st.none() | st.lists(_peers, max_size=3).map(tuple)
_times = st.none() | st.integers(-(10**18), 10**20)
_texts = st.text(st.characters(codec="utf-8"), max_size=40)
_factors = st.integers(-1, 1000) | st.integers(-(1 << 31), (1 << 31) - 1)

pins = st.builds(
    Pin,
    cid=cids,
    type=st.sampled_from(list(PinType)) | st.integers(0, (1 << 64) - 1),
    allocations=_peer_lists,
    max_depth=st.integers(-1, 1),
    reference=st.none() | cids,
    timestamp=_times,
    replication_factor_min=_factors,
    replication_factor_max=_factors,
    name=_texts,
    mode=st.sampled_from(list(PinMode)),
    shard_size=st.integers(0, (1 << 64) - 1),
    user_allocations=_peer_lists,
    expire_at=_times,
    metadata=st.none() | st.dictionaries(_texts, _texts, max_size=3),
    pin_update=st.none() | cids,
    origins=st.none() | st.just((bytes.fromhex("047f000001060fa1"),)) | st.just(()),
)
ops = st.builds(LogOp, st.integers(0, 5), pins)
