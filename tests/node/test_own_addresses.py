"""Where a peer says it is: which address comes first, and when the cluster is told."""

from __future__ import annotations

import pytest

from node.address_announcing import address_to_announce
from node.own_addresses import best_address, is_loopback, own_addresses

LOOPBACK = "/ip4/127.0.0.1/tcp/9096"
PRIVATE = "/ip4/10.0.0.1/tcp/9096"
PUBLIC = "/ip4/8.8.8.8/tcp/9096"
NAME = "/dns4/node-1.example/tcp/9096"


def test_public_addresses_come_before_private_ones_and_loopback_last() -> None:
    assert (PUBLIC, PRIVATE, LOOPBACK) == own_addresses((), (LOOPBACK, PRIVATE, PUBLIC))


def test_what_the_operator_announces_is_all_there_is() -> None:
    assert (NAME,) == own_addresses((NAME,), (LOOPBACK, PUBLIC))


@pytest.mark.parametrize("anywhere", ["/ip4/0.0.0.0/tcp/9096", "/ip6/::/tcp/9096"])
def test_every_interface_is_never_told_as_it_is_and_holds_loopback(anywhere: str) -> None:
    found = own_addresses((), (anywhere,))

    assert anywhere not in found
    assert is_loopback(found[-1])


def test_one_is_known_by_the_first_address() -> None:
    assert PUBLIC == best_address((PUBLIC, LOOPBACK), towards=PRIVATE)


def test_a_cluster_on_one_machine_is_told_the_loopback_address() -> None:
    assert LOOPBACK == best_address((PUBLIC, LOOPBACK), towards="/ip4/127.0.0.1/tcp/1")
    assert PUBLIC == best_address((PUBLIC,), towards="/ip4/127.0.0.1/tcp/1")


def test_who_listens_nowhere_has_no_address() -> None:
    assert best_address(()) is None
    assert best_address((), towards=LOOPBACK) is None


@pytest.mark.parametrize(
    ("agreed", "own", "is_explicit", "expected"),
    [
        (None, (PUBLIC, LOOPBACK), False, PUBLIC),
        (None, (LOOPBACK,), False, LOOPBACK),
        (PRIVATE, (PUBLIC, LOOPBACK), False, PUBLIC),
        (LOOPBACK, (PUBLIC, LOOPBACK), False, None),  # one of its own stays
        (PRIVATE, (LOOPBACK,), False, None),  # never loopback unless it is all there is
        (NAME, (PUBLIC,), False, None),  # a name may be this peer's
        (NAME, (PUBLIC,), True, PUBLIC),
        (PUBLIC, (NAME,), True, NAME),
        (PUBLIC, (), False, None),
    ],
)
def test_only_a_changed_address_is_announced(
    agreed: str | None, own: tuple[str, ...], is_explicit: bool, expected: str | None
) -> None:
    assert expected == address_to_announce(agreed, own, is_explicit=is_explicit)
