"""TCP for the swarm: py-libp2p's ``ITransport``, inside the private network where there is one.

Differences from py-libp2p's own, each needed:

* A busy port is an error. The stock listener sets SO_REUSEPORT, so two daemons of one user
  would share a port and take each other's connections; and ``host.run`` swallows the error
  that another user's port gives (trap 14 of docs/upstream.md).
* Names are resolved by the system, at every dial: /etc/hosts counts, and a peer may move.
* The task that accepted a connection ends with it. The stock swarm lets it wait for the
  swarm's own end and counts it against its limit: after some hundred reconnects it would
  refuse everybody.
* No lock around each read and write: one task writes a connection and one reads it.
"""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable
from typing import Final

import trio
from libp2p.abc import IListener, IRawConnection, ITransport
from libp2p.custom_types import THandler
from libp2p.io.abc import ReadWriteCloser
from libp2p.io.exceptions import ConnectionClosedError
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.transport.exceptions import OpenConnectionError
from multiaddr import Multiaddr
from multiaddr.exceptions import ProtocolLookupError

from node.swarm.private_network import PrivateConnection

__all__ = ["CannotConnect", "TCPConnection", "TCPListener", "TCPTransport"]

_READ_BYTES: Final = 256 * 1024
_BACKLOG: Final = 128
_HOST_PROTOCOLS: Final = ("ip4", "ip6", "dns", "dns4", "dns6")

_log = logging.getLogger(__name__)


class CannotConnect(OpenConnectionError):
    """No TCP connection; the message is the system's reason."""


class TCPConnection(ReadWriteCloser):
    """One TCP connection, with Nagle's algorithm off."""

    def __init__(self, stream: trio.SocketStream, closed: Callable[[TCPConnection], None]) -> None:
        """Wrap a connected ``stream``; ``closed`` is told when this side closes it."""
        self._stream = stream
        self._closed = closed
        self._remote_address = _address_of(stream)

    async def write(self, data: bytes) -> None:
        try:
            await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ConnectionClosedError(
                f"TCP connection lost: {error.__cause__ or error}", transport="tcp"
            ) from error

    async def read(self, n: int | None = None) -> bytes:
        if n == 0:
            return b""
        try:
            return bytes(await self._stream.receive_some(_READ_BYTES if n is None else n))
        except trio.ClosedResourceError:
            return b""
        except trio.BrokenResourceError as error:
            raise ConnectionClosedError(
                f"TCP connection lost: {error.__cause__ or error}", transport="tcp"
            ) from error

    async def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        """Close the socket now; both sides' reads and writes end."""
        self._stream.socket.close()
        self._closed(self)

    def get_remote_address(self) -> tuple[str, int] | None:
        return self._remote_address


class TCPTransport(ITransport):
    """Dials and listens on ``/ip4|ip6|dns*/.../tcp/...``, with the cluster secret if given."""

    def __init__(self, secret: bytes | None = None) -> None:
        """Be in the private network of ``secret`` (32 bytes), or in none."""
        self._secret = secret
        self._connections: set[TCPConnection] = set()
        self.listen_failure = ""
        """Why the last attempt to listen failed: the swarm swallows it."""

    async def dial(self, maddr: Multiaddr) -> IRawConnection:
        host, port = _host_and_port(maddr)
        try:
            stream = await trio.open_tcp_stream(host, port)
        except OSError as error:
            raise CannotConnect(_reason(error)) from error
        connection = TCPConnection(stream, self._connections.discard)
        self._connections.add(connection)
        return RawConnection(self.enter_network(connection), initiator=True)

    def create_listener(self, handler_function: THandler) -> IListener:
        return TCPListener(handler_function, self)

    def can_dial(self, maddr: Multiaddr) -> bool:
        names = [protocol.name for protocol in maddr.protocols()]
        return (
            len(names) >= 2  # noqa: PLR2004 - a host and a port
            and names[0] in _HOST_PROTOCOLS
            and names[1] == "tcp"
            and set(names[2:]) <= {"p2p"}
        )

    def can_listen(self, maddr: Multiaddr) -> bool:
        return self.can_dial(maddr)

    def protocols(self) -> list[str]:
        return ["tcp"]

    async def close(self) -> None:
        """Close what was dialled and left open: a cancelled swarm closes nothing by itself."""
        for connection in list(self._connections):
            connection.abort()

    def enter_network(self, connection: ReadWriteCloser) -> ReadWriteCloser:
        if self._secret is None:
            return connection
        return PrivateConnection(connection, self._secret)


class TCPListener(IListener):
    """Listens on one address; accepts in the swarm's own nursery."""

    background_nursery: trio.Nursery
    """Set by the swarm before it calls :meth:`listen`."""

    def __init__(self, handler: THandler, transport: TCPTransport) -> None:
        """Hand each accepted connection to ``handler``."""
        self._handler = handler
        self._transport = transport
        self._sockets: list[trio.SocketListener] = []
        self._scope = trio.CancelScope()

    async def listen(self, maddr: Multiaddr) -> None:
        host, port = _host_and_port(maddr)
        try:
            sockets = await trio.open_tcp_listeners(port, host=host, backlog=_BACKLOG)
        except OSError as error:
            self._transport.listen_failure = _reason(error)
            raise OpenConnectionError(f"{maddr}: {_reason(error)}") from error
        self._sockets = list(sockets)
        self.background_nursery.start_soon(self._accept_all)

    def get_addrs(self) -> tuple[Multiaddr, ...]:
        return tuple(_multiaddr(listener.socket) for listener in self._sockets)

    async def close(self) -> None:
        self._scope.cancel()
        for listener in self._sockets:
            await listener.aclose()
        self._sockets.clear()

    async def _accept_all(self) -> None:
        with self._scope:
            # trio logs and outlives EMFILE and its like.
            await trio.serve_listeners(self._serve, self._sockets)

    async def _serve(self, stream: trio.SocketStream) -> None:
        with trio.CancelScope() as scope:
            connection = TCPConnection(stream, closed=lambda _: scope.cancel())
            try:
                await self._handler(self._transport.enter_network(connection))
            except Exception as error:  # noqa: BLE001 - the swarm must outlive any one peer
                _log.debug("inbound connection failed: %s", error)
            finally:
                connection.abort()


def _host_and_port(maddr: Multiaddr) -> tuple[str, int]:
    host = None
    for name in _HOST_PROTOCOLS:
        try:
            host = maddr.value_for_protocol(name)
            break
        except ProtocolLookupError:
            continue
    try:
        port = maddr.value_for_protocol("tcp")
    except ProtocolLookupError:
        port = None
    if not host or port is None:
        raise OpenConnectionError(f"{maddr} names no host and TCP port")
    return host, int(port)


def _multiaddr(bound: trio.socket.SocketType) -> Multiaddr:
    host, port = bound.getsockname()[:2]
    return Multiaddr(f"/{'ip6' if ':' in host else 'ip4'}/{host}/tcp/{port}")


def _address_of(stream: trio.SocketStream) -> tuple[str, int] | None:
    try:
        host, port = stream.socket.getpeername()[:2]
    except OSError:
        return None
    return str(host), int(port)


def _reason(error: OSError) -> str:
    """Return why in the system's words: trio wraps what each address of a name gave."""
    causes = [error]
    while isinstance(causes[-1].__cause__, OSError):
        causes.append(causes[-1].__cause__)
    if isinstance(causes[-1].__cause__, ExceptionGroup):
        inner = causes[-1].__cause__.exceptions
        causes.extend(cause for cause in inner if isinstance(cause, OSError))
    innermost = causes[-1]
    if isinstance(innermost, socket.gaierror):
        return f"the name does not resolve: {innermost.strerror}"
    if innermost.errno == errno.EADDRINUSE:
        return "the port is in use by another program"
    return innermost.strerror or str(innermost)
