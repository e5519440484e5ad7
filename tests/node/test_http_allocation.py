import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.allocation import NotEnoughPeers, allocate

PEERS = [bytes([i]) * 4 for i in range(7)]


def test_everywhere_names_nobody() -> None:
    assert allocate(b"cid", minimum=-1, maximum=-1, members=PEERS) == ()


def test_wished_peers_come_before_those_that_hold_it() -> None:
    chosen = allocate(
        b"cid", minimum=2, maximum=2, members=PEERS, wished=[PEERS[5]], current=[PEERS[3]]
    )

    assert (PEERS[5], PEERS[3]) == chosen


def test_peers_outside_the_cluster_are_not_chosen() -> None:
    chosen = allocate(b"cid", minimum=1, maximum=3, members=PEERS, wished=[b"stranger"])

    assert set(chosen) < set(PEERS)


def test_too_few_members_are_refused() -> None:
    with pytest.raises(NotEnoughPeers, match="Available candidates: 7"):
        allocate(b"cid", minimum=8, maximum=9, members=PEERS)


@given(st.binary(max_size=8), st.permutations(PEERS), st.integers(1, 7))
def test_the_choice_does_not_depend_on_the_order_of_members(
    cid: bytes, members: list[bytes], count: int
) -> None:
    chosen = allocate(cid, minimum=1, maximum=count, members=members)

    assert allocate(cid, minimum=1, maximum=count, members=PEERS) == chosen
    assert count == len(set(chosen))
