"""The bucket that says how fast a peer may open streams."""

from __future__ import annotations

from raft_over_libp2p.transport.stream_rate import StreamRate


def test_a_burst_is_allowed_at_once_and_no_more() -> None:
    rate = StreamRate(per_s=10, burst=3)

    assert [True, True, True, False] == [rate.allows(5.0) for _ in range(4)]


def test_the_bucket_fills_with_time_up_to_its_burst() -> None:
    rate = StreamRate(per_s=10, burst=3)
    for _ in range(3):
        rate.allows(5.0)

    assert [True, False] == [rate.allows(5.11) for _ in range(2)]
    assert [True, True, True, False] == [rate.allows(100.0) for _ in range(4)]


def test_a_peer_that_was_quiet_for_long_may_be_forgotten() -> None:
    rate = StreamRate(per_s=10, burst=3)
    rate.allows(5.0)

    assert (False, True) == (rate.is_full(5.05), rate.is_full(5.2))
