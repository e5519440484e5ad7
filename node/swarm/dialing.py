"""Connecting to a peer: always ends, never waits out an old failure, says why it failed.

What py-libp2p's own dialler does instead, and why this one stands beside it (numbers of
docs/upstream.md): one failed dial blocks the peer for 60 s (3), a silent address holds a
dial for minutes (4), a good one takes 250 ms at least (5), a connection that has just died
still counts (16), addresses are forgotten after two hours (15).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import trio
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerstore import PeerStoreError
from libp2p.security.noise.exceptions import PeerIDMismatchesPubkey
from multiaddr import Multiaddr

from node.swarm.private_network import NotInThisNetwork
from node.swarm.tcp import CannotConnect

__all__ = ["AddressBook", "DialFailed", "Dialler"]

MAX_PEERS: Final = 1024
"""Peers with known addresses; a cluster has tens."""
MAX_ADDRESSES_PER_PEER: Final = 16
STAGGER_S: Final = 0.1
"""The next address is tried when the one before has not answered for so long."""


class DialFailed(Exception):
    """No connection to the peer; the message says why, address by address."""


class AddressBook:
    """Where peers are: what the operator or the cluster said, kept until told otherwise."""

    def __init__(self) -> None:
        self._addresses: dict[ID, tuple[Multiaddr, ...]] = {}

    def set(self, peer: ID, addresses: Iterable[Multiaddr]) -> None:
        """Replace the addresses of ``peer``; none removes it.

        Raises:
            ValueError: the book is full.

        """
        kept = tuple(dict.fromkeys(_without_peer_id(address) for address in addresses))
        if not kept:
            self._addresses.pop(peer, None)
            return
        if peer not in self._addresses and len(self._addresses) >= MAX_PEERS:
            raise ValueError(f"the address book holds {MAX_PEERS} peers already")
        self._addresses[peer] = kept[:MAX_ADDRESSES_PER_PEER]

    def add(self, peer: ID, addresses: Iterable[Multiaddr]) -> None:
        """Add to the addresses of ``peer``, the new ones first."""
        self.set(peer, (*addresses, *self.addresses(peer)))

    def addresses(self, peer: ID) -> tuple[Multiaddr, ...]:
        """Return the addresses of ``peer``, best first, without its peer ID."""
        return self._addresses.get(peer, ())

    def peers(self) -> tuple[ID, ...]:
        """Return every peer with an address."""
        return tuple(self._addresses)


class Dialler:
    """Connects one swarm to peers."""

    def __init__(self, swarm: Swarm, book: AddressBook) -> None:
        """Dial from ``swarm``, with the addresses of ``book`` and then of its peerstore."""
        self._swarm = swarm
        self._book = book
        self._dialling: dict[ID, trio.Event] = {}

    def is_connected(self, peer: ID) -> bool:
        """Tell whether a connection that works, as far as is known, stands."""
        return any(not connection.is_closed for connection in self._swarm.get_connections(peer))

    async def connect(
        self, peer: ID, addresses: Sequence[Multiaddr] = (), *, timeout_s: float
    ) -> None:
        """Return when a connection to ``peer`` stands; ``addresses`` are tried first.

        Raises:
            DialFailed: within ``timeout_s`` at the latest.

        """
        failures: dict[str, str] = {}
        with trio.move_on_after(timeout_s):
            # One dial a peer at a time: others wait for its outcome, and see for themselves.
            while peer in self._dialling:
                await self._dialling[peer].wait()
            if self.is_connected(peer):
                return
            done = self._dialling[peer] = trio.Event()
            try:
                candidates = self._candidates(peer, addresses)
                if not candidates:
                    raise DialFailed(f"no addresses known for {peer}")
                await self._dial_all(peer, candidates, failures)
            finally:
                del self._dialling[peer]
                done.set()
        if self.is_connected(peer):
            return
        if not failures:
            raise DialFailed(f"timed out after {timeout_s:g} s")
        raise DialFailed("; ".join(f"{address}: {why}" for address, why in failures.items()))

    def _candidates(self, peer: ID, given: Sequence[Multiaddr]) -> list[Multiaddr]:
        learnt: Sequence[Multiaddr]
        try:
            learnt = self._swarm.peerstore.addrs(peer)
        except PeerStoreError:
            learnt = ()
        wanted = (*given, *self._book.addresses(peer), *learnt)
        unique = dict.fromkeys(_without_peer_id(address) for address in wanted)
        usable = [a for a in unique if self._swarm.transport_manager.transport_for_dialing(a)]
        return usable[:MAX_ADDRESSES_PER_PEER]

    async def _dial_all(
        self, peer: ID, addresses: Sequence[Multiaddr], failures: dict[str, str]
    ) -> None:
        """Try ``addresses``, staggered, until one connects or all have failed."""
        self._swarm.unblock_peer(peer)
        async with trio.open_nursery() as nursery:

            async def dial(address: Multiaddr, failed: trio.Event) -> None:
                failures[str(address)] = "no answer in time"
                try:
                    await self._swarm.dial_addr(address, peer)
                except BaseLibp2pError as error:
                    failures[str(address)] = why(error)
                    failed.set()
                else:
                    failures.clear()
                    nursery.cancel_scope.cancel()

            for address in addresses:
                failed = trio.Event()
                nursery.start_soon(dial, address, failed)
                with trio.move_on_after(STAGGER_S):
                    await failed.wait()


def why(error: BaseException) -> str:
    """Return the reason at the bottom of ``error`` in words for an operator."""
    causes = [error]
    while causes[-1].__cause__ is not None:
        causes.append(causes[-1].__cause__)
    for cause in causes:
        if isinstance(cause, NotInThisNetwork | CannotConnect):
            return str(cause)
        if isinstance(cause, PeerIDMismatchesPubkey) or "Peer ID mismatch" in str(cause):
            return f"another peer answers there: {cause}"
    return str(causes[-1]) or type(causes[-1]).__name__


def _without_peer_id(address: Multiaddr) -> Multiaddr:
    text = str(address)
    return Multiaddr(text.rpartition("/p2p/")[0]) if "/p2p/" in text else address
