"""CRC-64/XZ against the catalogue's value, Go's snapshots (in their tests), and itself by parts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raft_over_libp2p.storage import crc64 as module
from raft_over_libp2p.storage.crc64 import crc64, crc64_by_table


@pytest.mark.parametrize("crc", [crc64, crc64_by_table])
def test_the_catalogues_check_value_is_met(crc: module._Crc64) -> None:
    assert crc(b"123456789", 0) == 0x995DC9BBDF1939FA


def test_no_bytes_at_all_have_the_crc_zero() -> None:
    assert (0, 0) == (crc64(b""), crc64_by_table(b""))


@given(data=st.binary(max_size=200), cut=st.integers(0, 200))
def test_both_ways_agree_also_by_parts(data: bytes, cut: int) -> None:
    expected = crc64(data)
    assert expected == crc64_by_table(data)
    assert expected == crc64(data[cut:], crc64(data[:cut]))
    assert expected == crc64_by_table(data[cut:], crc64_by_table(data[:cut]))


def test_without_liblzma_the_table_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_fast", None)
    assert crc64(b"123456789") == 0x995DC9BBDF1939FA


@pytest.mark.parametrize("origin", ["/nowhere/_lzma.so", "libc.so.6"])
def test_a_module_without_the_function_is_no_error(
    monkeypatch: pytest.MonkeyPatch, origin: str
) -> None:
    class Spec:
        has_location = True

    Spec.origin = origin  # type: ignore[attr-defined]
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: Spec)
    assert module._crc64_of_liblzma() is None


def test_an_interpreter_without_lzma_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: None)
    assert module._crc64_of_liblzma() is None
