"""Where peers are, as the daemon keeps it: the swarm dials by it, the peerstore file lasts."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from libp2p.peer.id import ID
from multiaddr import Multiaddr

from keys.peer_id import PeerID
from node.address_book import AddressBook
from node.config.peer_multiaddr import split_peer_address
from node.peer_addresses import PeerNotReached
from node.swarm.dialing import DialFailed

if TYPE_CHECKING:
    from node.swarm.host import PeerSwarm

__all__ = ["SwarmAddresses"]

logger = logging.getLogger(__name__)


class SwarmAddresses:
    """``PeerAddresses`` over a swarm and a peerstore file."""

    def __init__(self, swarm: PeerSwarm, book: AddressBook, peerstore: Path) -> None:
        """Start from ``book``, which the swarm is told of; where it names this peer, that is
        what the log said last.
        """
        self.own: tuple[str, ...] = ()
        """This peer's addresses, best first, without its ID: set once it listens."""
        self._swarm = swarm
        self._peerstore = peerstore
        self._own_id = str(swarm.peer_id)
        self._agreed_own = next(iter(book.addresses.get(self._own_id, ())), None)
        self._book = book
        for peer in book.addresses:
            self._tell_swarm(peer)

    def lines(self) -> tuple[str, ...]:
        """Return the full multiaddrs of the other peers."""
        return self._book.without(self._own_id).lines()

    def own_lines(self) -> tuple[str, ...]:
        """Return the full multiaddrs of this peer, best first."""
        return tuple(f"{address}/p2p/{self._own_id}" for address in self.own)

    @property
    def agreed_own(self) -> str | None:
        """Where the log says that this peer is, without the ID; None while it says nothing."""
        return self._agreed_own

    async def reach(self, peer: PeerID, multiaddr: bytes | None, *, timeout_s: float) -> None:
        """Connect to ``peer``; with ``multiaddr`` see that it, and nobody else, answers there.

        Raises:
            PeerNotReached: it does not answer, or another peer does; names both.

        """
        try:
            if multiaddr is None:
                await self._swarm.connect(peer, timeout_s=timeout_s)
            else:
                _, address = split_peer_address(str(Multiaddr(multiaddr)))
                await self._swarm.probe(peer, Multiaddr(address), timeout_s=timeout_s)
        except DialFailed as error:
            raise PeerNotReached(f"it is not reached: {error}") from error

    def remember(self, peer: PeerID, multiaddr: bytes) -> None:
        """Know ``peer`` at ``multiaddr`` first, and at what was known before after that.

        Durable on return, unless the disk is full: then it is logged, and written with the
        next change.
        """
        try:
            name, address = split_peer_address(str(Multiaddr(multiaddr)))
        except ValueError as error:
            logger.warning("an address in the log is not kept: %s", error)
            return
        if name == self._own_id:
            self._agreed_own = address
        self._replace(self._book.with_first(str(peer), address))
        self._tell_swarm(str(peer))

    def forget(self, peer: PeerID) -> None:
        """Forget where ``peer`` is, so that nobody dials it any more; durable as ``remember``."""
        if str(peer) == self._own_id:
            self._agreed_own = None
        self._replace(self._book.without(str(peer)))
        self._tell_swarm(str(peer))

    def known(self, peer: PeerID) -> bytes | None:
        """Return the best address known of ``peer``; of this peer the one it announces."""
        addresses = self._book.addresses.get(str(peer), ())
        if str(peer) == self._own_id:
            addresses = self.own
        return Multiaddr(f"{addresses[0]}/p2p/{peer}").to_bytes() if addresses else None

    def _replace(self, book: AddressBook) -> None:
        if book.lines() == self._book.lines():
            return
        self._book = book
        try:
            book.write(self._peerstore)
        except OSError as error:
            logger.error("%s cannot be written: %s", self._peerstore, error)  # noqa: TRY400

    def _tell_swarm(self, peer: str) -> None:
        if peer == self._own_id:
            return
        addresses = [Multiaddr(address) for address in self._book.addresses.get(peer, ())]
        if addresses:
            self._swarm.book.set(ID.from_base58(peer), addresses)
        else:
            self._swarm.forget(PeerID.parse(peer))
