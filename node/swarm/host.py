"""A libp2p host for those who bring none: open it, use it, and it closes what it opened."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import libp2p.network.connection.swarm_connection as swarm_connection_module
import trio
from libp2p import new_swarm
from libp2p.abc import IHost, INetStream
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.crypto.x25519 import create_new_key_pair as create_new_x25519_key_pair
from libp2p.custom_types import StreamHandlerFn
from libp2p.network.config import ConnectionConfig, RetryConfig
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.security.noise.transport import PROTOCOL_ID as NOISE_PROTOCOL
from libp2p.security.tls.transport import PROTOCOL_ID as TLS_PROTOCOL
from multiaddr import Multiaddr

from keys.cluster_secret import ClusterSecret
from keys.identity import Identity
from keys.peer_id import PeerID
from node.swarm.accepting import BareProtocols
from node.swarm.announcing import AnnouncingHost
from node.swarm.dialing import AddressBook, DialFailed, Dialler
from node.swarm.muxer import YamuxMuxer
from node.swarm.probing import probe
from node.swarm.record_layer import NoiseSecurity, TLSSecurity
from node.swarm.tcp import TCPTransport
from raft_over_libp2p.transport.streams import PeerUnreachable
from raft_over_libp2p.types import ServerID

__all__ = ["ListenFailed", "PeerSwarm", "open_swarm"]

MAX_CONNECTIONS: Final = 256
"""A cluster has tens of peers, each with at most two connections."""

_log = logging.getLogger(__name__)


class ListenFailed(Exception):
    """An address could not be listened on; the message names it and says why."""


@dataclass(frozen=True, slots=True)
class PeerSwarm:
    """A running host and what belongs to it."""

    host: IHost
    peer_id: PeerID
    book: AddressBook
    dialler: Dialler
    _swarm: Swarm
    _transport: TCPTransport

    @property
    def listen_addrs(self) -> tuple[Multiaddr, ...]:
        """Where it listens, port 0 resolved, without the peer ID."""
        return tuple(self.host.get_transport_addrs())

    async def listen(self, multiaddrs: Sequence[Multiaddr]) -> None:
        """Listen on ``multiaddrs``, too.

        Register handlers first: a Go peer asks once, when it has connected, which protocols
        there are, and opens a stream of one it was not told of in more steps. Who is
        connected already is told of the addresses, and of handlers registered later.

        Raises:
            ListenFailed: one of them cannot be listened on, and so none is.

        """
        begun: list[Multiaddr] = []
        try:
            for address in multiaddrs:
                await _listen(self._swarm, self._transport, address)
                begun.append(address)
        except ListenFailed:
            for address in begun:
                await self._swarm.listeners.pop(str(address)).close()
            raise

    def remember(self, peer: PeerID | ServerID, addresses: Sequence[Multiaddr]) -> None:
        """Know ``peer`` at ``addresses``, without connecting to it yet."""
        self.book.add(ID.from_base58(str(peer)), addresses)

    async def connect(
        self,
        peer: PeerID | ServerID,
        addresses: Sequence[Multiaddr] = (),
        *,
        timeout_s: float = 3.0,
    ) -> None:
        """Connect to ``peer``, whose ``addresses`` are remembered.

        Raises:
            DialFailed: no connection stands ``timeout_s`` later at the latest.

        """
        peer_id = ID.from_base58(str(peer))
        if addresses:
            self.book.add(peer_id, addresses)
        await self.dialler.connect(peer_id, timeout_s=timeout_s)

    def forget(self, peer: PeerID | ServerID) -> None:
        """Know no address of ``peer`` any more; a connection that stands is left alone."""
        peer_id = ID.from_base58(str(peer))
        self.book.set(peer_id, ())
        self.host.get_peerstore().clear_addrs(peer_id)

    async def probe(
        self, peer: PeerID | ServerID, address: Multiaddr, *, timeout_s: float = 3.0
    ) -> None:
        """Return when ``peer`` has shown at ``address``, and there alone, that it has its key.

        Raises:
            DialFailed: nobody answers within ``timeout_s``, or somebody else does; says who.

        """
        peer_id = ID.from_base58(str(peer))
        await probe(self._swarm, self._transport, peer_id, address, timeout_s=timeout_s)

    async def dial(self, peer: ServerID, timeout_s: float) -> None:
        """Connect as Raft's transport asks for it (``raft_over_libp2p.transport.streams.Dial``)."""
        try:
            await self.dialler.connect(ID.from_base58(peer), timeout_s=timeout_s)
        except DialFailed as error:
            raise PeerUnreachable(str(error)) from error


@asynccontextmanager
async def open_swarm(
    identity: Identity,
    secret: ClusterSecret | None = None,
    listen_multiaddrs: Sequence[Multiaddr] = (),
    *,
    announce_multiaddrs: Sequence[Multiaddr] | None = None,
) -> AsyncIterator[PeerSwarm]:
    """Run a host with ``identity``, in the private network of ``secret``, until the block ends.

    Without ``listen_multiaddrs`` it only dials, until :meth:`PeerSwarm.listen`.

    Raises:
        ListenFailed: one of ``listen_multiaddrs`` cannot be listened on; nothing is left open.

    """
    _keep_libp2p_off_the_root_logger()
    transport = TCPTransport(secret.reveal() if secret is not None else None)
    host, swarm = _new_host(identity, transport, announce_multiaddrs)
    failure: Exception | None = None
    async with _closing(transport), host.run(listen_addrs=[]), trio.open_nursery() as nursery:
        nursery.start_soon(host.announce_changes)
        try:
            # It would dial whoever is in the peerstore, removed members too: who is
            # connected is decided by membership.
            await swarm.auto_connector.stop()
            book = AddressBook()
            peer_swarm = PeerSwarm(
                host,
                PeerID.parse(str(host.get_id())),
                book,
                Dialler(swarm, book),
                swarm,
                transport,
            )
            await peer_swarm.listen(listen_multiaddrs)
            yield peer_swarm
        except Exception as error:  # noqa: BLE001 - handed on below, outside the nursery
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        # One plain error for the caller, not a group of one.
        raise failure


@asynccontextmanager
async def _closing(transport: TCPTransport) -> AsyncIterator[None]:
    try:
        yield
    finally:
        await transport.close()


def _new_host(
    identity: Identity,
    transport: TCPTransport,
    announce_multiaddrs: Sequence[Multiaddr] | None,
) -> tuple[AnnouncingHost, Swarm]:
    key_pair = create_new_key_pair(identity.reveal_seed())
    swarm = new_swarm(
        key_pair=key_pair,
        transports=[transport],
        # Only what encrypts: py-libp2p's default also offers plaintext and secio.
        sec_opt={
            NOISE_PROTOCOL: NoiseSecurity(
                key_pair, noise_privkey=create_new_x25519_key_pair().private_key
            ),
            TLS_PROTOCOL: TLSSecurity(key_pair),
        },
        connection_config=ConnectionConfig(
            max_connections=MAX_CONNECTIONS,
            high_watermark=MAX_CONNECTIONS,
            min_connections=0,
            low_watermark=0,
        ),
        retry_config=RetryConfig(max_retries=0),
    )
    if not isinstance(swarm, Swarm):
        raise TypeError(f"py-libp2p made a {type(swarm).__name__}, not a Swarm")
    # The registered class is ignored for yamux (trap 12): the negotiator itself is replaced.
    bare = BareProtocols()
    swarm.upgrader.muxer_multistream = YamuxMuxer(bare)
    host = AnnouncingHost(
        swarm,
        bare,
        announce_addrs=announce_multiaddrs,
        disable_identify_address_discovery=True,
    )
    swarm.set_stream_handler(_guarded(host._swarm_stream_handler))  # noqa: SLF001
    return host, swarm


def _guarded(handler: StreamHandlerFn) -> StreamHandlerFn:
    """Return ``handler`` such that nothing a peer does on a stream leaves it.

    An exception that leaves a stream handler ends the whole host (trap 1), and py-libp2p's
    own negotiation raises on an empty protocol name and on one that is not UTF-8: any peer
    could end the host with a dozen bytes.
    """

    async def serve(stream: INetStream) -> None:
        try:
            await handler(stream)
        except Exception as error:  # noqa: BLE001 - the host must outlive any one stream
            _log.warning("a stream of %s failed: %r", stream.muxed_conn.peer_id, error)
            await stream.reset()

    return serve


async def _listen(swarm: Swarm, transport: TCPTransport, address: Multiaddr) -> None:
    if not transport.can_listen(address):
        raise ListenFailed(f"cannot listen on {address}: it is not /ip4|ip6|dns*/.../tcp/...")
    if not await swarm.listen(address):
        # py-libp2p goes on without the address and tells nobody (trap 14).
        raise ListenFailed(f"cannot listen on {address}: {transport.listen_failure}")


def _keep_libp2p_off_the_root_logger() -> None:
    """Let one module of py-libp2p log under its own name.

    It calls ``logging.debug()`` itself, which installs a handler on the root logger of a
    program that has not configured logging yet (trap 17 of docs/upstream.md).
    """
    name = swarm_connection_module.__name__
    setattr(swarm_connection_module, "logging", logging.getLogger(name))  # noqa: B010
