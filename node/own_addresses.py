"""Where this peer tells others that it can be reached."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Sequence
from typing import Final

__all__ = ["best_address", "is_loopback", "own_addresses"]

_ANYWHERE: Final = {"0.0.0.0": socket.AF_INET, "::": socket.AF_INET6}  # noqa: S104 - recognised
_TEST_NETS: Final = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}
"""Addresses for documentation: nothing is sent to them, only the route is looked up."""
_LOOPBACKS: Final = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


def own_addresses(announced: Sequence[str], listening: Iterable[str]) -> tuple[str, ...]:
    """Return the addresses to tell others, best first, without the peer ID.

    What the operator announces is taken as it is. Otherwise it is where this peer listens:
    public addresses, then private ones, then loopback; "every interface" becomes that of the
    default route, and loopback.
    """
    if announced:
        return tuple(announced)
    found = dict.fromkeys(one for address in listening for one in _concrete(address))
    return tuple(sorted(found, key=_rank))


def best_address(addresses: Sequence[str], *, towards: str = "") -> str | None:
    """Return the address to be known by.

    It is the first; but to a cluster whose member is met over loopback (``towards``), where
    everybody is on this machine, a loopback one where there is one.
    """
    if is_loopback(towards):
        return next(filter(is_loopback, addresses), addresses[0] if addresses else None)
    return addresses[0] if addresses else None


def is_loopback(address: str) -> bool:
    """Tell whether a multiaddr reaches this machine only."""
    ip = _ip_of(address)
    return ip.is_loopback if ip is not None else address.startswith("/dns4/localhost/")


def _concrete(address: str) -> list[str]:
    parts = address.split("/")
    family = _ANYWHERE.get(parts[2]) if len(parts) > 2 else None  # noqa: PLR2004 - "", ip4, host
    if family is None:
        return [address]
    hosts = filter(None, (_routed_host(family), _LOOPBACKS[family]))
    return ["/".join((*parts[:2], host, *parts[3:])) for host in hosts]


def _routed_host(family: socket.AddressFamily) -> str | None:
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((_TEST_NETS[family], 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])


def _rank(address: str) -> int:
    ip = _ip_of(address)
    if ip is None or ip.is_global:
        return 0
    return 3 if ip.is_link_local else 2 if ip.is_loopback else 1


def _ip_of(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    parts = address.split("/")
    if len(parts) < 3 or parts[1] not in {"ip4", "ip6"}:  # noqa: PLR2004
        return None
    return ipaddress.ip_address(parts[2])
