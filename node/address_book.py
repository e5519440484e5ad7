"""Where the other peers are: IPFS Cluster's ``peerstore`` file.

One multiaddr with ``/p2p/<peer ID>`` a line, in order of priority; lines that do not start
with ``/`` are ignored, as Cluster does. The file is replaced in one step and is durable when
``write`` returns: a snapshot may then cover the log entries its addresses came from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from node import limits
from node.config.peer_multiaddr import split_peer_address
from node.config.service_json import write_private
from node.errors import ConfigError

__all__ = ["AddressBook"]


@dataclass(frozen=True, slots=True)
class AddressBook:
    """Peer IDs (text) and their multiaddrs without ``/p2p``, in order of priority."""

    addresses: Mapping[str, tuple[str, ...]]

    @staticmethod
    def of(lines: Iterable[str], *, source: Path | str) -> AddressBook:
        """Build a book from full multiaddrs.

        Raises:
            ConfigError: a line is not a multiaddr that ends in ``/p2p/<peer ID>``.

        """
        book: dict[str, tuple[str, ...]] = {}
        for number, line in enumerate(lines, 1):
            if number > limits.MAX_PEER_ADDRESSES:
                raise ConfigError(source, "", f"has over {limits.MAX_PEER_ADDRESSES} addresses")
            try:
                peer, address = split_peer_address(line)
            except ValueError as error:
                raise ConfigError(source, f"address {number}", str(error)) from error
            if address not in book.get(peer, ()):
                book[peer] = (*book.get(peer, ()), address)
        return AddressBook(book)

    @staticmethod
    def read(path: Path) -> AddressBook:
        """Read a peerstore file; a missing one is an empty book."""
        try:
            with path.open("rb") as file:
                raw = file.read(limits.MAX_CONFIG_FILE_BYTES + 1)
        except FileNotFoundError:
            return AddressBook({})
        if len(raw) > limits.MAX_CONFIG_FILE_BYTES:
            raise ConfigError(path, "", f"is larger than {limits.MAX_CONFIG_FILE_BYTES} bytes")
        lines = raw.decode("utf-8", "replace").splitlines()
        return AddressBook.of((line.strip() for line in lines if line.startswith("/")), source=path)

    def write(self, path: Path) -> None:
        """Replace the file, durably, mode 0600."""
        write_private(path, "".join(f"{line}\n" for line in self.lines()))

    def lines(self) -> tuple[str, ...]:
        """Return the full multiaddrs."""
        return tuple(
            f"{address}/p2p/{peer}"
            for peer, addresses in self.addresses.items()
            for address in addresses
        )

    def merged(self, other: AddressBook) -> AddressBook:
        """Return a book with the addresses of both, this one's first."""
        return AddressBook.of((*self.lines(), *other.lines()), source="address book")

    def with_first(self, peer: str, address: str) -> AddressBook:
        """Return a book that has ``address`` first for ``peer``, and older ones after it."""
        known = (address, *(a for a in self.addresses.get(peer, ()) if a != address))
        return AddressBook({**self.addresses, peer: known[: limits.MAX_ADDRESSES_PER_PEER]})

    def without(self, peer: str) -> AddressBook:
        """Return a book that lacks ``peer``."""
        return AddressBook({p: a for p, a in self.addresses.items() if p != peer})
