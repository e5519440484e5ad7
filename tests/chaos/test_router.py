"""What the router does with packets, without devices; and which links a partition cuts."""

from __future__ import annotations

import random
import socket
from itertools import combinations

import pytest

from tests.chaos.partitions import SHAPES, between, bridge, isolation, one_way, ring, split
from tests.chaos.router import Condition, Router

_ONE, _TWO = "10.77.0.1", "10.77.0.2"
_PORTS = {socket.inet_aton(_ONE): 11, socket.inet_aton(_TWO): 12}
_FIVE = ["a", "b", "c", "d", "e"]


def _packet(source: str, target: str, content: bytes = b"x") -> bytes:
    return b"\x45" + bytes(11) + socket.inet_aton(source) + socket.inet_aton(target) + content


def _router(condition: Condition, seed: int = 1) -> Router:
    router = Router(_PORTS, random.Random(seed))
    router.apply(condition)
    return router


def test_a_packet_goes_to_the_port_of_its_target() -> None:
    router = _router(Condition())
    packet = _packet(_ONE, _TWO)

    router.receive(packet, 0.0)

    assert [(12, packet)] == router.due(0.0)
    assert [] == router.due(9.0)


@pytest.mark.parametrize(
    "packet", [_packet(_ONE, "10.77.0.9"), b"\x60" + bytes(39)], ids=["to nobody", "IPv6"]
)
def test_a_packet_for_no_port_is_forgotten(packet: bytes) -> None:
    router = _router(Condition())

    router.receive(packet, 0.0)

    assert [] == router.due(9.0)


def test_a_blocked_link_carries_nothing_and_its_other_way_all() -> None:
    router = _router(Condition(blocked=frozenset({(_ONE, _TWO)})))
    back = _packet(_TWO, _ONE)

    router.receive(_packet(_ONE, _TWO), 0.0)
    router.receive(back, 0.0)

    assert [(11, back)] == router.due(0.0)
    assert 1 == router.counts.blocked


def test_losses_are_as_many_as_asked_and_the_same_for_a_seed() -> None:
    def arrived(seed: int) -> list[tuple[int, bytes]]:
        router = _router(Condition(loss=0.3), seed)
        for number in range(2000):
            router.receive(_packet(_ONE, _TWO, number.to_bytes(2, "big")), 0.0)
        return router.due(0.0)

    assert 1300 < len(arrived(1)) < 1500
    assert arrived(1) == arrived(1)
    assert arrived(1) != arrived(2)


def test_duplication_delivers_packets_twice() -> None:
    router = _router(Condition(duplication=1.0))

    router.receive(_packet(_ONE, _TWO), 0.0)

    assert 2 == len(router.due(0.0))


def test_a_delay_holds_packets_back_and_jitter_reorders_them() -> None:
    router = _router(Condition(delay_s=1.0, jitter_s=0.3))
    packets = [_packet(_ONE, _TWO, bytes([number])) for number in range(100)]
    for packet in packets:
        router.receive(packet, 5.0)

    assert [] == router.due(5.0)
    assert router.next_due() is not None
    arrived = [packet for _, packet in router.due(9.0)]
    assert sorted(packets) == sorted(arrived)
    assert packets != arrived


def test_packets_beyond_what_can_wait_are_lost() -> None:
    router = _router(Condition(delay_s=1.0))
    packet = _packet(_ONE, _TWO)
    for _ in range(50_010):
        router.receive(packet, 0.0)

    assert 50_000 == len(router.due(9.0))
    assert 10 == router.counts.overflowed


def test_conditions_add_up() -> None:
    one = Condition(loss=0.5, delay_s=0.1, blocked=frozenset({("a", "b")}))
    other = Condition(loss=0.5, jitter_s=0.2, blocked=frozenset({("b", "a")}))

    expected = Condition(0.75, 0.0, 0.1, 0.2, frozenset({("a", "b"), ("b", "a")}))
    assert expected == one.merged(other)


def test_a_condition_is_read_as_it_was_written() -> None:
    condition = Condition(0.1, 0.2, 0.3, 0.4, frozenset({("a", "b"), ("c", "d")}))

    assert condition == Condition.from_json(condition.to_json())


def test_isolation_leaves_the_first_alone() -> None:
    assert between(["a"], ["b", "c", "d", "e"]) == isolation(_FIVE)


def test_a_split_leaves_a_majority_without_the_first() -> None:
    assert between(["a", "b"], ["c", "d", "e"]) == split(_FIVE)
    assert between(["a"], ["b", "c"]) == split(["a", "b", "c"])


def test_one_way_leaves_the_first_unheard() -> None:
    assert {("a", "b"), ("a", "c")} == one_way(["a", "b", "c"])


def test_a_bridge_reaches_both_halves() -> None:
    assert between(["b", "c"], ["d", "e"]) == bridge(_FIVE)


def test_in_a_ring_each_reaches_two() -> None:
    cut = ring(_FIVE)

    assert all(2 == sum((a, b) not in cut for b in _FIVE if b != a) for a in _FIVE)
    assert between(["a"], ["b"]) == ring(["a", "b", "c"])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("count", [3, 5])
def test_every_partition_cuts_some_links_and_not_all(shape: str, count: int) -> None:
    peers = _FIVE[:count]
    every = {pair for a, b in combinations(peers, 2) for pair in ((a, b), (b, a))}

    cut = SHAPES[shape](peers)

    assert cut
    assert cut < every
