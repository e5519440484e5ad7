"""Go's text form of a duration; the expected texts were printed by Go 1.26."""

from __future__ import annotations

import pytest

from raft_over_libp2p.wire.go_time import go_duration


@pytest.mark.parametrize(
    ("nanoseconds", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (999, "999ns"),
        (1000, "1µs"),
        (1500, "1.5µs"),
        (999999, "999.999µs"),
        (1000000, "1ms"),
        (12345678, "12.345678ms"),
        (500000000, "500ms"),
        (999999999, "999.999999ms"),
        (1000000000, "1s"),
        (1500000000, "1.5s"),
        (60000000000, "1m0s"),
        (61000000001, "1m1.000000001s"),
        (3600000000000, "1h0m0s"),
        (3661500000000, "1h1m1.5s"),
        (360000000000000, "100h0m0s"),
    ],
)
def test_a_duration_reads_as_go_prints_it(nanoseconds: int, text: str) -> None:
    assert text == go_duration(nanoseconds)
